"""One frame on loan, as its reader sees it: views of the lender's memory, and whether they are still good."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError
from agent.frames import wire
from agent.frames.marks import fence
from agent.frames.wire import Facts, PoolFormat, ProtocolError

DMA_BUF_IOCTL_SYNC = 0x4008_6200
"""linux/dma-buf.h: _IOW('b', 0, __u64), on every architecture but alpha, mips, powerpc and sparc."""
_READ, _END = 1, 4
_BEGIN_READ, _END_READ = struct.pack("=Q", _READ), struct.pack("=Q", _READ | _END)

Ioctl = Callable[[int, int, bytes], object]
Plane = NDArray[np.uint8]


class Revoked(AgentError):
    """The lender took the buffer back: what was read of it may be of another frame, and is not to be used."""

    code = "revoked"


@dataclass(slots=True)
class MappedPool:
    """A pool as mapped here. `synced`: descriptors of DMABUFs by buffer, kept open for their brackets."""

    camera: str
    form: PoolFormat
    marks: memoryview
    planes: list[tuple[Plane, ...]] = field(default_factory=list)
    synced: list[tuple[int, ...]] = field(default_factory=list)


class Borrowed:
    """One frame on loan. `planes`: what the driver wrote, a read-only view of each memory plane.

    Enter it as a context to read: that brackets the access where the memory is a DMABUF. Good while `revoked` is
    False; look after reading, and before using what was read.
    """

    __slots__ = ("_ioctl", "_message", "_place", "_pool", "planes", "trace_ids")

    def __init__(self, pool: MappedPool, message: wire.FrameMessage, trace_ids: tuple[str, ...], ioctl: Ioctl) -> None:
        """Raises ProtocolError when the message does not fit the pool."""
        self._pool = pool
        self._message = message
        self._ioctl = ioctl
        self._place = message.place
        self.trace_ids = trace_ids
        whole = pool.planes[self._place] if self._place < len(pool.planes) else ()
        fits = [offset + used <= plane.size for plane, (offset, used) in zip(whole, message.extents, strict=False)]
        if len(whole) != len(message.extents) or not whole or not all(fits):
            raise ProtocolError(f"lease {message.lease} is of no buffer that was announced, or goes beyond its end")
        self.planes = tuple(
            plane[offset : offset + used] for plane, (offset, used) in zip(whole, message.extents, strict=True)
        )

    @property
    def camera(self) -> str:
        """The camera's name."""
        return self._pool.camera

    @property
    def form(self) -> PoolFormat:
        """What the planes hold."""
        return self._pool.form

    @property
    def facts(self) -> Facts:
        """When and how it was taken."""
        return self._message.facts

    @property
    def place(self) -> int:
        """Which buffer of its pool."""
        return self._place

    @property
    def lease(self) -> int:
        """The number to answer with."""
        return self._message.lease

    @property
    def limit_ns(self) -> int:
        """How long the work on it may take."""
        return self._message.limit_ns

    @property
    def skipped(self) -> int:
        """Frames of this camera this reader did not get since its last one."""
        return self._message.skipped

    @property
    def revoked(self) -> bool:
        """Whether the lender has taken it back; looked at after all that was read before."""
        fence()
        return bool(self._pool.marks[self._place] != self._message.generation)

    def check(self) -> None:
        """Raises Revoked when the lender has taken it back."""
        if self.revoked:
            raise Revoked(
                f"frame {self.facts.sequence} of {self.camera} was taken back",
                hint="its camera was stopped, or it was kept too long: take the next one",
                camera=self.camera,
                sequence=self.facts.sequence,
            )

    def begin_reading(self) -> None:
        """Before the planes are read: what a device wrote is what the processor sees."""
        self._sync(_BEGIN_READ)

    def end_reading(self) -> None:
        """After the planes were read. Brackets may lie within one another."""
        self._sync(_END_READ)

    def __enter__(self) -> Self:
        self.begin_reading()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_reading()

    def _sync(self, flags: bytes) -> None:
        synced = self._pool.synced
        try:
            for fd in synced[self._place]:
                _retry_eintr(self._ioctl, fd, flags)
        except (IndexError, OSError):
            if self._place < len(synced):  # the pool was not forgotten meanwhile, by another thread perhaps
                raise


def is_dmabuf(ioctl: Ioctl, fd: int) -> bool:
    """Whether the memory wants its access bracketed: tried once, as nothing else tells a DMABUF from a memfd."""
    try:
        _retry_eintr(ioctl, fd, _BEGIN_READ)
        _retry_eintr(ioctl, fd, _END_READ)
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL):
            return False
        raise
    return True


def _retry_eintr(ioctl: Ioctl, fd: int, flags: bytes) -> None:
    while True:
        try:
            ioctl(fd, DMA_BUF_IOCTL_SYNC, flags)
        except InterruptedError:  # CPython before 3.14 does not retry; dma-buf.rst says EINTR and EAGAIN may come
            continue
        except BlockingIOError:
            continue
        return
