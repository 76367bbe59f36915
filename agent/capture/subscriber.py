"""One client of a group's frames: its connection, what it has, and until when."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from agent.capture.feed import Feed, Loan
from agent.errors import AgentError
from agent.frames import wire
from agent.frames.lender import Lender
from agent.frames.pool import LentPool
from agent.frames.wire import Refused, State, Subscribe, Target
from agent.units import NS_PER_S, format_duration

STUCK_NS = 10 * NS_PER_S
"""So long after the end of a lease its answer may still come."""
_ANSWERS_AT_ONCE = 16
_MESSAGES_WAITING = 64
"""More of them than this, and the client does not read."""
_DRAINED = 2 * wire.MOST


class Stuck(AgentError):
    """A client owes an answer for too long."""

    code = "stuck"


class _Out(NamedTuple):
    """What a lease is of, and until when."""

    camera: str
    loan: Loan
    due_ns: int


Returned = tuple[str, Loan]
"""A camera, and a frame of it that a client has no more."""


class Subscriber:
    """Owned by the group's Subscribers. `feeds`: by camera. Never waits; `release()` is idempotent."""

    def __init__(self, channel: socket.socket, wish: Subscribe, uid: int) -> None:
        """`channel` becomes this object's own. `uid`: whose it is."""
        self.uid = uid
        self.plan = wish.name if wish.target is Target.PLAN else ""
        """The plan whose frames it wants, if it is one's."""
        self.feeds: dict[str, Feed] = {}
        self.is_watched_for_writing = False
        self._channel, self._wish = channel, wish
        self._lease_ns = wish.lease_ns or wire.LEASE_NS
        self._lender = Lender(channel, floor=0, most=0)
        self._pools: dict[str, int] = {}

    def fileno(self) -> int:
        """Its connection."""
        return self._channel.fileno()

    @property
    def closed(self) -> bool:
        """The client has closed its end, or what it receives by."""
        return self._lender.closed

    @property
    def wants_write(self) -> bool:
        """Messages wait for the client to read."""
        return bool(self._lender.waiting) and not self._lender.is_starved

    @property
    def is_starved(self) -> bool:
        """Messages wait for memory: `flush` has to be tried again."""
        return bool(self._lender.waiting) and self._lender.is_starved

    def add(self, camera: str) -> None:
        """It wants the frames of one camera more."""
        wish = self._wish
        depth = wish.depth if wish.every else 1
        self.feeds[camera] = Feed(most=wish.most, depth=depth, plan=self.plan, after_ns=wish.after_ns)
        self._lender.ledger.most += wish.most

    # -- what it is told --------------------------------------------------------------------------------------------

    def announce(self, pool: LentPool) -> None:
        """A camera's buffers, once, before its first frame. Raises OSError when there is no memory."""
        if pool.camera not in self._pools:
            self._pools[pool.camera] = self._lender.add_pool(pool)

    def tell(self, state: State) -> None:
        """What a camera does."""
        self._lender.tell(wire.pack_state(state))

    def flush(self) -> None:
        """Send what waits. Raises Stuck when it is more and more."""
        self._lender.flush()
        if self._is_flooded:
            raise Stuck("the client does not read what it is told", hint="connect again, and read")

    def lend(self, camera: str, loan: Loan, now_ns: int) -> bool:
        """Send a frame; False: the client's socket is full, or closed."""
        feed, frame = self.feeds[camera], loan.shot.frame
        out = _Out(camera, loan, now_ns + self._lease_ns)
        lease = self._lender.lend(
            self._pools[camera],
            frame.index,
            loan.facts,
            frame.planes,
            loan.offsets,
            feed.traces(loan),
            self._lease_ns,
            out,
            feed.skipped,
        )
        feed.lent(loan, is_sent=lease is not None)
        return lease is not None

    # -- what it gives back -----------------------------------------------------------------------------------------

    def answers(self) -> Iterator[tuple[str, Loan | None]]:
        """Of some of the answers that came: the camera and the frame it gave back; None: it had been revoked.

        Raises ProtocolError.
        """
        for _ in range(_ANSWERS_AT_ONCE):
            settled = self._lender.receive()
            if settled is None:
                return
            lease, _ = settled
            out: _Out = lease.item
            self.feeds[out.camera].owed -= 1
            yield (out.camera, _returned(out) if lease.live else None)

    def expire(self, now_ns: int) -> list[Returned]:
        """Take back what it has had for too long. Raises Stuck when it owes an answer for much too long."""
        oldest = self._lender.ledger.oldest
        if oldest is not None and now_ns >= oldest.item.due_ns + STUCK_NS:
            since = format_duration(STUCK_NS)
            raise Stuck(
                f"lease {oldest.number} was not given back within {since} after its end",
                hint="give each frame back, also one that was revoked",
            )
        late = [lease for lease in self._lender.ledger.live() if now_ns >= lease.item.due_ns]
        for lease in late:
            self._lender.end(lease)
        return [(lease.item.camera, _returned(lease.item)) for lease in late]

    @property
    def next_ns(self) -> int | None:
        """When `flush` or `expire` has something to do, or `closed` is to be looked at; 0: at once."""
        if self.closed or self._is_flooded:
            return 0
        oldest = self._lender.ledger.oldest
        if oldest is None:
            return None
        stuck_ns: int = oldest.item.due_ns + STUCK_NS
        live = next(self._lender.ledger.live(), None)
        return stuck_ns if live is None else min(stuck_ns, live.item.due_ns)

    @property
    def _is_flooded(self) -> bool:
        return self._lender.waiting > _MESSAGES_WAITING

    def revoke(self, camera: str) -> list[Loan]:
        """Take back all it has of a camera, at once; nothing that waits is lent."""
        number = self._pools.get(camera)
        leases = () if number is None else self._lender.revoke(number)
        return [_returned(lease.item) for lease in leases]

    def forget(self, camera: str) -> list[Loan]:
        """As `revoke`, and the client unmaps the camera's buffers."""
        number = self._pools.pop(camera, None)
        leases = () if number is None else self._lender.remove_pool(number)
        return [_returned(lease.item) for lease in leases]

    def end(self, error: AgentError | None) -> list[Returned]:
        """Tell it why, if there is a reason, and close; what it had, and what waited for it."""
        if error is not None:
            _read_away(self._channel)
            self._lender.tell(wire.pack_refused(Refused(error.code, error.message, error.hint)))
        left = [(lease.item.camera, _returned(lease.item)) for lease in self._lender.reader_gone()]
        for camera, feed in self.feeds.items():
            left += [(camera, loan) for loan in feed.skip_all()]
        self._lender.release()
        return left


def refuse(channel: socket.socket, error: AgentError) -> None:
    """Tell a client that it gets nothing, as far as its socket takes it, and close."""
    with channel, suppress(OSError):
        channel.setblocking(False)
        _read_away(channel)
        channel.send(wire.pack_refused(Refused(error.code, error.message, error.hint)))


def _returned(out: _Out) -> Loan:
    out.loan.holders -= 1
    return out.loan


def _read_away(channel: socket.socket) -> None:
    """A socket that is closed with messages unread resets the other end, which then may not see the last one."""
    with suppress(OSError):
        for _ in range(_DRAINED):
            if not channel.recv(1):
                return
