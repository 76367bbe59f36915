"""The frame protocol's messages: each is one packet of a SOCK_SEQPACKET pair, in the machine's byte order.

From the lender: OPENING (what the reader is told to do; with the commit token's descriptor), POOL (a camera's format
and number of buffers; with the descriptor of its marks), BUFFERS (with the descriptors of the buffers' planes), FRAME
(one lent buffer), FORGET (unmap a pool). From the reader: READY, RETURNED (one frame done).

All fields lie where a C compiler puts them. Texts are UTF-8. Times are nanoseconds of CLOCK_MONOTONIC unless named
otherwise. Lengths are checked on reading: what does not fit raises ProtocolError.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent.errors import AgentError

VERSION = 1
PACKET_BYTES = 64 * 1024
"""No message to a reader is larger."""
ANSWER_BYTES = 4 * 1024
"""No message from a reader is larger."""
MAX_PLANES = 8
"""VIDEO_MAX_PLANES of videodev2.h."""
FDS_AT_ONCE = 240
"""Descriptors in one message: the kernel passes at most 253 (SCM_MAX_FD)."""
TRACES_INLINE = 1024
"""With more trace ids than this, a frame's ids come in a memfd of their own."""
TRACE_BYTES = 16

CLOCKS = ("monotonic", "copy", "unknown")
SOURCES = ("soe", "eof", "dequeue")
_CLOCK_CODES = {name: code for code, name in enumerate(CLOCKS)}
_SOURCE_CODES = {name: code for code, name in enumerate(SOURCES)}

_UNKNOWN = -(2**63)
"""An exposure or gain that is not known."""
_INTERLACED = 1
_TOLD_BYTES = 1500
_FILE_BYTES = 1024

_HEAD = struct.Struct("=BxHI")  # kind, count, number
_POOL = struct.Struct("=IIII8s")  # buffers, width, height, flags, pixel format
_PLANE = struct.Struct("=II")  # bytes per line, bytes in all
_BUFFERS = struct.Struct("=II")  # first buffer, planes of each
_FRAME = struct.Struct("=BBBBIIIQQqqqqqqqII8I8I")
_RETURNED = struct.Struct("=QqHHHxx")  # lease, took, lengths of code, file and words


class Kind(enum.IntEnum):
    """The first byte of a message."""

    OPENING = 1
    POOL = 2
    BUFFERS = 3
    FRAME = 4
    FORGET = 5
    READY = 16
    RETURNED = 17


class ProtocolError(AgentError):
    """The other end of a frame channel said what it may not."""

    code = "frame_protocol"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="end that process: what it says cannot be trusted")


@dataclass(frozen=True, slots=True)
class PoolFormat:
    """What a pool's frames look like. `planes`: bytes per line (0: compressed) and bytes in all, of each plane."""

    pixel_format: str
    width_px: int
    height_px: int
    planes: tuple[tuple[int, int], ...]
    interlaced: bool = False


class Facts(NamedTuple):
    """What is known of one frame; the fields are those of `agent.v4l2.frame.Frame`. None: not known."""

    sequence: int
    timestamp_ns: int
    timestamp_clock: str
    timestamp_source: str
    uncertainty_ns: int
    dequeued_ns: int
    lost_before: int
    realtime_ns: int
    exposure_ns: int | None
    gain: int | None


class Opening(NamedTuple):
    """The first message; `order` is for the program behind the reader."""

    order: bytes


class PoolMessage(NamedTuple):
    """A camera's pool, whose buffers follow."""

    pool: int
    buffers: int
    format: PoolFormat
    camera: str


class BuffersMessage(NamedTuple):
    """Buffers `first` and following of a pool: `lengths` in bytes of each of their `planes` planes, in order."""

    pool: int
    first: int
    planes: int
    lengths: tuple[int, ...]


