"""Pulses by a PWM output while the cameras stream, and when they are, as far as software can know (mission row E1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from agent.clock import ReadClock
from agent.trigger.pwm_order import PwmOrder


class Pwm(Protocol):
    """A PWM channel that is taken, and off: `agent.trigger.pwm.PwmOut`, or a simulated one."""

    def start(self) -> object:
        """Switch it on. Raises LineError, PwmNotProven."""
        ...

    def stop(self) -> object:
        """Switch it off, inactive. Raises LineError, PwmNotProven."""
        ...

    def release(self) -> None:
        """Off, let go; idempotent."""
        ...


OpenPwm = Callable[[PwmOrder], Pwm]
"""Takes a channel. Raises LineError, PwmNotProven."""


class PwmOutput:
    """One PWM channel. Without an input line that shows the pulses, their instants are predicted.

    Pulse k is at `start + k * period`, where the start is only known to lie between the clock before and after the
    output was switched on, which is `uncertainty_ns` either way; the hardware's own clock may drift from ours besides.
    """

    def __init__(self, order: PwmOrder, now_ns: ReadClock, open_pwm: OpenPwm, *, predicts: bool) -> None:
        """Take the channel, off. Raises LineError, PwmNotProven."""
        self.uncertainty_ns = 0
        self._pwm = open_pwm(order)
        self._period_ns, self._now_ns, self._predicts = order.period_ns, now_ns, predicts
        self._start_ns: int | None = None
        self._number = 0

    @property
    def is_on(self) -> bool:
        """Whether it pulses."""
        return self._start_ns is not None

    @property
    def next_ns(self) -> int | None:
        """When the next pulse is predicted; None while it is off, or its pulses are seen."""
        if self._start_ns is None or not self._predicts:
            return None
        return self._start_ns + self._number * self._period_ns

    def start(self) -> None:
        """Switch it on; idempotent. Raises LineError, PwmNotProven."""
        if self._start_ns is not None:
            return
        before_ns = self._now_ns()
        self._pwm.start()
        after_ns = self._now_ns()
        self.uncertainty_ns = (after_ns - before_ns + 1) // 2
        self._start_ns, self._number = before_ns + self.uncertainty_ns, 0

    def stop(self) -> None:
        """Switch it off, inactive; idempotent. Raises LineError, PwmNotProven."""
        if self._start_ns is not None:
            self._start_ns = None
            self._pwm.stop()

    def passed(self, now_ns: int) -> Iterator[int]:
        """The instants of the predicted pulses that have passed since the last call."""
        while (next_ns := self.next_ns) is not None and next_ns <= now_ns:
            self._number += 1
            yield next_ns

    def release(self) -> None:
        """Off, let go; idempotent."""
        self._start_ns = None
        self._pwm.release()
