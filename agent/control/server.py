"""The server of the control socket: takes connections in, within bounds, and closes those that take too long."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Iterable

from agent.clock import ReadClock, monotonic_ns
from agent.control.access import Access
from agent.control.answer import Answer, error_answer
from agent.control.bounds import Bounds
from agent.control.connection import Connection
from agent.control.desk import Phase
from agent.control.exchange import Exchange
from agent.control.facade import Agent
from agent.control.lanes import Lane
from agent.control.peer import ReadPeer, read_peer
from agent.control.request import Request
from agent.errors import AgentError

_ACCEPTED_AT_ONCE = 16
_SWEEP_S = 0.25
_PAUSE_S = 0.1
"""When the process has no descriptor left."""
_CLOSE_S = 4.0
"""How long what ends something may take when the server is closed."""


class Server:
    """Serves an agent at listening sockets, which stay whoever's they are. In the thread of the running event loop.

    `start`, then `await close()`; both are idempotent. Tests bring their own clock, and call `sweep`.
    """

    def __init__(
        self,
        agent: Agent,
        listeners: Iterable[socket.socket],
        *,
        access: Access | None = None,
        bounds: Bounds | None = None,
        peer_of: ReadPeer = read_peer,
        now: ReadClock = monotonic_ns,
    ) -> None:
        """`listeners` do not block. `access`: without it everybody who may connect may look and control."""
        self._listeners = tuple(listeners)
        self._bounds = bounds or Bounds()
        self._peer_of = peer_of
        self._now = now
        self._exchange = Exchange(agent, access or Access(), self._bounds, now)
        self._lane = Lane(self._bounds.per_turn)
        self._connections: dict[int, Connection] = {}
        self._arriving: set[asyncio.Task[None]] = set()
        self._number = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._started = False

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    @property
    def under_way(self) -> int:
        """Requests that are carried out now."""
        return self._exchange.under_way

    def set_access(self, access: Access) -> None:
        """Who may do what from now on; what was begun is not looked at again."""
        self._exchange.set_access(access)

    def start(self) -> None:
        """Take connections from now on."""
        if self._started:
            return
        self._started = True
        self._listen()

    def _listen(self) -> None:
        self._pause = None
        for listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, listener)

    def _turn_away(self) -> None:
        for listener in self._listeners:
            if listener.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(listener.fileno())

    async def close(self) -> None:
        """Take nobody in any more, let what ends something finish, close all connections."""
        if not self._started:
            return
        self._started = False
        self._turn_away()
        for timer in (self._pause, self._sweeper):
            if timer is not None:
                timer.cancel()
        self._pause = self._sweeper = None
        self._lane.close()
        await self._exchange.close(_CLOSE_S)
        if self._arriving:
            await asyncio.wait(tuple(self._arriving))
        for connection in list(self._connections.values()):
            connection.close()
            connection.expire(self._now() + self._bounds.drain_ns + 1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # a transport tells in the next turn that it is closed

    # -- coming ------------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, _address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                self._wait_for_descriptors()
                return
            self._take_in(accepted)

    def _wait_for_descriptors(self) -> None:
        """No descriptor is left: give those of the idle back, and look again in a moment."""
        self._make_room()
        self._turn_away()
        self._pause = asyncio.get_running_loop().call_later(_PAUSE_S, self._listen)

    def _take_in(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        if len(self._connections) >= self._bounds.connections:
            self._make_room()
        only_cancels = len(self._connections) >= self._bounds.connections
        if len(self._connections) >= self._bounds.connections + self._bounds.reserve:
            accepted.close()
            return
        try:
            peer = self._peer_of(accepted)
        except OSError:
            accepted.close()  # it has gone already: there is nobody to ask, or to answer
            return
        self._number += 1
        connection = Connection(self._number, peer, self, self._bounds, self._now, only_cancels=only_cancels)
        self._connections[connection.number] = connection
        arriving = asyncio.get_running_loop().create_task(_attach(connection, accepted))
        self._arriving.add(arriving)
        arriving.add_done_callback(self._arriving.discard)
        self._arrange_sweep()

    def _make_room(self) -> None:
        """Close the connection that was idle longest, of the user who has most of them; none where none is idle."""
        shares = Counter(one.peer.uid for one in self._connections.values())
        idle = [one for one in self._connections.values() if one.phase is Phase.IDLE and not self._exchange.holds(one)]
        if idle:
            least = max(idle, key=lambda one: (shares[one.peer.uid], -one.since_ns))
            self._connections.pop(least.number)
            least.abort()

    # -- what connections tell (Desk) --------------------------------------------------------------------------------

    def ready(self, connection: Connection) -> None:
        """It has bytes to read."""
        self._lane.put(connection)

    def begin(self, connection: Connection, request: Request) -> None:
        """It has a whole request."""
        self._exchange.begin(connection, request)

    def has_room(self) -> bool:
        """All bodies that are being received are together within their bound."""
        return sum(one.body_bytes for one in self._connections.values()) <= self._bounds.bodies_bytes

    def refuse(self, _connection: Connection, error: AgentError) -> Answer:
        """What came is no request."""
        return error_answer(error, self._exchange.trace_id())

    def gone(self, connection: Connection) -> None:
        """It is closed."""
        self._connections.pop(connection.number, None)
        self._exchange.gone(connection)

    # -- looking after -----------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Close what takes too long."""
        now_ns = self._now()
        for connection in list(self._connections.values()):
            connection.expire(now_ns)

    def _arrange_sweep(self) -> None:
        if self._sweeper is None and self._connections and self._started:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep_again)

    def _sweep_again(self) -> None:
        self._sweeper = None
        self.sweep()
        self._arrange_sweep()


async def _attach(connection: Connection, accepted: socket.socket) -> None:
    await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted)
