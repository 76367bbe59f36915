# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream socket to the kernel: commands in, answers out, never blocking."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator

from .errors import HostGone
from .usbip import Command, Parser

_READ_BYTES = 1 << 16
_MOST_BUFFERS = 64
_SOCKET_BUFFER_BYTES = 1 << 20


class Link:
    """The camera's end of the cable. Release with `close`, which is idempotent. For one thread."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
        self._end = end
        self._parser = Parser()
        self._outbox: deque[memoryview] = deque()

    def fileno(self) -> int:
        """For a selector."""
        return self._end.fileno()

    @property
    def waiting(self) -> bool:
        """Something is queued that the socket had no room for."""
        return bool(self._outbox)

    def send(self, *buffers: bytes | memoryview) -> None:
        """Queue `buffers`, which must not change any more; `flush` sends them."""
        self._outbox.extend(memoryview(each) for each in buffers if len(each))

    def flush(self) -> None:
        """Send what the socket takes. Raises: HostGone."""
        while self._outbox:
            try:
                sent = self._end.sendmsg([self._outbox[at] for at in range(min(len(self._outbox), _MOST_BUFFERS))])
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError) as error:
                raise HostGone("the kernel closed the stream") from error
            self._forget(sent)

    def receive(self) -> Iterator[Command]:
        """The commands that have come in. Raises: HostGone, ProtocolError."""
        try:
            data = self._end.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError as error:
            raise HostGone("the kernel closed the stream") from error
        if not data:
            raise HostGone("the kernel closed the stream")
        yield from self._parser.feed(data)

    def close(self) -> None:
        """Pull the cable."""
        self._outbox.clear()
        self._end.close()

    def _forget(self, sent_bytes: int) -> None:
        while sent_bytes:
            first = self._outbox.popleft()
            if len(first) > sent_bytes:
                self._outbox.appendleft(first[sent_bytes:])
                return
            sent_bytes -= len(first)