class FrameMessage(NamedTuple):
    """One lent buffer, the one at `place` in its pool.

    `generation` is what the buffer's mark holds for as long as the lease is good; never 0, never used twice. `extents`:
    offset and length of what the driver wrote into each plane. `traces`: how many trace ids go with it; `trace_bytes`
    are those, unless they come in a memfd.
    """

    pool: int
    place: int
    lease: int
    generation: int
    limit_ns: int
    facts: Facts
    extents: tuple[tuple[int, int], ...]
    traces: int
    trace_bytes: bytes


class Forget(NamedTuple):
    """Unmap this pool: its frames are revoked."""

    pool: int


class Ready(NamedTuple):
    """The reader is set up."""

    version: int


class Answer(NamedTuple):
    """A reader is done with a lease. `stored`: as `file`. `code`: the stable code of an error, `told` its words."""

    lease: int
    stored: bool
    took_ns: int
    code: str = ""
    file: str = ""
    told: str = ""


ToReader = Opening | PoolMessage | BuffersMessage | FrameMessage | Forget
ToLender = Ready | Answer


def pack_opening(order: bytes) -> bytes:
    """OPENING."""
    return _bounded(_HEAD.pack(Kind.OPENING, VERSION, 0) + order)


def pack_pool(pool: int, buffers: int, form: PoolFormat, camera: str) -> bytes:
    """POOL."""
    flags = _INTERLACED if form.interlaced else 0
    head = _HEAD.pack(Kind.POOL, len(form.planes), pool)
    body = _POOL.pack(buffers, form.width_px, form.height_px, flags, form.pixel_format.encode())
    return _bounded(head + body + b"".join(_PLANE.pack(*plane) for plane in form.planes) + camera.encode())


def pack_buffers(pool: int, first: int, planes: int, lengths: Sequence[int]) -> bytes:
    """BUFFERS; `lengths` of all planes of all these buffers."""
    head = _HEAD.pack(Kind.BUFFERS, len(lengths), pool) + _BUFFERS.pack(first, planes)
    return head + struct.pack(f"={len(lengths)}Q", *lengths)


def pack_forget(pool: int) -> bytes:
    """FORGET."""
    return _HEAD.pack(Kind.FORGET, 0, pool)


def pack_frame(
    pool: int,
    index: int,
    lease: int,
    generation: int,
    limit_ns: int,
    facts: Facts,
    offsets: tuple[int, ...],
    lengths: tuple[int, ...],
    traces: int,
) -> bytes:
    """FRAME, without its trace ids. Raises ProtocolError for a clock or source that has no code."""
    try:
        clock, source = _CLOCK_CODES[facts.timestamp_clock], _SOURCE_CODES[facts.timestamp_source]
    except KeyError as error:
        raise ProtocolError(f"{error.args[0]!r} has no code in a frame message") from error
    unused = (0,) * (MAX_PLANES - len(lengths))
    return _FRAME.pack(
        Kind.FRAME,
        clock,
        source,
        len(lengths),
        pool,
        index,
        facts.sequence,
        lease,
        generation,
        facts.timestamp_ns,
        facts.uncertainty_ns,
        facts.dequeued_ns,
        facts.realtime_ns,
        _UNKNOWN if facts.exposure_ns is None else facts.exposure_ns,
        _UNKNOWN if facts.gain is None else facts.gain,
        limit_ns,
        facts.lost_before,
        traces,
        *offsets,
        *unused,
        *lengths,
        *unused,
    )


def pack_ready() -> bytes:
    """READY."""
    return _HEAD.pack(Kind.READY, VERSION, 0)


def pack_answer(answer: Answer) -> bytes:
    """RETURNED. Words too long for a packet end in `...`."""
    code, file, told = answer.code.encode(), answer.file.encode(), answer.told.encode()
    if len(told) > _TOLD_BYTES:
        told = told[: _TOLD_BYTES - 4].decode(errors="ignore").encode() + b"..."
    if len(code) > _FILE_BYTES or len(file) > _FILE_BYTES:
        raise ProtocolError(f"a code or file name of more than {_FILE_BYTES} bytes")
    head = _HEAD.pack(Kind.RETURNED, answer.stored, 0)
    lengths = _RETURNED.pack(answer.lease, answer.took_ns, len(code), len(file), len(told))
    return b"".join((head, lengths, code, file, told))


