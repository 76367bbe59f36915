"""All clients of a group's frames in its capture process: who comes, who goes, and whose time is over.

The agent hands each connection over by the door, with the subscription it began with. Nothing here waits, and each
turn does a bounded amount.
"""

from __future__ import annotations

import select
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress

from agent.capture.door import Door
from agent.capture.lending import MemoryShort
from agent.capture.station import Station
from agent.capture.subscriber import Returned, Subscriber, refuse
from agent.clock import ReadClock
from agent.errors import AgentError
from agent.frames import wire
from agent.frames.wire import ProtocolError, Subscribe, Target
from agent.units import NS_PER_MS

MOST_CLIENTS = 64
"""Of one group."""
MOST_OF_ONE = 32
"""Of one user."""
_STARVED_NS = 100 * NS_PER_MS
"""Until it is tried again to send what there was no memory for."""
_EVENTS_A_TURN = 4
_ARRIVALS_A_TURN = 1


class TooManyClients(AgentError):
    """A client more would be one too many."""

    code = "too_many_clients"


class TargetUnknown(AgentError):
    """A client asked for what is not here."""

    code = "target_unknown"


CamerasOf = Callable[[str], Sequence[str]]
"""The cameras of a plan; empty: no such plan runs here."""


class Subscribers:
    """Owned by the loop, as the hub of its stations. `release()` is idempotent and closes all connections."""

    def __init__(
        self,
        stations: Mapping[str, Station],
        door: Door | None,
        *,
        cameras_of: CamerasOf,
        let_go: Callable[[str], None],
        now_ns: ReadClock,
    ) -> None:
        """`stations`: by camera; the mapping may be filled later. `door` becomes this object's own.

        `let_go`: takes what is in the `freed` of a camera's station.
        """
        self._stations, self._door, self._now_ns = stations, door, now_ns
        self._cameras_of, self._let_go = cameras_of, let_go
        self._epoll = select.epoll()
        self._clients: dict[int, Subscriber] = {}
        self._due_ns: int | None = None
        if door is not None:
            self._epoll.register(door.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        """One descriptor for all: readable when `turn` has something to do."""
        return self._epoll.fileno()

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def next_ns(self) -> int | None:
        """When `check` should be called next; it may find that nothing is due yet."""
        return self._due_ns

    def turn(self) -> None:
        """Take answers, connections that come, and those that end."""
        for fd, _ in self._epoll.poll(0, _EVENTS_A_TURN):
            subscriber = self._clients.get(fd)
            if subscriber is not None:
                self._hear(subscriber)
            elif self._door is not None and fd == self._door.fileno():
                self._open(self._door)
        self._settle()

    def check(self, now_ns: int) -> None:
        """Take back what clients have had for too long, and all from those that are gone."""
        self._due_ns = None
        for subscriber in tuple(self._clients.values()):
            if subscriber.closed:
                self.end(subscriber, None)
                continue
            try:
                subscriber.flush()
                late = subscriber.expire(now_ns)
            except AgentError as error:
                self.end(subscriber, error)
                continue
            self._left(late, revoked=True)
            self.sent(subscriber)
        self._settle()

    def sent(self, subscriber: Subscriber) -> None:
        """Something was sent to it, or waits to be."""
        self._due(subscriber)
        wants_write = subscriber.wants_write
        if wants_write != subscriber.is_watched_for_writing and subscriber.fileno() in self._clients:
            subscriber.is_watched_for_writing = wants_write
            self._epoll.modify(subscriber.fileno(), select.EPOLLIN | (select.EPOLLOUT if wants_write else 0))

    def end(self, subscriber: Subscriber, error: AgentError | None) -> None:
        """Close a client's connection, and tell it why if there is a reason; what it had is ours again."""
        if self._clients.pop(subscriber.fileno(), None) is not None:
            # the agent may not have closed its copy of the descriptor yet, which would keep it in
            self._epoll.unregister(subscriber.fileno())
        for camera in subscriber.feeds:
            self._stations[camera].leave(subscriber)
        self._left(subscriber.end(error))

    def plan_begun(self, name: str) -> None:
        """A plan of this name begins, perhaps on other cameras than one before: its clients get the frames of all."""
        for subscriber in tuple(self._clients.values()):
            if subscriber.plan == name:
                self._join(subscriber, [each for each in self._cameras_of(name) if each not in subscriber.feeds])

    def release(self) -> None:
        """Close all connections, and the door."""
        with ExitStack() as steps:
            steps.callback(self._epoll.close)
            if self._door is not None:
                steps.callback(self._door.release)
            for subscriber in tuple(self._clients.values()):
                steps.callback(self.end, subscriber, None)

    # -- coming -----------------------------------------------------------------------------------------------------

    def _open(self, door: Door) -> None:
        for _ in range(_ARRIVALS_A_TURN):
            arrived = door.receive()
            if arrived is not None:
                packet, channel = arrived
                try:
                    self._admit(wire.unpack_subscribe(packet), channel)
                except AgentError as error:
                    refuse(channel, error)
            elif door.closed:
                self._epoll.unregister(door.fileno())
                return

    def _admit(self, wish: Subscribe, channel: socket.socket) -> None:
        """Raises AgentError; then the connection is still the caller's."""
        uid = _uid_of(channel)
        self._check_room(uid)
        cameras = self._cameras(wish)
        try:
            self._epoll.register(channel.fileno(), select.EPOLLIN)
        except OSError as error:  # epoll_ctl(2): a user may watch so many, whoever's programs do
            raise MemoryShort(f"a client cannot be watched: {error}", hint="end other programs, or clients") from error
        subscriber = self._clients[channel.fileno()] = Subscriber(channel, wish, uid)
        self._join(subscriber, cameras)

    def _join(self, subscriber: Subscriber, cameras: Iterable[str]) -> None:
        try:
            for camera in cameras:
                subscriber.add(camera)
                self._stations[camera].join(subscriber)
        except AgentError as error:
            self.end(subscriber, error)
            return
        self.sent(subscriber)

    def _check_room(self, uid: int) -> None:
        of_each = Counter(each.uid for each in self._clients.values())
        if len(self._clients) >= MOST_CLIENTS or of_each[uid] >= MOST_OF_ONE:
            raise TooManyClients(
                f"{len(self._clients)} clients have these frames, {of_each[uid]} of them of this user",
                hint=f"end some: {MOST_CLIENTS} are the most in all, {MOST_OF_ONE} of one user",
            )

    def _cameras(self, wish: Subscribe) -> tuple[str, ...]:
        if wish.target is Target.GROUP:
            return tuple(self._stations)
        if wish.target is Target.PLAN:
            return tuple(self._cameras_of(wish.name)) or tuple(self._stations)
        if wish.name in self._stations:
            return (wish.name,)
        raise TargetUnknown(
            f"there is no camera {wish.name!r} in this group", hint=f"its cameras are {', '.join(self._stations)}"
        )

    # -- going on ---------------------------------------------------------------------------------------------------

    def _hear(self, subscriber: Subscriber) -> None:
        try:
            for camera, loan in subscriber.answers():
                if loan is not None:
                    self._stations[camera].left((loan,))
                self._stations[camera].pump(subscriber)
            subscriber.flush()
        except AgentError as error:
            self.end(subscriber, error)
            return
        if subscriber.closed:
            self.end(subscriber, None)
        else:
            self.sent(subscriber)

    def _left(self, returned: Sequence[Returned], *, revoked: bool = False) -> None:
        for camera, loan in returned:
            self._stations[camera].left((loan,), revoked=revoked)

    def _settle(self) -> None:
        for camera, station in self._stations.items():
            if station.freed:
                self._let_go(camera)

    def _due(self, subscriber: Subscriber) -> None:
        due_ns = subscriber.next_ns
        if subscriber.is_starved:
            again_ns = self._now_ns() + _STARVED_NS
            due_ns = again_ns if due_ns is None else min(due_ns, again_ns)
        if due_ns is not None and (self._due_ns is None or due_ns < self._due_ns):
            self._due_ns = due_ns


def _uid_of(channel: socket.socket) -> int:
    """Whose connection it is, by the kernel; unix(7). Raises ProtocolError for what is no such connection."""
    with suppress(OSError):
        return int.from_bytes(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[4:8], "little")
    raise ProtocolError("the client is gone, or its connection is none of a unix socket")
