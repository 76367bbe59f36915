"""The door between the agent and a capture process: connections of clients are passed through it, and nothing else.

One message is a client's SUBSCRIBE as it sent it, with the descriptor of its connection (SCM_RIGHTS, unix(7)).
"""

from __future__ import annotations

import os
import socket

from agent.frames import wire


def open_door() -> tuple[Door, socket.socket]:
    """The agent's end, and the end that a capture process inherits. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Door(ours), theirs


class Door:
    """One end. `closed`: the other end is closed. Never waits; `release()` is idempotent."""

    def __init__(self, end: socket.socket) -> None:
        """`end` becomes this object's own."""
        self.closed = False
        self._end = end
        end.setblocking(False)

    def fileno(self) -> int:
        """Readable when a connection is on its way."""
        return self._end.fileno()

    def pass_on(self, packet: bytes, connection: socket.socket) -> bool:
        """Pass a client's connection, which stays the caller's to close; False: not now, or never again."""
        try:
            socket.send_fds(self._end, [packet], [connection.fileno()])
        except (
            OSError
        ):  # full, or its process is gone, or too many descriptors are on their way: all may be otherwise soon
            return False
        return True

    def receive(self) -> tuple[bytes, socket.socket] | None:
        """The next connection, and what its client asked for; None when none waits."""
        while True:
            try:
                flags = socket.MSG_CMSG_CLOEXEC  # type: ignore[attr-defined,unused-ignore]
                packet, fds, _, _ = socket.recv_fds(self._end, wire.ANSWER_BYTES, 1, flags)
            except BlockingIOError:
                return None
            except ConnectionResetError:
                packet, fds = b"", []
            if fds:
                return packet, _connection(fds)
            if not packet:
                self.closed = True
                return None

    def release(self) -> None:
        """Close it. Connections that nobody took are closed by the kernel."""
        self._end.close()


def _connection(fds: list[int]) -> socket.socket:
    for fd in fds[1:]:
        os.close(fd)
    return socket.socket(fileno=fds[0])
