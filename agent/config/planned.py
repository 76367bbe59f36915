"""A plan that stands in a service's file, and begins whenever its camera is there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.capture.order import PlanOrder
from agent.schedule.instants import Instants
from agent.schedule.plan import Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """`order` with a start that is no instant of CLOCK_MONOTONIC yet, so that it is the same at each reading.

    `group`: whose process carries it out. `dated`: its start is in nanoseconds of CLOCK_REALTIME; else they count from
    when the plan begins.
    """

    order: PlanOrder
    group: str
    dated: bool = False

    @property
    def name(self) -> str:
        """The plan's."""
        return self.order.plan.name

    def begun(self, now_ns: int, realtime_now_ns: int) -> PlanOrder | None:
        """The plan when it begins now, told on CLOCK_MONOTONIC and CLOCK_REALTIME; None: all of its dates are past.

        The ticks of a dated plan that are past are not made up for, and count towards its `count`. With `windows` its
        start stays where it is, which they count from: ticks that are past are then accounted for as late ones.
        """
        plan = self.order.plan
        if not self.dated:
            return replace(self.order, plan=replace(plan, start_ns=now_ns + plan.start_ns))
        left = _left(replace(plan, start_ns=now_ns + plan.start_ns - realtime_now_ns), now_ns)
        return None if left is None else replace(self.order, plan=left)


def _left(plan: Plan, now_ns: int) -> Plan | None:
    """What is left of a plan."""
    late_ns = now_ns - plan.start_ns
    if late_ns <= 0:
        return plan
    if plan.period_ns is None:
        return None
    if plan.windows:
        return None if Instants.of(plan).first_at_or_after(now_ns) is None else plan
    passed = -(-late_ns // plan.period_ns)
    if plan.count is not None and passed >= plan.count:
        return None
    count = None if plan.count is None else plan.count - passed
    return replace(plan, start_ns=plan.start_ns + passed * plan.period_ns, count=count)
