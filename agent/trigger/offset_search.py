"""Looks for the offset at which frames come that no window explains: how the ledger locks again after a shift."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from agent.trigger.remembered import Pulse

_MOST = 16
"""More pulses than these for one frame, and nothing can be told from it; bounds the work in a storm of edges."""


class Sighting(NamedTuple):
    """A frame at `offset_ns` (± `uncertainty_ns`) from where one pulse without a frame would have it."""

    pulse: Pulse
    offset_ns: int
    uncertainty_ns: int


class Offset(NamedTuple):
    """An offset that a row of `frames` agrees on, from `low` to `high`. `pulses`: of the last of them, in order."""

    low_ns: int
    high_ns: int
    uncertainty_ns: int
    frames: int
    pulses: tuple[Pulse, ...]

    @property
    def middle_ns(self) -> int:
        """The offset to adopt."""
        return (self.low_ns + self.high_ns) // 2

    def with_(self, sighting: Sighting) -> Offset:
        """One frame more in the row."""
        return Offset(
            min(self.low_ns, sighting.offset_ns),
            max(self.high_ns, sighting.offset_ns),
            max(self.uncertainty_ns, sighting.uncertainty_ns),
            self.frames + 1,
            (*self.pulses, sighting.pulse)[-_MOST:],
        )


class OffsetSearch:
    """Keeps the offsets that each of the last frames supports, and how many in a row did.

    Frames agree when their offsets lie within `window_ns` and the uncertainty of both, and when each belongs to a later
    pulse than the one before: so a burst of ghosts around one pulse is no row.
    """

    __slots__ = ("_after", "_offsets", "_window_ns")

    def __init__(self, window_ns: int, after: int) -> None:
        self._window_ns = window_ns
        self._after = after
        self._offsets: list[Offset] = []

    def clear(self) -> None:
        """A frame was where it should be: the row is broken."""
        self._offsets = []

    def feed(self, sightings: Iterable[Sighting]) -> list[Offset]:
        """One frame that no window explains, with all pulses it might belong to. Returns the offsets proven by now."""
        sightings = list(sightings)
        self._offsets = [self._longest(one) for one in sightings] if len(sightings) <= _MOST else []
        return [offset for offset in self._offsets if offset.frames >= self._after]

    def _longest(self, sighting: Sighting) -> Offset:
        rows = [row for offset in self._offsets if (row := self._joined(offset, sighting)) is not None]
        alone = Offset(sighting.offset_ns, sighting.offset_ns, sighting.uncertainty_ns, 1, (sighting.pulse,))
        return max(rows, key=lambda row: row.frames, default=alone)

    def _joined(self, offset: Offset, sighting: Sighting) -> Offset | None:
        if offset.pulses[-1].fired_ns >= sighting.pulse.fired_ns:
            return None
        row = offset.with_(sighting)
        agree = row.high_ns - row.low_ns <= self._window_ns + 2 * row.uncertainty_ns
        return row if agree else None
