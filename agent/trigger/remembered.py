"""The pulses a frame may still come for: those open, and those that ended not long ago; bounded."""

from __future__ import annotations

from typing import NamedTuple

from agent.trigger.verdicts import Cause, End


class Pulse:
    """One pulse. `end` is None while it is open; `cause`: what is known of the reason, if it will be missed."""

    __slots__ = ("cause", "end", "fired_ns", "number", "uncertainty_ns")

    def __init__(self, number: int, fired_ns: int, uncertainty_ns: int) -> None:
        self.number = number
        self.fired_ns = fired_ns
        self.uncertainty_ns = uncertainty_ns
        self.end: End | None = None
        self.cause = Cause.NO_FRAME


class Near(NamedTuple):
    """A pulse whose window a frame began in: how far from its middle, known to ± `uncertainty_ns`."""

    distance_ns: int
    uncertainty_ns: int
    pulse: Pulse


class Remembered:
    """Up to `capacity` open pulses, and up to `2 * capacity` in all, in the order of their times.

    `open`: those without an end, in the same order.
    """

    __slots__ = ("_all", "_forgotten_ns", "_widest_ns", "capacity", "open")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.open: list[Pulse] = []
        self._all: list[Pulse] = []
        self._widest_ns = 0
        self._forgotten_ns: int | None = None
        """No pulse later than this was forgotten."""

    def has_room(self) -> bool:
        """One more pulse can be open."""
        return len(self.open) < self.capacity

    def add(self, pulse: Pulse) -> None:
        """Keep it; among the open ones, if it has no end yet. The oldest of those that ended is forgotten for it."""
        everything = self._all
        _insert(everything, pulse)
        if pulse.end is None:
            _insert(self.open, pulse)
        if pulse.uncertainty_ns > self._widest_ns:
            self._widest_ns = pulse.uncertainty_ns
        if len(everything) > 2 * self.capacity:
            index = next(i for i, kept in enumerate(everything) if kept.end is not None)
            fired_ns = everything.pop(index).fired_ns
            if self._forgotten_ns is None or fired_ns > self._forgotten_ns:
                self._forgotten_ns = fired_ns

    def forgot_since(self, first_ns: int) -> bool:
        """Pulses fired at `first_ns` or later, as far as their times are known, may have been forgotten."""
        return self._forgotten_ns is not None and self._forgotten_ns >= first_ns - self._widest_ns

    def close(self, pulse: Pulse, end: End) -> None:
        """An open pulse ends."""
        pulse.end = end
        self.open.remove(pulse)

    def near(self, expected_ns: int, uncertainty_ns: int, window_ns: int) -> list[Near]:
        """Pulses fired within `window` of `expected`, as far as both are known; the latest first."""
        found = []
        reach_ns = window_ns + uncertainty_ns
        first_ns = expected_ns - reach_ns - self._widest_ns
        for pulse in reversed(self._all):
            fired_ns = pulse.fired_ns
            if fired_ns < first_ns:
                break
            distance_ns = expected_ns - fired_ns if expected_ns >= fired_ns else fired_ns - expected_ns
            if distance_ns <= reach_ns + pulse.uncertainty_ns:
                found.append(Near(distance_ns, uncertainty_ns + pulse.uncertainty_ns, pulse))
        return found

    def fired_within(self, first_ns: int, last_ns: int) -> list[Pulse]:
        """Pulses fired between both instants, as far as their times are known; the latest first."""
        found = []
        for pulse in reversed(self._all):
            if pulse.fired_ns < first_ns - self._widest_ns:
                break
            if first_ns - pulse.uncertainty_ns <= pulse.fired_ns <= last_ns + pulse.uncertainty_ns:
                found.append(pulse)
        return found

    def between(self, front: Pulse | None, pulse: Pulse) -> list[Pulse]:
        """Pulses after `front` (all, if it is None or forgotten) and before `pulse`, the latest first."""
        found = []
        older = False
        for kept in reversed(self._all):
            if kept is front:
                break
            if older:
                found.append(kept)
            older = older or kept is pulse
        return found


def _insert(pulses: list[Pulse], pulse: Pulse) -> None:
    """At its place by time: nearly always the end."""
    index = len(pulses)
    while index and pulses[index - 1].fired_ns > pulse.fired_ns:
        index -= 1
    pulses.insert(index, pulse)
