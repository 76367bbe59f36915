"""A simulated PWM output: levels in the time of the simulated cameras."""

from __future__ import annotations

from collections.abc import Sequence

from agent.simulation.clock import Clock
from agent.simulation.line_level import OnLevel
from agent.simulation.pacer import Deadlines


class SimulatedPwm:
    """Active for `width_ns` of each `period_ns` from `start` to `stop`. `listeners` hear each level (True: active).

    Its pulses begin exactly a period apart, as those of hardware do. Used by one thread, beside that of `deadlines`.
    """

    def __init__(
        self, period_ns: int, width_ns: int, clock: Clock, deadlines: Deadlines, listeners: Sequence[OnLevel]
    ) -> None:
        self._period_ns, self._width_ns = period_ns, width_ns
        self._clock, self._deadlines, self._listeners = clock, deadlines, listeners
        self._turn = 0
        self._rise_ns = 0
        self._active = False
        self._on = False

    @property
    def next_ns(self) -> int | None:
        """Its next edge; None while it is off."""
        if not self._on:
            return None
        return self._rise_ns + self._width_ns if self._active else self._rise_ns

    def start(self) -> None:
        """Switch it on: a pulse begins."""
        if not self._on:
            self._on, self._turn = True, self._turn + 1
            self._rise_ns = self._clock.now_ns()
            self._deadlines.add(self, self._rise_ns, self._turn)

    def stop(self) -> None:
        """Switch it off, inactive; idempotent."""
        if self._on:
            self._on = False
            self._deadlines.remove(self)
            self._deadlines.settle()
            self._set(active=False, at_ns=self._clock.now_ns())

    def release(self) -> None:
        """Off; idempotent."""
        self.stop()

    def expire(self, turn: int) -> int | None:
        """For `deadlines`: an edge is due."""
        if not self._on or turn != self._turn:
            return None
        if self._active:
            self._set(active=False, at_ns=self._rise_ns + self._width_ns)
            self._rise_ns += self._period_ns
        else:
            self._set(active=True, at_ns=self._rise_ns)
        return self.next_ns

    def _set(self, *, active: bool, at_ns: int) -> None:
        if active != self._active:
            self._active = active
            for listener in self._listeners:
                listener(active, at_ns)
