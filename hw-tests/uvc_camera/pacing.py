# SPDX-License-Identifier: GPL-3.0-or-later
"""When exposures start. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Start:
    """An exposure that starts at `time_ns`; `missed` starts before it went by unnoticed."""

    time_ns: int
    missed: int


class Pacing(Protocol):
    """Says when exposures start. All times are CLOCK_MONOTONIC."""

    @property
    def due_ns(self) -> int | None:
        """When to ask `take` again; None while nothing is to come by itself."""

    def take(self, now_ns: int) -> Start | None:
        """The exposure that is due by now, if any."""

    def stretch(self, exposure_ns: int) -> None:
        """The exposure just taken lasts that long: the next one cannot start before its end."""


class FreeRunning:
    """One exposure per interval, on absolute deadlines: lateness never adds up.

    An exposure longer than the interval slows the camera down, as it does on cameras that put exposure first.
    """

    def __init__(self, first_ns: int, interval_ns: int) -> None:
        self._due_ns = first_ns
        self._interval_ns = interval_ns

    @property
    def due_ns(self) -> int:
        """The next start."""
        return self._due_ns

    def take(self, now_ns: int) -> Start | None:
        """The latest start that is due; those a whole interval or more behind are missed."""
        if now_ns < self._due_ns:
            return None
        missed = (now_ns - self._due_ns) // self._interval_ns
        start = Start(self._due_ns + missed * self._interval_ns, missed)
        self._due_ns = start.time_ns + self._interval_ns
        return start

    def stretch(self, exposure_ns: int) -> None:
        """Put the next start off when the exposure outlasts the interval."""
        self._due_ns += max(0, exposure_ns - self._interval_ns)
