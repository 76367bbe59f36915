"""DMABUFs that are not a driver's: from a dma-heap and from udmabuf; and the bracket for CPU access to them.

Documentation/driver-api/dma-buf.rst, Documentation/userspace-api/dma-buf-heaps.rst, drivers/dma-buf/udmabuf.c.
"""

from __future__ import annotations

import fcntl
import os

from agent.kernel import Kernel
from agent.v4l2 import uapi
from agent.v4l2.ioctl import retry_eintr

DMA_HEAP = "/dev/dma_heap/system"
UDMABUF = "/dev/udmabuf"


def allocate_from_dma_heap(kernel: Kernel, size_bytes: int) -> int:
    """A DMABUF descriptor of `size_bytes` from the system heap, for reading. Raises OSError.

    The access mode is that of the descriptor (dma-heap.c: O_ACCMODE is valid); a device that imports it may write.
    """
    request = uapi.dma_heap_allocation_data(len=size_bytes, fd_flags=os.O_RDONLY | os.O_CLOEXEC)
    _ask(kernel, DMA_HEAP, uapi.DMA_HEAP_IOCTL_ALLOC, request)
    return int(request.fd)


def allocate_from_udmabuf(kernel: Kernel, size_bytes: int) -> int:
    """A DMABUF descriptor over a sealed memfd of `size_bytes` (whole pages). Raises OSError.

    It is writable: udmabuf.c always makes it so, and a DMABUF cannot be opened anew through /proc.
    """
    memory = os.memfd_create("camera-agent", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(memory, size_bytes)
        # udmabuf refuses memory that could shrink under the device
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        request = uapi.udmabuf_create(memfd=memory, flags=uapi.UDMABUF_FLAGS_CLOEXEC, size=size_bytes)
        return _ask(kernel, UDMABUF, uapi.UDMABUF_CREATE, request)
    finally:
        os.close(memory)


class CpuAccess:
    """Brackets reads by the CPU with DMA_BUF_IOCTL_SYNC, so that caches and device agree. Allocates nothing."""

    def __init__(self, kernel: Kernel) -> None:
        self._ioctl = kernel.ioctl
        self._begin = uapi.dma_buf_sync(flags=uapi.DMA_BUF_SYNC_START | uapi.DMA_BUF_SYNC_READ)
        self._end = uapi.dma_buf_sync(flags=uapi.DMA_BUF_SYNC_END | uapi.DMA_BUF_SYNC_READ)

    def begin(self, dmabuf: int) -> None:
        """Before the first read. Raises OSError."""
        retry_eintr(self._ioctl, dmabuf, uapi.DMA_BUF_IOCTL_SYNC.number, self._begin)

    def end(self, dmabuf: int) -> None:
        """After the last read. Raises OSError."""
        retry_eintr(self._ioctl, dmabuf, uapi.DMA_BUF_IOCTL_SYNC.number, self._end)


def _ask(kernel: Kernel, path: str, request: uapi.Request, argument: object) -> int:
    try:
        fd = kernel.open(path, os.O_RDWR)
        try:
            return retry_eintr(kernel.ioctl, fd, request.number, argument)
        finally:
            kernel.close(fd)
    except OSError as error:
        error.filename = path
        raise
