"""One connection to the process that lends the frames; it ends with that process."""

from __future__ import annotations

import fcntl
import socket
import threading
from collections import deque
from contextlib import suppress

from agent.frames.borrowed import Borrowed, Ioctl
from agent.frames.borrower import Borrower, NotGreeted
from agent.frames.values import Answer, State


class Link:
    """Frames from `channel`, on which a subscription was sent and which becomes this object's own. Never blocks.

    One thread hears; `give_back` may be called from any. `release()` is idempotent; views outlive it.
    """

    def __init__(self, channel: socket.socket, *, ioctl: Ioctl = fcntl.ioctl) -> None:
        self._channel = channel
        self._ioctl = ioctl
        self._borrower: Borrower | None = None
        self._answers: deque[Answer] = deque()
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """Readable when something is to be heard; -1 after release."""
        return self._channel.fileno()

    def hear(self) -> Borrowed | State | None:
        """The next frame, or what a camera does; None when the other side has ended it.

        Raises BlockingIOError: nothing is there yet. Raises Refused, ProtocolError, OSError when mapping fails.
        """
        borrower = self._borrower or self._opened()
        if borrower is None:
            return None
        self._send()
        while (heard := borrower.hear()) is not None:
            if isinstance(heard, Borrowed | State):
                return heard
        return None

    def give_back(self, lease: int, took_ns: int) -> None:
        """Answer for a lease, whose memory must not be read any more; nothing when the connection is over."""
        self._answers.append(Answer(lease, stored=False, took_ns=took_ns))
        self._send()

    def release(self) -> None:
        """Close the connection: whatever is still lent goes back."""
        with self._lock:
            self._channel.close()
            self._answers.clear()
            if self._borrower is not None:
                self._borrower.release()

    def _opened(self) -> Borrower | None:
        """Set up as soon as the opening is there; None when the end came instead. Raises BlockingIOError."""
        with suppress(ConnectionResetError):  # told once; what was said before that is still to be read
            self._channel.recv(1, socket.MSG_PEEK)
        try:
            borrower = Borrower(self._channel, ioctl=self._ioctl)
        except NotGreeted:
            return None
        self._channel.setblocking(False)
        self._borrower = borrower
        return borrower

    def _send(self) -> None:
        """All answers there are; those for which the socket has no room go when something is heard next."""
        with self._lock:
            while self._answers and self._borrower is not None and self._channel.fileno() >= 0:
                try:
                    self._borrower.answer(self._answers[0])
                except BlockingIOError:
                    return
                self._answers.popleft()
