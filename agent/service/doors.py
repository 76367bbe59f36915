"""Where the control API is asked, and who may ask it, as a configuration says."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from agent.config.access import AccessWish, SocketWish
from agent.control.access import Access, group_ids
from agent.control.listening import Listening, inherited, listen


class Listeners:
    """The listening sockets. A context manager."""

    def __init__(self, every: Iterable[Listening]) -> None:
        self.all = tuple(every)

    def __enter__(self) -> Listeners:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as steps:
            for each in self.all:
                steps.callback(each.release)


def listening(wish: SocketWish, path: Path | None, descriptors: Iterable[int]) -> Listeners:
    """What systemd handed over; else a socket of our own."""
    handed = [inherited(fd) for fd in descriptors]
    if handed:
        return Listeners(handed)
    gid = None if wish.group is None else next(iter(group_ids([wish.group])))
    return Listeners([listen(path or wish.path, mode=wish.mode, gid=gid)])


def access_of(wish: AccessWish) -> Access:
    """Raises InputError for groups that this machine does not know."""
    return Access(look=_ids(wish.look), control=_ids(wish.control), administer=_ids(wish.administer))


def _ids(names: Iterable[str] | None) -> frozenset[int] | None:
    return None if names is None else group_ids(names)
