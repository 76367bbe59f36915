"""A real descriptor that polls like a video node: POLLIN frame, POLLPRI event, POLLERR|POLLHUP|POLLPRI unplugged.

It is one end of a stream socketpair: one byte for each finished frame, one out-of-band byte while events are
pending. The kernel shows POLLIN beside POLLPRI for an out-of-band byte, which a video node would not; DQBUF then
answers EAGAIN. A peer closed with unread data in it gives POLLERR, which an orderly close would not.
"""

from __future__ import annotations

import os
import socket

_FRAME, _EVENT = b"f", b"e"


class Descriptor:
    """One open file's descriptor. Not locked: the camera's lock guards it."""

    def __init__(self, *, nonblocking: bool) -> None:
        self._client, self._peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._client.setblocking(not nonblocking)
        self._peer.setblocking(False)
        self.fd = self._client.fileno()
        self._frames = 0
        self._event = False
        self._hung_up = False

    @property
    def blocking(self) -> bool:
        """False with O_NONBLOCK, which fcntl may have changed since open."""
        return os.get_blocking(self.fd)

    def show(self, frames: int, *, event: bool) -> None:
        """Make poll() tell of `frames` finished frames, and of pending events."""
        if self._hung_up or (frames, event) == (self._frames, self._event):
            return
        if event or self._event:
            # an ordinary read may swallow the out-of-band byte on its way: write everything anew
            self._drain()
            self._frames = 0
        if frames > self._frames:
            self._peer.send(_FRAME * (frames - self._frames))
        elif frames < self._frames:
            self._client.recv(self._frames - frames, socket.MSG_DONTWAIT)
        if event:
            self._peer.send(_EVENT, socket.MSG_OOB)
        self._frames, self._event = frames, event

    def hang_up(self) -> None:
        """POLLERR, POLLHUP and POLLPRI from now on, waking whoever polls: POLLPRI comes a moment before the rest."""
        if self._hung_up:
            return
        self._hung_up = True
        self._client.send(_EVENT, socket.MSG_DONTWAIT)
        self._peer.send(_EVENT, socket.MSG_OOB)
        self._peer.close()

    def close(self) -> None:
        """Close both ends; idempotent."""
        self._hung_up = True
        self._peer.close()
        self._client.close()

    def _drain(self) -> None:
        while True:
            try:
                self._client.recv(4096, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
