"""A camera's own account of its triggers, to check ledgers against: every pulse it saw, every frame it exposed."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

_KEPT = 100_000


class Source(enum.Enum):
    """Where a pulse came from."""

    LINE = "line"
    SOFTWARE = "software"


class Fate(enum.Enum):
    """What the camera made of a pulse."""

    EXPOSED = "exposed"
    """It began an exposure; two where the camera was told to double it."""
    OPEN = "open"
    """The line is still active: the exposure ends when it is not."""
    BUSY = "busy"
    """It came during an exposure or the readout after it, and was ignored, as sensors do."""
    DROPPED = "dropped"
    """Ignored, because the camera was told to, or hung."""
    NOT_LISTENING = "not listening"
    """The camera runs free, or waits for the other source."""
    NOT_STREAMING = "not streaming"
    CUT = "cut"
    """The stream was stopped while the line was still active."""


class Outcome(enum.Enum):
    """What became of a frame that was exposed."""

    UNDER_WAY = "under way"
    DELIVERED = "delivered"
    LOST = "lost"
    """Read out, but there was no buffer, or the camera was told to lose it."""
    CUT = "cut"
    """The stream was stopped, the camera pulled out, or it hung, before the frame was read out."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """One activation of the input, or one press of the button. `frames`: the numbers of the frames it made.

    `width_ns`: how long the line was active; None while it is, and for the button.
    """

    number: int
    at_ns: int
    source: Source
    fate: Fate
    frames: tuple[int, ...] = ()
    width_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Exposed:
    """One exposure of run `run` (STREAMONs counted). `pulse`: the number of its pulse, None for a ghost."""

    run: int
    sequence: int
    pulse: int | None
    start_ns: int
    end_ns: int
    ready_ns: int
    outcome: Outcome = Outcome.UNDER_WAY


@dataclass(frozen=True, slots=True)
class TriggerAccount:
    """The log as it was at one moment, in order of time. `pulses_seen` counts also those it no longer keeps."""

    pulses: tuple[Pulse, ...]
    exposures: tuple[Exposed, ...]
    pulses_seen: int

    def count(self, fate: Fate) -> int:
        """How many of the pulses it keeps had this fate."""
        return sum(pulse.fate is fate for pulse in self.pulses)


class TriggerLog:
    """Keeps the last 100,000 pulses and exposures. Not locked: the camera's lock guards it."""

    def __init__(self) -> None:
        self._pulses: deque[Pulse] = deque(maxlen=_KEPT)
        self._exposures: deque[Exposed] = deque(maxlen=_KEPT)
        self._seen = 0
        self._run = -1

    def begin_run(self) -> None:
        """STREAMON."""
        self._run += 1

    def saw(self, at_ns: int, source: Source, fate: Fate) -> Pulse:
        """A pulse came in."""
        pulse = Pulse(self._seen, at_ns, source, fate)
        self._seen += 1
        self._pulses.append(pulse)
        return pulse

    def settle(self, pulse: Pulse, fate: Fate, frames: Iterable[int] = ()) -> None:
        """What a pulse came to."""
        self._change(pulse.number, fate=fate, frames=tuple(frames))

    def measured(self, number: int, width_ns: int) -> None:
        """The line is inactive again."""
        self._change(number, width_ns=width_ns)

    def exposed(self, sequence: int, pulse: int | None, start_ns: int, end_ns: int, ready_ns: int) -> None:
        """An exposure was begun, and it is known when it ends."""
        self._exposures.append(Exposed(self._run, sequence, pulse, start_ns, end_ns, ready_ns))

    def finished(self, sequence: int, outcome: Outcome) -> None:
        """What a frame of the present run came to."""
        for index in range(len(self._exposures) - 1, -1, -1):
            found = self._exposures[index]
            if (found.run, found.sequence) == (self._run, sequence):
                self._exposures[index] = replace(found, outcome=outcome)
                return

    def account(self) -> TriggerAccount:
        """The log as it is now."""
        return TriggerAccount(tuple(self._pulses), tuple(self._exposures), self._seen)

    def _change(self, number: int, **changes: object) -> None:
        index = number - self._seen + len(self._pulses)
        if index >= 0:
            self._pulses[index] = replace(self._pulses[index], **changes)  # type: ignore[arg-type]
