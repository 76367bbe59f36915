"""The capture side of a frame channel: buffers lent to one reader, and taken back. Never waits."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from agent.frames import wire
from agent.frames.ledger import FLOOR, Lease, Ledger, PoolTooSmall
from agent.frames.marks import CommitToken, Marks
from agent.frames.pool import LentPool, Packet, Planes
from agent.frames.wire import Answer, Facts, ProtocolError, Ready

_NO_MEMORY = (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)
"""No memory for messages, or too many descriptors on their way to one user (unix(7)): readers have to take some."""


class _Pool(NamedTuple):
    """A pool as one reader knows it."""

    lent: LentPool
    marks: Marks


class Lender:
    """Lends buffers to the reader at the other end of `channel`, which becomes this object's own.

    `ready`: the reader has said so. `closed`: it has closed its end, or what it receives by. `is_starved`: the last
    message could not go for want of memory, which no descriptor tells the end of. Not for sharing between threads.
    `release()` is idempotent and takes everything back. Pools may be lent by several lenders; they stay their owner's.
    """

    def __init__(
        self,
        channel: socket.socket,
        order: bytes = b"",
        *,
        floor: int = FLOOR,
        most: int = 64,
        token: CommitToken | None = None,
    ) -> None:
        """Raises ProtocolError when `order` is too long for a message.

        `token`: for a reader that makes results visible, whose revocations are to be exact; it becomes this object's.
        """
        opening = wire.pack_opening(order)
        self.ready = False
        self.closed = False
        self.is_starved = False
        self.ledger = Ledger(floor=floor, most=most)
        self._channel = channel
        channel.setblocking(False)
        self._pools: dict[int, _Pool] = {}
        self._next_pool = 1
        self._token = token
        self._answer = bytearray(wire.ANSWER_BYTES + 1)
        self._outbox = deque([Packet(0, opening, () if token is None else (token.fd,))])
        self.flush()

    def fileno(self) -> int:
        """The channel: readable when answers wait, or when the reader is gone."""
        return self._channel.fileno()

    @property
    def waiting(self) -> int:
        """Messages that must go before any frame, and could not yet."""
        return len(self._outbox)

    def add_pool(self, lent: LentPool) -> int:
        """Pass a pool's descriptors; this reader's number for it.

        The pool must not be released before `flush` says that they were passed, or `remove_pool`.
        Raises PoolTooSmall, OSError when there is no memory for marks.
        """
        number = self._next_pool
        marks = Marks(lent.places)
        try:
            self.ledger.add_pool(number, lent.buffers)
        except PoolTooSmall:
            marks.release()
            raise
        self._next_pool += 1
        self._pools[number] = _Pool(lent, marks)
        self._outbox.extend(lent.packets(number, marks.fd))
        self.flush()
        return number

    def remove_pool(self, number: int) -> list[Lease]:
        """Revoke a pool's leases as `revoke` does, and have the reader unmap it."""
        ended = self.revoke(number)
        self.ledger.remove_pool(number)
        pool = self._pools.pop(number)
        # what was not passed yet would name descriptors that are closed by then
        self._outbox = deque(entry for entry in self._outbox if entry.pool != number)
        self._outbox.append(Packet(number, wire.pack_forget(number)))
        self.flush()
        pool.marks.release()
        return ended

    def tell(self, message: bytes) -> None:
        """A message about no pool, after those that wait and before any frame."""
        self._outbox.append(Packet(0, message))
        self.flush()

    def flush(self) -> bool:
        """Send what must go before any frame; whether nothing is left of it."""
        while self._outbox:
            if not self._send(self._outbox[0].message, self._outbox[0].fds):
                return False
            self._outbox.popleft()
        return True

    def lend(
        self,
        number: int,
        index: int,
        facts: Facts,
        planes: Planes,
        offsets: tuple[int, ...],
        trace_ids: Sequence[str],
        limit_ns: int,
        item: Any = None,
        skipped: int = 0,
    ) -> Lease | None:
        """Lend buffer `index` of a pool; None when there is no room. `item` comes back with the lease.

        `planes` are what the driver wrote, `offsets` where in the buffer's planes they begin. `skipped`: as the message
        has it. Raises StateError when it is lent already, ValueError for a trace id that is not 32 hexadecimal digits.
        """
        if not self.flush():
            return None
        traces = bytes.fromhex("".join(trace_ids))
        if len(traces) != len(trace_ids) * wire.TRACE_BYTES:
            raise ValueError("a trace id has 32 hexadecimal digits")
        lease = self.ledger.lend(number, index, limit_ns, item)
        if lease is None:
            return None
        pool = self._pools[number]
        lease.place = pool.lent.hold(index, planes)
        if pool.lent.is_copied:
            offsets = (0,) * len(planes)
        pool.marks.words[lease.place] = lease.number
        lengths = tuple(plane.size for plane in planes)
        message = wire.pack_frame(
            number,
            lease.place,
            lease.number,
            lease.number,
            limit_ns,
            facts,
            offsets,
            lengths,
            len(trace_ids),
            skipped,
        )
        if not self._send_frame(message, traces, len(trace_ids)):
            self.ledger.answered(lease.number)
            self._free(lease)
            return None
        return lease

    def receive(self) -> tuple[Lease, Answer] | None:
        """The next answer, of a lease that is settled by it; None when none waits or the reader is gone.

        `lease.live` False: it had been revoked, and its buffer is ours since then. Raises ProtocolError: whatever else
        this reader says, its buffers must be taken back only when its process is gone.
        """
        while (message := self._next_message()) is not None:
            if isinstance(message, Ready):
                if self.ready or self._token is None or message.version != wire.VERSION:
                    raise ProtocolError(f"a reader of version {message.version} said it was ready, twice or wrongly")
                self.ready = True
                continue
            lease = self.ledger.answered(message.lease)
            if lease.live:
                self._free(lease)
            return lease, message
        return None

    def revoke(self, number: int) -> list[Lease]:
        """Take back all buffers of a pool whose stream is off: nothing of them becomes visible from now on.

        Returns the leases that ended by it, oldest first. Those still live after it could not be ended, as the reader
        was making one of them visible that very moment; it skips the others. Their answers follow.
        """
        leases = list(self.ledger.live(number))
        token = self._token
        exact = bool(leases) and (token is None or token.take())
        for lease in leases:
            if exact:
                self.end(lease)
            else:
                self._unmark(lease)
        if exact and token is not None:
            token.put_back()
        return leases if exact else []

    def end(self, lease: Lease) -> None:
        """Take one live lease back; its answer stays owed. Exact only for a reader without a commit token."""
        self._free(lease)
        self.ledger.revoke(lease)

    def reader_gone(self) -> list[Lease]:
        """The reader's process has ended: the leases it had, oldest first. Only `release` is left to be called."""
        left = self.ledger.reader_gone()
        for lease in left:
            self._free(lease)
        return left

    def release(self) -> None:
        """Close the channel and let go of the memory; the reader finds its end."""
        self.reader_gone()
        self._channel.close()
        if self._token is not None:
            self._token.release()
        while self._pools:
            self._pools.popitem()[1].marks.release()

    def _send(self, message: bytes, fds: Sequence[int] = ()) -> bool:
        self.is_starved = False
        try:
            if fds:
                socket.send_fds(self._channel, [message], fds)
            else:
                self._channel.send(message)
        except BlockingIOError:
            return False
        except OSError as error:
            self.closed |= error.errno in wire.GONE
            self.is_starved = error.errno in _NO_MEMORY
            if error.errno in wire.GONE or self.is_starved:
                return False
            raise
        return True

    def _send_frame(self, message: bytes, traces: bytes, count: int) -> bool:
        if count <= wire.TRACES_INLINE:
            return self._send(message + traces if traces else message)
        try:
            fd = os.memfd_create("camera-agent-traces", os.MFD_CLOEXEC)
        except OSError:  # no descriptor or no memory is left: for the moment, there is no room
            return False
        try:
            os.write(fd, traces)
            return self._send(message, (fd,))
        finally:
            os.close(fd)

    def _next_message(self) -> wire.ToLender | None:
        try:
            size = self._channel.recv_into(self._answer)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in wire.GONE:
                raise
            size = 0
        if size == 0:
            self.closed = True
            return None
        if size > wire.ANSWER_BYTES:
            raise ProtocolError(f"an answer of more than {wire.ANSWER_BYTES} bytes")
        return wire.unpack_for_lender(bytes(memoryview(self._answer)[:size]))

    def _unmark(self, lease: Lease) -> None:
        """The reader can see that the lease has ended."""
        pool = self._pools.get(lease.pool)
        if pool is not None and pool.marks.words[lease.place] == lease.number:
            pool.marks.words[lease.place] = 0

    def _free(self, lease: Lease) -> None:
        """The lease has ended: its mark, and the copy if nobody else reads it, are free."""
        self._unmark(lease)
        pool = self._pools.get(lease.pool)
        if pool is not None:
            pool.lent.let_go(lease.index)
