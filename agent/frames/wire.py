"""The frame protocol's messages: each is one packet of a SOCK_SEQPACKET pair, in the machine's byte order.

From the lender: OPENING (what the reader is told to do; to a sink process with the commit token's descriptor), POOL (a
camera's format and number of buffers; with the descriptor of its marks), BUFFERS (with the descriptors of the buffers'
planes), FRAME (one lent buffer), FORGET (unmap a pool), STATE (what a camera does), REFUSED (the last one). From the
reader: SUBSCRIBE (a client's first), READY (a sink process's), RETURNED (one frame done).

All fields lie where a C compiler puts them. Texts are UTF-8. Times are nanoseconds of CLOCK_MONOTONIC unless named
otherwise. Lengths are checked on reading: what does not fit raises ProtocolError.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from agent.frames.values import (
    ANSWER_BYTES,
    CLOCKS,
    DEPTH,
    FDS_AT_ONCE,
    GONE,
    LEASE_NS,
    LONGEST_LEASE_NS,
    MAX_PLANES,
    MOST,
    NAME_BYTES,
    PACKET_BYTES,
    SOCKET_NAME,
    SOURCES,
    TRACE_BYTES,
    TRACES_INLINE,
    VERSION,
    Answer,
    BuffersMessage,
    Facts,
    Forget,
    FrameMessage,
    Kind,
    Opening,
    PoolFormat,
    PoolMessage,
    ProtocolError,
    Ready,
    Refused,
    State,
    Streaming,
    Subscribe,
    Target,
    ToLender,
    ToReader,
)

__all__ = [
    "ANSWER_BYTES",
    "CLOCKS",
    "DEPTH",
    "FDS_AT_ONCE",
    "GONE",
    "LEASE_NS",
    "LONGEST_LEASE_NS",
    "MAX_PLANES",
    "MOST",
    "NAME_BYTES",
    "PACKET_BYTES",
    "SOCKET_NAME",
    "SOURCES",
    "TRACES_INLINE",
    "TRACE_BYTES",
    "VERSION",
    "Answer",
    "BuffersMessage",
    "Facts",
    "Forget",
    "FrameMessage",
    "Kind",
    "Opening",
    "PoolFormat",
    "PoolMessage",
    "ProtocolError",
    "Ready",
    "Refused",
    "State",
    "Streaming",
    "Subscribe",
    "Target",
    "ToLender",
    "ToReader",
]

_CLOCK_CODES = {name: code for code, name in enumerate(CLOCKS)}
_SOURCE_CODES = {name: code for code, name in enumerate(SOURCES)}

_UNKNOWN = -(2**63)
"""An exposure, gain or time that is not known, or not asked for."""
_NO_PULSE = -1
_INTERLACED = 1
_EVERY = 1
_TOLD_BYTES = 1500
_FILE_BYTES = 1024

_HEAD = struct.Struct("=BxHI")  # kind, count, number
_POOL = struct.Struct("=IIII8s")  # buffers, width, height, flags, pixel format
_PLANE = struct.Struct("=II")  # bytes per line, bytes in all
_BUFFERS = struct.Struct("=II")  # first buffer, planes of each
_FRAME = struct.Struct("=BBBBIIIQQqqqqqqqqqIIII8I8I")
_RETURNED = struct.Struct("=QqHHHxx")  # lease, took, lengths of code, file and words
_SUBSCRIBE = struct.Struct("=qqHHI")  # after, lease, most, depth, kind of target


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
    skipped: int = 0,
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
        _UNKNOWN if facts.began_ns is None else facts.began_ns,
        _NO_PULSE if facts.pulse is None else facts.pulse,
        facts.lost_before,
        traces,
        skipped,
        0,
        *offsets,
        *unused,
        *lengths,
        *unused,
    )


def pack_refused(refused: Refused) -> bytes:
    """REFUSED. Texts without a zero byte; what is too long for a packet ends in `...`."""
    return _HEAD.pack(Kind.REFUSED, 0, 0) + _texts(refused.code, refused.message, refused.hint)


def pack_state(state: State) -> bytes:
    """STATE, of texts as in REFUSED."""
    return _HEAD.pack(Kind.STATE, 0, state.state) + _texts(state.camera, state.cause, state.hint)


def pack_subscribe(subscribe: Subscribe) -> bytes:
    """SUBSCRIBE. Raises ProtocolError for what the other side would refuse."""
    name = subscribe.name.encode()
    after_ns = _UNKNOWN if subscribe.after_ns is None else subscribe.after_ns
    try:
        head = _HEAD.pack(Kind.SUBSCRIBE, VERSION, _EVERY if subscribe.every else 0)
        numbers = (subscribe.lease_ns, subscribe.most, subscribe.depth, subscribe.target)
        packet = head + _SUBSCRIBE.pack(after_ns, *numbers) + name
    except struct.error as error:
        raise ProtocolError(f"a subscription that fits no message ({error})") from error
    unpack_subscribe(packet)
    return packet


def pack_ready() -> bytes:
    """READY."""
    return _HEAD.pack(Kind.READY, VERSION, 0)


def pack_answer(answer: Answer) -> bytes:
    """RETURNED. Words too long for a packet end in `...`."""
    code, file, told = answer.code.encode(), answer.file.encode(), _shortened(answer.told.encode())
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
        if kind == Kind.STATE:
            return State(Streaming(number), *_three(rest))
        if kind == Kind.REFUSED:
            return Refused(*_three(rest))
    except (struct.error, IndexError, ValueError) as error:
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


def unpack_subscribe(packet: bytes) -> Subscribe:
    """A client's first message. Raises ProtocolError, also for what is out of bounds."""
    try:
        kind, version, flags = _HEAD.unpack_from(packet)
        if kind != Kind.SUBSCRIBE:
            raise ProtocolError(
                f"the first message is of kind {kind}; a subscription, {Kind.SUBSCRIBE:d}, has to be it"
            )
        if version != VERSION:
            raise ProtocolError(f"a client of version {version}; this agent speaks version {VERSION}")
        after_ns, lease_ns, most, depth, target = _SUBSCRIBE.unpack_from(packet, _HEAD.size)
        name = packet[_HEAD.size + _SUBSCRIBE.size :]
        text = name.decode()
        if flags & ~_EVERY or "\0" in text or not 0 < len(name) <= NAME_BYTES:
            raise ProtocolError(f"a subscription with flags {flags:#x} to a name of {len(name)} bytes")
        bounds = 0 <= lease_ns <= LONGEST_LEASE_NS and 0 < most <= MOST and 0 < depth <= DEPTH
        if not bounds or (after_ns < 0 and after_ns != _UNKNOWN):
            raise ProtocolError(
                f"a subscription with a lease of {lease_ns} ns (at most {LONGEST_LEASE_NS}), {most} frames at a time"
                f" (1 to {MOST}), {depth} waiting (1 to {DEPTH}), after {after_ns} ns"
            )
        after = None if after_ns == _UNKNOWN else after_ns
        return Subscribe(Target(target), text, bool(flags & _EVERY), after, lease_ns, most, depth)
    except (struct.error, ValueError) as error:
        raise ProtocolError(f"a broken subscription of {len(packet)} bytes ({error})") from error


