"""The figures of one comparison as JSON: every block, its raw samples, and what they were taken on."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.stats import Interval, median_interval, paired_ratios

KEPT_SAMPLES = 400
"""Raw samples kept of one block: every n-th where there were more; `Block.count` tells how many there were."""

_LIST_OF_NUMBERS = re.compile(r"\[[\s\d,-]+\]")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one turn of one side gave: a figure in the comparison's unit, over `count` frames, ticks or requests.

    `samples`: what the figure was made of, whole numbers in the same unit, in the order they came; none where the
    figure is a sum.
    """

    figure: float
    count: int
    samples: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """One turn as it is kept: whose it was, and no more than `KEPT_SAMPLES` of its samples."""

    ours: bool
    figure: float
    count: int
    samples: tuple[int, ...] = ()

    @classmethod
    def of(cls, measured: Measured, *, ours: bool) -> Block:
        """Keep every n-th sample."""
        step = -(-len(measured.samples) // KEPT_SAMPLES) or 1
        return cls(ours, measured.figure, measured.count, tuple(measured.samples[::step]))


@dataclass(frozen=True, slots=True)
class Condition:
    """The blocks taken idle or under load. `load`: what was running beside, in words. Load averages of a minute."""

    name: str
    load: str
    load_average_before: float
    load_average_after: float
    blocks: tuple[Block, ...]

    @property
    def ours(self) -> list[float]:
        """Our figures, in order."""
        return [block.figure for block in self.blocks if block.ours]

    @property
    def peers(self) -> list[float]:
        """The peer's figures, in order; empty where there is none."""
        return [block.figure for block in self.blocks if not block.ours]

    @property
    def ratios(self) -> list[float]:
        """Ours over the peer's, by neighbouring blocks."""
        return paired_ratios(self.ours, self.peers)

    @property
    def ratio(self) -> Interval:
        """The median of the ratios."""
        return median_interval(self.ratios)

    @property
    def worst(self) -> Interval:
        """Our largest figure, where there is no peer: one bad block is not outvoted by the others."""
        return Interval(*[max(self.ours)] * 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One row of the table. `row` is the mission's id, `name` is unique and names the file.

    `measure`: what the figures are, such as `CPU per frame`; `unit`: `ns`, `share` (of 1) or what is counted.
    `against`: the peer in a word or two; empty where there is none. `gate` and `moonshot` bound the ratio from above,
    without a peer the figure itself; both None: a plain figure, which nothing bounds. `repeat`: the command. `notes`:
    what a reader must know to judge.
    """

    name: str
    row: str
    what: str
    measure: str
    unit: str
    ours: str
    peer: str = ""
    against: str = ""
    gate: float | None
    moonshot: float | None
    where: str
    repeat: str
    notes: tuple[str, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()

    def bounded(self, condition: Condition) -> Interval:
        """What gate and moonshot bound: the ratio to the peer, without one our worst figure."""
        return condition.ratio if self.against else condition.worst

    def write(self, folder: Path) -> Path:
        """`NAME.json` in the folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        text = json.dumps(asdict(self), indent=1)
        path.write_text(_LIST_OF_NUMBERS.sub(lambda found: "".join(found[0].split()), text) + "\n")
        return path

    @classmethod
    def read(cls, path: Path) -> Comparison:
        """What `write` wrote. Raises KeyError or TypeError for a file of another kind."""
        content = json.loads(path.read_text())
        conditions = tuple(
            Condition(**{**condition, "blocks": tuple(_block(block) for block in condition["blocks"])})
            for condition in content.pop("conditions")
        )
        return cls(**{**content, "notes": tuple(content["notes"])}, conditions=conditions)


def _block(content: dict[str, Any]) -> Block:
    return Block(**{**content, "samples": tuple(content["samples"])})


def read_all(folder: Path) -> list[Comparison]:
    """All comparisons of a folder, by name. Files of other benchmarks, which have no `conditions`, are left alone."""
    paths = sorted(folder.glob("*.json"))
    return [Comparison.read(path) for path in paths if "conditions" in json.loads(path.read_text())]
