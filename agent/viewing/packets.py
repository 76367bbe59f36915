"""What the agent and a viewer tell each other over a SOCK_SEQPACKET pair: JSON, and a picture's memory beside it.

A picture comes as a sealed memfd: one small packet however large it is, so that neither side ever holds half of one,
and the agent maps it without copying a byte. The agent believes nothing of what a viewer says but what it has
checked (`read_told`); a viewer believes the agent.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agent.control.picture import MEDIA, TRACES_TOLD, Look, Picture, PictureFacts
from agent.errors import AgentError
from agent.kernel import PROT_READ
from agent.kernel import Mapping as Memory

PACKET_BYTES = 64 * 1024
MOST_BYTES = 128 * 1024 * 1024
"""Of one picture: as much as an uncompressed TIFF of 40 million pixels needs."""
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class ViewerProtocol(AgentError):
    """A viewer said what it may not."""

    code = "viewer_protocol"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="it is killed, and replaced by itself")


# -- from the agent ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Show:
    """Everything that is to be shown from now on: by its number, how, and how often a second at most."""

    wanted: Mapping[int, tuple[Look, int]]


@dataclass(frozen=True, slots=True)
class Take:
    """One picture of the next frame whose exposure began at `after_ns` or later."""

    id: int
    look: Look
    after_ns: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Nobody waits for it any more."""

    id: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The picture of this number was read: another one may be sent."""

    key: int


Order = Show | Take | Drop | Seen


def pack_order(order: Order) -> bytes:
    """One packet."""
    if isinstance(order, Show):
        told: dict[str, Any] = {
            "wanted": [[key, asdict(look), rate] for key, (look, rate) in sorted(order.wanted.items())]
        }
    else:
        told = asdict(order)
    return json.dumps({"verb": type(order).__name__, **told}).encode()


def unpack_order(packet: bytes) -> Order:
    """What `pack_order` made. Raises ValueError, TypeError, KeyError for anything else."""
    told = json.loads(packet)
    verb = told.pop("verb")
    if verb == "Show":
        return Show({key: (Look(**look), rate) for key, look, rate in told["wanted"]})
    if verb == "Take":
        return Take(told["id"], Look(**told["look"]), told["after_ns"])
    if verb == "Drop":
        return Drop(told["id"])
    return Seen(told["key"])


# -- from the viewer -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """A picture: for what is shown under `key` (None: for nobody), and for those who wait for one."""

    picture: Picture
    key: int | None
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no such picture; `key` and `ids` as of `Made`. It is not tried again."""

    error: Mapping[str, Any]
    key: int | None
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Alive:
    """Nothing else is to be told. `frames`: how many it has seen."""

    frames: int


Told = Made | Refused | Alive


def send_told(channel: socket.socket, told: Told) -> None:
    """One packet. Raises OSError: BlockingIOError where there is no room, or the agent has gone."""
    if isinstance(told, Made):
        fd = _sealed(told.picture.data)
        try:
            facts = asdict(told.picture.facts)
            facts["trace_ids"] = facts["trace_ids"][:TRACES_TOLD]  # thousands would not fit into a packet
            document = {"key": told.key, "ids": told.ids, "bytes": len(told.picture.data), "facts": facts}
            socket.send_fds(channel, [_packed("made", document)], [fd])
        finally:
            os.close(fd)
    elif isinstance(told, Refused):
        channel.send(_packed("refused", {"key": told.key, "ids": told.ids, "error": dict(told.error)}))
    else:
        channel.send(_packed("alive", {"frames": told.frames}))


def _packed(kind: str, document: Mapping[str, Any]) -> bytes:
    return json.dumps({"told": kind, **document}, default=str).encode()


def _sealed(data: bytes | memoryview) -> int:
    fd = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_told(channel: socket.socket) -> Told | None:
    """The next packet; None when the viewer has closed. Raises BlockingIOError, ViewerProtocol."""
    try:
        packet, fds, flags, _ = socket.recv_fds(channel, PACKET_BYTES, 4, socket.MSG_CMSG_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
    except (ConnectionResetError, BrokenPipeError):
        return None
    try:
        if not packet:
            return None
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ViewerProtocol("a packet of a viewer was cut off")
        return _checked(packet, fds)
    finally:
        for fd in fds:
            os.close(fd)


def _checked(packet: bytes, fds: list[int]) -> Told:
    try:
        told = json.loads(packet)
        kind = told["told"]
        if kind == "alive":
            return Alive(_whole(told["frames"]))
        key = None if told["key"] is None else _whole(told["key"])
        ids = tuple(_whole(one) for one in told["ids"])
        if kind == "refused":
            return Refused({**_error(told["error"])}, key, ids)
        if kind == "made" and len(fds) == 1:
            facts = {**told["facts"], "trace_ids": tuple(map(str, told["facts"]["trace_ids"]))}
            return Made(Picture(_content(fds[0], _whole(told["bytes"])), _facts(facts)), key, ids)
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise ViewerProtocol(f"a viewer said what nobody understands: {type(error).__name__}") from error
    raise ViewerProtocol("a viewer said what nobody understands")


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not a whole number")
    return value


def _error(told: Mapping[str, Any]) -> dict[str, Any]:
    details = told.get("details", {})
    return {
        "code": str(told["code"]),
        "message": str(told["message"]),
        "hint": str(told["hint"]),
        "details": dict(details),
    }


def _facts(told: Mapping[str, Any]) -> PictureFacts:
    facts = PictureFacts(**told)
    for name in ("width_px", "height_px", "sequence", "timestamp_ns", "realtime_ns"):
        _whole(getattr(facts, name))
    for name in ("began_ns", "exposure_ns", "gain"):
        value = getattr(facts, name)
        if value is not None:
            _whole(value)
    if facts.kind not in MEDIA or not isinstance(facts.camera, str):
        raise TypeError("no picture that is known")
    if not facts.camera.isprintable() or not all(one.isascii() and one.isprintable() for one in facts.trace_ids):
        raise ValueError("what cannot stand in a header")
    return facts


def _content(fd: int, size: int) -> memoryview:
    """Mapped, not copied: the memory is sealed, so it stays as long and as it is."""
    if not 0 < size <= MOST_BYTES or fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
        raise ValueError("a picture of no size that can be, or whose memory is not sealed")
    if os.fstat(fd).st_size < size:
        raise ValueError("a picture that is shorter than was said")
    return Memory(fd, size, 0, PROT_READ).view.toreadonly()
