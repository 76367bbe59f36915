# SPDX-License-Identifier: GPL-3.0-or-later
"""When exposures start. Pure: time is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from . import faults as fault_names
from .faults import Faults

_NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class Pulse:
    """An active edge on the trigger input at `time_ns`; the camera means to expose `delay_ns` after it."""

    number: int
    time_ns: int
    delay_ns: int = 0


@dataclass(frozen=True)
class Start:
    """An exposure that starts at `time_ns`; `missed` starts before it went by unnoticed.

    `pulse` is what made it start, None without a trigger; `faults` names those that made it.
    """

    time_ns: int
    missed: int
    pulse: Pulse | None = None
    faults: tuple[str, ...] = ()


Ignore = Callable[[Pulse, str, str], None]
"""Told of a pulse that makes no picture: the pulse, the outcome ("ignored" or "dropped"), the reason."""


class Pacing(Protocol):
    """Says when exposures start. All times are CLOCK_MONOTONIC."""

    @property
    def due_ns(self) -> int | None:
        """When to ask `take` again; None while nothing is to come by itself."""

    def take(self, now_ns: int) -> Start | None:
        """The exposure that is due by now, if any."""

    def stretch(self, exposure_ns: int) -> None:
        """The exposure just taken lasts that long: the next one cannot start before its end."""

    def trigger(self, pulse: Pulse) -> None:
        """The trigger input saw an active edge."""

    def stop(self) -> None:
        """The stream ends: what was to come does not."""


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

    def trigger(self, pulse: Pulse) -> None:
        """Nobody looks at the trigger input."""

    def stop(self) -> None:
        """Nothing was promised."""


class Triggered:
    """One exposure per pulse. A pulse while the sensor exposes or is read out is ignored, as sensors do.

    Judged by the times of the edges, not by when this process learns of them: an edge is ignored when it lies between
    an accepted edge and the end of that one's readout, or before `since_ns`, when the stream began.
    """

    def __init__(self, since_ns: int, readout_ns: int, faults: Faults, ignore: Ignore) -> None:
        self._since_ns = since_ns
        self._busy_until_ns = since_ns
        self._readout_ns = readout_ns
        self._faults = faults
        self._ignore = ignore
        self._pulses: deque[Pulse] = deque()
        self._next: Start | None = None
        self._taken: Start | None = None

    @property
    def due_ns(self) -> int | None:
        """The next start; without one in sight, when something is to be judged."""
        if self._next is not None:
            return self._next.time_ns
        if self._pulses:
            return self._pulses[0].time_ns
        return self._busy_until_ns if self._faults.active(fault_names.GHOST_FRAME) else None

    def trigger(self, pulse: Pulse) -> None:
        """A pulse, to be judged when the exposures before it are known."""
        self._pulses.append(pulse)

    def take(self, now_ns: int) -> Start | None:
        """The exposure that is due: a pulse's, or one that nobody asked for while that fault is in force."""
        self._taken = None
        while self._next is None and self._pulses:
            self._next = self._judge(self._pulses.popleft())
        if self._next is None and now_ns >= self._busy_until_ns and self._faults.take(fault_names.GHOST_FRAME):
            self._next = Start(now_ns, 0, None, (fault_names.GHOST_FRAME,))
        if self._next is None or now_ns < self._next.time_ns:
            return None
        self._taken, self._next = self._next, None
        return self._taken

    def stretch(self, exposure_ns: int) -> None:
        """Busy until the end of exposure and readout; with that fault, one pulse's second exposure follows at once."""
        taken, self._taken = self._taken, None
        if taken is None:
            return
        self._busy_until_ns = taken.time_ns + exposure_ns + self._readout_ns
        again = taken.pulse is not None and fault_names.DOUBLE_TRIGGER not in taken.faults
        if again and self._faults.take(fault_names.DOUBLE_TRIGGER):
            self._next = Start(self._busy_until_ns, 0, taken.pulse, (fault_names.DOUBLE_TRIGGER,))

    def stop(self) -> None:
        """Pulses that did not come to their exposure are ignored ones."""
        start = self._next
        if start is not None and start.pulse is not None and fault_names.DOUBLE_TRIGGER not in start.faults:
            self._pulses.appendleft(start.pulse)
        for pulse in self._pulses:
            self._ignore(pulse, "ignored", "stopped")
        self._next = None
        self._pulses.clear()

    def _judge(self, pulse: Pulse) -> Start | None:
        if pulse.time_ns < self._since_ns:
            self._ignore(pulse, "ignored", "not_streaming")
        elif pulse.time_ns < self._busy_until_ns:
            self._ignore(pulse, "ignored", "busy")
        elif self._faults.take(fault_names.DROP_TRIGGER):
            self._ignore(pulse, "dropped", fault_names.DROP_TRIGGER)
        else:
            late = self._faults.take(fault_names.LATE_TRIGGER)
            late_ns = late.delay_ms * _NS_PER_MS if late else 0
            names = (fault_names.LATE_TRIGGER,) if late else ()
            return Start(pulse.time_ns + pulse.delay_ns + late_ns, 0, pulse, names)
        return None
