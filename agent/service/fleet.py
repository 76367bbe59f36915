"""The capture processes there should be, by the configuration and the cameras that are there, and those there are."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from agent.capture import messages as m
from agent.capture.channel import ChannelFull
from agent.capture.group import Group
from agent.capture.order import GroupOrder
from agent.capture.process_messages import ProcessEnded, ProcessStarted
from agent.capture.supervisor import Told
from agent.clock import Clock, ReadClock, monotonic_ns
from agent.config.service_file import ServiceFile
from agent.control.facade import Document
from agent.discovery.camera import Camera
from agent.errors import AgentError
from agent.service.configuration import names_of, started
from agent.service.located import NOWHERE, Key, Located, locate
from agent.service.plan_book import Errand, KnownPlan, PlanBook, Standing
from agent.service.processes import Processes, facts

_RUN_BITS = 64
_AT_ONCE = 256
"""Plans in one command: its packet is bounded."""

_AGAIN_S = 0.25

GONE = ("process_died", "process_down")
"""What is refused so was not told to any process."""

Tell = Callable[[str, Document], None]
"""Takes a kind of event, and what there is to say."""


class Fleet:
    """Starts a group when one of its cameras is there, tells it where they are, and ends it when nobody wants it.

    A group whose cameras have gone keeps its process and its plans: its cameras are in fault until they are back.
    `seen`: cameras that were there since they were configured. `ready`: groups whose cameras are as far as they come.
    `troubles`: why a group could not be started. One owner, in its event loop; `settle` before it is let go.
    """

    def __init__(
        self,
        file: ServiceFile,
        state: Path,
        processes: Processes,
        book: PlanBook,
        tell: Tell,
        *,
        now_ns: ReadClock = monotonic_ns,
        realtime_now_ns: ReadClock = Clock.REALTIME.read_ns,
    ) -> None:
        """`state`: the folder that the file's relative ones are below."""
        self.file = file
        self.located: Located = NOWHERE
        self.seen: set[str] = set()
        self.ready: set[str] = set()
        self.troubles: dict[str, AgentError] = {}
        self._state, self._processes, self._book, self._tell = state, processes, book, tell
        self._now_ns, self._realtime_now_ns = now_ns, realtime_now_ns
        self._present: Sequence[Camera] = ()
        self._told: dict[str, Key | None] = {}
        self._anew: set[str] = set()
        self._places: dict[str, Key | None] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._handing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def groups(self) -> dict[str, Group]:
        """Those that have a process, or had one, and are not being ended."""
        return {name: group for name, group in self._processes.supervisor.groups.items() if name not in self._ending}

    def see(self, present: Sequence[Camera]) -> None:
        """These cameras are there now."""
        self._present = present
        self._look()
        self.reconcile()

    def adopt(self, file: ServiceFile, anew: Iterable[str]) -> None:
        """From now on this is what is wanted; processes of `anew` end, and begin again. Plans are others' work."""
        self.file = file
        self.seen &= file.matches.keys()
        self.troubles.clear()
        self._look()
        self.begin_anew(anew)

    def begin_anew(self, groups: Iterable[str]) -> None:
        """These processes end, and begin again as the file has it."""
        self._anew |= set(groups) & self.groups.keys()
        self.reconcile()

    def reconcile(self) -> None:
        """Begin what makes what there is what there should be."""
        if self._closed:
            return
        for name in self.groups:
            if name not in self.file.groups:
                self._end(name, "it is not in the configuration any more")
            elif name in self._anew:
                self._end(name, "its configuration was changed")
        for name, order in self.file.groups.items():
            if name in self._ending:
                continue  # its end begins it anew
            group = self._processes.supervisor.groups.get(name)
            if group is None:
                self._start(order)
            else:
                self._relocate(group)

    def hear(self, told: Told) -> None:
        """What a process tells that matters here."""
        match told.message:
            case m.Ready():
                self.ready.add(told.group)
                self.hand_over(told.group)
            case ProcessStarted() | ProcessEnded():
                self.ready.discard(told.group)
            case _:
                pass

    def hand_over(self, group: str) -> None:
        """Give a group's process the plans that wait for it, if it is ready for them."""
        waiting = self._book.waiting(group)
        if group not in self.ready or group not in self.groups or not waiting:
            return
        task = asyncio.get_running_loop().create_task(self._hand(group, waiting, self._book.send(waiting)))
        self._handing.add(task)
        task.add_done_callback(self._handing.discard)

    def give(self, group: str, plans: Sequence[KnownPlan]) -> Coroutine[Any, Any, None]:
        """Give a process plans that wait, all or none. Raises what it refuses them for: they stay on their errand then.

        They are on their way when this returns. Where the process is ended by us before it has them, they wait for the
        next one, which is no error. Whoever stops waiting cancels them.
        """
        return self._given(group, plans, self._book.send(plans))

    async def handed(self) -> None:
        """Wait until all plans that were on their way have arrived, or were refused."""
        while self._handing:
            await asyncio.wait(tuple(self._handing))

    async def ended(self) -> None:
        """Wait until all groups that were to end have."""
        while self._ending:
            await asyncio.wait(tuple(self._ending.values()))

    async def settle(self) -> None:
        """Begin nothing more; whatever waits for a process is given up."""
        self._closed = True
        tasks = [*self._ending.values(), *self._handing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        before, self.located = self.located, locate(self.file.matches, self._present, self.located)
        self.seen |= self.located.cameras.keys()
        for name in self.file.matches:
            was, now = before.key(name), self.located.key(name)
            if now is not None and now != was:
                told = {"camera": name, "state": "present", "device": self.located.path(name), "cause": "", "hint": ""}
                self._tell("camera.appeared", told)
            elif now is None and (was is not None or name not in self._told):
                self._tell_missing(name)
            self._told[name] = now

    def _tell_missing(self, name: str) -> None:
        error = self.located.problems[name]
        state = "gone" if name in self.seen else "absent"
        told = {"camera": name, "state": state, "device": None, "cause": error.message, "hint": error.hint}
        self._tell("camera.changed", {**told, "code": error.code})

    def _start(self, order: GroupOrder) -> None:
        cameras = names_of(order)
        elsewhere = {name for group in self._processes.supervisor.groups.values() for name in names_of(group.order)}
        if not any(name in self.located.cameras for name in cameras) or elsewhere & set(cameras):
            return
        paths = {name: self.located.path(name) for name in cameras}
        try:
            run_id = secrets.randbits(_RUN_BITS)
            self._processes.add(started(self.file, order.name, paths, state=self._state, run_id=run_id))
        except AgentError as error:
            self.troubles[order.name] = error
            self._tell("group.failed", {"group": order.name, **error.as_dict()})
            return
        self._places |= {name: self.located.key(name) for name in cameras}

    def _relocate(self, group: Group) -> None:
        for camera in names_of(group.order):
            key = self.located.key(camera)
            if self._places.get(camera) == key:
                continue
            command = m.Relocate(id=self._processes.number(), camera=camera, path=self.located.path(camera))
            try:
                self._processes.ask(group.name, command)
            except ChannelFull:
                asyncio.get_running_loop().call_later(_AGAIN_S, self.reconcile)  # it does not read just now
                return
            self._places[camera] = key

    def _end(self, name: str, why: str) -> None:
        self.ready.discard(name)
        self._anew.discard(name)
        self._book.back(name)
        self._ending[name] = asyncio.get_running_loop().create_task(self._ended(name, why))

    async def _ended(self, name: str, why: str) -> None:
        try:
            await self._processes.end(name, f"the agent, because {why}")
        finally:
            del self._ending[name]
        self.reconcile()

    async def _hand(self, group: str, plans: Sequence[KnownPlan], errand: Errand) -> None:
        try:
            for first in range(0, len(plans), _AT_ONCE):
                some = plans[first : first + _AT_ONCE]
                try:
                    await self._give(group, some, errand)
                except AgentError:
                    # those that are somewhere else by now are not ours to give
                    await self._hand_each(group, self._book.returned(errand, some))
        finally:
            self._book.returned(errand, plans)
            errand.over.set()

    async def _given(self, group: str, plans: Sequence[KnownPlan], errand: Errand) -> None:
        try:
            await self._give(group, plans, errand)
        finally:
            errand.over.set()

    async def _give(self, group: str, plans: Sequence[KnownPlan], errand: Errand) -> None:
        now_ns, realtime_now_ns = self._now_ns(), self._realtime_now_ns()
        ours = [plan for plan in plans if plan.errand is errand]
        for plan in ours:
            plan.given = plan.wish.begun(now_ns, realtime_now_ns)
            if plan.given is None:
                self._book.end(plan, Standing.FINISHED, "all of its dates are past")
        orders = tuple(plan.given for plan in ours if plan.given is not None)
        if not orders:
            return
        command = m.AddPlans(id=self._processes.number(), orders=orders)
        try:
            # at once: their ends may have been told with the answer
            await facts(self._processes.ask(group, command, lambda slots: self._book.taken(errand, ours, slots)))
        except AgentError:
            if any(plan.over or plan.errand is errand for plan in ours):
                raise

    async def _hand_each(self, group: str, plans: Sequence[KnownPlan]) -> None:
        """One of them is refused: the others need not suffer for it."""
        for plan in plans:
            if not plan.held or plan.wish.group != group or group not in self.ready:
                continue  # over, or with another process by now, or one that will get it
            errand = self._book.send([plan])
            try:
                await self._given(group, [plan], errand)
            except AgentError as error:
                if self._book.returned(errand, [plan]):
                    self._not_given(group, plan, error)

    def _not_given(self, group: str, plan: KnownPlan, error: AgentError) -> None:
        if error.code in GONE:
            return
        if error.code == ChannelFull.code:
            asyncio.get_running_loop().call_later(_AGAIN_S, self.hand_over, group)
            return
        self._book.end(plan, Standing.REFUSED, error.message)
        self._tell("plan.refused", {"plan": plan.wish.name, "group": group, **error.as_dict()})
