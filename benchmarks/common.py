"""Taking turns with a peer, and counting what each turn costs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from benchmarks.environment import load_average
from benchmarks.result import Block, Comparison, Condition, Measured
from benchmarks.stats import turn_order

ROUNDS = 12
"""Blocks of each side: with 10 or more, the 95 % interval leaves out the extremes."""

Result = TypeVar("Result")
Turn = Callable[[], Measured]
"""One block of one side."""
Choice = tuple[str, Callable[[Any], Measured]]
"""A side by its name, and which figure of its blocks is meant."""

_CPUCLOCK_SCHED = 2
_SPIN = "while True: pass"


class MissingTool(Exception):
    """A peer is not installed; says which package brings it."""


@dataclass(frozen=True, slots=True)
class Taken(Generic[Result]):
    """What all sides gave in one condition, in the order it was taken, by the name of the side."""

    condition: Condition
    results: tuple[tuple[str, Result], ...]

    def figures(self, ours: Choice, peer: Choice | None = None) -> Condition:
        """The condition with figures of one or two sides; a block may give one to both. Other sides are left out."""
        blocks = []
        for name, result in self.results:
            for side, measure in filter(None, (ours, peer)):
                if side == name:
                    blocks.append(Block.of(measure(result), ours=(side, measure) == ours))
        return replace(self.condition, blocks=tuple(blocks))


def compare(comparison: Comparison, ours: Turn, peer: Turn, folder: Path, *, rounds: int = ROUNDS) -> Comparison:
    """Take turns, idle and then under load, print the ratios, write the file."""
    taken = take_turns({"ours": ours, "peer": peer}, rounds)
    return finish(comparison, [each.figures(("ours", as_measured), ("peer", as_measured)) for each in taken], folder)


def as_measured(found: Measured) -> Measured:
    """The figure of a block that has only one."""
    return found


def finish(comparison: Comparison, conditions: Sequence[Condition], folder: Path) -> Comparison:
    """Print what was found and write the file."""
    finished = replace(comparison, conditions=tuple(conditions))
    for condition in conditions:
        found = finished.bounded(condition)
        print(f"{comparison.name} {condition.name}: {found.median:.3g} [{found.low:.3g}, {found.high:.3g}]", flush=True)
    finished.write(folder)
    return finished


def take_turns(sides: Mapping[str, Callable[[], Result]], rounds: int = ROUNDS) -> list[Taken[Result]]:
    """All sides in turn (A B C C B A ...) on one processor, idle and then with another one kept busy.

    Each is called once before without counting: imports, caches, page faults.
    """
    with _own_cpu() as load_cpu:
        for side in sides.values():
            side()
        taken = [_take_turns("idle", "none", sides, rounds)]
        with running_load(load_cpu) as load:
            taken.append(_take_turns("under load", load, sides, rounds))
    return taken


def _take_turns(name: str, load: str, sides: Mapping[str, Callable[[], Result]], rounds: int) -> Taken[Result]:
    before = load_average()
    results = tuple((side, sides[side]()) for side in turn_order(list(sides), rounds))
    return Taken(Condition(name, load, before, load_average(), ()), results)


def spent(cpu_ns: int, count: int) -> Measured:
    """CPU time for each of `count` things."""
    return Measured(round(cpu_ns / count), count)


@contextlib.contextmanager
def _own_cpu() -> Iterator[int]:
    """Keep both sides on one processor; yields another one for the load (the same, if there is only one)."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        yield max(cpus)
    finally:
        os.sched_setaffinity(0, cpus)


@contextlib.contextmanager
def running_load(cpu: int) -> Iterator[str]:
    """Keep processor `cpu` busy; yields by what, in words. stress-ng where it is installed."""
    if shutil.which("stress-ng"):
        command, words = (
            # its folder for temporary files is the current one, which need not be writable
            ["stress-ng", "--quiet", "--cpu", "1", "--taskset", str(cpu), "--temp-path", tempfile.gettempdir()],
            f"stress-ng --cpu 1 on CPU {cpu}",
        )
    else:
        print("!!! stress-ng IS NOT INSTALLED: a spinning Python process stands in for it", file=sys.stderr, flush=True)
        command, words = [sys.executable, "-c", _SPIN], f"a spinning Python process on CPU {cpu} (no stress-ng here)"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            os.sched_setaffinity(process.pid, {cpu})
            time.sleep(0.5)  # until it is busy
            if process.poll() is not None:
                raise MissingTool(f"{command[0]} ended at once with status {process.returncode}: there is no load")
            yield words
        finally:
            process.terminate()


def own_cpu_ns() -> int:
    """User and system time of this process, all threads."""
    return time.process_time_ns()


def cpu_ns_of(pid: int) -> int:
    """User and system time of a running process, all threads: its CPU clock, clock_getcpuclockid(3)."""
    return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)


def run_counted(command: list[str]) -> int:
    """Run to the end; user and system time from start to end, by wait4. Raises CalledProcessError."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    stream = process.stderr
    complaint = stream.read() if stream else ""
    if stream:
        stream.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=complaint)
    return round((usage.ru_utime + usage.ru_stime) * 1e9)
