"""The buffer queue of one camera: what videobuf2 does with buffers, as a state machine without structures.

Follows drivers/media/common/videobuf2/videobuf2-core.c. A buffer belongs to the program (DEQUEUED), to the camera
(QUEUED), or waits finished (DONE, ERROR).
"""

from __future__ import annotations

import enum
import errno
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from agent.simulation.memory import ImportedMemory, Memory, SharedMemory, UserMemory, page_align
from agent.simulation.refusal import refusal
from agent.v4l2.uapi import Memory as MemoryType

VIDEO_MAX_FRAME = 32


class BufferState(enum.Enum):
    """Where a buffer is."""

    DEQUEUED = enum.auto()
    QUEUED = enum.auto()
    DONE = enum.auto()
    ERROR = enum.auto()


@dataclass
class Plane:
    """One plane of a buffer. `address`: the mmap offset, the program's address, or the imported descriptor."""

    length: int
    address: int
    memory: Memory | None = None
    bytesused: int = 0


@dataclass
class Buffer:
    """One buffer with the facts of its last frame."""

    index: int
    planes: list[Plane]
    state: BufferState = BufferState.DEQUEUED
    sequence: int = 0
    stamp_ns: int = 0

    @property
    def in_use(self) -> bool:
        """True while a program has one of its planes mapped or exported."""
        return any(isinstance(plane.memory, SharedMemory) and plane.memory.in_use for plane in self.planes)


class BufferQueue:
    """Buffers and their order. Not locked: the camera's lock guards it."""

    def __init__(self, *, minimum: int, orphans: bool) -> None:
        """`minimum` buffers must exist to stream; `orphans`: mapped buffers may be freed."""
        self.buffers: list[Buffer] = []
        self.memory = 0
        self.streaming = False
        self.failed = False
        self._minimum = minimum
        self._orphans = orphans
        self._next_offset = 0
        self._queued: deque[Buffer] = deque()
        self._done: deque[Buffer] = deque()

    @property
    def finished(self) -> int:
        """Frames that wait to be dequeued."""
        return len(self._done)

    def allocate(self, count: int, memory: int, lengths: Sequence[int]) -> int:
        """REQBUFS: new buffers with planes of `lengths` bytes; the number made.

        Frees all with count 0. Raises OSError EBUSY while streaming, or while mapped on a driver without orphans.
        """
        if self.streaming:
            raise refusal(errno.EBUSY)
        if self.memory == MemoryType.MMAP and not self._orphans and any(buffer.in_use for buffer in self.buffers):
            raise refusal(errno.EBUSY)
        self.release()
        if count:
            self._make(min(max(count, self._minimum), VIDEO_MAX_FRAME), memory, lengths)
        return len(self.buffers)

    def extend(self, count: int, memory: int, lengths: Sequence[int]) -> int:
        """CREATE_BUFS: more buffers beside those there are, also while streaming; the number made.

        Raises OSError: EINVAL for another kind of memory than the others have, ENOBUFS when there are 32.
        """
        if self.buffers and memory != self.memory:
            raise refusal(errno.EINVAL)
        room = VIDEO_MAX_FRAME - len(self.buffers)
        if count and not room:
            raise refusal(errno.ENOBUFS)
        self._make(min(count, room), memory, lengths)
        return min(count, room)

    def find(self, index: int) -> Buffer:
        """The buffer at `index`. Raises OSError EINVAL."""
        if index >= len(self.buffers):
            raise refusal(errno.EINVAL)
        return self.buffers[index]

    def plane_at(self, offset: int) -> Plane:
        """The plane whose mmap offset this is. Raises OSError EINVAL."""
        if self.memory == MemoryType.MMAP:
            for buffer in self.buffers:
                for plane in buffer.planes:
                    if plane.address == offset:
                        return plane
        raise refusal(errno.EINVAL)

    def enqueue(self, index: int, given: Sequence[tuple[int, int]]) -> Buffer:
        """QBUF: hand a buffer to the camera. `given`: address or descriptor, and length, of the program's planes.

        Raises OSError: EIO on a failed queue, EINVAL for a buffer that is not the program's to queue or a plane
        that is too small, EFAULT for an address that is not mapped.
        """
        buffer = self.find(index)
        if self.failed:
            raise refusal(errno.EIO)
        if buffer.state is not BufferState.DEQUEUED:
            raise refusal(errno.EINVAL)
        if self.memory != MemoryType.MMAP:
            for plane, (address, length) in zip(buffer.planes, given, strict=True):
                _attach(plane, self.memory, address, length)
        buffer.state = BufferState.QUEUED
        self._queued.append(buffer)
        return buffer

    def next_queued(self) -> Buffer | None:
        """The buffer the camera fills next; it stays QUEUED until `finish`."""
        return self._queued[0] if self._queued else None

    def finish(self, buffer: Buffer, *, intact: bool) -> None:
        """The camera is done with the buffer it got from `next_queued`."""
        self._queued.remove(buffer)
        buffer.state = BufferState.DONE if intact else BufferState.ERROR
        self._done.append(buffer)

    def dequeue(self) -> Buffer | None:
        """DQBUF: the oldest finished buffer, still in its finished state, or None. Raises OSError EINVAL, EIO."""
        if not self.streaming:
            raise refusal(errno.EINVAL)
        if self.failed:
            raise refusal(errno.EIO)
        return self._done.popleft() if self._done else None

    def start(self) -> None:
        """STREAMON. Raises OSError EINVAL without (enough) buffers."""
        if not self.buffers or len(self.buffers) < self._minimum:
            raise refusal(errno.EINVAL)
        self.streaming = True

    def stop(self) -> None:
        """STREAMOFF: every buffer is the program's again, also without a STREAMON before."""
        self.streaming = False
        self.failed = False
        self._queued.clear()
        self._done.clear()
        for buffer in self.buffers:
            buffer.state = BufferState.DEQUEUED

    def fail(self) -> None:
        """`vb2_queue_error`: EIO until the stream is stopped."""
        self.failed = True

    def release(self) -> None:
        """Free all buffers; programs keep what they mapped."""
        self.stop()
        for buffer in self.buffers:
            for plane in buffer.planes:
                if plane.memory is not None:
                    plane.memory.release()
        self.buffers = []
        self.memory = 0
        self._next_offset = 0

    def _make(self, count: int, memory: int, lengths: Sequence[int]) -> None:
        self.memory = memory
        offset = self._next_offset
        first = len(self.buffers)
        for index in range(first, first + count):
            planes = []
            for length in lengths:
                own = memory == MemoryType.MMAP
                planes.append(Plane(length, offset if own else 0, SharedMemory(length) if own else None))
                offset += page_align(length)
            self.buffers.append(Buffer(index, planes))
        self._next_offset = offset


def _attach(plane: Plane, memory: int, address: int, length: int) -> None:
    if memory == MemoryType.USERPTR:
        if length < plane.length:
            raise refusal(errno.EINVAL)
        fresh: Memory = UserMemory(address, length)
    else:
        if length and length < plane.length:
            raise refusal(errno.EINVAL)
        if isinstance(plane.memory, ImportedMemory) and plane.memory.is_of(address):
            plane.address = address
            return
        fresh = ImportedMemory(address, plane.length)
    if plane.memory is not None:
        plane.memory.release()
    plane.memory, plane.address = fresh, address
