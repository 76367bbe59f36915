"""Plans: asked for, looked at, changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.capture import messages as m
from agent.clock import ReadClock
from agent.config import kinds
from agent.config.more_plans import read_more_plans
from agent.config.planned import Planned
from agent.config.quotas import limit_text
from agent.control.facade import Document
from agent.errors import AgentError, InputError
from agent.service.documents import plan_document
from agent.service.kept_plans import kept_plan, readable
from agent.service.parts import Parts
from agent.service.plan_book import KnownPlan, Standing
from agent.service.processes import facts
from agent.units import format_duration

_KEYS = {"period_ns": "every", "priority": "priority", "quota": "quota"}
"""Of a plan file."""
_TEXTS: Mapping[str, Callable[[Any], str]] = {"period_ns": format_duration, "quota": limit_text}


class PlanDesk:
    """Adds and changes plans; ending them is `Cancelling`'s."""

    def __init__(self, parts: Parts, realtime_now_ns: ReadClock) -> None:
        self._parts, self._realtime_now_ns = parts, realtime_now_ns

    async def add(self, document: Mapping[str, Any], by: str, client: str, *, is_held: bool) -> list[Document]:
        """Start plans, all or none; those whose cameras are not there wait. Raises ConfigError, NameTaken, refusals.

        `is_held`: they end with a connection, and so with the agent; all others outlive it.
        """
        parts = self._parts
        if not document:
            raise InputError("no plan is asked for", hint="send a name with its keys, as under plans: in a plan file")
        asked = read_more_plans(parts.fleet.file, document).values()
        known = parts.book.add([_owned(planned, client) for planned in asked], by=by)
        try:
            await self._give(known)
        except BaseException:
            self._withdraw(known, by)
            raise
        if not is_held:
            await self._keep(document, known)
        return [plan_document(parts, plan) for plan in known]

    async def change(self, name: str, every_ns: int | None, priority: int | None, quota: str | None) -> Document:
        """Change what is not None, all or nothing. Raises NotFound, and what its process refuses it for."""
        parts, plan = self._parts, self._parts.book.find(name)
        if plan.over:
            raise InputError(f"plan {name} is {plan.standing.value}", hint="start it anew", plan=name)
        changes: dict[str, Any] = {}
        if every_ns is not None:
            changes["period_ns"] = every_ns
        if priority is not None:
            changes["priority"] = priority
        if quota is not None:
            changes["quota"] = kinds.LIMIT.parse(quota)
        await self.apply(plan, changes)
        await self._keep_changed(plan, changes)
        return plan_document(parts, plan)

    def resume(self, realtime_now_ns: int) -> None:
        """The plans that were kept begin again, as soon as their cameras are there."""
        parts = self._parts
        going_on, refused = readable(parts.kept.load(), parts.fleet.file, realtime_now_ns)
        for kept, planned in going_on:
            parts.book.add([planned], by=kept.by)
        parts.kept.drop(refused)
        for name, error in refused.items():
            if error is not None:
                parts.tell("plan.refused", {"plan": name, **error.as_dict()})
        self._tell_trouble()

    async def _keep(self, document: Mapping[str, Any], known: Sequence[KnownPlan]) -> None:
        asked_ns = self._realtime_now_ns()
        await self._parts.kept.add(kept_plan(plan.wish, document, plan.by, asked_ns) for plan in known if not plan.over)
        # one that ended while it was written was dropped before it came, or is dropped now
        self._parts.kept.drop(plan.wish.name for plan in known if plan.over)
        self._tell_trouble()

    def _tell_trouble(self) -> None:
        trouble = self._parts.kept.trouble
        if trouble:
            self._parts.tell("plans.not_kept", {"message": f"plans that were added are lost with the agent: {trouble}"})

    async def _keep_changed(self, plan: KnownPlan, changes: Mapping[str, Any]) -> None:
        """With another period its ticks are counted anew, from now on: what is left of them."""
        keys = {_KEYS[key]: _TEXTS[key](value) if key in _TEXTS else value for key, value in changes.items()}
        start_ns = None
        if "period_ns" in changes and plan.given is not None:
            now_ns, start_ns = self._parts.now_ns(), self._realtime_now_ns()
            begun = Planned(plan.given, plan.wish.group, dated=True).begun(now_ns, now_ns)
            given = plan.given.plan if begun is None else begun.plan
            plan.given = replace(plan.given, plan=replace(given, start_ns=now_ns, period_ns=changes["period_ns"]))
            keys |= {} if given.count is None else {"count": given.count}
        await self._parts.kept.change(plan.wish.name, keys, start_ns)

    async def apply(self, plan: KnownPlan, changes: Mapping[str, Any]) -> None:
        """Tell its process, if it has the plan; what was changed already is undone where one is refused."""
        waited = None
        while plan.errand is not None and plan.errand is not waited:
            waited = plan.errand  # what its process was told with it is the old one
            await waited.over.wait()
        before = {
            "period_ns": plan.order.plan.period_ns,
            "priority": plan.order.plan.priority,
            "quota": plan.order.quota,
        }
        done = []
        try:
            for key, value in changes.items():
                if plan.standing is Standing.RUNNING:
                    await self._tell(plan, key, value)
                done.append(key)
        except AgentError:
            for key in done:
                await self._tell(plan, key, before[key])
            raise
        self._parts.book.changed(plan, **changes)

    async def _tell(self, plan: KnownPlan, key: str, value: Any) -> None:
        name, number = plan.wish.name, self._parts.processes.number()
        command: m.Command
        match key:
            case "period_ns":
                command = m.SetPeriod(id=number, plan=name, period_ns=value)
            case "priority":
                command = m.SetPriority(id=number, plan=name, priority=value)
            case _:
                command = m.SetQuota(id=number, bucket=f"plan/{name}", limit=value)
        await facts(self._parts.processes.ask(plan.wish.group, command))

    async def _give(self, known: Sequence[KnownPlan]) -> None:
        """To each group that is ready its own; the others wait."""
        fleet = self._parts.fleet
        by_group: dict[str, list[KnownPlan]] = {}
        for plan in known:
            by_group.setdefault(plan.wish.group, []).append(plan)
        ready = {group: plans for group, plans in by_group.items() if group in fleet.ready and group in fleet.groups}
        outcomes = await asyncio.gather(
            *(fleet.give(group, plans) for group, plans in ready.items()), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _withdraw(self, known: Sequence[KnownPlan], by: str) -> None:
        """One group refused: those that others took are taken back."""
        parts = self._parts
        for plan in known:
            is_there = plan.standing is Standing.RUNNING or plan.errand is not None
            if is_there and plan.wish.group in parts.processes.supervisor.groups:
                number = parts.processes.number()
                parts.processes.ask(plan.wish.group, m.Cancel(id=number, kind="plan", name=plan.wish.name, by=by))
        parts.book.remove(known)


def _owned(planned: Planned, client: str) -> Planned:
    """Whatever it says itself, it is whoever's asked for it."""
    if not client:
        return planned
    order = planned.order
    return replace(planned, order=replace(order, plan=replace(order.plan, client=client)))
