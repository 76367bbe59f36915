"""The frames of one camera that its clients have: whose turn it is, and how many the driver can do without."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from agent.capture.board import Of
from agent.capture.feed import Feed, Loan
from agent.capture.lending import MemoryShort, facts_of, lent_pool, offsets_of
from agent.capture.session import Session
from agent.capture.shot import Shot, earliest_ns
from agent.capture.subscriber import Subscriber
from agent.clock import ReadClock
from agent.errors import AgentError
from agent.frames.ledger import FLOOR
from agent.frames.pool import LentPool
from agent.frames.wire import State, Streaming
from agent.v4l2.buffers import BufferPool
from agent.v4l2.format import Format

_FOR_PLANS = 1
"""Buffers that clients leave for the pictures of plans."""


class Hub(Protocol):
    """What a station needs of those who look after connections."""

    def sent(self, subscriber: Subscriber) -> None:
        """Something was sent to it, or waits to be: look at its connection, and when its lease ends."""
        ...

    def end(self, subscriber: Subscriber, error: AgentError | None) -> None:
        """It gets nothing any more."""
        ...


class Station:
    """Owned by the camera's unit. `subscribers`: empty while nobody wants its frames.

    Frames that no client has any more are in `freed`, until the unit has taken them from there. `floor` buffers are
    never lent to anybody; of the rest, clients leave one for plans.
    """

    def __init__(self, camera: str, words: memoryview, hub: Hub, now_ns: ReadClock, *, floor: int = FLOOR) -> None:
        self.camera = camera
        self.subscribers: tuple[Subscriber, ...] = ()
        self.freed: list[tuple[Session, Shot]] = []
        self.state = State(Streaming.STOPPED, camera)
        self._words, self._hub, self._now_ns, self._floor = words, hub, now_ns, floor
        self._armed: tuple[Format, BufferPool] | None = None
        self._pool: LentPool | None = None
        self._copied = 0
        self._held: set[Loan] = set()
        words[Of.CLIENTS] = 0

    @property
    def held(self) -> int:
        """Frames that clients have, or that wait for them."""
        return len(self._held)

    @property
    def limit(self) -> int:
        """Frames that may be out at a time, whoever has them; 0 while the camera has no buffers."""
        return len(self._armed[1]) - self._floor if self._armed is not None else 0

    # -- clients come and go ----------------------------------------------------------------------------------------

    def join(self, subscriber: Subscriber) -> None:
        """A client wants its frames from now on. Raises PoolTooSmall, MemoryShort."""
        self._announce(subscriber)
        subscriber.tell(self.state)
        self.subscribers += (subscriber,)
        self._words[Of.CLIENTS] = len(self.subscribers)

    def leave(self, subscriber: Subscriber) -> None:
        """A client wants none any more, or is gone; idempotent. What it had goes to `left`."""
        self.subscribers = tuple(each for each in self.subscribers if each is not subscriber)
        self._words[Of.CLIENTS] = len(self.subscribers)

    def left(self, loans: Iterable[Loan], *, revoked: bool = False) -> None:
        """A client has these frames no more."""
        for loan in loans:
            self._words[Of.CLIENT_REVOKED] += revoked
            if not loan.holders and loan in self._held:
                self._held.remove(loan)
                if loan.is_copied and self._pool is not None:
                    self._pool.let_go(loan.shot.frame.index)
                self.freed.append((loan.session, loan.shot))

    # -- frames -----------------------------------------------------------------------------------------------------

    def offer(
        self,
        session: Session,
        shot: Shot,
        pulse: int | None,
        served: Sequence[tuple[str, str]],
        others: Callable[[], int],
        *,
        is_out: bool,
    ) -> bool:
        """A good frame came; whether clients have it now, or wait for it.

        `served`: plan and trace id of each tick that got it. `others` tells how many frames are out that no client has;
        `is_out`: this is one of them.
        """
        if self._armed is None:
            return False
        began_ns = earliest_ns(shot.frame, shot.exposure_ns, session.interval_ns)
        loan = Loan(session, shot, facts_of(shot, began_ns, pulse), offsets_of(self._armed[1], shot.frame), served)
        takers = [each for each in self.subscribers if each.feeds[self.camera].wants(loan)]
        if not takers:
            return False
        if not self._make_room(others, is_out=is_out):
            for each in takers:
                each.feeds[self.camera].skipped += 1
            self._words[Of.CLIENT_SKIPPED] += len(takers)
            return False
        self._held.add(loan)
        loan.holders = 1  # it stays until all have been asked
        for each in takers:
            self._skipped(each.feeds[self.camera].wait(loan))
            self.pump(each)
        loan.holders -= 1
        if not loan.holders:
            # it could be sent to nobody, and is the caller's as before
            self._held.remove(loan)
        return bool(loan.holders)

    def make_room(self) -> bool:
        """A plan wants a frame while all that may be out are: one that only waits is skipped. False: none waits."""
        return self._skip_one()

    def pump(self, subscriber: Subscriber) -> None:
        """Lend a client what waits for it, if it may have more."""
        feed, pool = subscriber.feeds[self.camera], self._pool
        share = max((self.limit - _FOR_PLANS) // max(len(self.subscribers), 1), 1)
        while pool is not None and (loan := feed.next(share)) is not None:
            if subscriber.lend(self.camera, loan, self._now_ns()):
                self._words[Of.CLIENT_FRAMES] += 1
                self._keep_copy(loan, pool)
            else:
                self._skipped(loan)
        self._hub.sent(subscriber)

    # -- the stream -------------------------------------------------------------------------------------------------

    def armed(self, format: Format, pool: BufferPool) -> None:  # noqa: A002
        """The camera's buffers are valid (again); cheap when the pool is the one known."""
        if self._armed is not None and self._armed[1] is pool:
            return
        self.forget()
        self._armed = format, pool
        for subscriber in self.subscribers:
            try:
                self._announce(subscriber)
            except AgentError as error:
                self._hub.end(subscriber, error)
            else:
                self._hub.sent(subscriber)

    def changed(self, state: State) -> None:
        """What the camera does from now on."""
        if state == self.state:
            return
        self.state = state
        for subscriber in self.subscribers:
            subscriber.tell(state)
            self._hub.sent(subscriber)

    def revoke(self) -> None:
        """The stream ends: no client has a frame of it from now on, and none is waited for."""
        for subscriber in self.subscribers:
            self.left(subscriber.revoke(self.camera), revoked=True)
            self._skip_all(subscriber)

    def forget(self) -> None:
        """As `revoke`, and clients unmap the buffers: before they are freed."""
        for subscriber in self.subscribers:
            self.left(subscriber.forget(self.camera), revoked=True)
            self._skip_all(subscriber)
            self._hub.sent(subscriber)
        self._armed = None
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.release()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _announce(self, subscriber: Subscriber) -> None:
        if self._armed is None:
            return
        try:
            if self._pool is None:
                self._pool = lent_pool(self.camera, *self._armed, floor=self._floor + _FOR_PLANS)
                self._copied = 0
            subscriber.announce(self._pool)
        except OSError as error:
            raise MemoryShort(f"no memory for a client: {error}", hint="end other programs, or clients") from error

    def _make_room(self, others: Callable[[], int], *, is_out: bool) -> bool:
        """Whether clients may have one frame more, at the cost of those that wait if need be."""
        limit = self.limit
        while len(self._held) >= limit - _FOR_PLANS or (not is_out and others() + len(self._held) >= limit):
            if not self._skip_one():
                return False
        return True

    def _skip_one(self) -> bool:
        """Skip the oldest frame that waits for anybody."""
        feeds = [each.feeds[self.camera] for each in self.subscribers]
        waiting = [feed for feed in feeds if feed.waiting]
        if not waiting:
            return False
        longest = min(waiting, key=_waits_since)
        self._skipped(longest.skip_oldest())
        return True

    def _skip_all(self, subscriber: Subscriber) -> None:
        for loan in subscriber.feeds[self.camera].skip_all():
            self._skipped(loan)

    def _skipped(self, loan: Loan | None) -> None:
        if loan is not None:
            self._words[Of.CLIENT_SKIPPED] += 1
            self.left((loan,))

    def _keep_copy(self, loan: Loan, pool: LentPool) -> None:
        """A frame is copied once, however many wait for it."""
        if pool.is_copied and not loan.is_copied:
            pool.hold(loan.shot.frame.index, loan.shot.frame.planes)
            loan.is_copied = True
        self._words[Of.CLIENT_COPIED] += pool.copied_frames - self._copied
        self._copied = pool.copied_frames


def _waits_since(feed: Feed) -> int:
    return feed.waiting[0].shot.frame.dequeued_ns
