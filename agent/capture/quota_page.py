"""The page of token buckets that all capture processes of a parent share: who makes it, how a process reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from agent.capture.order import GroupOrder
from agent.capture.process_messages import Assignment
from agent.capture.quotas import Quotas
from agent.schedule.quota import Buckets, Limit, QuotaError, check_limit
from agent.shared import Lock, Page


class QuotaPage:
    """Buckets for the named limits, which all groups have alike, then one for each place of a plan, group by group.

    The maker's half: it outlives the processes. `bases`: by group, the bucket of its first plan. A context manager.
    """

    def __init__(self, orders: Sequence[GroupOrder], now_ns: int) -> None:
        """Define the named limits as full at `now_ns`. Raises QuotaError, PageError."""
        names = _common(orders)
        self.bases: dict[str, int] = {}
        base = len(names)
        for order in orders:
            self.bases[order.name] = base
            base += order.plan_capacity
        with ExitStack() as resources:
            self.page = Page.create("camera-agent quotas", Buckets.words_for(base))
            resources.callback(self.page.release)
            lock = Lock(self.page)
            resources.callback(lock.release)
            buckets = Buckets(self.page.words, lock.held)
            for index, limit in enumerate(names.values()):
                buckets.define(index, limit, now_ns)
            self._resources = resources.pop_all()

    def release(self) -> None:
        """Let go of the page; idempotent."""
        self._resources.close()


def open_quotas(fd: int, assignment: Assignment, resources: ExitStack) -> Quotas:
    """A process's half, on the inherited descriptor; what it holds is released with `resources`. Raises PageError."""
    page = resources.enter_context(Page.attach_writer(fd))
    lock = Lock(page)
    resources.callback(lock.release)
    return Quotas(Buckets(page.words, lock.held), assignment.order.quotas, assignment.quota_base)


def _common(orders: Sequence[GroupOrder]) -> Mapping[str, Limit]:
    """The limits that all groups have; a limit that only one of them knows would not be one."""
    names = orders[0].quotas if orders else {}
    for order in orders:
        if list(order.quotas.items()) != list(names.items()):
            raise QuotaError(
                f"group {order.name} has other limits than group {orders[0].name}",
                hint="give every group the same limits: they are shared",
                key="quotas",
                asked=list(order.quotas),
                allowed=list(names),
            )
    for name, limit in names.items():
        check_limit(limit, name)
    return names
