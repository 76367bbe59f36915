"""One block of frames from a lending process to its clients, each a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import spent
from benchmarks.result import Measured
from benchmarks.sides import borrowing, copying, lending
from benchmarks.sides.lending import CAMERA, Lending
from benchmarks.stats import percentile

_ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(slots=True)
class Handed:
    """`cpu_ns`: of both sides. `took_ns`: from offer to everything given back.

    `ways_ns`: from offer to view, by client; none of one that hangs.
    """

    frames: int
    cpu_ns: int
    took_ns: list[int]
    ways_ns: list[list[int]] = field(default_factory=list)

    def cpu(self) -> Measured:
        """CPU time for a frame."""
        return spent(self.cpu_ns, self.frames)

    def wall(self) -> Measured:
        """The usual time for a frame."""
        return Measured(percentile(self.took_ns, 50), self.frames, self.took_ns)

    def way(self, per_cent: int, clients: int) -> Measured:
        """From offer to view, of so many clients: those that came last."""
        ways_ns = [way_ns for each in self.ways_ns[-clients:] for way_ns in each]
        return Measured(percentile(ways_ns, per_cent), len(ways_ns), ways_ns)


def hand_out(order: Lending, *, first_hangs: bool = False) -> Handed:
    """A block. Raises ValueError when a client did not get nearly every frame: the newest wins, if it is slow."""
    with ExitStack() as processes:
        lender = processes.enter_context(started(lending.__name__, order.words()))
        processes.callback(end, lender)
        _hear(lender, "ready")
        clients = []
        for number in range(order.clients):
            window = () if first_hangs and number == 0 else (str(order.warm_up), str(order.frames))
            client = processes.enter_context(started(borrowing.__name__, order.socket, CAMERA, *window))
            processes.callback(end, client)
            clients.append(client)
            _hear(lender, "joined")
        lent = json.loads(line_of(lender))
        found = [result_of(client) for client in clients]
    ways_ns = [each.get("ways_ns", []) for each in found]
    least = order.frames * 19 // 20 if order.interval_ns else order.frames
    if any(len(ways) < least for ways in ways_ns[first_hangs:]):
        raise ValueError(f"of {order.frames} frames clients had {[len(ways) for ways in ways_ns]}")
    return Handed(order.frames, lent["cpu_ns"] + sum(each.get("cpu_ns", 0) for each in found), lent["took_ns"], ways_ns)


def copied(width_px: int, height_px: int, frames: int) -> Handed:
    """A block of copies instead."""
    with started(copying.__name__, str(width_px), str(height_px), str(frames)) as process:
        found = result_of(process)
    return Handed(frames, found["cpu_ns"], found["took_ns"])


def started(module: str, *arguments: str) -> subprocess.Popen[str]:
    """A module of the benchmarks as a program."""
    command: Sequence[str] = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line_of(process: subprocess.Popen[str]) -> str:
    """Raises ChildProcessError when it ended instead."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise ChildProcessError(f"{process.args!r} ended")
    return line.strip()


def _hear(process: subprocess.Popen[str], word: str) -> None:
    if (heard := line_of(process)) != word:
        raise ValueError(f"{heard!r} instead of {word!r}")


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it found, the last line it wrote, at its end. Raises ChildProcessError."""
    output, _ = process.communicate()
    if process.returncode:
        raise ChildProcessError(f"{process.args!r} ended with status {process.returncode}")
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def end(process: subprocess.Popen[str]) -> None:
    """Whatever went wrong: nobody stays."""
    if process.poll() is None:
        process.terminate()
