"""Who is at the other end of a unix socket, as the kernel knows it: SO_PEERCRED and SO_PEERGROUPS, unix(7)."""

from __future__ import annotations

import errno
import os
import pwd
import select
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

_SO_PEERGROUPS = 59
"""asm-generic/socket.h, since Linux 4.13; Python has no name for it."""
_UCRED = struct.Struct("iII")
"""struct ucred of unix(7): pid, uid, gid."""
_ROOM_BYTES = 1024
"""What Python's getsockopt can take: 256 groups."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, and what it may be counted to; as it was when it connected.

    `gids`: its group and its supplementary groups. `user`: its name, or its number where it has none.
    """

    pid: int
    uid: int
    gids: frozenset[int]
    user: str

    def __str__(self) -> str:
        """For people and journals: `user anna (pid 4711)`."""
        return f"user {self.user} (pid {self.pid})"


ReadPeer = Callable[[socket.socket], Peer]
"""Whoever is at the other end of a connected socket. Raises OSError: it is gone, or the kernel does not tell."""


def read_peer(connection: socket.socket) -> Peer:
    """The kernel's answer. Raises OSError."""
    pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid, frozenset((gid, *_groups(connection, uid, gid))), user_name(uid))


def _groups(connection: socket.socket, uid: int, gid: int) -> Sequence[int]:
    try:
        packed = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _ROOM_BYTES)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        return os.getgrouplist(user_name(uid), gid)
    return struct.unpack(f"{len(packed) // 4}I", packed)


@lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    """The user's name, or the number where there is none; asked once, since a name service may take its time."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def hung_up(connection: socket.socket | None) -> bool:
    """Whether the other end closed its socket altogether: POLLHUP, where half-closing is POLLRDHUP only (poll(2))."""
    if connection is None or connection.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))
