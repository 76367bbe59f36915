"""How late ticks are: one load for all sides, a process for each block, and what comes back from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.result import Measured
from benchmarks.stats import percentile

_ROOT = Path(__file__).resolve().parent.parent
FIFO_PRIORITY = 50


@dataclass(frozen=True, slots=True)
class Load:
    """`plans` of one period, phases spread evenly over it, measured for a while once all go.

    `fifo_priority`: SCHED_FIFO with it; None for SCHED_OTHER. `join_ns`: `Realtime.join_ns` of our side.
    """

    plans: int
    period_ns: int
    measure_ns: int
    fifo_priority: int | None
    warm_up_ns: int = 300 * NS_PER_MS
    join_ns: int = 0

    @property
    def ticks_per_s(self) -> float:
        """Of all plans together."""
        return self.plans * NS_PER_S / self.period_ns

    def phases_ns(self) -> Iterable[int]:
        """The first instant of each plan, after the start."""
        return (number * self.period_ns // self.plans for number in range(self.plans))

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.plans:,} plans every {self.period_ns / NS_PER_S:g} s, phases spread evenly"


@dataclass(frozen=True, slots=True)
class Window:
    """Ticks that are due within it are counted: `begin_ns` included, `end_ns` not."""

    begin_ns: int
    end_ns: int

    @classmethod
    def of(cls, load: Load, start_ns: int) -> Window:
        """After the warm-up."""
        begin_ns = start_ns + load.warm_up_ns
        return cls(begin_ns, begin_ns + load.measure_ns)

    def planned(self, load: Load, start_ns: int) -> int:
        """How many ticks are due within it."""
        return sum(
            -(-(self.end_ns - start_ns - phase_ns) // load.period_ns)
            - max(-(-(self.begin_ns - start_ns - phase_ns) // load.period_ns), 0)
            for phase_ns in load.phases_ns()
        )

    def lateness_ns(self, dues_ns: Sequence[int], fired_ns: Sequence[int]) -> list[int]:
        """How late each tick was that was due within it, in the order they fired."""
        pairs = zip(dues_ns, fired_ns, strict=True)
        return [fired - due for due, fired in pairs if self.begin_ns <= due < self.end_ns]

    def check_grid(self, load: Load, start_ns: int, dues_ns: Sequence[int]) -> tuple[int, int]:
        """How many ticks are due within it; and how many of them are on no plan's grid, or missing, or there twice."""
        within = [due_ns for due_ns in dues_ns if self.begin_ns <= due_ns < self.end_ns]
        grid = {(start_ns + phase_ns) % load.period_ns for phase_ns in load.phases_ns()}
        good = {due_ns for due_ns in within if due_ns % load.period_ns in grid}
        return len(within), self.planned(load, start_ns) - len(good) + len(within) - len(good)


@dataclass(frozen=True, slots=True)
class Lateness:
    """One block: how late each tick was, how many were planned, what all of them cost together."""

    late_ns: list[int]
    planned: int
    cpu_ns: int

    def at(self, per_cent: int) -> Measured:
        """A percentile of the lateness."""
        return Measured(percentile(self.late_ns, per_cent), len(self.late_ns), self.late_ns)

    def p50(self) -> Measured:
        """Half of the ticks were no later."""
        return self.at(50)

    def p99(self) -> Measured:
        """99 of 100 ticks were no later."""
        return self.at(99)

    def cpu(self) -> Measured:
        """CPU time for each tick, user and system, all threads of the process."""
        return Measured(round(self.cpu_ns / len(self.late_ns)), len(self.late_ns))

    def dropped(self) -> Measured:
        """The share of planned ticks that did not fire."""
        return Measured((self.planned - len(self.late_ns)) / self.planned, self.planned)


def run_side(module: str, load: Load) -> Callable[[], Lateness]:
    """A turn: the side as a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.sides.{module}", json.dumps(asdict(load))]

    def turn() -> Lateness:
        done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return Lateness(**json.loads(done.stdout))

    return turn


def serve_side(measure: Callable[[Load], Lateness]) -> None:
    """The other end of `run_side`: take the policy and the load, print what was measured."""
    load = load_of_command_line()
    if load.fifo_priority is not None:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(load.fifo_priority))
    print_lateness(measure(load))


def load_of_command_line() -> Load:
    """What `run_side` wrote there."""
    return Load(**json.loads(sys.argv[1]))


def print_lateness(found: Lateness) -> None:
    """What `run_side` reads."""
    print(json.dumps(asdict(found)))


def permitted_priority() -> int | None:
    """`FIFO_PRIORITY` where this process may have it, else None."""
    before, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    except PermissionError:
        return None
    os.sched_setscheduler(0, before, parameters)
    return FIFO_PRIORITY


def policy_words(load: Load) -> str:
    """The scheduling policy of all sides, for people."""
    if load.fifo_priority is None:
        return "All sides under SCHED_OTHER (SCHED_FIFO is not permitted here) on one CPU."
    return f"All sides under SCHED_FIFO, priority {load.fifo_priority}, on one CPU."
