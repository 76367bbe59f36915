"""The events of one watched line: a bounded fifo that drops its oldest, and a real descriptor to poll.

Follows drivers/gpio/gpiolib-cdev.c: linereq_put_event, debounce_work_func, linereq_poll.
"""

from __future__ import annotations

import socket
from collections import deque

from agent.trigger.lines import Edge

_EDGE = b"e"


class EdgeFifo:
    """Numbered edges, the oldest dropped when it is full; numbers go on, so that a gap shows."""

    def __init__(self, buffer_events: int) -> None:
        # kfifo_alloc takes the next power of two
        self._waiting: deque[Edge] = deque(maxlen=1 << (buffer_events - 1).bit_length())
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, time_ns: int, *, active: bool) -> None:
        """Number an edge and keep it."""
        self._count += 1
        self._waiting.append(Edge(time_ns, active, self._count, self._count))

    def take(self, most: int) -> tuple[Edge, ...]:
        """The oldest edges, at most so many."""
        return tuple(self._waiting.popleft() for _ in range(min(most, len(self._waiting))))


class Signal:
    """A descriptor: POLLIN while edges wait, POLLERR and POLLHUP once the chip has gone. Not locked."""

    def __init__(self) -> None:
        self._ours, self._peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._ours.setblocking(False)
        self._peer.setblocking(False)
        self.fd = self._ours.fileno()
        self._shown = False
        self._hung_up = False

    def show(self, *, waiting: bool) -> None:
        """Make poll() tell whether edges wait."""
        if self._hung_up or waiting == self._shown:
            return
        if waiting:
            self._peer.send(_EDGE)
        else:
            self._ours.recv(len(_EDGE))
        self._shown = waiting

    def hang_up(self) -> None:
        """Wake whoever polls, for good: a peer closed with unread data in it gives POLLERR beside POLLHUP."""
        if self._hung_up:
            return
        self._hung_up = True
        self._ours.send(_EDGE)
        self._peer.close()

    def close(self) -> None:
        """Close both ends; idempotent."""
        self._hung_up = True
        self._peer.close()
        self._ours.close()
