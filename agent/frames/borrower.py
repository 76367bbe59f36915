"""The reader's side of a frame channel: buffers mapped once, frames as numpy views on them, without a copy."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np

from agent.errors import AgentError, StateError
from agent.frames import wire
from agent.frames.borrowed import Borrowed, Ioctl, MappedPool, Plane, Revoked, is_dmabuf
from agent.frames.marks import CommitToken, map_marks
from agent.frames.wire import Answer, ProtocolError
from agent.kernel import PROT_READ, Mapping

Heard = Borrowed | wire.PoolMessage | wire.BuffersMessage | wire.Forget | wire.State
"""What one message from a lender comes to."""


class RefusedByLender(AgentError):
    """The other side gives no frames, or no more of them; `code` is its reason."""

    def __init__(self, refused: wire.Refused) -> None:
        super().__init__(refused.message, hint=refused.hint)
        self.code = refused.code  # type: ignore[misc]


class NotGreeted(ProtocolError):
    """The other side closed before it said anything: the process behind it has just ended. Connect again."""


class Borrower:
    """Receives frames from the lender at the other end of `channel`, which becomes this object's own.

    Blocking; one thread. `order` is what the lender's side wants done, empty for a client. Only a sink process is given
    a commit token. `release()` is idempotent; views outlive it.
    """

    def __init__(self, channel: socket.socket, *, ioctl: Ioctl = fcntl.ioctl) -> None:
        """Wait for the opening.

        Raises RefusedByLender; NotGreeted when the other side closes instead, ProtocolError when something else comes.
        """
        self._channel = channel
        self._ioctl = ioctl
        self._pools: dict[int, MappedPool] = {}
        channel.setblocking(True)
        message, fds = self._message()
        if isinstance(message, wire.Refused):
            _close(fds)
            raise RefusedByLender(message)
        if message is None:
            raise NotGreeted("the lender closed before it said anything")
        if not isinstance(message, wire.Opening) or len(fds) > 1:
            _close(fds)
            raise ProtocolError("the lender did not begin with an opening")
        self.order = message.order
        self._token = CommitToken(fds[0]) if fds else None

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
        """The next frame; None when the lender has closed. Raises as `hear`."""
        while (heard := self.hear()) is not None:
            if isinstance(heard, Borrowed):
                return heard
        return None

    def hear(self) -> Heard | None:
        """Take one message, whatever it is; None when the lender has closed.

        Raises RefusedByLender, ProtocolError, OSError when mapping fails.
        """
        message, fds = self._message()
        if message is None:
            return None
        if isinstance(message, wire.FrameMessage):
            return self._borrow(message, fds)
        try:
            return self._learn(message, fds)
        except BlockingIOError as error:
            # mmap(2): EAGAIN after mlockall, which must not look as if nothing had been there to be heard
            _close(fds)
            raise OSError(errno.ENOMEM, "too little memory may be locked: raise RLIMIT_MEMLOCK (memlock)") from error
        except BaseException:
            _close(fds)
            raise

    def answer(self, answer: Answer) -> None:
        """Give a frame back; its planes must not be read any more. Nobody to hear it is no error."""
        self._send(wire.pack_answer(answer))

    @contextlib.contextmanager
    def commit(self, borrowed: Borrowed) -> Iterator[None]:
        """Surrounds the step that makes a result visible: the lender does not revoke within it.

        Raises Revoked, without entering, when the lender took the frame back, or died while doing so; StateError when
        it gave no commit token.
        """
        if self._token is None:
            raise StateError(
                "this lender gave no commit token", hint="look at `revoked` instead", state="client", verb="commit"
            )
        if not self._token.wait(self._channel.fileno()):
            raise Revoked("the lender died while it took a frame back", hint="nothing is to be done")
        try:
            borrowed.check()
            yield
        finally:
            self._token.put_back()

    def release(self) -> None:
        """Close the channel and what was received."""
        self._channel.close()
        if self._token is not None:
            self._token.release()
        while self._pools:
            _forget(self._pools.popitem()[1])

    def _message(self) -> tuple[wire.ToReader | None, list[int]]:
        try:
            packet, fds, found = self._packet()
        except ConnectionResetError:
            # it closed with answers of ours unread, which is told once; what it said before is still to be read
            packet, fds, found = self._packet()
        if found & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            _close(fds)
            raise ProtocolError("a message from the lender was cut off: too long, or too many descriptors are open")
        try:
            return (wire.unpack_for_reader(packet) if packet else None), fds
        except ProtocolError:
            _close(fds)
            raise

    def _packet(self) -> tuple[bytes, list[int], int]:
        flags = socket.MSG_CMSG_CLOEXEC  # type: ignore[attr-defined,unused-ignore]
        try:
            packet, fds, found, _ = socket.recv_fds(self._channel, wire.PACKET_BYTES, wire.FDS_AT_ONCE, flags)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # it has gone, and that was told already (Linux before 6.2)
                raise
            return b"", [], 0
        return packet, fds, found

    def _borrow(self, message: wire.FrameMessage, fds: list[int]) -> Borrowed:
        try:
            pool = self._pools.get(message.pool)
            if pool is None or bool(fds) != (message.traces > wire.TRACES_INLINE):
                raise ProtocolError(f"lease {message.lease} is of a pool that was not announced, or lacks its traces")
            return Borrowed(pool, message, _trace_ids(message, fds), self._ioctl)
        finally:
            _close(fds)

    def _learn(self, message: wire.ToReader, fds: list[int]) -> Heard:
        """A pool, more of its buffers, or its end; what the camera does; that there is no more of it."""
        if isinstance(message, wire.Refused):
            raise RefusedByLender(message)
        if isinstance(message, wire.State) and not fds:
            return message
        if isinstance(message, wire.PoolMessage) and message.pool not in self._pools and len(fds) == 1:
            marks = map_marks(fds[0], message.buffers)
            self._pools[message.pool] = MappedPool(message.camera, message.format, marks)
            _close(fds)
        elif isinstance(message, wire.BuffersMessage) and message.pool in self._pools:
            self._map(self._pools[message.pool], message, fds)
        elif isinstance(message, wire.Forget) and message.pool in self._pools:
            _forget(self._pools.pop(message.pool))
        elif not isinstance(message, wire.Forget):  # one of a pool that was never passed has nothing to forget
            raise ProtocolError(f"a message {type(message).__name__} out of turn")
        return message

    def _map(self, pool: MappedPool, message: wire.BuffersMessage, fds: list[int]) -> None:
        planes = message.planes
        whole = planes == len(pool.form.planes) and len(fds) == len(message.lengths) and not len(fds) % planes
        if not whole or message.first != len(pool.planes) or message.first + len(fds) // planes > len(pool.marks):
            raise ProtocolError(f"{len(fds)} descriptors for {len(message.lengths)} planes from buffer {message.first}")
        mapped = [_map_plane(fd, length) for fd, length in zip(fds, message.lengths, strict=True)]
        synced = [fd for fd in fds if is_dmabuf(self._ioctl, fd)]
        for start in range(0, len(fds), planes):
            pool.planes.append(tuple(mapped[start : start + planes]))
            pool.synced.append(tuple(fd for fd in fds[start : start + planes] if fd in synced))
        _close([fd for fd in fds if fd not in synced])

    def _send(self, message: bytes) -> None:
        try:
            self._channel.send(message)
        except OSError as error:
            if error.errno not in wire.GONE:
                raise


def _map_plane(fd: int, length: int) -> Plane:
    """Raises ProtocolError when the memory is shorter than said: reading beyond its end would kill us (SIGBUS)."""
    size = os.lseek(fd, 0, os.SEEK_END)  # of DMABUFs and memfds alike
    if not 0 < length <= size:
        raise ProtocolError(f"a plane of {length} bytes in memory of {size}")
    view = np.frombuffer(Mapping(fd, length, 0, PROT_READ).view, np.uint8)
    view.flags.writeable = False
    return view


def _trace_ids(message: wire.FrameMessage, fds: list[int]) -> tuple[str, ...]:
    size = message.traces * wire.TRACE_BYTES
    content = os.pread(fds[0], size, 0) if fds else message.trace_bytes
    if len(content) != size:
        raise ProtocolError(f"{len(content)} bytes for {message.traces} trace ids")
    digits = content.hex()
    step = 2 * wire.TRACE_BYTES
    return tuple(digits[start : start + step] for start in range(0, len(digits), step))


def _forget(pool: MappedPool) -> None:
    while pool.synced:
        _close(pool.synced.pop())
    pool.planes.clear()


def _close(fds: list[int] | tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