def unpack_for_reader(packet: bytes) -> ToReader:
    """A message from the lender. Raises ProtocolError."""
    try:
        kind = packet[0]
        if kind == Kind.FRAME:
            return _unpack_frame(packet)
        _, count, number = _HEAD.unpack_from(packet)
        rest = packet[_HEAD.size :]
        if kind == Kind.OPENING and count == VERSION:
            return Opening(rest)
        if kind == Kind.POOL and 0 < count <= MAX_PLANES:
            return _unpack_pool(number, count, rest)
        if kind == Kind.BUFFERS and count:
            first, planes = _BUFFERS.unpack_from(rest)
            return BuffersMessage(number, first, planes, struct.unpack(f"={count}Q", rest[_BUFFERS.size :]))
        if kind == Kind.FORGET and not rest:
            return Forget(number)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ProtocolError(f"a broken message of {len(packet)} bytes from the lender ({error})") from error
    raise ProtocolError(f"a message of unknown kind {kind} from the lender")


def unpack_for_lender(packet: bytes) -> ToLender:
    """A message from a reader. Raises ProtocolError."""
    try:
        kind, count, _ = _HEAD.unpack_from(packet)
        if kind == Kind.READY and len(packet) == _HEAD.size:
            return Ready(count)
        if kind == Kind.RETURNED and count in (0, 1):
            return _unpack_answer(packet, stored=bool(count))
    except (struct.error, UnicodeDecodeError) as error:
        raise ProtocolError(f"a broken message of {len(packet)} bytes from a reader ({error})") from error
    raise ProtocolError(f"a message of unknown kind {kind} from a reader")


def _unpack_pool(number: int, count: int, rest: bytes) -> PoolMessage:
    buffers, width, height, flags, pixel_format = _POOL.unpack_from(rest)
    planes = tuple(_PLANE.unpack_from(rest, _POOL.size + place * _PLANE.size) for place in range(count))
    camera = rest[_POOL.size + count * _PLANE.size :].decode()
    text = pixel_format.rstrip(b"\0").decode()
    return PoolMessage(number, buffers, PoolFormat(text, width, height, planes, bool(flags & _INTERLACED)), camera)


def _unpack_frame(packet: bytes) -> FrameMessage:
    fields = _FRAME.unpack_from(packet)
    clock, source, planes, pool, index, sequence, lease, generation = fields[1:9]
    stamp, uncertainty, dequeued, realtime, exposure, gain, limit, lost, traces = fields[9:18]
    trace_bytes = packet[_FRAME.size :]
    if len(trace_bytes) != (traces * TRACE_BYTES if traces <= TRACES_INLINE else 0):
        raise ProtocolError(f"a frame with {len(trace_bytes)} bytes for {traces} trace ids")
    facts = Facts(
        sequence,
        stamp,
        CLOCKS[clock],
        SOURCES[source],
        uncertainty,
        dequeued,
        lost,
        realtime,
        None if exposure == _UNKNOWN else exposure,
        None if gain == _UNKNOWN else gain,
    )
    extents = tuple(zip(fields[18 : 18 + planes], fields[26 : 26 + planes], strict=True))
    return FrameMessage(pool, index, lease, generation, limit, facts, extents, traces, trace_bytes)


def _unpack_answer(packet: bytes, *, stored: bool) -> Answer:
    lease, took_ns, code, file, told = _RETURNED.unpack_from(packet, _HEAD.size)
    start = _HEAD.size + _RETURNED.size
    if len(packet) != start + code + file + told:
        raise ProtocolError(f"an answer of {len(packet)} bytes instead of {start + code + file + told}")
    texts = packet[start:]
    parts = (texts[:code].decode(), texts[code : code + file].decode(), texts[code + file :].decode())
    return Answer(lease, stored, took_ns, *parts)


def _bounded(packet: bytes) -> bytes:
    if len(packet) > PACKET_BYTES:
        raise ProtocolError(f"a message of {len(packet)} bytes; {PACKET_BYTES} is the most")
    return packet
