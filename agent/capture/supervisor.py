"""All capture processes of a parent, driven by whoever has an event loop: no threads, no asyncio, nothing blocks.

Until `finished`: wait for `fds()` until `next_ns()`, then take what `handle(now_ns)` returns.
"""

from __future__ import annotations

import itertools
import select
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from agent.capture.group import Group
from agent.capture.life import Ways
from agent.capture.messages import Command, Quit
from agent.capture.order import GroupOrder
from agent.capture.quota_page import NO_ROOM, QuotaPage, Room
from agent.clock import ReadClock, monotonic_ns
from agent.errors import InputError, StateError
from agent.units import NS_PER_MS


class GroupUnknown(InputError):
    """No group or camera of this name. Details: name, known."""

    code = "group_unknown"


class NameTaken(InputError):
    """Two groups, or two cameras, with one name. Details: name."""

    code = "name_taken"


class Told(NamedTuple):
    """What came from a group: an answer, an event of its process, or one of the supervisor's own."""

    group: str
    message: Any


class Supervisor:
    """Starts, watches and replaces the capture processes. A context manager; `release()` is idempotent.

    Every command that `ask` took gets exactly one Done or Refused out of `handle`, whatever becomes of its process.
    `groups`: by name, for others to read.
    """

    def __init__(self, orders: Sequence[GroupOrder], ways: Ways, now_ns: int, room: Room = NO_ROOM) -> None:
        """Nothing is started before the first `handle`. `room`: for what is added later.

        Raises NameTaken, QuotaError, PageError.
        """
        _check_names(orders)
        self._numbers = itertools.count(1)
        self._ways = ways
        self._groups: dict[str, Group] = {}
        self.groups: Mapping[str, Group] = self._groups
        with ExitStack() as resources:
            self.quotas = QuotaPage(orders, now_ns, room)
            resources.callback(self.quotas.release)
            resources.callback(self._release_groups)
            for order in orders:
                self._groups[order.name] = Group(order, self.quotas, ways, now_ns)
            self._resources = resources.pop_all()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def finished(self) -> bool:
        """No process is there, none will be started, and everything was handed out."""
        return all(_is_finished(group) for group in self._groups.values())

    def add(self, order: GroupOrder, now_ns: int) -> Group:
        """One group more; the others do not notice. Its process starts at the next `handle`.

        Raises NameTaken, QuotaError, PageError: nothing was added then.
        """
        _check_names([*(group.order for group in self._groups.values()), order])
        with ExitStack() as undo:
            self.quotas.add(order, now_ns)
            undo.callback(self.quotas.remove, order.name)
            group = Group(order, self.quotas, self._ways, now_ns)
            undo.pop_all()
        self._groups[order.name] = group
        return group

    def remove(self, name: str) -> None:
        """Forget a group whose process was told to Quit and has gone. Its answers and events were handed out.

        Raises GroupUnknown; StateError while its process is there, which may hang in its driver.
        """
        group = self._group(name)
        if not _is_finished(group):
            raise StateError(
                f"group {name} has a capture process, or will have one",
                hint="tell it to end first, and wait until it has",
                state="running",
                verb="remove",
            )
        del self._groups[name]
        group.release()
        self.quotas.remove(name)

    def number(self) -> int:
        """The id of the next command; they grow."""
        return next(self._numbers)

    def group_of(self, camera: str) -> str:
        """The group that a camera belongs to. Raises GroupUnknown."""
        for group in self.groups.values():
            if any(one.name == camera for one in group.order.cameras):
                return group.name
        known = sorted(one.name for group in self.groups.values() for one in group.order.cameras)
        raise _unknown("camera", camera, known)

    def ask(self, group: str, command: Command, now_ns: int) -> None:
        """Ask a group's process. Raises GroupUnknown, ChannelFull: then nothing was asked."""
        self._group(group).ask(command, now_ns)

    def quit(self, by: str, now_ns: int) -> dict[str, int]:
        """Tell every process to cancel everything and end; the ids of the Quits by group. Raises ChannelFull."""
        asked = {}
        for name, group in self.groups.items():
            asked[name] = self.number()
            group.ask(Quit(id=asked[name], by=by), now_ns)
        return asked

    def fds(self) -> Mapping[int, int]:
        """Descriptors and the events of poll(2) to wait for; they may change with every call of ours."""
        found: dict[int, int] = {}
        for group in self.groups.values():
            found |= group.fds()
        return found

    def next_ns(self) -> int | None:
        """When to call `handle` though no descriptor is ready; in the past for at once, None for never."""
        instants = [group.next_ns() for group in self.groups.values()]
        return min((instant for instant in instants if instant is not None), default=None)

    def handle(self, now_ns: int) -> list[Told]:
        """Do what is due, start what is to be started; answers and events since the last call, in their order."""
        return [Told(name, message) for name, group in self._groups.items() for message in group.handle(now_ns)]

    def wait(self, until_ns: int, read_monotonic_ns: ReadClock = monotonic_ns) -> list[Told]:
        """`handle` once something happens, at `next_ns`, or at `until_ns`: for callers without a loop of their own."""
        poll = select.poll()
        for fd, events in self.fds().items():
            poll.register(fd, events)
        next_ns = self.next_ns()
        deadline_ns = until_ns if next_ns is None else min(until_ns, next_ns)
        poll.poll(max(-(-(deadline_ns - read_monotonic_ns()) // NS_PER_MS), 0))
        return self.handle(read_monotonic_ns())

    def release(self) -> None:
        """Kill what is still there, waiting a step of the limits for each; let go of everything."""
        self._resources.close()

    def _group(self, name: str) -> Group:
        if name not in self._groups:
            raise _unknown("group", name, sorted(self._groups))
        return self._groups[name]

    def _release_groups(self) -> None:
        with ExitStack() as steps:
            for group in self._groups.values():
                steps.callback(group.release)


def _is_finished(group: Group) -> bool:
    """Its process has gone for good, and everything was handed out."""
    return group.over and group.pid is None and group.next_ns() is None


def _check_names(orders: Sequence[GroupOrder]) -> None:
    seen: set[tuple[str, str]] = set()
    for order in orders:
        for kind, name in (("group", order.name), *(("camera", camera.name) for camera in order.cameras)):
            if (kind, name) in seen:
                raise NameTaken(f"there are two {kind}s with the name {name}", hint="give each its own name", name=name)
            seen.add((kind, name))


def _unknown(kind: str, name: str, known: list[str]) -> GroupUnknown:
    return GroupUnknown(f"there is no {kind} {name}", hint=f"there are: {', '.join(known)}", name=name, known=known)
