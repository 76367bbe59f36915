"""Where a frame's bytes lie: memory of the camera (mapped and exported), of the program, or of another device."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import struct
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.kernel import PROT_READ, PROT_WRITE, Mapping
from agent.simulation.refusal import refusal

DMABUF_NAME = "simulated-dmabuf"
"""The memfd name of a camera's memory, as seen in /proc/PID/fd."""

_FLOCK = "hhqqi4x"  # struct flock of the 64-bit ABIs: type, whence, start, len, pid
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)


class Memory(Protocol):
    """Bytes that a camera can write a plane of a picture into."""

    pixels: NDArray[np.uint8]

    def release(self) -> None:
        """Give up our hold on the memory; idempotent."""
        ...


class SharedMemory:
    """Memory of the camera: a memfd, which programs map and export. `release()` is idempotent.

    Each mapping and each export is an open file description of its own which holds a read lock on the memfd; the
    lock vanishes with the last descriptor or mapping of it, in whatever process, so `in_use` needs no counting.
    """

    def __init__(self, length: int) -> None:
        self.length = page_align(length)
        self._fd: int | None = os.memfd_create(DMABUF_NAME)
        os.ftruncate(self._fd, self.length)
        own = Mapping(self._fd, self.length, 0, PROT_READ | PROT_WRITE)
        self.pixels: NDArray[np.uint8] = np.frombuffer(own.view, np.uint8)

    @property
    def in_use(self) -> bool:
        """True while a program has it mapped or exported (`vb2_buffer_in_use`)."""
        if self._fd is None:
            return False
        answer = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0))
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)

    def export(self, access: int) -> int:
        """A new descriptor on the memory, opened with the access mode `access` (O_RDONLY, O_RDWR)."""
        fd = os.open(f"/proc/self/fd/{self._fd}", (access & os.O_ACCMODE) | os.O_CLOEXEC)
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, _shared_lock(access), 0, 0, 0, 0))
        return fd

    def map(self, length: int, protection: int) -> Mapping:
        """A mapping for a program; it outlives `release`."""
        fd = self.export(os.O_RDWR if protection & PROT_WRITE else os.O_RDONLY)
        try:
            return Mapping(fd, length, 0, protection)
        finally:
            os.close(fd)

    def release(self) -> None:
        """Let go of the memory; mappings and exports of programs stay."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self.pixels = np.zeros(0, np.uint8)
            os.close(fd)


class UserMemory:
    """Memory of the program at an address. The program must not free it while it is queued."""

    def __init__(self, address: int, length: int) -> None:
        """Raises OSError EFAULT when the range is not mapped."""
        page = address & ~(mmap.PAGESIZE - 1)
        resident = (ctypes.c_ubyte * (page_align(address + length - page) // mmap.PAGESIZE))()
        if _libc.mincore(page, address + length - page, resident) != 0:
            raise refusal(errno.EFAULT)
        memory: Any = (ctypes.c_ubyte * length).from_address(address)
        self.pixels: NDArray[np.uint8] = np.frombuffer(memory, np.uint8)

    def release(self) -> None:
        """Forget the address."""
        self.pixels = np.zeros(0, np.uint8)


class ImportedMemory:
    """Memory behind a descriptor that somebody else exported. `release()` is idempotent."""

    def __init__(self, fd: int, least: int) -> None:
        """Map it. Raises OSError EINVAL when it is no mappable descriptor, or smaller than `least` bytes."""
        try:
            size = os.fstat(fd).st_size or os.lseek(fd, 0, os.SEEK_END)
            if size < least:
                raise refusal(errno.EINVAL)
            # a device writes whatever the access mode of the descriptor is
            written = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
            try:
                mapping = Mapping(written, size, 0, PROT_READ | PROT_WRITE)
            finally:
                os.close(written)
            self._identity = _identity(fd)
        except OSError as error:
            raise refusal(errno.EINVAL) from error
        self.length = size
        self.pixels: NDArray[np.uint8] = np.frombuffer(mapping.view, np.uint8)

    def is_of(self, fd: int) -> bool:
        """True if `fd` is the same memory, so that it need not be mapped anew."""
        with contextlib.suppress(OSError):
            return _identity(fd) == self._identity
        return False

    def release(self) -> None:
        """Unmap it, once nobody writes there any more."""
        self.pixels = np.zeros(0, np.uint8)


def page_align(length: int) -> int:
    """`length` rounded up to whole pages."""
    return -(-length // mmap.PAGESIZE) * mmap.PAGESIZE


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def is_dmabuf(fd: int) -> bool:
    """True for what passes as a DMABUF here: any memfd, since udmabuf wraps the program's own."""
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/self/fd/{fd}").readlink()).startswith("/memfd:")
    return False


def _shared_lock(access: int) -> int:
    # a write-only description cannot take a read lock (EBADF); its write lock is seen just as well
    return fcntl.F_WRLCK if access & os.O_ACCMODE == os.O_WRONLY else fcntl.F_RDLCK
