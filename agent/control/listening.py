"""Listening sockets: made at a path with mode and group at once, or taken over from systemd."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import stat
from contextlib import suppress
from pathlib import Path

from agent.errors import InputError

_LONGEST = 107
"""sun_path of unix(7), without its final zero."""
_BACKLOG = 128
_KINDS = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
_TAKEN = (errno.ECONNREFUSED, errno.ENOENT)


class SocketTaken(InputError):
    """The socket cannot be made: something else is at its path. Details: socket."""

    code = "socket_taken"


class Listening:
    """A listening unix socket. A context manager; `release()` is idempotent and takes our path away again."""

    def __init__(self, listener: socket.socket, path: Path | None = None) -> None:
        """Own `listener`; `path` only if it was made here: one that systemd holds stays."""
        self.socket = listener
        self._path = path
        self._inode = path.lstat().st_ino if path else 0

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Close it, and remove its path unless another agent's is there by now."""
        path, self._path = self._path, None
        self.socket.close()
        if path is not None:
            with suppress(FileNotFoundError):
                if path.lstat().st_ino == self._inode:
                    path.unlink()


def listen(
    path: Path, *, mode: int = 0o660, gid: int | None = None, kind: socket.SocketKind = socket.SOCK_STREAM
) -> Listening:
    """A socket at `path`: whoever sees it there finds its mode and group set, and somebody listening.

    A socket that nobody listens on any more is replaced. Raises SocketTaken, InputError.
    """
    if len(os.fsencode(path)) > _LONGEST - 9:
        raise InputError(
            f"the path of the socket is longer than {_LONGEST - 9} bytes: {path}", hint="choose a shorter one"
        )
    _check_free(path, kind)
    listener = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
    beside = path.with_name(f".{secrets.token_hex(3)}")
    try:
        listener.bind(os.fsencode(beside))
        if gid is not None:
            os.chown(beside, -1, gid)
        beside.chmod(mode)
        listener.listen(_BACKLOG)
        beside.rename(path)
        return Listening(listener, path)
    except OSError as error:
        listener.close()
        beside.unlink(missing_ok=True)
        raise _refused(path, error) from error


def inherited(descriptor: int) -> Listening:
    """A socket that systemd listened on for us (sd_listen_fds(3)); its path stays. Raises InputError."""
    listener = socket.socket(fileno=descriptor)
    right = listener.family == socket.AF_UNIX and listener.type in _KINDS
    if not right or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()
        raise InputError(
            f"descriptor {descriptor} is not a unix socket for a stream or for packets that listens",
            hint="in the .socket unit write ListenStream= and ListenSequentialPacket= with paths",
        )
    listener.setblocking(False)
    return Listening(listener)


def _check_free(path: Path, made: socket.SocketKind) -> None:
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused(path, error) from error
    if not stat.S_ISSOCK(kind):
        raise SocketTaken(f"{path} exists and is no socket", hint="remove it, or choose another path", socket=str(path))
    with socket.socket(socket.AF_UNIX, made) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(os.fsencode(path))
    if answer not in _TAKEN:
        raise SocketTaken(
            f"another program answers at {path}",
            hint="end it, or choose another path with --socket",
            socket=str(path),
        )


def _refused(path: Path, error: OSError) -> InputError:
    return InputError(
        f"no socket can be made at {path}: {error.strerror or error}",
        hint="its folder must exist and be ours to write; --socket chooses another path",
        socket=str(path),
    )
