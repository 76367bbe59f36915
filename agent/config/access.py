"""`access:`, `socket:` and `metrics:` of a service's file: who may ask the agent, and where."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from agent.config import kinds, patterns
from agent.config.problems import quoted
from agent.config.reader import Kind, Table, Value
from agent.errors import InputError

USUAL_SOCKET = Path("/run/camera-agent/control.sock")
_LONGEST_SOCKET_BYTES = 98
"""sun_path of unix(7) has 108; the rest is for the name that the socket is made under before it is put in place."""
_USER_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*):([0-9]{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessWish:
    """Groups of users by name for each level; None: everybody who may connect. Whether they exist is not asked here.

    Each level includes those before it. Root, and the user the agent runs as, may do everything.
    """

    look: tuple[str, ...] | None = None
    control: tuple[str, ...] | None = None
    administer: tuple[str, ...] | None = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketWish:
    """Where the control socket is made. `group` None: that of the agent. Of no use where systemd hands one over."""

    path: Path = USUAL_SOCKET
    mode: int = 0o660
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address to listen at. `host`: empty for all of the machine's."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it is written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_access(table: Table) -> AccessWish:
    """Who may do what."""
    value = table.take("access")
    read = None if value is None else value.table(_levels)
    return AccessWish() if read is None else read


def read_socket(table: Table) -> SocketWish:
    """The control socket: its path alone, or with mode and group."""
    value = table.take("socket")
    if value is None:
        return SocketWish()
    if value.text is not None:
        path = value.scalar(_SOCKET)
        return SocketWish() if path is None else SocketWish(path=path)
    read = value.table(_socket_wish)
    return SocketWish() if read is None else read


def read_metrics(table: Table) -> Address | None:
    """Where metrics are given out; None: nowhere."""
    return table.scalar("metrics", _LISTEN, None)


def _levels(table: Table) -> AccessWish:
    usual = AccessWish()
    return AccessWish(
        look=_groups(table, "look", usual.look),
        control=_groups(table, "control", usual.control),
        administer=_groups(table, "administer", usual.administer),
    )


def _groups(table: Table, key: str, usual: tuple[str, ...] | None) -> tuple[str, ...] | None:
    value = table.take(key)
    if value is None:
        return usual
    names = value.items(_user_group)
    if len(set(names)) != len(names):
        value.refuse("a group stands here twice", "keep one of them")
    return tuple(sorted(names))


def _user_group(value: Value) -> str | None:
    return value.scalar(_GROUP)


def _socket_wish(table: Table) -> SocketWish:
    usual = SocketWish()
    return SocketWish(
        path=table.scalar("path", _SOCKET, usual.path),
        mode=table.scalar("mode", _MODE, usual.mode),
        group=table.scalar("group", _GROUP, None),
    )


def _group_name(text: str) -> str:
    if not _USER_GROUP.fullmatch(text):
        raise InputError(f"{quoted(text)} is not a group of users", hint="write a name that `getent group` lists")
    return text


def _socket_path(text: str) -> Path:
    path = kinds.ABSOLUTE.parse(text)
    if len(os.fsencode(path)) > _LONGEST_SOCKET_BYTES or path.endswith("/"):
        raise InputError(
            f"{quoted(text)} cannot be a socket", hint=f"write a path of {_LONGEST_SOCKET_BYTES} bytes at most"
        )
    return Path(path)


def _mode(text: str) -> int:
    if not re.fullmatch("0?6(00|60|66)", text):
        raise InputError(f"{quoted(text)} is no mode of a socket", hint="write 0600, 0660 or 0666")
    return int(text, 8)


def _address(text: str) -> Address:
    match = _ADDRESS.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 65535:
        hint = "write a host and a port, such as 127.0.0.1:9091, or :9091 for all addresses of this machine"
        raise InputError(f"{quoted(text)} is not an address", hint=hint)
    return Address(match[1].strip("[]"), int(match[2]))


_GROUP = Kind("a group of users", "video", _group_name, schema=patterns.text(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}"))
_SOCKET = Kind(
    "the path of a socket",
    str(USUAL_SOCKET),
    _socket_path,
    longest=_LONGEST_SOCKET_BYTES,
    schema=patterns.text(r"/([!-~]{0,90}[!-.0-~])", maxLength=_LONGEST_SOCKET_BYTES),
)
_MODE = Kind("a mode", "0660", _mode, schema={"enum": ["0600", "0660", "0666", 600, 660, 666]})
_LISTEN = Kind(
    "an address",
    "127.0.0.1:9091",
    _address,
    schema=patterns.text(r"(\[[0-9A-Fa-f:.]{2,39}\]|[A-Za-z0-9.-]{0,40}):[1-9][0-9]{0,3}"),
)
