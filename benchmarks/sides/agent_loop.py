"""Our capture loop on targets instead of cameras, in a process of its own under its supervisor."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic_ns
from typing import NamedTuple

from agent.capture.messages import AddPlans
from agent.capture.order import CameraOrder, GroupOrder, PlanOrder, Realtime
from agent.schedule.plan import Plan
from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.lateness import Lateness, Load, Window, load_of_command_line, print_lateness
from benchmarks.sides.supervised import Supervised
from benchmarks.sides.target_process import MARKS, TARGET

_PROGRAM = (sys.executable, "-m", "benchmarks.sides.target_process")
_SETTLE_NS = 100 * NS_PER_MS
_NS_PER_PLAN = 60_000
"""Starting a plan takes no longer."""


class Observed(NamedTuple):
    """What a block saw: when each tick was due and fired, the CPU time at both ends of the window."""

    start_ns: int
    window: Window
    dues_ns: list[int]
    fired_ns: list[int]
    cpu_ns: list[int]


def measure(load: Load) -> Lateness:
    """One block."""
    found = observe(load)
    before_ns, after_ns = found.cpu_ns
    late_ns = found.window.lateness_ns(found.dues_ns, found.fired_ns)
    return Lateness(late_ns, found.window.planned(load, found.start_ns), after_ns - before_ns)


def observe(load: Load) -> Observed:
    """Run the load to the end of its window."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes.json"
        with targets(load, notes) as process:
            start_ns = monotonic_ns() + NS_PER_S // 4 + load.plans * _NS_PER_PLAN
            window = Window.of(load, start_ns)
            process.ask(AddPlans(id=process.number(), orders=(*plan_orders(load, start_ns), *_marks(window))))
            if monotonic_ns() > start_ns:
                raise TimeoutError(f"adding {load.plans} plans took too long: none may be late before it has begun")
            process.wait_until(window.end_ns + _SETTLE_NS)
        return Observed(start_ns, window, **json.loads(notes.read_text()))


@contextmanager
def targets(load: Load, notes: Path) -> Iterator[Supervised]:
    """The process, with room for the load."""
    real_time = Realtime(
        cpus=tuple(os.sched_getaffinity(0)),
        fifo_priority=load.fifo_priority,
        lock_memory=True,
        timer_slack_ns=1,
        join_ns=load.join_ns,
    )
    cameras = tuple(CameraOrder(name=name, path="") for name in (TARGET, MARKS))
    order = GroupOrder(name="targets", cameras=cameras, plan_capacity=load.plans + 2, realtime=real_time)
    with Supervised(order, (*_PROGRAM, "--notes", str(notes))) as process:
        yield process


def plan_orders(load: Load, start_ns: int) -> Iterator[PlanOrder]:
    """The plans of a load."""
    for number, phase_ns in enumerate(load.phases_ns()):
        plan = Plan(name=f"{number}", camera=TARGET, start_ns=start_ns + phase_ns, period_ns=load.period_ns)
        yield PlanOrder(plan=plan, store=False)


def _marks(window: Window) -> list[PlanOrder]:
    """One-shots that note the CPU time at both ends of the window."""
    plans = [Plan(name=f"{MARKS} {at_ns}", camera=MARKS, start_ns=at_ns) for at_ns in (window.begin_ns, window.end_ns)]
    return [PlanOrder(plan=plan, store=False) for plan in plans]


if __name__ == "__main__":
    # only the capture process has the policy, from its own real-time options
    print_lateness(measure(load_of_command_line()))
