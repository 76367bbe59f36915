"""The frames of a running stream: when each is exposed, into which buffer, with which stamp and number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from agent.simulation.clock import Clock
from agent.simulation.faults import Faults, StampFault
from agent.simulation.mark import FrameMark
from agent.simulation.profiles import SOE
from agent.simulation.queue import Buffer, BufferQueue
from agent.simulation.scene import Scene
from agent.simulation.sensor import Light, Sensor

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Exposure:
    """One frame under way: its number, when it began, and its light."""

    sequence: int
    start_ns: int
    light: Light

    @property
    def end_ns(self) -> int:
        """When it is finished."""
        return self.start_ns + self.light.exposure_ns


class Stream:
    """One run from STREAMON to STREAMOFF. Not locked: the camera's lock guards it.

    Frame k begins at t0 + k * interval, without drift; a longer exposure or a new interval begins a new t0.
    """

    def __init__(
        self,
        queue: BufferQueue,
        sensor: Sensor,
        scene: Scene,
        faults: Faults,
        clock: Clock,
        interval_s: Fraction,
        stamp_flags: int,
    ) -> None:
        self._queue, self._sensor, self._scene = queue, sensor, scene
        self._faults, self._clock = faults, clock
        self._soe = bool(stamp_flags & SOE & ~0x2000)
        self._interval_s = interval_s
        self._origin = (clock.now_ns(), 0)
        self._last_stamp_ns = 0
        self.halted = False
        sensor.restart()
        self.exposure = Exposure(0, self._origin[0], sensor.light(0))

    def set_interval(self, interval_s: Fraction) -> None:
        """Change the frame interval from the next frame on."""
        self._origin = (self.exposure.start_ns, self.exposure.sequence)
        self._interval_s = interval_s

    def finish_frame(self) -> bool:
        """The exposure under way ends: deliver it if there is a buffer for it. True if a buffer was finished."""
        exposure = self.exposure
        buffer = None if exposure.sequence in self._faults.lost_frames else self._queue.next_queued()
        if buffer is not None:
            self._fill(buffer, exposure)
        self._begin_next()
        return buffer is not None

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

    def _fill(self, buffer: Buffer, exposure: Exposure) -> None:
        mark = FrameMark(exposure.sequence & 0xFFFF_FFFF, exposure.light.exposure_ns, exposure.light.gain & 0xFFFF)
        pixels = [plane.memory.pixels for plane in buffer.planes if plane.memory is not None]
        used = self._scene.expose(mark, exposure.light, pixels)
        short = exposure.sequence in self._faults.short_frames
        for plane, count in zip(buffer.planes, used, strict=True):
            plane.bytesused = count // 2 if short else count
        buffer.sequence = exposure.sequence
        buffer.stamp_ns = self._stamp(exposure.start_ns if self._soe else exposure.end_ns)
        self._queue.finish(buffer, intact=exposure.sequence not in self._faults.broken_frames)

    def _stamp(self, true_ns: int) -> int:
        fault = self._faults.stamp
        stamp_ns = true_ns
        if fault in (StampFault.ZERO, StampFault.UNKNOWN):
            return 0
        if fault is StampFault.REALTIME:
            stamp_ns += self._clock.realtime_ns() - self._clock.now_ns()
        if fault is StampFault.BACKWARDS and self._last_stamp_ns and true_ns > self._last_stamp_ns:
            stamp_ns = self._last_stamp_ns - 1_000_000
        self._last_stamp_ns = stamp_ns
        return stamp_ns
