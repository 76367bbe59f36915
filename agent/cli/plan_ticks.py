"""The account of single requests: a file of JSON lines, and what is kept of them for a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from agent.capture.tick_log import End, TickRecord
from agent.cli.json_lines import JsonLines
from agent.errors import InputError
from agent.schedule.requests import Sample
from agent.units import parse_duration_ns

ALL = Sample(every=1)
_WELL = frozenset({End.DELIVERED})
_SAMPLE_HINT = "name one or more of every=100, slower=5ms, failures, with commas between them"
Told = tuple[str, str, TickRecord]
"""Plan, camera, record."""


def parse_sample(_context: click.Context, parameter: click.Parameter, text: str | None) -> Sample | None:
    """A click callback: `every=100,slower=5ms,failures`. What is not named is not written. Raises InputError."""
    if text is None:
        return None
    option = parameter.opts[-1]
    found: dict[str, int | bool] = {"failures": False}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if name == "failures" and not equals:
            found["failures"] = True
        elif name == "every" and value.isdecimal() and int(value) > 0:
            found["every"] = int(value)
        elif name == "slower" and equals:
            found["slower_than_ns"] = parse_duration_ns(value)
        else:
            raise InputError(f"{option}: {part.strip()!r} is no choice of requests", hint=_SAMPLE_HINT, option=option)
    return Sample(**found)  # type: ignore[arg-type]


class TickFile:
    """One JSON object a line for each request that the sample picks, in the order in which they ended.

    A context manager; `release()` is idempotent, and leaves no empty file. Instants are nanoseconds of CLOCK_MONOTONIC.
    """

    def __init__(self, path: Path, sample: Sample) -> None:
        """Raises StorageError: the file exists already, or cannot be made."""
        self.path = path
        self._sample = sample
        self._lines = JsonLines(path)

    def __enter__(self) -> TickFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def written(self) -> int:
        """Lines so far."""
        return self._lines.written

    def write(self, requests: Sequence[Told]) -> None:
        """Write those that are picked. Raises StorageError."""
        self._lines.write([_line(plan, camera, record) for plan, camera, record in requests if self._picks(record)])

    def release(self) -> None:
        """Close the file; one without a line is taken away again."""
        self._lines.release()

    def _picks(self, record: TickRecord) -> bool:
        took_ns = record.ended_ns - record.due_ns
        judge = self._sample.of_end if record.end in _WELL else self._sample.of_failure
        return judge(record.number, took_ns)


def _line(plan: str, camera: str, record: TickRecord) -> str:
    facts = {
        "trace_id": record.trace_id,
        "plan": plan,
        "camera": camera,
        "number": record.number,
        "due_ns": record.due_ns,
        "fired_ns": record.fired_ns or None,
        "ended_ns": record.ended_ns,
        "outcome": record.end.name.lower(),
        "frames": record.frames,
        "sequence": None if record.sequence < 0 else record.sequence,
        "operator_ns": record.operator_ns,
    }
    return json.dumps(facts, separators=(",", ":")) + "\n"


class LatenessSeries:
    """Lateness over time in a bounded number of columns: the mean and the largest of each. When full, pairs merge.

    Columns are `step_ns` wide from `start_ns` on; `columns` gives those that hold something.
    """

    MOST = 600

    def __init__(self, start_ns: int, step_ns: int = 10_000_000) -> None:
        self.start_ns = start_ns
        self.step_ns = step_ns
        self._columns: dict[int, tuple[int, int, int]] = {}

    def add(self, fired_ns: int, late_ns: int) -> None:
        """One request."""
        place = (fired_ns - self.start_ns) // self.step_ns
        while place >= self.MOST:
            self._merge()
            place = (fired_ns - self.start_ns) // self.step_ns
        count, total, largest = self._columns.get(place, (0, 0, late_ns))
        self._columns[place] = count + 1, total + late_ns, max(largest, late_ns)

    def columns(self) -> list[tuple[int, int, int]]:
        """The middle of each column in nanoseconds after the start, its mean and its largest lateness."""
        return [
            (place * self.step_ns + self.step_ns // 2, total // count, largest)
            for place, (count, total, largest) in sorted(self._columns.items())
        ]

    def _merge(self) -> None:
        self.step_ns *= 2
        before, self._columns = self._columns, {}
        for place, (count, total, largest) in before.items():
            have = self._columns.get(place // 2, (0, 0, largest))
            self._columns[place // 2] = have[0] + count, have[1] + total, max(have[2], largest)


class ResidualSeries:
    """Residuals of matched frames over time, few enough to be drawn: when there are too many, every other one stays."""

    MOST = 3_000

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self._points: dict[str, list[tuple[int, int]]] = {}
        self._every: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def add(self, camera: str, pulse_ns: int, residual_ns: int) -> None:
        """One match."""
        points, every = self._points.setdefault(camera, []), self._every.setdefault(camera, 1)
        seen = self._seen[camera] = self._seen.get(camera, -1) + 1
        if seen % every:
            return
        points.append((pulse_ns - self.start_ns, residual_ns))
        if len(points) > self.MOST:
            del points[1::2]
            self._every[camera] = 2 * every

    def points(self) -> dict[str, list[tuple[int, int]]]:
        """By camera: instants after the start, and residuals, in nanoseconds."""
        return self._points
