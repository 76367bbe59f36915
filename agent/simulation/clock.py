"""The time a simulated camera lives in: CLOCK_MONOTONIC of this machine, or a clock that a test moves."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a simulated kernel takes its time from."""

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC nanoseconds."""
        ...

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME nanoseconds."""
        ...


class MachineClock:
    """The clocks of this machine. Stateless."""

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC nanoseconds."""
        return time.monotonic_ns()

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME nanoseconds."""
        return time.time_ns()


class ManualClock:
    """A clock that stands still until it is moved. One owner moves it; anybody may read."""

    REALTIME_AHEAD_NS = 1_700_000_000_000_000_000

    def __init__(self, now_ns: int = 1_000_000_000) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC nanoseconds."""
        return self._now_ns

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME nanoseconds: a fixed distance ahead, far enough to tell them apart."""
        return self._now_ns + self.REALTIME_AHEAD_NS

    def move_to(self, instant_ns: int) -> None:
        """Set the time; it never goes back."""
        self._now_ns = max(self._now_ns, instant_ns)
