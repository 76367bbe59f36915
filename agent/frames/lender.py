"""The capture side of a frame channel: buffers lent to one reader, and taken back. Never waits."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.frames import wire
from agent.frames.ledger import Lease, Ledger
from agent.frames.marks import CommitToken, Marks
from agent.frames.slots import Slots
from agent.frames.wire import Answer, Facts, PoolFormat, ProtocolError, Ready

_NO_ROOM = (BlockingIOError, BrokenPipeError, ConnectionResetError)
"""A full socket, and a reader that is gone: the second is found where its end is looked for."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One plane's memory: its descriptor, None where it has none, and bytes."""

    fd: int | None
    length: int


class _Outgoing(NamedTuple):
    """A message that must go before any frame. `pool` 0: about none."""

    pool: int
    message: bytes
    fds: tuple[int, ...] = ()


class _Pool(NamedTuple):
    """What the reader sees of a pool besides its buffers."""

    marks: Marks
    copies: Slots | None

    def release(self) -> None:
        self.marks.release()
        if self.copies is not None:
            self.copies.release()


class Lender:
    """Lends buffers to the reader at the other end of `channel`, which becomes this object's own.

    `ready`: the reader has said so. `closed`: it has closed its end. A buffer without descriptors is copied into memory
    of ours, which `copied_frames` and `copied_bytes` count. Not for sharing between threads. `release()` is idempotent
    and takes everything back.
    """

    def __init__(self, channel: socket.socket, order: bytes, *, floor: int = 2, most: int = 64) -> None:
        """Raises ProtocolError when `order` is too long for a message."""
        opening = wire.pack_opening(order)
        self.ready = False
        self.closed = False
        self.copied_frames = 0
        self.copied_bytes = 0
        self.ledger = Ledger(floor=floor, most=most)
        self._channel = channel
        channel.setblocking(False)
        self._pools: dict[int, _Pool] = {}
        self._next_pool = 1
        self._token = CommitToken.create()
        self._answer = bytearray(wire.ANSWER_BYTES + 1)
        self._outbox = deque([_Outgoing(0, opening, (self._token.fd,))])
        self.flush()

    def fileno(self) -> int:
        """The channel: readable when answers wait, or when the reader is gone."""
        return self._channel.fileno()

    def add_pool(self, camera: str, form: PoolFormat, buffers: Sequence[Sequence[Memory]]) -> int:
        """Pass a pool's descriptors; its number.

        They must stay open until `flush` says that they were passed, or `remove_pool`.
        Raises PoolTooSmall, OSError when there is no memory for copies.
        """
        number = self._next_pool
        self.ledger.add_pool(number, len(buffers))
        self._next_pool += 1
        copies = None
        if any(plane.fd is None for planes in buffers for plane in planes):
            copies = Slots(len(buffers) - self.ledger.floor, [plane.length for plane in buffers[0]])
            buffers = [
                [Memory(fd, length) for fd, length in zip(fds, copies.lengths, strict=True)] for fds in copies.fds
            ]
        pool = self._pools[number] = _Pool(Marks(len(buffers)), copies)
        self._outbox.append(_Outgoing(number, wire.pack_pool(number, len(buffers), form, camera), (pool.marks.fd,)))
        self._announce_buffers(number, buffers)
        self.flush()
        return number

    def remove_pool(self, number: int) -> list[Lease]:
        """Revoke a pool's leases as `revoke` does, and have the reader unmap it."""
        ended = self.revoke(number)
        self.ledger.remove_pool(number)
        pool = self._pools.pop(number)
        # what was not passed yet would name descriptors that are closed by then
        self._outbox = deque(entry for entry in self._outbox if entry.pool != number)
        self._outbox.append(_Outgoing(number, wire.pack_forget(number)))
        self.flush()
        pool.release()
        return ended

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
        planes: Sequence[NDArray[np.uint8]],
        offsets: tuple[int, ...],
        trace_ids: Sequence[str],
        limit_ns: int,
        item: Any = None,
    ) -> Lease | None:
        """Lend buffer `index` of a pool; None when there is no room. `item` comes back with the lease.

        `planes` are what the driver wrote, `offsets` where in the buffer's planes they begin. Raises StateError when
        it is lent already, ValueError for a trace id that is not 32 hexadecimal digits.
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
        place = index
        if pool.copies is not None:
            place = lease.slot = pool.copies.take(planes)
            offsets = (0,) * len(planes)
        pool.marks.words[place] = lease.number
        lengths = tuple(plane.size for plane in planes)
        message = wire.pack_frame(
            number, place, lease.number, lease.number, limit_ns, facts, offsets, lengths, len(trace_ids)
        )
        if not self._send_frame(message, traces, len(trace_ids)):
            self.ledger.answered(lease.number)
            self._free(lease)
            return None
        if pool.copies is not None:
            self.copied_frames += 1
            self.copied_bytes += sum(lengths)
        return lease

    def receive(self) -> tuple[Lease, Answer] | None:
        """The next answer, of a lease that is settled by it; None when none waits or the reader is gone.

        `lease.live` False: it had been revoked, and its buffer is ours since then. Raises ProtocolError: whatever else
        this reader says, its buffers must be taken back only when its process is gone.
        """
        while (message := self._next_message()) is not None:
            if isinstance(message, Ready):
                if self.ready or message.version != wire.VERSION:
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
        exact = bool(leases) and self._token.take()
        for lease in leases:
            self._unmark(lease)
            if exact:
                self._free(lease)
                self.ledger.revoke(lease)
        if exact:
            self._token.put_back()
        return leases if exact else []

    def reader_gone(self) -> list[Lease]:
        """The reader's process has ended: the leases it had, oldest first. Only `release` is left to be called."""
        left = self.ledger.reader_gone()
        for lease in left:
            self._free(lease)
        return left

    def release(self) -> None:
        """Close the channel and let go of the memory; the reader finds its end."""
        self._channel.close()
        self._token.release()
        while self._pools:
            self._pools.popitem()[1].release()

    def _announce_buffers(self, number: int, buffers: Sequence[Sequence[Memory]]) -> None:
        planes = len(buffers[0])
        at_once = wire.FDS_AT_ONCE // planes
        for first in range(0, len(buffers), at_once):
            part = [plane for buffer in buffers[first : first + at_once] for plane in buffer]
            message = wire.pack_buffers(number, first, planes, [plane.length for plane in part])
            fds = tuple(plane.fd for plane in part if plane.fd is not None)
            self._outbox.append(_Outgoing(number, message, fds))

    def _send(self, message: bytes, fds: Sequence[int] = ()) -> bool:
        try:
            if fds:
                socket.send_fds(self._channel, [message], fds)
            else:
                self._channel.send(message)
        except _NO_ROOM:
            return False
        except OSError as error:
            # more descriptors are on their way than one process may have open (unix(7)): the reader has to take some
            if error.errno == errno.ETOOMANYREFS:
                return False
            raise
        return True

    def _send_frame(self, message: bytes, traces: bytes, count: int) -> bool:
        if count <= wire.TRACES_INLINE:
            return self._send(message + traces if traces else message)
        fd = os.memfd_create("camera-agent-traces", os.MFD_CLOEXEC)
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
        except ConnectionResetError:
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
        if pool is not None:
            place = lease.index if pool.copies is None else lease.slot
            if pool.marks.words[place] == lease.number:
                pool.marks.words[place] = 0

    def _free(self, lease: Lease) -> None:
        """The lease has ended: its mark and the place of its copy are free."""
        self._unmark(lease)
        pool = self._pools.get(lease.pool)
        if pool is not None and pool.copies is not None:
            pool.copies.give_back(lease.slot)
