"""The buffers of one queue: their memory, mapped and where possible shared by descriptor (mission row C1)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.kernel import Mapping
from agent.v4l2 import uapi
from agent.v4l2.format import Format


class MemoryKind(enum.Enum):
    """Where a pool's memory comes from."""

    MMAP_EXPORTED = "mmap+expbuf"
    """The driver's memory, with a DMABUF descriptor for each plane."""
    DMA_HEAP = "dma-heap"
    """/dev/dma_heap/system, imported by the driver as DMABUF."""
    UDMABUF = "udmabuf"
    """A sealed memfd turned into a DMABUF by /dev/udmabuf, imported by the driver."""
    MMAP = "mmap"
    """The driver's memory, where it cannot be exported: not shareable without a copy."""
    USERPTR = "userptr"
    """Our own pages, by address: not shareable as a DMABUF."""


PREFERENCE = tuple(MemoryKind)
"""The order in which kinds are tried: the driver's own memory fits its hardware best, a descriptor is worth most."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One memory plane of one buffer. `dmabuf` is its DMABUF descriptor, if it has one.

    `shared_as_dmabuf`: our mapping is of the DMABUF itself, so CPU access must be bracketed by DMA_BUF_IOCTL_SYNC.
    """

    mapping: Mapping
    view: NDArray[np.uint8]
    dmabuf: int | None
    shared_as_dmabuf: bool


@dataclass(frozen=True, slots=True)
class Buffer:
    """One buffer of a queue and its planes."""

    index: int
    planes: tuple[Plane, ...]


class BufferPool:
    """The buffers of one queue, mapped until `release()`.

    `kind` is where the memory comes from, `passed_over` why better kinds were not taken, `queue_memory` the kernel's
    word for it in v4l2_buffer.memory. A context manager; `release()` is idempotent and always goes to its end.
    """

    def __init__(self, buffer_type: uapi.BufType, format: Format, kind: MemoryKind) -> None:  # noqa: A002
        self.buffer_type = buffer_type
        self.format = format
        self.kind = kind
        self.passed_over: tuple[tuple[MemoryKind, str], ...] = ()
        self.buffers: list[Buffer] = []
        self.queue_memory = _QUEUE_MEMORY[kind]
        self._held = ExitStack()

    def __enter__(self) -> BufferPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __len__(self) -> int:
        return len(self.buffers)

    def __iter__(self) -> Iterator[Buffer]:
        return iter(self.buffers)

    @property
    def size_bytes(self) -> int:
        """Bytes of all planes of all buffers."""
        return sum(plane.mapping.length for buffer in self.buffers for plane in buffer.planes)

    def on_release(self, function: Callable[..., object], *arguments: object) -> None:
        """Have `function` called on release, last registered first."""
        self._held.callback(function, *arguments)

    def release(self) -> None:
        """Unmap, close the descriptors, and give the driver its memory back (REQBUFS 0).

        Views on frames stay readable: the memory goes when the last of them goes. A camera that is gone, or closed
        already, has given it back by itself. Raises DeviceBusy where a driver refuses while a DMABUF is held.
        """
        self.buffers.clear()
        self._held.close()


_QUEUE_MEMORY = {
    MemoryKind.MMAP_EXPORTED: uapi.Memory.MMAP,
    MemoryKind.DMA_HEAP: uapi.Memory.DMABUF,
    MemoryKind.UDMABUF: uapi.Memory.DMABUF,
    MemoryKind.MMAP: uapi.Memory.MMAP,
    MemoryKind.USERPTR: uapi.Memory.USERPTR,
}


def make_buffer(pool: BufferPool, index: int) -> tuple[uapi.v4l2_buffer, Any]:
    """A v4l2_buffer for `index` of `pool`, and its plane array (kept alive by the caller) on multi-planar queues."""
    buffer = uapi.v4l2_buffer(index=index, type=pool.buffer_type, memory=pool.queue_memory)
    planes = (uapi.v4l2_plane * uapi.VIDEO_MAX_PLANES)()
    if pool.buffer_type == uapi.BufType.VIDEO_CAPTURE_MPLANE:
        buffer.m.planes = planes
        buffer.length = len(pool.format.planes)
    return buffer, planes
