"""The command socket between a parent and its capture process: bounded, never blocking, cancels first."""

from __future__ import annotations

import os
import pickle
import socket
from collections import deque
from typing import Any, NamedTuple

from agent.capture.messages import CANCEL, PACKET_BYTES, Command, decode, encode
from agent.capture.packets import LARGEST_BYTES, Packet, broken, in_memory, read_memory, receive_into
from agent.errors import AgentError, InputError

_QUEUE_MESSAGES = 4096
_QUEUE_BYTES = 2 * LARGEST_BYTES
_BACKLOG_PACKETS = 4096
_READS = 1024
"""Packets taken off the socket in one turn at most; a socket buffer of the default size holds fewer."""
_UNREADABLE = (
    *(pickle.UnpicklingError, EOFError, AttributeError, ImportError, LookupError, TypeError, ValueError),
    *(ArithmeticError, MemoryError, RecursionError),
)
"""What pickle raises on bytes it cannot make sense of: its documentation names the first, fuzzing found the others."""


class ChannelFull(AgentError):
    """The other end does not read: the message was not sent, and nothing that waited was lost."""

    code = "channel_full"


class MessageTooLarge(InputError):
    """One message is larger than any may be. Details: size_bytes, allowed."""

    code = "message_too_large"


class Received(NamedTuple):
    """A message as it arrived. `number` orders commands as they were asked: its own id, 0 where it has none.

    Cancels overtake; so a command whose number is below that of a cancel was asked before it.
    """

    number: int
    message: Any


