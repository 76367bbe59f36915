"""What the agent and one capture process take while nothing is asked of them: processor time and memory."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.common import cpu_ns_of, finish, take_turns
from benchmarks.environment import describe
from benchmarks.result import Comparison, Measured
from benchmarks.sides.running import HERE, Running

BLOCK_S = 5.0
ROUNDS = 6
_CONFIGURATION = f"cameras:\n  top: {{{HERE}}}\n"


@dataclass(frozen=True, slots=True)
class Taken:
    """One block of one process: the share of a processor, and KiB at its end as /proc/PID/smaps_rollup has them."""

    share: float
    pss_kib: int
    rss_kib: int

    def cpu(self) -> Measured:
        """Share of one processor."""
        return Measured(self.share, 1)

    def pss(self) -> Measured:
        """Memory, what is shared with others divided among them."""
        return Measured(self.pss_kib, 1)

    def rss(self) -> Measured:
        """Memory, what is shared included."""
        return Measured(self.rss_kib, 1)


def main(folder: Path) -> None:
    """Measure and write IDLE-*.json: the agent, a capture process at rest, and one that streams."""
    with Running(_CONFIGURATION, ["top"]) as running, Running(_CONFIGURATION, ["top"]) as streaming:
        running.client.stop("top")
        pids = {"agent": running.pid, "capture": running.pid_of("top"), "streaming": streaming.pid_of("top")}
        conditions = take_turns({name: _block(pid) for name, pid in pids.items()}, ROUNDS)
    for side, what in _WHAT.items():
        for name, (measure, unit, figure) in _MEASURES.items():
            row = replace(_row(), name=f"IDLE-{side}-{name}", ours=what, measure=measure, unit=unit)
            finish(row, [each.figures((side, figure)) for each in conditions], folder)


_WHAT = {
    "agent": "the agent's own process: control API, supervisor, discovery",
    "capture": "the capture process of one camera whose stream is off; the simulation of the camera is in it",
    "streaming": "the same while it streams 30 frames/s that nobody wants, as it does until it is stopped",
}
_MEASURES: dict[str, tuple[str, str, Callable[[Taken], Measured]]] = {
    "cpu": ("processor time", "share", Taken.cpu),
    "pss": ("memory, what is shared divided among its users (PSS)", "KiB", Taken.pss),
    "rss": ("memory, what is shared included (RSS)", "KiB", Taken.rss),
}


def _row() -> Comparison:
    return Comparison(
        name="",
        row="issue 5",
        what="A running agent with one simulated camera and no plan: nobody asks it anything",
        measure="",
        unit="",
        ours="",
        gate=None,
        moonshot=None,
        where="host",
        repeat="make bench",
        notes=(f"A block is {BLOCK_S:g} s; processor time by the process's CPU clock.",),
        environment=describe(),
    )


def _block(pid: int) -> Callable[[], Taken]:
    def take() -> Taken:
        began_ns, before_ns = time.monotonic_ns(), cpu_ns_of(pid)
        time.sleep(BLOCK_S)
        share = (cpu_ns_of(pid) - before_ns) / (time.monotonic_ns() - began_ns)
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return Taken(share, *(_kib(rollup, name) for name in ("Pss", "Rss")))

    return take


def _kib(rollup: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", rollup, re.MULTILINE)
    if found is None:
        raise ValueError(f"smaps_rollup has no {name}")
    return int(found[1])