def _unpack_pool(number: int, count: int, rest: bytes) -> PoolMessage:
    buffers, width, height, flags, pixel_format = _POOL.unpack_from(rest)
    planes = tuple(_PLANE.unpack_from(rest, _POOL.size + place * _PLANE.size) for place in range(count))
    camera = rest[_POOL.size + count * _PLANE.size :].decode()
    text = pixel_format.rstrip(b"\0").decode()
    return PoolMessage(number, buffers, PoolFormat(text, width, height, planes, bool(flags & _INTERLACED)), camera)


def _unpack_frame(packet: bytes) -> FrameMessage:
    fields = _FRAME.unpack_from(packet)
    clock, source, planes, pool, index, sequence, lease, generation = fields[1:9]
    stamp, uncertainty, dequeued, realtime, exposure, gain, limit, began, pulse = fields[9:18]
    lost, traces, skipped = fields[18:21]
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
        None if began == _UNKNOWN else began,
        None if pulse == _NO_PULSE else pulse,
    )
    extents = tuple(zip(fields[22 : 22 + planes], fields[30 : 30 + planes], strict=True))
    return FrameMessage(pool, index, lease, generation, limit, facts, extents, traces, trace_bytes, skipped)


def _unpack_answer(packet: bytes, *, stored: bool) -> Answer:
    lease, took_ns, code, file, told = _RETURNED.unpack_from(packet, _HEAD.size)
    start = _HEAD.size + _RETURNED.size
    if len(packet) != start + code + file + told:
        raise ProtocolError(f"an answer of {len(packet)} bytes instead of {start + code + file + told}")
    texts = packet[start:]
    parts = (texts[:code].decode(), texts[code : code + file].decode(), texts[code + file :].decode())
    return Answer(lease, stored, took_ns, *parts)


def _texts(*texts: str) -> bytes:
    """Texts with a zero byte between them, shortened so that all fit."""
    return b"\0".join(_shortened(text.replace("\0", " ").encode()) for text in texts)


def _three(rest: bytes) -> tuple[str, str, str]:
    """Raises ValueError when they are not three, or no text."""
    first, second, third = rest.decode().split("\0")
    return first, second, third


def _shortened(text: bytes) -> bytes:
    if len(text) <= _TOLD_BYTES:
        return text
    return text[: _TOLD_BYTES - 4].decode(errors="ignore").encode() + b"..."


def _bounded(packet: bytes) -> bytes:
    if len(packet) > PACKET_BYTES:
        raise ProtocolError(f"a message of {len(packet)} bytes; {PACKET_BYTES} is the most")
    return packet
