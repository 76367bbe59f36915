"""Where the capture loop's frames go: lent out, and back again when they are stored (docs/decisions/0012)."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.capture.lending import MemoryShort, lent_pool
from agent.capture.shot import Shot
from agent.capture.sink import Sink, SinkGone
from agent.capture.sink_process import SINK_PROGRAM, SinkOrder, cpus_beside
from agent.clock import ReadClock, monotonic_ns
from agent.errors import AgentError, StateError
from agent.frames.ledger import Lease
from agent.frames.pool import LentPool
from agent.frames.wire import Answer
from agent.units import NS_PER_MS, NS_PER_S
from agent.v4l2.buffers import BufferPool
from agent.v4l2.format import Format

COLLECT_AT_ONCE = 64
"""At most so many frames come back from one `collect`; what remains is reported by the next one."""
_START_NS = 30 * NS_PER_S
"""A sink that is not ready by then is replaced: it has to load its libraries, on a machine that may be busy."""
_MOST_PATIENT = 3
"""The next one has twice as long, and so on, so often: a machine that needs longer than that stores as well, later."""
_FIRST_WAIT_NS = 100 * NS_PER_MS
_LONGEST_WAIT_NS = 10 * NS_PER_S
REVOKED = "revoked"
"""`Returned.error` of a frame that was dropped because its camera was stopped."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A frame that was lent is the loop's again: its buffer may go to the driver now.

    `stored`: it is on disk, whole, as `file` (a path in the sink's folder). `error`: the stable code of what went
    wrong, with `told` in words for people; empty where nothing did. `took_ns`: from reading to writing, in the
    sink's own time; 0 when it never answered. Errors are `revoked`, `sink_gone`, `encode_limit`, `frame_protocol`, or
    the code of the sink's own error, such as `storage`.
    """

    camera: str
    shot: Shot
    stored: bool
    error: str = ""
    file: str = ""
    took_ns: int = 0
    told: str = ""


class Publisher(Protocol):
    """Takes frames from the loop and gives each back exactly once. Nothing here blocks; one thread calls it."""

    @property
    def is_ready(self) -> bool:
        """Frames are taken at their pace from now on, or it is known that they cannot be; told after a `collect`."""
        ...

    def fds(self) -> Sequence[int]:
        """Descriptors to poll for reading: readable when `collect` has something to do. They may change after it."""
        ...

    def camera_armed(self, camera: str, format: Format, pool: BufferPool) -> None:  # noqa: A002
        """The camera's buffers are valid (again); called at each arm, cheap when the pool is the one known."""
        ...

    def publish(self, camera: str, shot: Shot, trace_ids: Sequence[str], limit_ns: int) -> bool:
        """Lend a frame for at most `limit_ns` of work.

        True: it comes back by `collect`. False: no room, the caller keeps it.
        """
        ...

    def collect(self, now_ns: int) -> Sequence[Returned]:
        """Frames that came back since: done, failed, past their limit, or left by a sink that died; bounded."""
        ...

    def next_ns(self) -> int | None:
        """When `collect` should be called next without its descriptors being readable; None: no need."""
        ...

    def revoke(self, camera: str) -> None:
        """Drop what is pending of a camera: after this nothing of it is begun. What was lent comes by `collect`."""
        ...

    def forget(self, camera: str) -> None:
        """As `revoke`, and the sink unmaps its buffers: before they are freed, where the driver insists on that."""
        ...

    def release(self) -> None:
        """End it; idempotent. What is pending is dropped."""
        ...


class NoPublisher:
    """Nobody wants the frames: each comes back at the next `collect`, not stored and without an error."""

    def __init__(self) -> None:
        self._back: list[Returned] = []

    is_ready = True

    def fds(self) -> Sequence[int]:
        """Nothing to poll: `next_ns` tells."""
        return ()

    def camera_armed(self, camera: str, format: Format, pool: BufferPool) -> None:  # noqa: A002
        """Nothing to prepare."""

    def publish(self, camera: str, shot: Shot, trace_ids: Sequence[str], limit_ns: int) -> bool:  # noqa: ARG002
        """Taken, and back at the next `collect`."""
        self._back.append(Returned(camera, shot, stored=False))
        return True

    def collect(self, now_ns: int) -> Sequence[Returned]:  # noqa: ARG002
        """All that was published since, at most `COLLECT_AT_ONCE`."""
        back, self._back = self._back[:COLLECT_AT_ONCE], self._back[COLLECT_AT_ONCE:]
        return back

    def next_ns(self) -> int | None:
        """At once when frames wait."""
        return 0 if self._back else None

    def revoke(self, camera: str) -> None:
        """Nothing is pending anywhere."""

    def forget(self, camera: str) -> None:
        """Nothing is mapped anywhere."""

    def release(self) -> None:
        """Forget what was not collected."""
        self._back.clear()


@dataclass(slots=True)
class _Camera:
    """A camera's pool as it is announced. `number`: the sink's for it, None while no sink knows it."""

    pool: BufferPool
    lent: LentPool
    number: int | None = None


class SinkPublisher:
    """Frames to a sink process, by descriptor. It is started here, and replaced whenever it ends.

    `fault`: why the last sink had to be replaced; `replaced`: how often that was. A sink that ends before it has
    answered for a frame is replaced after a wait, which grows.
    """

    def __init__(
        self,
        order: SinkOrder,
        *,
        program: Sequence[str] = SINK_PROGRAM,
        loop_cpus: Collection[int] = (),
        floor: int = 2,
        read_monotonic_ns: ReadClock = monotonic_ns,
    ) -> None:
        """Start the sink: before real-time options are applied. Raises OSError when that fails.

        `loop_cpus`: processors the sink keeps off. `floor`: buffers of each camera that are never lent.
        """
        self.fault: AgentError | None = None
        self.replaced = 0
        self._order = order.as_bytes()
        self._program = tuple(program)
        self._cpus = cpus_beside(loop_cpus)
        self._floor = floor
        self._now_ns = read_monotonic_ns
        self._cameras: dict[str, _Camera] = {}
        self._back: deque[Returned] = deque()
        self._restart_ns = 0
        self._failures = 0
        self._epoll = select.epoll()
        self._sink: Sink | None = None
        try:
            self._start()
        except BaseException:
            self._epoll.close()
            raise

    @property
    def is_ready(self) -> bool:
        """The sink has said so, or the first one could not."""
        return self.fault is not None or (self._sink is not None and self._sink.lender.ready)

    def fds(self) -> Sequence[int]:
        """One descriptor, the same for ever: an epoll of the channel and the process's end."""
        return (self._epoll.fileno(),)

    def camera_armed(self, camera: str, format: Format, pool: BufferPool) -> None:  # noqa: A002
        """Pass the buffers' descriptors, once per pool.

        Raises PoolTooSmall when none could ever be lent, MemoryShort: the camera is not known then.
        """
        known = self._cameras.get(camera)
        if known is not None and known.pool is pool:
            return
        self.forget(camera)
        try:
            armed = self._cameras[camera] = _Camera(pool, lent_pool(camera, format, pool, floor=self._floor))
            self._announce(armed)
        except OSError as error:
            self.forget(camera)
            raise MemoryShort(f"no memory to lend frames of {camera}: {error}", hint="end other programs") from error

    def publish(self, camera: str, shot: Shot, trace_ids: Sequence[str], limit_ns: int) -> bool:
        """Lend a frame for `limit_ns` of the sink's work, from its turn on. False: no room, or no sink just now.

        Raises StateError for a camera that was not armed, or a frame that is lent already.
        """
        known = self._cameras.get(camera)
        if known is None:
            raise StateError(
                f"the buffers of camera {camera} were not announced", hint="arm it first", state="unknown", verb="lend"
            )
        if self._sink is None or known.number is None:
            return False
        return self._sink.lend(known.number, known.pool, camera, shot, trace_ids, limit_ns)

    def collect(self, now_ns: int) -> Sequence[Returned]:
        """Frames that came back since. A sink over its limits is killed here, one that is gone replaced."""
        sink = self._sink
        if sink is not None:
            answered = self._read(sink)
            sink.check_limits(now_ns)
            if not answered and sink.gone():
                self._bury(sink, now_ns)
        elif now_ns >= self._restart_ns:
            self._restart(now_ns)
        return [self._back.popleft() for _ in range(min(len(self._back), COLLECT_AT_ONCE))]

    def next_ns(self) -> int | None:
        """The earliest of: frames wait to be collected, the sink's next limit, the next attempt to start one."""
        if self._back:
            return 0
        return self._restart_ns if self._sink is None else self._sink.next_ns()

    def revoke(self, camera: str) -> None:
        """Drop what is pending of a camera whose stream is off: its frames come back at the next `collect`.

        Their pictures appear no more, even of the one that is being encoded. Only when the sink is giving a finished
        picture its name this very moment do they stay lent until it has answered, and that one may be stored.
        """
        known = self._cameras.get(camera)
        if known is not None and known.number is not None and self._sink is not None:
            self._drop(self._sink.lender.revoke(known.number))

    def forget(self, camera: str) -> None:
        """As `revoke`, and the sink unmaps the camera's buffers; `camera_armed` announces them anew."""
        known = self._cameras.pop(camera, None)
        if known is None:
            return
        if known.number is not None and self._sink is not None:
            self._drop(self._sink.lender.remove_pool(known.number))
        known.lent.release()

    def release(self) -> None:
        """End the sink; idempotent. What is pending is dropped; waits up to a second for a sink that is busy."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.release()
        while self._cameras:
            self._cameras.popitem()[1].lent.release()
        self._back.clear()
        self._epoll.close()

    def _read(self, sink: Sink) -> bool:
        """Whether there were answers."""
        answered = False
        for lease, answer in sink.answers():
            answered = True
            if lease.live:
                self._back.append(_returned(lease, answer))
        if answered:
            self._failures = 0
        return answered

    def _drop(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            camera, shot = lease.item
            self._back.append(Returned(camera, shot, stored=False, error=REVOKED, told=f"{camera} was stopped"))

    def _bury(self, sink: Sink, now_ns: int) -> None:
        self._read(sink)  # it may have answered before its end
        for lease, error in sink.bury():
            camera, shot = lease.item
            self._back.append(Returned(camera, shot, stored=False, error=error.code, told=error.message))
        self._sink = None
        for known in self._cameras.values():
            known.number = None
        self.fault = sink.cause
        self._wait(now_ns)

    def _restart(self, now_ns: int) -> None:
        try:
            self._start()
        except OSError as error:
            self.fault = SinkGone(f"cannot be started: {error}")
            self._wait(now_ns)
        else:
            self.replaced += 1

    def _wait(self, now_ns: int) -> None:
        """At once after a sink that had worked, ever longer after those that did not."""
        wait_ns = min(_FIRST_WAIT_NS << self._failures >> 1, _LONGEST_WAIT_NS) if self._failures else 0
        self._restart_ns = now_ns + wait_ns
        self._failures = min(self._failures + 1, 16)

    def _start(self) -> None:
        self._sink = sink = Sink(
            self._program,
            self._cpus,
            self._order,
            floor=self._floor,
            start_ns=_START_NS << min(self._failures, _MOST_PATIENT),
            read_monotonic_ns=self._now_ns,
        )
        sink.watch(self._epoll)
        for known in self._cameras.values():
            # a pool that was released since has no descriptors any more: their numbers may be other files' by now
            if known.pool.buffers:
                self._announce(known)

    def _announce(self, known: _Camera) -> None:
        if self._sink is not None:
            known.number = self._sink.lender.add_pool(known.lent)


def _returned(lease: Lease, answer: Answer) -> Returned:
    camera, shot = lease.item
    return Returned(camera, shot, answer.stored, answer.code, answer.file, answer.took_ns, answer.told)
