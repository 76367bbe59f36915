"""The sockets the agent listens at: one for control, and one for frames in the same folder."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from agent.config.access import SocketWish
from agent.control.access import group_ids
from agent.control.listening import Listening, inherited, listen
from agent.frames.wire import SOCKET_NAME


class Sockets:
    """The listening sockets of the agent. A context manager."""

    def __init__(self, every: Iterable[Listening]) -> None:
        self.all = tuple(every)

    def __enter__(self) -> Sockets:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as steps:
            for each in self.all:
                steps.callback(each.release)

    def of(self, kind: socket.SocketKind) -> list[socket.socket]:
        """Those of one type: SOCK_STREAM for control, SOCK_SEQPACKET for frames."""
        return [each.socket for each in self.all if each.socket.type == kind]


def open_sockets(wish: SocketWish, path: Path | None, descriptors: Iterable[int]) -> Sockets:
    """What systemd handed over; what it did not, as sockets of our own: that for frames beside that for control.

    `path`: of the control socket, instead of what is wished for. Raises InputError.
    """
    with ExitStack() as undo:
        found: list[Listening] = []
        for fd in descriptors:
            found.append(inherited(fd))
            undo.callback(found[-1].release)
        kinds = {each.socket.type for each in found}
        control = path or wish.path
        for kind, place in ((socket.SOCK_STREAM, control), (socket.SOCK_SEQPACKET, _beside(found, control))):
            if kind not in kinds:
                gid = None if wish.group is None else next(iter(group_ids([wish.group])))
                found.append(listen(place, mode=wish.mode, gid=gid, kind=kind))
                undo.callback(found[-1].release)
        undo.pop_all()
    return Sockets(found)


def _beside(found: Iterable[Listening], control: Path) -> Path:
    """Where clients look for the frame socket: in the folder of the control socket, which may be systemd's."""
    names = (each.socket.getsockname() for each in found if each.socket.type == socket.SOCK_STREAM)
    return Path(next(names, str(control))).with_name(SOCKET_NAME)
