"""The capture processes on an event loop: asked, and answered by futures; what they tell goes to whoever listens."""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Callable
from typing import Any

from agent.capture import messages as m
from agent.capture.order import GroupOrder
from agent.capture.relayed import relayed
from agent.capture.supervisor import Supervisor, Told
from agent.clock import ReadClock, monotonic_ns
from agent.errors import AgentError
from agent.units import NS_PER_S

Then = Callable[[Any], None]
"""Takes the facts of a command that was carried out."""
Hear = Callable[[Told], None]
"""Told every event, in the order of their coming; answers go to those who asked."""


class Processes:
    """Drives a Supervisor on the running loop. A context manager; leaving it waits for nothing.

    All descriptors of the supervisor are behind one epoll, which is the only thing the loop looks at. `turned_ns`: when
    the supervisor was looked after last.
    """

    def __init__(self, supervisor: Supervisor, hear: Hear, now_ns: ReadClock = monotonic_ns) -> None:
        """The supervisor stays its owner's."""
        self.supervisor = supervisor
        self.turned_ns = now_ns()
        self._hear, self._now_ns = hear, now_ns
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._registered: set[int] = set()
        self._timer: asyncio.Handle | None = None
        self._asked: dict[int, tuple[asyncio.Future[m.Done | m.Refused], Then | None]] = {}
        self._ends: dict[str, asyncio.Event] = {}
        self._released = False
        self._loop.add_reader(self._epoll.fileno(), self._turn)
        self._arm()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def add(self, order: GroupOrder) -> None:
        """One group more. Raises what Supervisor.add raises."""
        self.supervisor.add(order, self._now_ns())
        self._arm()

    def number(self) -> int:
        """The id of the next command."""
        return self.supervisor.number()

    def ask(self, group: str, command: m.Command, then: Then | None = None) -> asyncio.Future[m.Done | m.Refused]:
        """Written to the group's process when this returns. Raises GroupUnknown, ChannelFull.

        `then`: takes the facts before anything is heard that was said after the answer; who waits for the future runs
        later than that.
        """
        self.supervisor.ask(group, command, self._now_ns())
        answer: asyncio.Future[m.Done | m.Refused] = self._loop.create_future()
        self._asked[command.id] = answer, then
        self._arm()
        return answer

    async def end(self, group: str, by: str) -> None:
        """Tell a group's process to end, wait until it has gone, and forget the group.

        It waits for as long as the kernel does not let the process go.
        """
        gone = self._ends[group] = asyncio.Event()
        self.ask(group, m.Quit(id=self.number(), by=by))
        try:
            while not self._is_over(group):
                gone.clear()
                await gone.wait()
        finally:
            del self._ends[group]
        self.supervisor.remove(group)
        self._arm()

    def release(self) -> None:
        """Look at nothing any more; idempotent. Whoever still waits for an answer is told that none will come."""
        if self._released:
            return
        self._released = True
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        if self._timer is not None:
            self._timer.cancel()
        asked, self._asked = self._asked, {}
        for answer, _ in asked.values():
            answer.cancel()

    def _turn(self) -> None:
        if self._released:
            return
        self.turned_ns = self._now_ns()
        for told in self.supervisor.handle(self.turned_ns):
            self._told(told)
        for name, gone in self._ends.items():
            if self._is_over(name):
                gone.set()
        self._arm()

    def _is_over(self, name: str) -> bool:
        """It has gone, and everything that it owed was handed out."""
        group = self.supervisor.groups[name]
        return group.over and group.pid is None and group.next_ns() is None

    def _told(self, told: Told) -> None:
        message = told.message
        if isinstance(message, m.Done | m.Refused) and message.re:
            self._answered(message)
            return
        self._hear(told)

    def _answered(self, message: m.Done | m.Refused) -> None:
        asked = self._asked.pop(message.re, None)
        if asked is None:
            return
        answer, then = asked
        if then is not None and isinstance(message, m.Done):
            then(message.facts)
        if not answer.done():
            answer.set_result(message)

    def _arm(self) -> None:
        """Wait for what the supervisor waits for now. A number may be another descriptor's since the last time."""
        if self._released:
            return
        for fd in self._registered:
            with contextlib.suppress(OSError):  # closed since
                self._epoll.unregister(fd)
        wanted = self.supervisor.fds()
        for fd, events in wanted.items():
            self._epoll.register(fd, events)
        self._registered = set(wanted)
        if self._timer is not None:
            self._timer.cancel()
        next_ns = self.supervisor.next_ns()
        self._timer = None if next_ns is None else self._at(next_ns)

    def _at(self, instant_ns: int) -> asyncio.Handle:
        if instant_ns <= self._now_ns():
            return self._loop.call_soon(self._turn)
        wait_ns = instant_ns - self._now_ns()
        return self._loop.call_later(wait_ns / NS_PER_S, self._turn)


async def facts(answer: asyncio.Future[m.Done | m.Refused]) -> Any:
    """What a command came to. Raises the error of a refusal in its own words."""
    # whoever stops waiting does not take the answer from others
    told = await asyncio.shield(answer)
    if isinstance(told, m.Refused):
        raise refused(told)
    return told.facts


def refused(told: m.Refused) -> AgentError:
    """The error of a refusal."""
    return relayed(told.code, told.message, told.hint, exit_code=told.exit_code, details=told.details)
