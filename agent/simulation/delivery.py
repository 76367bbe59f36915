"""Frames into buffers: the picture, the mark, the bytes, the stamp and the number, with the faults that spoil them."""

from __future__ import annotations

from dataclasses import dataclass

from agent.simulation.clock import Clock
from agent.simulation.faults import Faults, StampFault
from agent.simulation.mark import FrameMark
from agent.simulation.profiles import SOE
from agent.simulation.queue import Buffer, BufferQueue
from agent.simulation.scene import Scene
from agent.simulation.sensor import Light

_SOURCE_BITS = SOE & ~0x2000
"""V4L2_BUF_FLAG_TSTAMP_SRC_SOE without V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC."""


@dataclass(frozen=True)
class Exposure:
    """One frame: its number, when its exposure began, its light, and how long it takes to read it out after that."""

    sequence: int
    start_ns: int
    light: Light
    readout_ns: int = 0

    @property
    def end_ns(self) -> int:
        """When its exposure is over."""
        return self.start_ns + self.light.exposure_ns

    @property
    def ready_ns(self) -> int:
        """When it is read out: the end of the frame, as V4L2_BUF_FLAG_TSTAMP_SRC_EOF means it."""
        return self.end_ns + self.readout_ns


class Delivery:
    """What a stream does with finished frames. Not locked: the camera's lock guards it."""

    def __init__(self, queue: BufferQueue, scene: Scene, faults: Faults, clock: Clock, stamp_flags: int) -> None:
        self._queue, self._scene, self._faults, self._clock = queue, scene, faults, clock
        self._soe = bool(stamp_flags & _SOURCE_BITS)
        self._last_stamp_ns = 0

    def deliver(self, exposure: Exposure) -> bool:
        """Into the next buffer. False: it is lost, because there is no buffer or because it was told to be."""
        buffer = None if exposure.sequence in self._faults.lost_frames else self._queue.next_queued()
        if buffer is None:
            return False
        self._fill(buffer, exposure)
        return True

    def _fill(self, buffer: Buffer, exposure: Exposure) -> None:
        mark = FrameMark(exposure.sequence & 0xFFFF_FFFF, exposure.light.exposure_ns, exposure.light.gain & 0xFFFF)
        pixels = [plane.memory.pixels for plane in buffer.planes if plane.memory is not None]
        used = self._scene.expose(mark, exposure.light, pixels)
        short = exposure.sequence in self._faults.short_frames
        for plane, count in zip(buffer.planes, used, strict=True):
            plane.bytesused = count // 2 if short else count
        buffer.sequence = exposure.sequence
        buffer.stamp_ns = self._stamp(exposure.start_ns if self._soe else exposure.ready_ns)
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
