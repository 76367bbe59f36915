"""The token buckets a tick has to pass: the agent's, its camera's, its plan's and its client's (mission row H2).

The page of buckets is one for all capture processes, made by the supervisor, which defines the named ones: each has
one place for ever. Behind them each group has room for its plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agent.capture.order import PlanOrder
from agent.errors import InputError
from agent.schedule.account import Refusal
from agent.schedule.quota import Buckets, Limit


class QuotaUnknown(InputError):
    """No limit of this name was set up. Details: bucket, allowed."""

    code = "quota_unknown"


class Toll(NamedTuple):
    """The buckets of one plan, and what a refusal of each is counted as; empty: nothing limits it."""

    buckets: tuple[int, ...]
    refusals: Mapping[int, Refusal]


_FREE = Toll((), {})


class Quotas:
    """One group's view of the buckets. `places`: of the named limits. `base`: the bucket of its first plan."""

    def __init__(self, buckets: Buckets, places: Mapping[str, int], base: int) -> None:
        """Without limits every toll is free."""
        self._buckets = buckets
        self._index = dict(places)
        self._base = base
        self._plans: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def toll(self, order: PlanOrder, slot: int, now_ns: int) -> Toll:
        """What a new plan in this place has to pass; its own quota is full. Raises QuotaError."""
        if order.quota is not None:
            self._buckets.define(self._base + slot, order.quota, now_ns)
        return self._toll(order, slot)

    def adopted_toll(self, order: PlanOrder, slot: int, now_ns: int) -> Toll:
        """The same for a plan whose process died: its own quota is as full as it was. Raises QuotaError."""
        if order.quota is not None:
            self._buckets.set_limit(self._base + slot, order.quota, now_ns)
        return self._toll(order, slot)

    def name(self, places: Mapping[str, int]) -> None:
        """These named limits there are from now on. Tolls that were asked for before are those of before."""
        self._index = dict(places)

    def same_toll(self, order: PlanOrder, slot: int) -> Toll:
        """What a plan has to pass now; its own quota is as it was."""
        return self._toll(order, slot)

    def pass_(self, toll: Toll, now_ns: int) -> Refusal | None:
        """Take one token of each bucket, or none: None, or whose limit refused."""
        refused = self._buckets.take(toll.buckets, now_ns)
        return None if refused is None else toll.refusals[refused]

    def set_limit(self, name: str, limit: Limit, now_ns: int) -> None:
        """Change a limit for all processes at once. Raises QuotaUnknown, QuotaError."""
        index = self._plans.get(name.removeprefix("plan/")) if name.startswith("plan/") else self._index.get(name)
        if index is None:
            known = [*self._index, *(f"plan/{plan}" for plan in self._plans)]
            raise QuotaUnknown(
                f"there is no limit {name}",
                hint=f"limits that can be changed: {', '.join(known[:20]) or 'none was set up'}",
                bucket=name,
                allowed=known,
            )
        self._buckets.set_limit(index, limit, now_ns)

    def _toll(self, order: PlanOrder, slot: int) -> Toll:
        plan, index = order.plan, self._base + slot
        wanted = (
            ("agent", Refusal.AGENT),
            (f"camera/{plan.camera}", Refusal.CAMERA),
            (f"client/{plan.client}", Refusal.CLIENT),
        )
        found = {self._index[name]: refusal for name, refusal in wanted if name in self._index}
        # the plan that had this place before has no quota any more
        self._plans.pop(self._names.pop(index, ""), None)
        if order.quota is not None:
            self._plans[plan.name], self._names[index] = index, plan.name
            found[index] = Refusal.PLAN
        return Toll(tuple(found), found) if found else _FREE
