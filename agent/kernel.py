"""The kernel seam: open, ioctl, mmap, and descriptors that poll() understands.

Everything that speaks V4L2 goes through a `Kernel`. `LinuxKernel` is the real one; `agent.simulation` has another
that answers the same requests on the same structures. Descriptors are always real ones, so poll and epoll work on
both alike.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap as _mmap
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

PROT_READ = _mmap.PROT_READ
PROT_WRITE = _mmap.PROT_WRITE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_MAP_FAILED = ctypes.c_void_p(-1).value


class Mapping:
    """Bytes of a device or memory file in our address space; writable views share the memory.

    Unmapped when the last view on it is gone, never under one: a frame's pixels stay readable for whoever still
    holds them. `release()` is idempotent. Not the standard `mmap`: that one duplicates the descriptor, and cannot be
    closed while somebody looks (docs/decisions/0003).
    """

    def __init__(self, fd: int, length: int, offset: int, protection: int) -> None:
        address = _libc.mmap(None, length, protection, _mmap.MAP_SHARED, fd, offset)
        if address == _MAP_FAILED:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), "mmap")
        self.address: int = address
        self.length = length
        memory = (ctypes.c_ubyte * length).from_address(address)
        self._finalizer = weakref.finalize(memory, _libc.munmap, address, length)
        self._memory: Any = memory

    @property
    def view(self) -> memoryview:
        """A flat view of bytes; keeps the mapping alive. Raises ValueError after release."""
        if self._memory is None:
            raise ValueError("this mapping was released")
        return memoryview(self._memory).cast("B")

    def release(self) -> None:
        """Give up our own hold on the memory."""
        self._memory = None


class Kernel(Protocol):
    """What the agent asks of an operating system. Every call raises OSError as the kernel would."""

    def video_nodes(self) -> Sequence[str]:
        """Paths of all video nodes present, in numeric order."""
        ...

    def open(self, path: str, flags: int) -> int:
        """Open a node and return a descriptor that poll() understands."""
        ...

    def close(self, fd: int) -> None:
        """Close a descriptor that `open` or an ioctl returned."""
        ...

    def ioctl(self, fd: int, request: int, argument: Any) -> int:
        """One request; `argument` is a ctypes structure or integer, changed in place. Returns what the driver did."""
        ...

    def mmap(self, fd: int, length: int, offset: int, protection: int) -> Mapping:
        """Map memory of a descriptor, shared."""
        ...


class LinuxKernel:
    """The kernel this process runs on. Shared freely between threads."""

    def video_nodes(self) -> Sequence[str]:
        """Paths of all video nodes present, in numeric order."""
        found = Path("/sys/class/video4linux").glob("video*")
        return [f"/dev/{node.name}" for node in sorted(found, key=lambda node: int(node.name.removeprefix("video")))]

    def open(self, path: str, flags: int) -> int:
        """Open a node; the descriptor is not inherited by children."""
        return os.open(path, flags | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        """Close the descriptor."""
        os.close(fd)

    def ioctl(self, fd: int, request: int, argument: Any) -> int:
        """One ioctl. Structures up to 1,024 bytes release the interpreter lock meanwhile; all of ours fit."""
        return int(fcntl.ioctl(fd, request, argument))

    def mmap(self, fd: int, length: int, offset: int, protection: int) -> Mapping:
        """Map memory of a descriptor, shared."""
        return Mapping(fd, length, offset, protection)
