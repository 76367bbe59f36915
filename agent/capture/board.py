"""The shared page of a capture process: what it writes and anybody reads, without a lock or a message (row H1).

Words of 64 bits: a header, the cameras, the histogram of lateness, one of trigger delays for each camera, the accounts
of the plans, the ring of ticks, the ring of pulses. The capture process is the only writer; the page belongs to the
supervisor and outlives a process that died, so that the accounts go on in the next one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

from agent.errors import AgentError
from agent.schedule.account import PLAN_WORDS
from agent.schedule.histogram import Histogram
from agent.schedule.ring import Ring

_MAGIC = 0x0063_616D_6572_6135
"""Changes with the layout: a reader of another version refuses the page."""
_HEADER_WORDS = 32
_CAMERA_WORDS = 40
_RING_RECORDS = 16_384
_PULSE_RECORDS = 8_192


class Head(enum.IntEnum):
    """The words of the header."""

    MAGIC = 0
    CAMERAS = 1
    CAPACITY = 2
    PID = 3
    STARTED_NS = 4
    BEATS = 5
    """Turns of the loop."""
    BEAT_NS = 6
    SEQUENCE = 7
    """Even while the page is whole, odd while a turn of the loop writes to it."""
    EVENTS_DROPPED = 8
    """Events that were not told because the parent reads too slowly."""
    LONGEST_TURN_NS = 9
    PULSES = 10
    """Pulses of the group's trigger: fired, or seen on its input."""
    EDGES = 11
    """Edges of the group's input that were read, EDGES_LOST those that the kernel dropped."""
    EDGES_LOST = 12
    STOPPED_NS = 13
    """Since when the emergency stop is latched; 0 while it is not. It outlives the process."""
    SETS = 14
    """Frame sets that are whole, and SETS_INCOMPLETE those that are not."""
    SETS_INCOMPLETE = 15
    SKEW_NS = 16
    """Between the first and the last start of exposure in the last whole set, and in the worst."""
    SKEW_MAX_NS = 17


class Of(enum.IntEnum):
    """The words of one camera."""

    WORD = 0
    """Phase, busy and cancel-pending: `agent.capture.state_word`."""
    SINCE_NS = 1
    ASKED_NS = 2
    ENTERED_NS = 3
    RETURNED_NS = 4
    """The last stop: asked, STREAMOFF entered, STREAMOFF returned; 0 while not yet."""
    FRAMES = 5
    """Good frames taken from the driver."""
    TAKEN = 6
    """Frames that at least one tick got."""
    SHARED = 7
    """Ticks that shared a frame with another one."""
    BYTES = 8
    FAULTS = 9
    RESTARTS = 10
    """How often its stream was started."""
    LENT = 11
    STORED = 12
    NOT_STORED = 13
    LOST = 14
    """Frames missing before a good one, by the driver's numbers."""
    DUE_NS = 15
    """By when a stop that was asked for should be done, closing the node included; past it the supervisor kills the
    process. 0: no stop is asked for."""
    PULSES = 16
    """Pulses of the trigger since the process before began; each ends in one of the five that follow, or is open."""
    MATCHED = 17
    MISSED = 18
    LATE = 19
    AMBIGUOUS = 20
    """Pulses that more than one frame, or a frame that more than one pulse would explain."""
    SPURIOUS = 21
    """Frames that no pulse explains: ghosts."""
    AMBIGUOUS_FRAMES = 22
    RELOCKS = 23
    """How often the pairing was shifted, and locked again."""
    OUT_OF_BUDGET = 24
    """Delays from trigger to start beyond the budget, by more than is uncertain."""
    RESIDUAL_NS = 25
    """The start of exposure less the expected one: of the last match, the earliest and the latest."""
    RESIDUAL_MIN_NS = 26
    RESIDUAL_MAX_NS = 27
    STROBES = 28
    """Edges of its strobe line that followed a pulse, and the delay of the last."""
    STROBE_NS = 29
    CLIENTS = 30
    """Clients of its frames now."""
    CLIENT_FRAMES = 31
    """Frames lent to clients, one for each of them. CLIENT_SKIPPED: those they wanted and did not get."""
    CLIENT_SKIPPED = 32
    CLIENT_REVOKED = 33
    """Leases of clients that were taken back: past their time, or as the stream was stopped."""
    CLIENT_COPIED = 34
    """Frames that had to be copied for clients."""


class PageForeign(AgentError):
    """The page was laid out by another version, or is no such page."""

    code = "page_foreign"


class Board:
    """The layout over `words`; `create` lays a new page out, the constructor reads the layout of one that exists."""

    def __init__(self, words: memoryview) -> None:
        """Raises PageForeign."""
        if len(words) < _HEADER_WORDS or words[Head.MAGIC] != _MAGIC:
            raise PageForeign(
                "this shared page was not laid out by this version",
                hint="restart the capture process, or use the same version for both",
            )
        self.words = words
        self.cameras = words[Head.CAMERAS]
        self.capacity = words[Head.CAPACITY]
        parts = _parts(self.cameras, self.capacity)
        if len(words) < parts[-1]:
            raise PageForeign("this shared page is cut short", hint="restart the capture process")
        cameras, lateness, delays, plans, ring, pulses, end = parts
        self._camera_words = words[cameras:lateness]
        self.lateness = Histogram(words[lateness:delays])
        self._delay_words = words[delays:plans]
        self.plans = words[plans:ring]
        self.ring = words[ring:pulses]
        self.pulses = words[pulses:end]

    @staticmethod
    def words_for(cameras: int, capacity: int) -> int:
        """The size of a page for so many cameras and plans."""
        return _parts(cameras, capacity)[-1]

    @classmethod
    def create(cls, words: memoryview, cameras: int, capacity: int) -> Board:
        """Lay out a page of zeros."""
        words[Head.CAMERAS], words[Head.CAPACITY] = cameras, capacity
        words[Head.MAGIC] = _MAGIC
        return cls(words)

    def camera(self, place: int) -> memoryview:
        """The words of the camera at `place` of its group's order, to be read by `Of`."""
        return self._camera_words[place * _CAMERA_WORDS : (place + 1) * _CAMERA_WORDS]

    def delays(self, place: int) -> Histogram:
        """From trigger to start of exposure, of the camera at `place`."""
        return Histogram(self._delay_words[place * Histogram.WORDS : (place + 1) * Histogram.WORDS])

    def all_cameras(self) -> Iterator[memoryview]:
        """The words of each camera in order."""
        return (self.camera(place) for place in range(self.cameras))

    def release(self) -> None:
        """Let go of the views, so that the page can be unmapped."""
        self._camera_words.release()
        self._delay_words.release()
        self.pulses.release()
        self.lateness.words.release()
        self.plans.release()
        self.ring.release()


def _parts(cameras: int, capacity: int) -> tuple[int, int, int, int, int, int, int]:
    """Where cameras, lateness, delays, plans, ring and pulses begin, and where the page ends."""
    lateness = _HEADER_WORDS + cameras * _CAMERA_WORDS
    delays = lateness + Histogram.WORDS
    plans = delays + cameras * Histogram.WORDS
    ring = plans + capacity * PLAN_WORDS
    pulses = ring + Ring.words_for(_RING_RECORDS)
    return _HEADER_WORDS, lateness, delays, plans, ring, pulses, pulses + Ring.words_for(_PULSE_RECORDS)
