"""Clocks: where nanoseconds come from, and how MONOTONIC corresponds to REALTIME, TAI and BOOTTIME.

CLOCK_MONOTONIC is the time of this project. All conversions to other clocks live here (mission row D2).
"""

from __future__ import annotations

import enum
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agent.units import NS_PER_MS

ReadClock = Callable[[], int]
"""Returns nanoseconds."""

monotonic_ns: ReadClock = time.monotonic_ns
"""CLOCK_MONOTONIC."""


class Clock(enum.Enum):
    """The clocks we convert to, by their kernel numbers (time.h; CLOCK_TAI has no name in Python's `time`)."""

    REALTIME = time.CLOCK_REALTIME
    BOOTTIME = time.CLOCK_BOOTTIME
    TAI = 11

    def read_ns(self) -> int:
        """Now, on this clock."""
        return time.clock_gettime_ns(self.value)


@dataclass(frozen=True, slots=True)
class Offset:
    """`clock` minus MONOTONIC at `monotonic_ns`, known to within ± `uncertainty_ns`."""

    clock: Clock
    monotonic_ns: int
    offset_ns: int
    uncertainty_ns: int


@dataclass(frozen=True, slots=True)
class Jump:
    """A clock moved against MONOTONIC by more than slewing explains.

    `kind` is `step` (REALTIME or TAI was set) or `suspend` (BOOTTIME ran on while MONOTONIC stood still).
    """

    kind: str
    clock: Clock
    monotonic_ns: int
    delta_ns: int


_READS = 5
_SLEW_PPM = 1_000
"""The kernel slews by at most 500 ppm (adjtimex) plus 500 ppm of frequency correction."""
_STEP_FLOOR_NS = NS_PER_MS // 2
"""Below this nobody can tell a step from being scheduled away between two reads."""


def measure_offset(clock: Clock, *, read_ns: ReadClock, read_monotonic_ns: ReadClock) -> Offset:
    """Read `clock` between two readings of MONOTONIC, five times, and keep the tightest bracket."""
    return min((_bracket(clock, read_ns, read_monotonic_ns) for _ in range(_READS)), key=lambda o: o.uncertainty_ns)


def _bracket(clock: Clock, read_ns: ReadClock, read_monotonic_ns: ReadClock) -> Offset:
    before, other, after = read_monotonic_ns(), read_ns(), read_monotonic_ns()
    middle = (before + after) // 2
    return Offset(clock, middle, other - middle, (after - before + 1) // 2)


class Correlation:
    """MONOTONIC against another clock, measured again and again; jumps are noticed and kept.

    Not for sharing between threads: one owner calls `update()`, at least every few seconds.
    """

    def __init__(
        self, clock: Clock, *, read_ns: ReadClock | None = None, read_monotonic_ns: ReadClock = monotonic_ns
    ) -> None:
        """Take the first measurement. The readers are injected in tests."""
        self._clock = clock
        self._read_ns = read_ns or clock.read_ns
        self._read_monotonic_ns = read_monotonic_ns
        self.jumps: deque[Jump] = deque(maxlen=64)
        self._offset = self._measure()

    @property
    def offset(self) -> Offset:
        """The latest measurement."""
        return self._offset

    def update(self) -> Jump | None:
        """Measure again; returns the jump since the last measurement, if there was one."""
        before, now = self._offset, self._measure()
        self._offset = now
        elapsed = now.monotonic_ns - before.monotonic_ns
        delta = now.offset_ns - before.offset_ns
        explained = elapsed * _SLEW_PPM // 1_000_000 + before.uncertainty_ns + now.uncertainty_ns + _STEP_FLOOR_NS
        if abs(delta) <= explained:
            return None
        kind = "suspend" if self._clock is Clock.BOOTTIME else "step"
        jump = Jump(kind, self._clock, now.monotonic_ns, delta)
        self.jumps.append(jump)
        return jump

    def convert_ns(self, at_monotonic_ns: int) -> int:
        """The instant `at_monotonic_ns` on the other clock, by the latest measurement."""
        return at_monotonic_ns + self._offset.offset_ns

    def _measure(self) -> Offset:
        return measure_offset(self._clock, read_ns=self._read_ns, read_monotonic_ns=self._read_monotonic_ns)
