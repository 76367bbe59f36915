"""An autofocus that runs once: busy for a while after its button was pressed, then focused, or not."""

from __future__ import annotations

from collections.abc import Container

from agent.simulation.clock import Clock
from agent.simulation.faults import Faults, FocusFault
from agent.v4l2.uapi import ControlID

IDLE, BUSY, REACHED, FAILED = 0, 1 << 0, 1 << 1, 1 << 2
"""V4L2_AUTO_FOCUS_STATUS_*"""
TAKES_NS = 400_000_000


class Autofocus:
    """The answers of V4L2_CID_AUTO_FOCUS_*. Not locked: the camera's lock guards it."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults
        self._started_ns: int | None = None

    def follow(self, written: Container[int]) -> None:
        """These controls were written: its buttons may be among them."""
        if ControlID.AUTO_FOCUS_STOP in written:
            self._started_ns = None
        if ControlID.AUTO_FOCUS_START in written:
            self._started_ns = self._clock.now_ns()

    def status(self) -> int:
        """V4L2_CID_AUTO_FOCUS_STATUS now."""
        if self._started_ns is None:
            return IDLE
        running = self._clock.now_ns() - self._started_ns < TAKES_NS
        if running or self._faults.focus is FocusFault.NEVER_ENDS:
            return BUSY
        return FAILED if self._faults.focus is FocusFault.FAILS else REACHED
