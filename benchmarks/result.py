"""The figures of one comparison as JSON: every raw sample, and what they were taken on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.stats import Interval, median_interval, paired_ratios


@dataclass(frozen=True, slots=True)
class Block:
    """One turn of one side: CPU time of user and system, and the frames it was spent on."""

    ours: bool
    cpu_ns: int
    frames: int

    @property
    def us_per_frame(self) -> float:
        """CPU time a frame."""
        return self.cpu_ns / self.frames / 1000


@dataclass(frozen=True, slots=True)
class Condition:
    """The blocks taken idle or under load. `load`: what was running beside, in words. Load averages of a minute."""

    name: str
    load: str
    load_average_before: float
    load_average_after: float
    blocks: tuple[Block, ...]

    @property
    def ours_us(self) -> list[float]:
        """Our blocks, in order."""
        return [block.us_per_frame for block in self.blocks if block.ours]

    @property
    def peer_us(self) -> list[float]:
        """The peer's blocks, in order."""
        return [block.us_per_frame for block in self.blocks if not block.ours]

    @property
    def ratios(self) -> list[float]:
        """Ours over the peer's, by neighbouring blocks."""
        return paired_ratios(self.ours_us, self.peer_us)

    @property
    def ratio(self) -> Interval:
        """The median of the ratios."""
        return median_interval(self.ratios)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One row of the table. `row` is the mission's id, `name` is unique and names the file.

    `gate` and `moonshot` bound the ratio from above. `repeat`: the command. `notes`: what a reader must know to judge.
    """

    name: str
    row: str
    what: str
    ours: str
    peer: str
    gate: float
    moonshot: float
    where: str
    repeat: str
    notes: tuple[str, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()

    def write(self, folder: Path) -> Path:
        """`NAME.json` in the folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return path

    @classmethod
    def read(cls, path: Path) -> Comparison:
        """What `write` wrote. Raises KeyError or TypeError for a file of another kind."""
        content = json.loads(path.read_text())
        conditions = tuple(
            Condition(**{**condition, "blocks": tuple(Block(**block) for block in condition["blocks"])})
            for condition in content.pop("conditions")
        )
        return cls(**{**content, "notes": tuple(content["notes"])}, conditions=conditions)


def read_all(folder: Path) -> list[Comparison]:
    """All comparisons of a folder, by name. Files of other benchmarks, which have no `conditions`, are left alone."""
    paths = sorted(folder.glob("*.json"))
    return [Comparison.read(path) for path in paths if "conditions" in json.loads(path.read_text())]