class Channel:
    """One end of the socket pair; it owns the socket. A context manager; not for sharing between threads.

    `drain` when `fileno()` is readable, `flush` when it is writable and `wants_write` says so. What is sent after the
    other end has gone is discarded: nobody is left to read it.
    """

    def __init__(self, end: socket.socket, *, queue_messages: int = _QUEUE_MESSAGES) -> None:
        """`queue_messages`: how many messages may wait to be sent, and as many cancels; events get half of that."""
        end.setblocking(False)
        self._socket = end
        self._queue_messages = queue_messages
        # unix(7): a packet that the send buffer cannot hold is refused for ever; net.core.wmem_default may be small
        self._packet_bytes = min(PACKET_BYTES, end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2)
        self._cancels: deque[Packet] = deque()
        self._outgoing: deque[Packet] = deque()
        self._outgoing_bytes = 0
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._buffer = bytearray(PACKET_BYTES + 1)
        self.closed = False
        """The other end has gone, and all it said was handed out."""
        self.dropped = 0
        """Events that were not sent because the other end does not read."""
        self._ended = False

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def fileno(self) -> int:
        """The descriptor to poll; -1 after release."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Messages wait: poll for writing, then `flush`."""
        return bool(self._cancels or self._outgoing)

    @property
    def congested(self) -> bool:
        """The other end reads too slowly: half of the queue is full. Events are dropped until it has caught up."""
        return len(self._outgoing) >= self._queue_messages // 2

    @property
    def full(self) -> bool:
        """As many commands wait here as may: none is read before some were handed out, so do not poll for reading."""
        return len(self._backlog) >= _BACKLOG_PACKETS or self._backlog_bytes >= LARGEST_BYTES

    @property
    def waiting(self) -> bool:
        """Commands were read and not handed out yet: call `drain` again without polling."""
        return bool(self._backlog)

    def send(self, message: Any) -> None:
        """Send a command or an answer, or queue it; cancels overtake. Raises ChannelFull: then it was not sent."""
        self._put(message)

    def offer(self, event: Any) -> bool:
        """Send an event unless the queue is half full: then it is dropped and counted, and the answer is False."""
        if self.congested:
            self.dropped += 1
            return False
        try:
            self._put(event)
        except ChannelFull:
            self.dropped += 1
            return False
        return True

    def flush(self) -> bool:
        """Send what waits, as far as the other end takes it; True when nothing waits any more."""
        for queue in (self._cancels, self._outgoing):
            while queue:
                if not self._send_now(queue[0]):
                    return False
                self._forget(queue.popleft())
        return True

    def drain(self, bound: int) -> list[Received]:
        """All cancels that have arrived, then at most `bound` other messages in their order. Raises ChannelBroken."""
        self._read()
        received = self._take_cancels()
        for _ in range(min(bound, len(self._backlog))):
            received.append(self._decode(self._pop()))
        self.closed = self._ended and not self._backlog
        return received

    def receive(self) -> Received | None:
        """The next message as it was sent, overtaken by nothing; None when none waits. Raises ChannelBroken."""
        if not self._backlog:
            self._read()
        received = self._decode(self._pop()) if self._backlog else None
        self.closed = self._ended and not self._backlog
        return received

    def release(self) -> None:
        """Close the socket and forget what waits; idempotent."""
        self._discard()
        self._socket.close()

    def _put(self, message: Any) -> None:
        data = encode(message)
        if len(data) > LARGEST_BYTES:
            raise _too_large(message, len(data))
        queue = self._cancels if data[0] == CANCEL else self._outgoing
        if not self._has_room(queue, data):
            self.flush()
        if not self._has_room(queue, data):
            raise self._full()
        packet = Packet(data, -1, len(data)) if len(data) <= self._packet_bytes else in_memory(data)
        queue.append(packet)
        self._outgoing_bytes += packet.size_bytes
        if len(queue) == 1:
            self.flush()

    def _has_room(self, queue: deque[Packet], data: bytes) -> bool:
        return len(queue) < self._queue_messages and self._outgoing_bytes + len(data) <= _QUEUE_BYTES

    def _send_now(self, packet: Packet) -> bool:
        try:
            if packet.memory < 0:
                self._socket.send(packet.data, socket.MSG_NOSIGNAL)
            else:
                socket.send_fds(self._socket, [packet.data], [packet.memory], socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionError:
            # the other end has gone: nobody is left to read this; what it said before can still be read
            return True
        return True

    def _forget(self, packet: Packet) -> None:
        self._outgoing_bytes -= packet.size_bytes
        if packet.memory >= 0:
            os.close(packet.memory)

    def _discard(self) -> None:
        for queue in (self._cancels, self._outgoing):
            while queue:
                self._forget(queue.popleft())

    def _read(self) -> None:
        for _ in range(_READS):
            if self._ended or self.full:
                return
            packet = self._receive()
            if packet is None:
                return
            self._backlog.append(packet)
            self._backlog_bytes += len(packet)

    def _receive(self) -> bytes | None:
        """One packet; None when none waits. The end of the connection is kept in mind."""
        while True:
            try:
                size, fds, _, _ = receive_into(self._socket, self._buffer)
            except (BlockingIOError, InterruptedError):
                return None
            except ConnectionResetError:
                # the other end died with commands unread: said once, and what it had sent is still there after it
                continue
            if size == 0 and not fds:
                self._ended = True
                return None
            return self._whole(size, fds)

    def _whole(self, size: int, fds: list[int]) -> bytes:
        if fds:
            return read_memory(fds)
        if size > PACKET_BYTES:
            raise broken(f"a packet of more than {PACKET_BYTES} bytes")
        return bytes(memoryview(self._buffer)[:size])

    def _take_cancels(self) -> list[Received]:
        if not any(packet[0] == CANCEL for packet in self._backlog):
            return []
        cancels = [packet for packet in self._backlog if packet[0] == CANCEL]
        self._backlog = deque(packet for packet in self._backlog if packet[0] != CANCEL)
        self._backlog_bytes -= sum(map(len, cancels))
        return [self._decode(packet) for packet in cancels]

    def _pop(self) -> bytes:
        packet = self._backlog.popleft()
        self._backlog_bytes -= len(packet)
        return packet

    def _decode(self, packet: bytes) -> Received:
        try:
            message = decode(packet)
        except _UNREADABLE as error:
            raise broken(f"a packet that cannot be read ({error})") from error
        return Received(message.id if isinstance(message, Command) else 0, message)

    def _full(self) -> ChannelFull:
        waiting = len(self._cancels) + len(self._outgoing)
        return ChannelFull(
            f"the other end of the command socket does not read: {waiting} messages wait for it",
            hint="ask again when the capture process answers; one that hangs is replaced by itself",
            waiting=waiting,
            waiting_bytes=self._outgoing_bytes,
        )


def open_pair() -> tuple[Channel, socket.socket]:
    """Our end, and the other one to be handed to a child and then closed here."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(ours), theirs


def attach(fd: int) -> Channel:
    """The end of the pair that was inherited as `fd`; the channel owns it from now on."""
    return Channel(socket.socket(fileno=fd))


def _too_large(message: Any, size_bytes: int) -> MessageTooLarge:
    return MessageTooLarge(
        f"{type(message).__name__} of {size_bytes} bytes is too large for the command socket",
        hint="ask for fewer plans at once",
        size_bytes=size_bytes,
        allowed=LARGEST_BYTES,
    )
