"""Why pulses have no frame: what the next frame that has a pulse says of those before it (mission row D3)."""

from __future__ import annotations

from agent.trigger.counts import Counts
from agent.trigger.remembered import Pulse, Remembered
from agent.trigger.verdicts import Cause, End, Explained


class Gaps:
    """Follows the frames in the order of the driver: a gap in its numbers is set against the pulses without a frame.

    Causes only are found by counting here, never pairs.
    """

    __slots__ = ("_counts", "_front", "_lost", "_pulses", "_strays")

    def __init__(self, pulses: Remembered, counts: Counts) -> None:
        self._pulses = pulses
        self._counts = counts
        self._front: Pulse | None = None
        self._lost = 0
        self._strays = 0

    def restart(self) -> None:
        """The stream was stopped: what is lost from here on says nothing of the pulses before."""
        self._lost = self._strays = 0

    def lose(self, frames: int) -> None:
        """Numbers missing in the driver's count."""
        self._lost += frames

    def stray(self) -> None:
        """A frame ended without a pulse: it may have been that of a pulse without a frame."""
        self._strays += 1

    def close(self, pulse: Pulse) -> tuple[Explained, ...]:
        """A frame came for this pulse: the cause of those without one, between it and the last that had one.

        Those still open keep the cause until their wait is over.
        """
        skipped = [
            one
            for one in self._pulses.between(self._front, pulse)
            if one.cause is Cause.NO_FRAME and (one.end is None or one.end is End.MISSED)
        ]
        news = self._settle(skipped) if skipped else ()
        self._lost = self._strays = 0
        if self._front is None or pulse.fired_ns >= self._front.fired_ns:
            self._front = pulse
        return news

    def explain(self, pulse: Pulse, cause: Cause) -> Explained:
        """The cause of a pulse that was missed is known better than when it was told."""
        self._counts.missed[pulse.cause] -= 1
        self._counts.missed[cause] += 1
        pulse.cause = cause
        return Explained(pulse.number, cause)

    def _settle(self, skipped: list[Pulse]) -> tuple[Explained, ...]:
        cause = self._cause(len(skipped))
        for one in skipped:
            if one.end is None:
                one.cause = cause
        return tuple(self.explain(one, cause) for one in reversed(skipped) if one.end is not None)

    def _cause(self, pulses: int) -> Cause:
        if self._strays or 0 < self._lost < pulses:
            return Cause.UNCLEAR
        return Cause.DRIVER_LOST if self._lost else Cause.NO_EXPOSURE
