"""`/dev/dma_heap/system` and `/dev/udmabuf` of a simulated kernel: both give shared memory with a descriptor."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from typing import Any

from agent.simulation.memory import DMABUF_NAME, is_dmabuf, page_align
from agent.simulation.refusal import refusal
from agent.v4l2 import uapi

HEAP_PATH = "/dev/dma_heap/system"
UDMABUF_PATH = "/dev/udmabuf"
_SYNC_ACCESS = uapi.DMA_BUF_SYNC_READ | uapi.DMA_BUF_SYNC_WRITE
_SYNC_BITS = _SYNC_ACCESS | uapi.DMA_BUF_SYNC_END


def open_device() -> int:
    """A descriptor that stands for one of the two devices."""
    return os.memfd_create("simulated-heap")


def answer(path: str, number: int, argument: Any) -> int:
    """One ioctl on an open device; what it returns. Raises OSError ENOTTY, EINVAL, EFAULT."""
    if path == HEAP_PATH and number == uapi.DMA_HEAP_IOCTL_ALLOC.number:
        return _allocate(argument)
    if path == UDMABUF_PATH and number == uapi.UDMABUF_CREATE.number:
        return _wrap(argument)
    raise refusal(errno.ENOTTY)


def sync(fd: int, argument: Any) -> None:
    """DMA_BUF_IOCTL_SYNC. Raises OSError ENOTTY on what is no DMABUF, EINVAL for wrong flags."""
    if not is_dmabuf(fd):
        raise refusal(errno.ENOTTY)
    if not isinstance(argument, uapi.dma_buf_sync):
        raise refusal(errno.EFAULT)
    if (
        argument.flags & ~_SYNC_BITS
        or not argument.flags & uapi.DMA_BUF_SYNC_READ | argument.flags & uapi.DMA_BUF_SYNC_WRITE
    ):
        raise refusal(errno.EINVAL)


def _allocate(argument: Any) -> int:
    """drivers/dma-buf/dma-heap.c: `dma_heap_ioctl_allocate`."""
    if not isinstance(argument, uapi.dma_heap_allocation_data):
        raise refusal(errno.EFAULT)
    allowed = os.O_CLOEXEC | os.O_ACCMODE
    if argument.fd or argument.heap_flags or argument.fd_flags & ~allowed or not argument.len:
        raise refusal(errno.EINVAL)
    fd = os.memfd_create(DMABUF_NAME)
    os.ftruncate(fd, page_align(argument.len))
    try:
        argument.fd = os.open(f"/proc/self/fd/{fd}", argument.fd_flags & os.O_ACCMODE | os.O_CLOEXEC)
    finally:
        os.close(fd)
    os.set_inheritable(argument.fd, not argument.fd_flags & os.O_CLOEXEC)
    return 0


def _wrap(argument: Any) -> int:
    """drivers/dma-buf/udmabuf.c: `udmabuf_create` on a sealed memfd, the whole of it; the new descriptor."""
    if not isinstance(argument, uapi.udmabuf_create):
        raise refusal(errno.EFAULT)
    if argument.flags & ~uapi.UDMABUF_FLAGS_CLOEXEC or argument.size == 0:
        raise refusal(errno.EINVAL)
    if argument.offset % mmap.PAGESIZE or argument.size % mmap.PAGESIZE:
        raise refusal(errno.EINVAL)
    try:
        seals = fcntl.fcntl(argument.memfd, fcntl.F_GET_SEALS)
    except OSError as error:
        raise refusal(errno.EBADFD) from error
    if not seals & fcntl.F_SEAL_SHRINK or seals & fcntl.F_SEAL_WRITE:
        raise refusal(errno.EINVAL)
    if argument.offset + argument.size > os.fstat(argument.memfd).st_size:
        raise refusal(errno.EINVAL)
    return _duplicate(argument)


def _duplicate(argument: Any) -> int:
    command = fcntl.F_DUPFD_CLOEXEC if argument.flags & uapi.UDMABUF_FLAGS_CLOEXEC else fcntl.F_DUPFD
    return int(fcntl.fcntl(argument.memfd, command, 0))
