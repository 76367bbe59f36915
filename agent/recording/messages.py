"""What a recorder and its writing process say to each other: JSON, a packet each. What is told of a frame lies with it.

To the writer: `order` (first), `memory` (with the descriptor of the slots), `frame`, `event`, `end`. From it: `ready`,
`done` (one for each frame, in order), `keeping` and `kept` around work on the folder, `ended`.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

from agent.errors import AgentError
from agent.frames.values import Facts
from agent.recording.source import LentFrame

PACKET_BYTES = 64 * 1024
_WORDS = 2000


class WriterFault(AgentError):
    """The writing process said what it may not, or ended by itself again and again."""

    code = "recording_writer"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a frame: `stored` in `file`, `kept` in memory, or neither, with an error's code and words.

    `size_bytes`: added to the folder. `written`: frames in files since the last answer (those of a ring come at once).
    `dropped`: frames that left the memory unwritten. `removed`: old files that made room.
    """

    stored: bool
    kept: bool = False
    file: str = ""
    size_bytes: int = 0
    written: int = 0
    dropped: int = 0
    removed: int = 0
    files: int = 0
    code: str = ""
    told: str = ""
    hint: str = ""
    full: bool = False


def send(channel: socket.socket, kind: str, *, fds: tuple[int, ...] = (), **fields: Any) -> None:
    """One message. Nobody to hear it is no error: that end is seen otherwise."""
    packet = json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode()
    if len(packet) > PACKET_BYTES:
        raise ValueError(f"a message of {len(packet)} bytes")
    try:
        if fds:
            socket.send_fds(channel, [packet], list(fds))
        else:
            channel.send(packet)
    except (BrokenPipeError, ConnectionResetError):
        return


def receive(channel: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next message and its descriptors; None at the end. BlockingIOError when there is none. Raises WriterFault."""
    flags = socket.MSG_CMSG_CLOEXEC  # type: ignore[attr-defined,unused-ignore]
    try:
        packet, fds, _, _ = socket.recv_fds(channel, PACKET_BYTES, 4, flags)
    except ConnectionResetError:
        return None, []
    if not packet:
        return None, list(fds)
    try:
        message = json.loads(packet)
    except ValueError as error:
        raise WriterFault(f"a message that is no JSON ({error})", hint="this is a bug: please report it") from error
    return message, list(fds)


def shortened(words: str) -> str:
    """Words that fit into a message."""
    return words if len(words) <= _WORDS else f"{words[: _WORDS - 3]}..."


def told_of(frame: LentFrame, plan: str) -> bytes:
    """All that is known of a frame but its pixels, as JSON."""
    form = frame.form
    return json.dumps(
        {
            "camera": frame.camera,
            "form": [form.pixel_format, form.width_px, form.height_px, form.planes, form.interlaced],
            "facts": frame.facts._asdict(),
            "sizes": [int(plane.nbytes) for plane in frame.planes],
            "trace_ids": frame.trace_ids,
            "skipped": frame.skipped,
            "plan": plan,
        }
    ).encode()


def facts_from(fields: dict[str, Any]) -> Facts:
    """The facts of `told_of`; of a later version, those that this one knows."""
    return Facts(**{name: fields[name] for name in Facts._fields})
