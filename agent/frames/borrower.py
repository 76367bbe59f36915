"""The reader's side of a frame channel: buffers mapped once, frames as numpy views on them, without a copy."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError
from agent.frames import wire
from agent.frames.marks import CommitToken, map_marks
from agent.frames.wire import Answer, Facts, PoolFormat, ProtocolError
from agent.kernel import PROT_READ, Mapping

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
class _Pool:
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

    def __init__(self, pool: _Pool, message: wire.FrameMessage, trace_ids: tuple[str, ...], ioctl: Ioctl) -> None:
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
    def revoked(self) -> bool:
        """Whether the lender has taken it back."""
        return bool(self._pool.marks[self._place] != self._message.generation)

    def check(self) -> None:
        """Raises Revoked when the lender has taken it back."""
        if self.revoked:
            raise Revoked(
                f"frame {self.facts.sequence} of {self.camera} was taken back",
                hint="its camera was stopped; nothing is to be done",
                camera=self.camera,
                sequence=self.facts.sequence,
            )

    def __enter__(self) -> Self:
        self._sync(_BEGIN_READ)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sync(_END_READ)

    def _sync(self, flags: bytes) -> None:
        for fd in self._pool.synced[self._place]:
            _retry_eintr(self._ioctl, fd, flags)


class Borrower:
    """Receives frames from the lender at the other end of `channel`, which becomes this object's own.

    Blocking; one thread. `order` is what the lender's side wants done. `release()` is idempotent; views outlive it.
    """

    def __init__(self, channel: socket.socket, *, ioctl: Ioctl = fcntl.ioctl) -> None:
        """Wait for the opening. Raises ProtocolError when something else comes, or nothing."""
        self._channel = channel
        self._ioctl = ioctl
        self._pools: dict[int, _Pool] = {}
        channel.setblocking(True)
        message, fds = self._message()
        if not isinstance(message, wire.Opening) or len(fds) != 1:
            _close(fds)
            raise ProtocolError("the lender did not begin with an opening")
        self.order = message.order
        self._token = CommitToken(fds[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def say_ready(self) -> None:
        """Tell the lender that this side is set up. Once."""
        self._send(wire.pack_ready())

    def receive(self) -> Borrowed | None:
        """The next frame; None when the lender has closed. Raises ProtocolError, OSError when mapping fails."""
        while True:
            message, fds = self._message()
            if message is None:
                return None
            if isinstance(message, wire.FrameMessage):
                return self._borrow(message, fds)
            try:
                self._learn(message, fds)
            except BaseException:
                _close(fds)
                raise

    def answer(self, answer: Answer) -> None:
        """Give a frame back; its planes must not be read any more. Nobody to hear it is no error."""
        self._send(wire.pack_answer(answer))

    @contextlib.contextmanager
    def commit(self, borrowed: Borrowed) -> Iterator[None]:
        """Surrounds the step that makes a result visible: the lender does not revoke within it.

        Raises Revoked, without entering, when the lender took the frame back, or died while doing so.
        """
        if not self._token.wait(self._channel.fileno()):
            raise Revoked("the lender died while it took a frame back", hint="nothing is to be done")
        try:
            borrowed.check()
            yield
        finally:
            self._token.put_back()

    def release(self) -> None:
        """Close the channel and what was received."""
        if self._channel.fileno() < 0:
            return
        self._channel.close()
        self._token.release()
        while self._pools:
            _forget(self._pools.popitem()[1])

    def _message(self) -> tuple[wire.ToReader | None, list[int]]:
        flags = socket.MSG_CMSG_CLOEXEC  # type: ignore[attr-defined,unused-ignore]
        packet, fds, found, _ = socket.recv_fds(self._channel, wire.PACKET_BYTES, wire.FDS_AT_ONCE, flags)
        if found & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            _close(fds)
            raise ProtocolError("a message from the lender was cut off: too long, or too many descriptors are open")
        try:
            return (wire.unpack_for_reader(packet) if packet else None), fds
        except ProtocolError:
            _close(fds)
            raise

    def _borrow(self, message: wire.FrameMessage, fds: list[int]) -> Borrowed:
        try:
            pool = self._pools.get(message.pool)
            if pool is None or bool(fds) != (message.traces > wire.TRACES_INLINE):
                raise ProtocolError(f"lease {message.lease} is of a pool that was not announced, or lacks its traces")
            return Borrowed(pool, message, _trace_ids(message, fds), self._ioctl)
        finally:
            _close(fds)

    def _learn(self, message: wire.ToReader, fds: list[int]) -> None:
        """A pool, more of its buffers, or its end."""
        if isinstance(message, wire.PoolMessage) and message.pool not in self._pools and len(fds) == 1:
            marks = map_marks(fds[0], message.buffers)
            self._pools[message.pool] = _Pool(message.camera, message.format, marks)
            _close(fds)
        elif isinstance(message, wire.BuffersMessage) and message.pool in self._pools:
            self._map(self._pools[message.pool], message, fds)
        elif isinstance(message, wire.Forget) and message.pool in self._pools:
            _forget(self._pools.pop(message.pool))
        elif not isinstance(message, wire.Forget):  # one of a pool that was never passed has nothing to forget
            raise ProtocolError(f"a message {type(message).__name__} out of turn")

    def _map(self, pool: _Pool, message: wire.BuffersMessage, fds: list[int]) -> None:
        planes = message.planes
        if message.first != len(pool.planes) or len(fds) != len(message.lengths) or not planes or len(fds) % planes:
            raise ProtocolError(f"{len(fds)} descriptors for planes of {len(message.lengths)} lengths")
        for start in range(0, len(fds), planes):
            mine = list(zip(fds[start : start + planes], message.lengths[start : start + planes], strict=True))
            pool.planes.append(tuple(_map_plane(fd, length) for fd, length in mine))
            synced = tuple(fd for fd, _ in mine if _is_dmabuf(self._ioctl, fd))
            pool.synced.append(synced)
            _close([fd for fd, _ in mine if fd not in synced])

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._channel.send(message)


def _map_plane(fd: int, length: int) -> Plane:
    """Raises ProtocolError when the memory is shorter than said: reading beyond its end would kill us (SIGBUS)."""
    size = os.lseek(fd, 0, os.SEEK_END)  # of DMABUFs and memfds alike
    if not 0 < length <= size:
        raise ProtocolError(f"a plane of {length} bytes in memory of {size}")
    view = np.frombuffer(Mapping(fd, length, 0, PROT_READ).view, np.uint8)
    view.flags.writeable = False
    return view


def _is_dmabuf(ioctl: Ioctl, fd: int) -> bool:
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


def _trace_ids(message: wire.FrameMessage, fds: list[int]) -> tuple[str, ...]:
    size = message.traces * wire.TRACE_BYTES
    content = os.pread(fds[0], size, 0) if fds else message.trace_bytes
    if len(content) != size:
        raise ProtocolError(f"{len(content)} bytes for {message.traces} trace ids")
    digits = content.hex()
    step = 2 * wire.TRACE_BYTES
    return tuple(digits[start : start + step] for start in range(0, len(digits), step))


def _forget(pool: _Pool) -> None:
    while pool.synced:
        _close(pool.synced.pop())
    pool.planes.clear()


def _close(fds: list[int] | tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
