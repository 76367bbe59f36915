"""One sink process and the frames lent to it, from its start to its end, whoever's doing that is."""

from __future__ import annotations

import select
from collections.abc import Collection, Iterator, Sequence

from agent.capture.lending import facts_of, offsets_of
from agent.capture.shot import Shot
from agent.capture.sink_process import SinkProcess
from agent.clock import ReadClock
from agent.errors import AgentError
from agent.frames.ledger import Lease
from agent.frames.lender import Lender
from agent.frames.marks import CommitToken
from agent.frames.wire import Answer, ProtocolError
from agent.units import NS_PER_S, format_duration
from agent.v4l2.buffers import BufferPool

_STOP_NS = NS_PER_S


class SinkGone(AgentError):
    """The process that stores frames has ended, or had to be."""

    code = "sink_gone"

    def __init__(self, what: str, **details: object) -> None:
        super().__init__(f"the process that stores frames {what}", hint="it is replaced by itself", **details)


class EncodeLimit(SinkGone):
    """The process that stores frames spent more than the limit on one of them, and was killed."""

    code = "encode_limit"


class Sink:
    """A sink process that works on one lent frame after the other, in order.

    A frame's limit counts from when it is that frame's turn. `cause`: why it was killed, None while it was not. Once it
    `is_ending` nothing more is lent to it, and what it has stays lent until it is gone.
    """

    def __init__(
        self,
        program: Sequence[str],
        cpus: Collection[int],
        order: bytes,
        *,
        floor: int,
        start_ns: int,
        read_monotonic_ns: ReadClock,
    ) -> None:
        """Start it; it has `start_ns` to get ready. Raises OSError; ProtocolError when the order is too long."""
        self.cause: AgentError | None = None
        self.is_ending = False
        self._start_ns = start_ns
        self._now_ns = read_monotonic_ns
        self._process = SinkProcess(program, cpus)
        try:
            self.lender = Lender(self._process.channel, order, floor=floor, token=CommitToken.create())
        except BaseException:
            self._process.channel.close()
            self._process.release()
            raise
        self._turn_ns = self._now_ns()
        self._over_limit: Lease | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def watch(self, epoll: select.epoll) -> None:
        """Have `epoll` report answers and the process's end; both go from it by themselves when they are closed."""
        epoll.register(self.lender.fileno(), select.EPOLLIN)
        epoll.register(self._process.pidfd, select.EPOLLIN)

    def lend(
        self,
        number: int,
        pool: BufferPool,
        camera: str,
        shot: Shot,
        trace_ids: Sequence[str],
        limit_ns: int,
    ) -> bool:
        """Lend a frame of `pool`, which the lender calls `number`; False when there is no room.

        Raises as `Lender.lend`.
        """
        if self.is_ending:
            return False
        frame = shot.frame
        facts, offsets, item = facts_of(shot), offsets_of(pool, frame), (camera, shot)
        lease = self.lender.lend(number, frame.index, facts, frame.planes, offsets, trace_ids, limit_ns, item)
        if lease is not None and self.lender.ledger.owed == 1:
            self._turn_ns = self._now_ns()
        return lease is not None

    def answers(self) -> Iterator[tuple[Lease, Answer]]:
        """The answers that have come; nonsense among them ends the sink, and nothing is believed after it."""
        if isinstance(self.cause, ProtocolError):
            return
        was_ready = self.lender.ready
        try:
            while (settled := self.lender.receive()) is not None:
                self._turn_ns = self._now_ns()
                yield settled
        except ProtocolError as error:
            self.end(error)
        if self.lender.ready and not was_ready:
            self._turn_ns = self._now_ns()
        if self.lender.closed:
            self.is_ending = True
            self._process.kill()  # it closed its channel and stays: of no use; if it ends by itself this is nothing

    def check_limits(self, now_ns: int) -> None:
        """Kill it when it has spent more than the limit on its start or on a frame."""
        due_ns = self.next_ns()
        if due_ns is None or now_ns < due_ns:
            return
        if not self.lender.ready:
            self.end(SinkGone(f"was not ready within {format_duration(self._start_ns)}"))
            return
        self._over_limit = lease = self.lender.ledger.oldest
        if lease is not None:
            camera = lease.item[0]
            told = f"spent more than {format_duration(lease.limit_ns)} on a frame of {camera}"
            self.end(EncodeLimit(told, camera=camera, limit_ns=lease.limit_ns))

    def next_ns(self) -> int | None:
        """When `check_limits` has something to do, if no answer comes before."""
        if self.is_ending:
            return None
        if not self.lender.ready:
            return self._turn_ns + self._start_ns
        oldest = self.lender.ledger.oldest
        return None if oldest is None else self._turn_ns + oldest.limit_ns

    def end(self, cause: AgentError) -> None:
        """Kill it; the first cause is kept."""
        self.cause = self.cause or cause
        self.is_ending = True
        self._process.kill()

    def gone(self) -> bool:
        """Whether its process has ended, so that it reads nothing any more."""
        return self._process.gone()

    def bury(self) -> list[tuple[Lease, AgentError]]:
        """After its end, and the last of its `answers`: the leases it left, each with what became of it."""
        gone = SinkGone(self._process.ending)
        self.cause = self.cause or gone
        left = self.lender.reader_gone()
        self.lender.release()
        self._process.release()
        return [(lease, self.cause if lease is self._over_limit else gone) for lease in left]

    def release(self) -> None:
        """Close its channel, give it a moment to finish, end it; idempotent."""
        self.lender.release()
        self._process.release(_STOP_NS)
