"""What a timeline is drawn of: the index of a recording, and files of ticks and pulses, where there are."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.errors import InputError, StorageError

INDEX = "frames.jsonl"
_NEEDED = ("camera", "sequence", "timestamp_ns", "timestamp_source", "dequeued_ns")
_WORDS = ("camera", "timestamp_source")
_NUMBERS = ("began_ns", "exposure_ns", "encode_began_ns", "encode_ended_ns", "lost_before", "skipped", "pulse")


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame of the index; instants on CLOCK_MONOTONIC, None: not known.

    `began_ns`: start of its exposure. `lost`: frames lost before it came here; `skipped`: not recorded on time.
    """

    sequence: int
    stamp_ns: int
    began_ns: int | None
    exposure_ns: int | None
    dequeued_ns: int
    encode_began_ns: int | None
    encode_ended_ns: int | None
    lost: int
    skipped: int
    pulse: int | None

    @property
    def first_ns(self) -> int:
        """The earliest that is known of it."""
        return self.stamp_ns if self.began_ns is None else min(self.began_ns, self.stamp_ns)

    @property
    def last_ns(self) -> int:
        """The latest that is known of it."""
        return max(self.dequeued_ns, self.encode_ended_ns or 0)


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of a plan: when it was due and fired, and whether it brought what it should."""

    plan: str
    due_ns: int
    fired_ns: int | None
    well: bool


@dataclass(slots=True)
class Lane:
    """What there is of one camera, in the order of time. `pulses`: instant, and whether a frame answered."""

    camera: str
    shots: list[Shot] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)
    pulses: list[tuple[int, bool]] = field(default_factory=list)


def read_lanes(place: Path, ticks: Path | None = None, ledger: Path | None = None) -> list[Lane]:
    """All cameras of a folder or an index file; those of a folder without an index are in the folders below it.

    Raises InputError for what is no index, with file and line; StorageError when one cannot be read.
    """
    lanes: dict[str, Lane] = {}
    for index in _indexes(place):
        for number, told in _lines(index):
            shot = _shot(index, number, told)
            lanes.setdefault(str(told["camera"]), Lane(str(told["camera"]))).shots.append(shot)
    for lane in lanes.values():
        lane.shots.sort(key=lambda shot: shot.stamp_ns)
    if not lanes:
        raise InputError(f"{place} has no frames", hint="name the folder of a recording, or its frames.jsonl")
    for number, told in _lines(ticks) if ticks is not None else ():
        of = lanes.get(str(told.get("camera")))
        if of is not None and ticks is not None:
            _check(ticks, number, told, ("due_ns",), ("fired_ns",))
            well = told.get("outcome") == "delivered"
            of.ticks.append(Tick(str(told.get("plan", "")), told["due_ns"], told.get("fired_ns"), well))
    for number, told in _lines(ledger) if ledger is not None else ():
        of = lanes.get(str(told.get("camera")))
        if of is not None and ledger is not None:
            _check(ledger, number, told, (), ("pulse_ns",))
        if of is not None and told.get("pulse_ns") is not None and not told.get("explained"):
            of.pulses.append((int(told["pulse_ns"]), told.get("frame") is not None))
    return [lanes[name] for name in sorted(lanes)]


def _indexes(place: Path) -> list[Path]:
    if place.is_dir():
        index = place / INDEX
        found = [index] if index.exists() else sorted(place.glob(f"*/{INDEX}"))
        if not found:
            raise InputError(f"{place} has no {INDEX}", hint="name the folder of a recording or of captured pictures")
        return found
    if not place.exists():
        raise InputError(f"there is no {place}", hint="name the folder of a recording, or its frames.jsonl")
    return [place]


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    told = json.loads(line)
                except ValueError as error:
                    if not line.endswith(b"\n"):
                        return  # it is being written
                    raise _broken(path, number, "is no JSON") from error
                if not isinstance(told, dict):
                    raise _broken(path, number, "is no JSON object")
                yield number, told
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror or error}", hint="name a file that can be read", path=str(path)
        ) from error


def _shot(index: Path, number: int, told: dict[str, Any]) -> Shot:
    _check(index, number, told, _NEEDED, _NUMBERS)
    began_ns = told.get("began_ns")
    if began_ns is None and told["timestamp_source"] == "soe":
        began_ns = told["timestamp_ns"]
    return Shot(
        sequence=told["sequence"],
        stamp_ns=told["timestamp_ns"],
        began_ns=began_ns,
        exposure_ns=told.get("exposure_ns"),
        dequeued_ns=told["dequeued_ns"],
        encode_began_ns=told.get("encode_began_ns"),
        encode_ended_ns=told.get("encode_ended_ns"),
        lost=told.get("lost_before") or 0,
        skipped=told.get("skipped") or 0,
        pulse=told.get("pulse"),
    )


def _check(path: Path, number: int, told: dict[str, Any], needed: Collection[str], numbers: Collection[str]) -> None:
    """Raises InputError: a field is not there, or one of these that is a time or a count is no whole number."""
    for name in needed:
        if told.get(name) is None:
            raise _broken(path, number, f"has no {name}")
    for name in (*needed, *numbers):
        value = told.get(name)
        if name not in _WORDS and value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise _broken(path, number, f"has a {name} that is no whole number")


def _broken(path: Path, number: int, problem: str) -> InputError:
    return InputError(f"{path}:{number}: {problem}", hint="name an index that camera-agent wrote", path=str(path))
