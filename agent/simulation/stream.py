"""The frames of a free-running stream: when each is exposed, and with which number."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from agent.simulation.clock import Clock
from agent.simulation.delivery import Delivery, Exposure
from agent.simulation.sensor import Sensor

_NS_PER_S = 1_000_000_000


class Stream:
    """One run from STREAMON to STREAMOFF. Not locked: the camera's lock guards it.

    Frame k begins at t0 + k * interval, without drift; a longer exposure or a new interval begins a new t0.
    """

    def __init__(self, delivery: Delivery, sensor: Sensor, clock: Clock, interval_s: Fraction) -> None:
        self._delivery, self._sensor, self._clock = delivery, sensor, clock
        self._interval_s = interval_s
        self._origin = (clock.now_ns(), 0)
        self.halted = False
        sensor.restart()
        self.exposure = Exposure(0, self._origin[0], sensor.light(0))

    @property
    def sequence(self) -> int:
        """The number of the frame under way."""
        return self.exposure.sequence

    @property
    def next_frame_ns(self) -> int:
        """When the frame under way is finished."""
        return self.exposure.end_ns

    def set_interval(self, interval_s: Fraction) -> None:
        """Change the frame interval from the next frame on."""
        self._origin = (self.exposure.start_ns, self.exposure.sequence)
        self._interval_s = interval_s

    def finish_frame(self) -> bool:
        """The exposure under way ends: deliver it if there is a buffer for it. True if a buffer was finished."""
        delivered = self._delivery.deliver(self.exposure)
        self._begin_next()
        return delivered

    def postpone(self) -> None:
        """The camera hangs: the same frame begins again an interval from now."""
        start_ns = self._clock.now_ns() + self._interval_ns(1)
        self._origin = (start_ns, self.exposure.sequence)
        self.exposure = replace(self.exposure, start_ns=start_ns)

    def skip_late(self) -> None:
        """Count frames whose time has passed as lost, as hardware does that nobody waited for."""
        while self.exposure.end_ns + self._interval_ns(1) < self._clock.now_ns():
            self._begin_next()

    def _begin_next(self) -> None:
        done = self.exposure
        frame = done.sequence + 1
        start_ns = self._origin[0] + self._interval_ns(frame - self._origin[1])
        if start_ns < done.end_ns:
            start_ns = done.end_ns
            self._origin = (start_ns, frame)
        self.exposure = Exposure(frame, start_ns, self._sensor.light(frame))

    def _interval_ns(self, frames: int) -> int:
        return int(self._interval_s * frames * _NS_PER_S)
