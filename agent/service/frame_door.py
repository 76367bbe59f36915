"""The frame socket: lets clients of frames in, and passes each one's connection on to the capture process it wants.

From then on the client and that process speak with each other alone (docs/decisions/0024).
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from agent.capture.subscriber import refuse
from agent.capture.subscribers import TooManyClients
from agent.clock import ReadClock, monotonic_ns
from agent.control.access import Access, Level
from agent.control.errors import NotFound
from agent.control.peer import Peer, ReadPeer, read_peer
from agent.errors import AgentError, StateError
from agent.frames import wire
from agent.frames.wire import ProtocolError, Subscribe, Target
from agent.service.parts import Parts
from agent.units import NS_PER_S

MOST_WAITING = 128
"""Connections that no process has yet."""
MOST_OF_ONE = 32
"""Of one user."""
_SUBSCRIBE_NS = NS_PER_S
_ACCEPTED_AT_ONCE = 16
_SWEEP_S = 0.1
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(slots=True, eq=False)
class _Arrived:
    """A connection that no process has yet. `wish` None: it has not said what it wants; `packet`: what it said."""

    connection: socket.socket
    peer: Peer
    since_ns: int
    wish: Subscribe | None = None
    packet: bytes = b""


class FrameDoor:
    """In the thread of the running event loop. `start`, then `close`; both are idempotent.

    Whoever wants what is configured, and whose process is not there or not ready, waits for it here.
    """

    def __init__(
        self,
        parts: Parts,
        listeners: Iterable[socket.socket],
        *,
        access: Access,
        peer_of: ReadPeer = read_peer,
        now_ns: ReadClock = monotonic_ns,
    ) -> None:
        """`listeners` do not block, and stay whoever's they are."""
        self._parts, self._listeners = parts, tuple(listeners)
        self._access, self._peer_of, self._now_ns = access, peer_of, now_ns
        self._loop = asyncio.get_running_loop()
        self._arrived: dict[int, _Arrived] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._listens = False
        self._started = False

    @property
    def waiting(self) -> int:
        """Connections that no process has yet."""
        return len(self._arrived)

    def set_access(self, access: Access) -> None:
        """Who may look from now on, also of those who wait; whom a process has keeps his connection."""
        self._access = access

    def start(self) -> None:
        """Let clients in from now on."""
        self._started = True
        self._listen()

    def close(self) -> None:
        """Let nobody in any more; close what no process has."""
        self._started = False
        self._turn_away()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for arrived in tuple(self._arrived.values()):
            self._forget(arrived)
            arrived.connection.close()

    def ready(self, _group: str) -> None:
        """A group's process is ready: it gets those who wait for it."""
        self.sweep()

    def sweep(self) -> None:
        """Pass on whom a process can take now, and send away who has not said what he wants in time."""
        late_ns = self._now_ns() - _SUBSCRIBE_NS
        for arrived in tuple(self._arrived.values()):
            if arrived.wish is not None:
                self._pass_on(arrived, arrived.wish)
            elif arrived.since_ns <= late_ns:
                self._refuse(arrived, ProtocolError("a client did not subscribe within one second"))
        self._arrange_sweep()

    # -- coming -----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        if self._started and not self._listens:
            self._listens = True
            for listener in self._listeners:
                self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _turn_away(self) -> None:
        self._listens = False
        for listener in self._listeners:
            if listener.fileno() >= 0:
                self._loop.remove_reader(listener.fileno())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_DESCRIPTORS:
                    raise
                self._turn_away()
                self._loop.call_later(_SWEEP_S, self._listen)
                return
            self._take_in(connection)

    def _take_in(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            peer = self._peer_of(connection)
        except OSError:
            connection.close()  # it has gone already: there is nobody to ask, or to answer
            return
        shares = Counter(each.peer.uid for each in self._arrived.values())
        if len(self._arrived) >= MOST_WAITING or shares[peer.uid] >= MOST_OF_ONE:
            told = f"{len(self._arrived)} clients wait for frames, {shares[peer.uid]} of them of {peer.user}"
            hint = f"end some: {MOST_WAITING} may wait in all, {MOST_OF_ONE} of one user"
            refuse(connection, TooManyClients(told, hint=hint))
            return
        arrived = self._arrived[connection.fileno()] = _Arrived(connection, peer, self._now_ns())
        self._loop.add_reader(connection.fileno(), self._read, arrived)
        self._arrange_sweep()

    def _read(self, arrived: _Arrived) -> None:
        try:
            packet = arrived.connection.recv(wire.ANSWER_BYTES + 1)
        except BlockingIOError:
            return
        except ConnectionResetError:
            packet = b""
        if not packet:
            self._forget(arrived)
            arrived.connection.close()
            return
        try:
            if arrived.wish is not None:
                raise ProtocolError("a client spoke before it had a frame")
            if len(packet) > wire.ANSWER_BYTES:
                raise ProtocolError(f"a subscription of more than {wire.ANSWER_BYTES} bytes")
            wish = wire.unpack_subscribe(packet)
        except AgentError as error:
            self._refuse(arrived, error)
            return
        arrived.packet, arrived.wish = packet, wish
        self._pass_on(arrived, wish)

    # -- going ------------------------------------------------------------------------------------------------------

    def _pass_on(self, arrived: _Arrived, wish: Subscribe) -> None:
        """To its process, if that takes it now; else it waits."""
        try:
            self._access.check(arrived.peer, Level.LOOK)
            name = self._group_of(wish)
        except AgentError as error:
            self._refuse(arrived, error)
            return
        group = self._parts.fleet.groups.get(name)
        if group is None or name not in self._parts.fleet.ready:
            return
        if group.pass_on(arrived.packet, arrived.connection):
            self._forget(arrived)
            arrived.connection.close()

    def _group_of(self, wish: Subscribe) -> str:
        """Raises NotFound for what is not configured, StateError for a plan that is over."""
        if wish.target is Target.CAMERA:
            return self._parts.group_of(wish.name)
        if wish.target is Target.PLAN:
            plan = self._parts.book.find(wish.name)
            if plan.over:
                told = f"plan {wish.name} is {plan.standing.value}: no frame comes of it any more"
                raise StateError(told, hint="start it again", state=plan.standing.value, verb="subscribe to")
            return plan.wish.group
        groups = self._parts.fleet.file.groups
        if wish.name in groups:
            return wish.name
        known = sorted(groups)
        hint = f"groups of the configuration: {', '.join(known) or 'none'}"
        raise NotFound(f"there is no group {wish.name}", hint=hint, kind="group", name=wish.name, known=known)

    def _refuse(self, arrived: _Arrived, error: AgentError) -> None:
        self._forget(arrived)
        refuse(arrived.connection, error)

    def _forget(self, arrived: _Arrived) -> None:
        fd = arrived.connection.fileno()
        del self._arrived[fd]
        self._loop.remove_reader(fd)

    def _arrange_sweep(self) -> None:
        if self._sweeper is None and self._arrived and self._started:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep_again)

    def _sweep_again(self) -> None:
        self._sweeper = None
        self.sweep()
