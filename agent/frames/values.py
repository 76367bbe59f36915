"""What the frame protocol's messages say, and its bounds; how each lies in its packet is in agent/frames/wire.py."""

from __future__ import annotations

import enum
import errno
from dataclasses import dataclass
from typing import NamedTuple

from agent.errors import AgentError
from agent.units import NS_PER_S

VERSION = 2
SOCKET_NAME = "frames.sock"
"""Where clients connect: a socket of this name in the folder of the control socket."""
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
NAME_BYTES = 255
"""A subscription's target has no longer name."""
MOST = 64
"""No client may have more frames at a time."""
DEPTH = 1024
"""No client may have more frames wait for it."""
LEASE_NS = NS_PER_S
"""How long a client may keep a frame unless it asks for another time."""
LONGEST_LEASE_NS = 10 * NS_PER_S

GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ECONNREFUSED)
"""The other end is closed, or the half it receives by. The last two: this very moment, on Linux before 6.2."""

CLOCKS = ("monotonic", "copy", "unknown")
SOURCES = ("soe", "eof", "dequeue")


class Kind(enum.IntEnum):
    """The first byte of a message."""

    OPENING = 1
    POOL = 2
    BUFFERS = 3
    FRAME = 4
    FORGET = 5
    REFUSED = 6
    STATE = 7
    READY = 16
    RETURNED = 17
    SUBSCRIBE = 18


class Target(enum.IntEnum):
    """What a subscription's name is the name of."""

    CAMERA = 0
    GROUP = 1
    PLAN = 2

    @property
    def word(self) -> str:
        """`camera`, `group` or `plan`."""
        return self.name.lower()


class Streaming(enum.IntEnum):
    """What a STATE message says of a camera."""

    STREAMING = 1
    """Frames follow."""
    STOPPED = 2
    """No frame follows until it is started again."""
    FAULT = 3
    """It is out of order, and the agent is at it."""
    GONE = 4
    """It is not there."""


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
    """What is known of one frame; most fields are those of `agent.v4l2.frame.Frame`. None: not known.

    `began_ns`: when its exposure began, to the best of what is known. `pulse`: the number of the trigger pulse it
    answers, None without one; the frames of one set of a group share it.
    """

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
    began_ns: int | None = None
    pulse: int | None = None


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
    are those, unless they come in a memfd. `skipped`: frames of this camera this reader did not get since its last one.
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
    skipped: int = 0


class Forget(NamedTuple):
    """Unmap this pool: its frames are revoked."""

    pool: int


class Refused(NamedTuple):
    """Why there are no frames, or no more of them: the last message before the end. The texts of an error."""

    code: str
    message: str
    hint: str


class State(NamedTuple):
    """What a camera does from now on; `cause` and `hint` are those of a fault, empty otherwise."""

    state: Streaming
    camera: str
    cause: str = ""
    hint: str = ""


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


class Subscribe(NamedTuple):
    """A client's first message: which frames it wants.

    `every`: `depth` frames wait for it, instead of the newest only. `after_ns`: none whose exposure began before that.
    `lease_ns`: how long it keeps a frame at most, 0 for what is usual. `most`: how many it keeps at a time.
    """

    target: Target
    name: str
    every: bool = False
    after_ns: int | None = None
    lease_ns: int = 0
    most: int = 1
    depth: int = 1


ToReader = Opening | PoolMessage | BuffersMessage | FrameMessage | Forget | Refused | State
ToLender = Ready | Answer
