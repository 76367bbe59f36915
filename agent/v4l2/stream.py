"""Streaming: buffers to the driver and back, without blocking, without a copy, without trusting the driver."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.clock import ReadClock, monotonic_ns
from agent.errors import StateError, StreamFault
from agent.units import NS_PER_S, NS_PER_US
from agent.v4l2 import uapi
from agent.v4l2.buffers import BufferPool, make_buffer
from agent.v4l2.dmabuf import CpuAccess
from agent.v4l2.frame import Frame
from agent.v4l2.ioctl import Node, typed_error
from agent.v4l2.ledger import Loss, LossLedger
from agent.v4l2.stamps import StampJudge

_ERROR = uapi.BufferFlag.ERROR.value


@dataclass(frozen=True, slots=True)
class Stopped:
    """A STREAMOFF: when it was entered and when it returned, CLOCK_MONOTONIC."""

    entered_ns: int
    returned_ns: int


class Stream:
    """One camera's queue between STREAMON and STREAMOFF, on a pool that stays mapped across restarts.

    `dequeue` never blocks: poll `fileno()` for reading first. A frame belongs to the caller until `give_back`; one
    still held when the stream stops stays readable and joins the queue again only after it was given back. Not
    shared between threads; `fileno()` may be polled anywhere.
    """

    def __init__(
        self,
        node: Node,
        pool: BufferPool,
        judge: StampJudge,
        *,
        ledger: LossLedger | None = None,
        read_monotonic_ns: ReadClock = monotonic_ns,
    ) -> None:
        self._node = node
        self.pool = pool
        self._judge = judge
        self.ledger = ledger or LossLedger()
        self._now_ns = read_monotonic_ns
        self._cpu = CpuAccess(node.kernel)
        self._type = ctypes.c_int(pool.buffer_type)
        self._multiplanar = pool.buffer_type == uapi.BufType.VIDEO_CAPTURE_MPLANE
        self._imported = any(plane.shared_as_dmabuf for buffer in pool for plane in buffer.planes)
        made = [_make_queueable(pool, index) for index in range(len(pool))]
        self._queueable = [buffer for buffer, _ in made]
        self._kept_alive = [planes for _, planes in made]
        self._answer, self._planes = make_buffer(pool, 0)
        self._needed = tuple(0 if pool.format.compressed else layout.size_bytes for layout in pool.format.planes)
        self._whole = [
            tuple(plane.view[:needed] for plane, needed in zip(buffer.planes, self._needed, strict=True))
            for buffer in pool
        ]
        self._capability = uapi.v4l2_capability()
        self._held: set[int] = set()
        self._queued_ns = [0] * len(pool)
        self._last_sequence = -1
        self._last_stamp_ns = 0
        self.streaming = False

    def fileno(self) -> int:
        """The descriptor to poll: readable when a frame waits. Poll it only while streaming (POLLERR otherwise)."""
        return self._node.fd

    @property
    def held(self) -> int:
        """Frames the caller has not given back."""
        return len(self._held)

    def start(self) -> None:
        """Queue every buffer that is ours and STREAMON. Raises StateError, UsbBandwidth, DeviceBusy, DeviceError."""
        if self.streaming:
            raise StateError("the stream is already on", hint="stop it first", state="streaming", verb="start")
        self.ledger.start()
        self._last_sequence = -1
        try:
            for index in range(len(self._queueable)):
                if index not in self._held:
                    self._enqueue(index)
            self._last_stamp_ns = self._now_ns()
            self._judge.start(self._last_stamp_ns)
            self._node.call(uapi.VIDIOC_STREAMON, self._type)
        except BaseException:
            # also takes back the buffers that were queued already
            self._node.attempt(uapi.VIDIOC_STREAMOFF, self._type)
            raise
        self.streaming = True

    def stop(self) -> Stopped:
        """STREAMOFF; idempotent. The buffers are ours again, still mapped. Raises DeviceError when the driver refuses.

        A camera that is gone has stopped: that is no error here.
        """
        entered_ns = self._now_ns()
        code = self._node.attempt(uapi.VIDIOC_STREAMOFF, self._type)
        stopped = Stopped(entered_ns, self._now_ns())
        self.streaming = False
        if code not in (0, errno.ENODEV):
            raise typed_error(code, uapi.VIDIOC_STREAMOFF.name, self._node.path)
        return stopped

    def release(self) -> None:
        """Stop for good and let go of our views, so that the pool can be unmapped; idempotent. Raises as `stop`.

        A mapping that lives on keeps the node open in the kernel, whatever was closed.
        """
        try:
            self.stop()
        finally:
            self._whole.clear()

    def dequeue(self) -> Frame | None:
        """The next good frame, or None when none waits. Damaged ones are accounted for and queued again.

        Raises DeviceGone after an unplug, StreamFault when the queue broke or the driver answers nonsense.
        """
        while self._dequeue_buffer():
            frame = self._take()
            if frame is not None:
                return frame
        return None

    def give_back(self, frame: Frame) -> None:
        """The caller is done with `frame`: its buffer may be filled again. Its planes must not be read any more.

        Raises StateError when it was given back already, DeviceGone after an unplug.
        """
        if frame.index not in self._held:
            raise StateError(
                f"frame {frame.sequence} was given back already",
                hint="give each frame back once",
                state="given back",
                verb="give_back",
            )
        self._held.discard(frame.index)
        if self._imported:
            self._bracket(self._cpu.end, frame.index)
        if self.streaming:
            self._enqueue(frame.index)

    def skip(self, frame: Frame) -> None:
        """Give `frame` back unused and account for it as left out on purpose."""
        self.ledger.skip(frame.lost_before)
        self.give_back(frame)

    def _dequeue_buffer(self) -> bool:
        answer = self._answer
        if self._multiplanar:
            answer.length = uapi.VIDEO_MAX_PLANES
            answer.m.planes = self._planes
        code = self._node.attempt(uapi.VIDIOC_DQBUF, answer)
        if not code:
            return True
        if code == errno.EAGAIN:
            return False
        # after an unplug DQBUF was seen to say EINVAL; QUERYCAP then tells
        gone = self._node.attempt(uapi.VIDIOC_QUERYCAP, self._capability) == errno.ENODEV
        if not gone and code in (errno.EIO, errno.EPIPE, errno.EINVAL):
            raise self._fault(f"the queue broke ({errno.errorcode[code]} at VIDIOC_DQBUF)")
        raise typed_error(errno.ENODEV if gone else code, uapi.VIDIOC_DQBUF.name, self._node.path)

    def _take(self) -> Frame | None:
        """Make a frame of the buffer just dequeued; None when it is damaged, accounted for and queued again."""
        dequeued_ns = self._now_ns()
        answer = self._answer
        index, flags, sequence = answer.index, answer.flags, answer.sequence
        self._claim(index)
        timestamp = answer.timestamp
        stamp_ns = timestamp.secs * NS_PER_S + timestamp.usecs * NS_PER_US
        if flags & _ERROR and not sequence and not stamp_ns:
            # returned before it was begun, as uvcvideo does with its whole queue when an URB fails: a buffer without
            # a frame, whose number 0 is what videobuf2 put there at QBUF
            self.ledger.unfilled += 1
            self._requeue(index)
            return None
        stamp = self._judge.judge(flags, stamp_ns, dequeued_ns)
        starved = sequence != self._last_sequence + 1 and self._was_starved(index, sequence, stamp.timestamp_ns)
        self._last_sequence, self._last_stamp_ns = sequence, stamp.timestamp_ns
        self.ledger.observe(sequence, starved=starved)
        planes = self._filled_planes(index)
        if flags & _ERROR or planes is None:
            self.ledger.lose(Loss.ERROR_FLAG)
            self._requeue(index)
            return None
        if self._imported:
            self._bracket(self._cpu.begin, index)
        return Frame(
            index,
            self.pool.format,
            planes,
            sequence,
            stamp.timestamp_ns,
            stamp.clock,
            stamp.source,
            stamp.uncertainty_ns,
            dequeued_ns,
            self.ledger.deliver(),
        )

    def _claim(self, index: int) -> None:
        """The buffer is the caller's now; one we do not know, or hold already, is the driver's fault."""
        if index >= len(self._queueable):
            raise self._fault(f"the driver returned buffer {index} of {len(self._queueable)}")
        if index in self._held:
            raise self._fault(f"the driver returned buffer {index}, which it was not given")
        self._held.add(index)

    def _filled_planes(self, index: int) -> tuple[NDArray[np.uint8], ...] | None:
        """Views on what the driver wrote; None when it is less than the picture needs, or more than fits."""
        if not self._multiplanar:
            used = self._answer.bytesused
            if used == self._needed[0]:
                return self._whole[index]
            return self._views(index, ((0, used),))
        filled = self._planes[: len(self._needed)]
        return self._views(index, tuple((plane.data_offset, plane.bytesused) for plane in filled))

    def _views(self, index: int, extents: Sequence[tuple[int, int]]) -> tuple[NDArray[np.uint8], ...] | None:
        planes = self.pool.buffers[index].planes
        for (offset, used), plane, needed in zip(extents, planes, self._needed, strict=True):
            if used > plane.view.size or used <= offset or used - offset < needed:
                return None
        return tuple(plane.view[offset:used] for (offset, used), plane in zip(extents, planes, strict=True))

    def _was_starved(self, index: int, sequence: int, stamp_ns: int) -> bool:
        """Whether the driver had no buffer for the first missing frame.

        videobuf2 fills buffers in the order they were queued: this buffer would have taken the first missing frame,
        had it been queued by then. That frame was due one interval after the last one.
        """
        missing = (sequence - self._last_sequence - 1) & 0xFFFF_FFFF
        first_due_ns = self._last_stamp_ns + (stamp_ns - self._last_stamp_ns) // (missing + 1)
        return self._queued_ns[index] > first_due_ns

    def _requeue(self, index: int) -> None:
        """Give a buffer that nobody above has seen to the driver again."""
        self._held.discard(index)
        self._enqueue(index)

    def _enqueue(self, index: int) -> None:
        buffer = self._queueable[index]
        buffer.flags = 0
        self._queued_ns[index] = self._now_ns()
        self._node.call(uapi.VIDIOC_QBUF, buffer)

    def _bracket(self, access: Callable[[int], None], index: int) -> None:
        for plane in self.pool.buffers[index].planes:
            if plane.shared_as_dmabuf and plane.dmabuf is not None:
                try:
                    access(plane.dmabuf)
                except OSError as error:
                    raise typed_error(
                        error.errno or errno.EIO, uapi.DMA_BUF_IOCTL_SYNC.name, self._node.path
                    ) from error

    def _fault(self, problem: str) -> StreamFault:
        return StreamFault(
            f"{self._node.path}: {problem}",
            hint="start the stream again; if it comes back, unplug the camera and look into journalctl -k",
            device=self._node.path,
        )


def _make_queueable(pool: BufferPool, index: int) -> tuple[uapi.v4l2_buffer, Any]:
    """The v4l2_buffer that QBUF takes for `index`, filled in once; and its planes, to be kept alive."""
    buffer, planes = make_buffer(pool, index)
    multiplanar = pool.buffer_type == uapi.BufType.VIDEO_CAPTURE_MPLANE
    for number, plane in enumerate(pool.buffers[index].planes):
        target = planes[number] if multiplanar else buffer
        if pool.queue_memory is uapi.Memory.DMABUF:
            target.m.fd, target.length = plane.dmabuf, plane.mapping.length
        elif pool.queue_memory is uapi.Memory.USERPTR:
            target.m.userptr, target.length = plane.mapping.address, plane.mapping.length
    return buffer, planes
