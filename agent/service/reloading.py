"""The configuration read anew, and what differs carried out; what does not differ goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.capture import messages as m
from agent.capture.channel import ChannelFull
from agent.capture.supervisor import NameTaken
from agent.config.changes import Changes, PlanChange, diff
from agent.config.changes_told import tell
from agent.config.planned import Planned
from agent.config.service_file import ServiceFile, load_service_file
from agent.control.facade import Document
from agent.errors import AgentError
from agent.service.cancelling import Cancelling
from agent.service.configuration import group_of
from agent.service.fleet import GONE
from agent.service.parts import Parts
from agent.service.plan_book import KnownPlan, Standing
from agent.service.plan_desk import PlanDesk
from agent.service.processes import facts
from agent.units import NS_PER_MS

_BY = "the configuration"

Prepare = Callable[[ServiceFile], Callable[[], None]]
"""Checks what of a file concerns no camera, and gives what puts it in force. Raises InputError."""


def _nothing() -> None:
    """Nobody wants to know that a reload begins."""


def _ignored(_error: AgentError | None) -> None:
    """Nor how it ended."""


def no_settings(_file: ServiceFile) -> Callable[[], None]:
    """Nothing beside the cameras depends on it."""
    return lambda: None


class Reloading:
    """Reads the file of a running agent; one reload at a time."""

    def __init__(
        self, parts: Parts, path: Path, cancelling: Cancelling, desk: PlanDesk, prepare: Prepare = no_settings
    ) -> None:
        self.prepare = prepare
        self.on_begin: Callable[[], None] = _nothing
        self.on_end: Callable[[AgentError | None], None] = _ignored
        """Called around each reload; with why it changed nothing, if it did not."""
        self.loaded_ns = parts.now_ns()
        self._parts, self._path, self._cancelling, self._desk = parts, path, cancelling, desk
        self._lock = asyncio.Lock()
        self._untold: set[str] = set()
        self._socket = parts.fleet.file.socket

    async def diff(self) -> Document:
        """What a reload would do now, in words. Raises ConfigError."""
        return tell(diff(self._in_force(), await self._read())).as_dict()

    async def reload(self, by: str) -> Document:
        """Carry it out. Raises ConfigError, NameTaken, InputError, QuotaError: nothing was changed then.

        `problems`: what a process would not do, in words. What is started is on its way when this answers.
        """
        async with self._lock:
            self.on_begin()
            try:
                told = await self._reload(by)
            except AgentError as error:
                self._parts.tell("config.refused", {**error.as_dict(), "by": by})
                self.on_end(error)
                raise
            self.on_end(None)
            return told

    async def _reload(self, by: str) -> Document:
        began_ns = self._parts.now_ns()
        file = await self._read()
        changes = diff(self._in_force(), file)
        problems = await self._carry_out(changes, file)
        self.loaded_ns = self._parts.now_ns()
        took_ns = self.loaded_ns - began_ns
        told: Document = {**tell(changes).as_dict(), "took_ns": took_ns, "problems": problems}
        self._parts.tell("config.reloaded", {**told, "by": by, "took_ms": took_ns // NS_PER_MS})
        return told

    def _in_force(self) -> ServiceFile:
        """What was read last, but where it listens: no reload changes that."""
        return replace(self._parts.fleet.file, socket=self._socket)

    async def _read(self) -> ServiceFile:
        """In a thread: a large file must not keep a cancel waiting."""
        return await asyncio.to_thread(load_service_file, self._path)

    async def _carry_out(self, changes: Changes, file: ServiceFile) -> list[str]:
        parts = self._parts
        parts.book.check_free(planned.name for planned in changes.plans_added)
        put_in_force = self.prepare(file)
        places = self._limits(changes, file)
        gone = [*changes.plans_removed, *(each.planned.name for each in changes.plans_replaced)]
        asked = list(self._remove(gone, frozenset(changes.same)))
        put_in_force()
        problems = await _each(asked)
        self._move_plans(file)
        parts.fleet.adopt(file, (each.order.name for each in changes.anew))
        problems += await _each([*self._set_limits(places), *self._expose(changes), *self._change(changes)])
        parts.fleet.begin_anew(self._untold)
        self._untold.clear()
        added = [*changes.plans_added, *(each.planned for each in changes.plans_replaced)]
        problems += self._add(added)
        await parts.fleet.handed()
        return problems + self._refused(added)

    def _limits(self, changes: Changes, file: ServiceFile) -> Mapping[str, int] | None:
        """The limits' places in the page, where a limit is another one."""
        if not changes.limits:
            return None
        for change in changes.limits:
            self._parts.limits.pop(change.bucket, None)
        limits = {**file.limits, **self._parts.limits}
        return self._parts.processes.supervisor.quotas.name(
            {name: limit for name, limit in limits.items() if name in file.limits}, self._parts.now_ns()
        )

    def _set_limits(self, places: Mapping[str, int] | None) -> Iterable[Awaitable[Any]]:
        if places is not None:
            for group in self._parts.fleet.groups:
                yield self._told(group, self._ask(group, m.SetLimits(id=self._parts.processes.number(), places=places)))

    def _remove(self, names: Iterable[str], same: frozenset[str]) -> Iterable[Awaitable[Any]]:
        """Plans that the configuration has no more, or not as they are. Those whose process ends need no cancel."""
        for plan in [plan for plan in self._parts.book if plan.configured and plan.wish.name in frozenset(names)]:
            if not plan.over and plan.wish.group in same:
                yield self._cancelling.cancel("plan", plan.wish.name, _BY)
            elif not plan.over:
                self._over(plan, "the configuration has it no more")

    def _move_plans(self, file: ServiceFile) -> None:
        """Plans of somebody's go with their cameras to other groups, and end with them."""
        for plan in self._parts.book:
            if plan.over or plan.wish.name in file.plans:
                continue
            target = plan.order.plan.camera
            group = target if target in file.groups and target == plan.wish.group else group_of(file, target)
            if group is None:
                self._over(plan, "its camera is not in the configuration any more")
            elif group != plan.wish.group:
                self._parts.book.move(plan, group)

    def _over(self, plan: KnownPlan, cause: str) -> None:
        self._parts.book.end(plan, Standing.CANCELLED, cause)
        self._parts.over([plan])

    def _expose(self, changes: Changes) -> Iterable[Awaitable[Any]]:
        for each in changes.exposures:
            if each.group in self._parts.fleet.groups:
                number, exposure_ns = self._parts.processes.number(), each.exposure_ns
                command = m.Expose(id=number, camera=each.camera, exposure_ns=exposure_ns, gain=each.gain)
                yield self._told(each.group, self._ask(each.group, command))

    def _change(self, changes: Changes) -> Iterable[Awaitable[Any]]:
        running = {plan.wish.name: plan for plan in self._parts.book if not plan.over}
        for change in changes.plans_changed:
            if change.name in running:
                yield self._change_plan(running[change.name], _figures(change))

    async def _change_plan(self, plan: KnownPlan, figures: Mapping[str, Any]) -> None:
        if not await self._told(plan.wish.group, self._desk.apply(plan, figures)):
            self._parts.book.changed(plan, **figures)

    async def _told(self, group: str, asked: Awaitable[Any]) -> bool:
        """False: its process died, or does not read, and what it has is not what the file says from now on."""
        try:
            await asked
        except AgentError as error:
            if error.code not in (*GONE, ChannelFull.code):
                raise
            self._untold.add(group)
            return False
        return True

    def _add(self, added: Iterable[Planned]) -> list[str]:
        """What could not be added, in words: somebody may have taken a name meanwhile."""
        book, problems = self._parts.book, []
        for planned in added:
            try:
                book.add([planned], by=_BY, configured=True)
            except NameTaken as error:
                problems.append(error.message)
        for group in self._parts.fleet.groups:
            self._parts.fleet.hand_over(group)
        return problems

    def _refused(self, added: Iterable[Planned]) -> list[str]:
        names = frozenset(planned.name for planned in added)
        plans = (plan for plan in self._parts.book if plan.wish.name in names)
        return [f"plan {plan.wish.name}: {plan.cause}" for plan in plans if plan.standing is Standing.REFUSED]

    async def _ask(self, group: str, command: m.Command) -> Any:
        return await facts(self._parts.processes.ask(group, command))


async def _each(asked: Iterable[Awaitable[Any]]) -> list[str]:
    """Wait for all; what went wrong, in words."""
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, AgentError):
            raise outcome
    return [outcome.message for outcome in outcomes if isinstance(outcome, AgentError)]


def _figures(change: PlanChange) -> dict[str, Any]:
    figures = {"period_ns": change.period_ns, "priority": change.priority, "quota": change.quota}
    return {key: value for key, value in figures.items() if value is not None}
