"""The frames of a stream that waits for pulses: exposed, read out, and deaf until that is over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from agent.simulation.delivery import Delivery, Exposure
from agent.simulation.faults import Faults
from agent.simulation.profiles import TriggerKind, TriggerWiring
from agent.simulation.sensor import Sensor
from agent.simulation.trigger_log import Fate, Outcome, Pulse, TriggerLog

Begun = tuple[Exposure, ...]
"""Exposures whose end is known now; the camera must be called when each is ready."""


class TriggeredStream:
    """One run from STREAMON to STREAMOFF of a camera in trigger mode. Not locked: the camera's lock guards it.

    What a pulse comes to depends on its own instant, not on when this is told of it: pulses in order of time, each
    at or before the present or not, give the same frames whether the clock is real or stepped.
    """

    def __init__(
        self,
        kind: TriggerKind,
        wiring: TriggerWiring,
        delivery: Delivery,
        sensor: Sensor,
        faults: Faults,
        log: TriggerLog,
        delay_ns: Callable[[], int],
    ) -> None:
        """`delay_ns`: what the delay control adds, asked at each pulse."""
        self.kind = kind
        self.halted = False
        self._wiring, self._delivery, self._sensor, self._faults, self._log = wiring, delivery, sensor, faults, log
        self._delay_ns = delay_ns
        self._random = np.random.default_rng(wiring.seed)
        self._next = 0
        self._deaf_until_ns = 0
        self._open: tuple[Pulse, int] | None = None
        self._waiting: deque[Exposure] = deque()
        sensor.restart()
        log.begin_run()

    @property
    def sequence(self) -> int:
        """The number of the last frame that was begun; -1 before the first."""
        return self._next - 1

    @property
    def next_frame_ns(self) -> int | None:
        """When the next frame will be read out; None while none is under way."""
        return self._waiting[0].ready_ns if self._waiting else None

    def pulse(self, pulse: Pulse) -> Begun:
        """An edge, or the button: an exposure as long as the camera is set to."""
        if self._is_refused(pulse):
            return ()
        begun = [self._begin(self._start_ns(pulse), pulse.number, None)]
        if self._faults.take_double():
            begun.append(self._begin(begun[0].ready_ns, pulse.number, None))
        self._log.settle(pulse, Fate.EXPOSED, [exposure.sequence for exposure in begun])
        return tuple(begun)

    def open(self, pulse: Pulse) -> int | None:
        """The line became active: an exposure begins that lasts until `close`. When; None where it is refused."""
        if self._is_refused(pulse):
            return None
        self._open = (pulse, self._start_ns(pulse))
        self._log.settle(pulse, Fate.OPEN)
        return self._open[1]

    def close(self, at_ns: int) -> Begun:
        """The line became inactive: the exposure that `open` began has its end. Nothing where none is open."""
        if self._open is None:
            return ()
        (pulse, start_ns), self._open = self._open, None
        exposure_ns = at_ns - pulse.at_ns + self._wiring.level_extra_ns
        begun = [self._begin(start_ns, pulse.number, exposure_ns)]
        if self._faults.take_double():
            begun.append(self._begin(begun[0].ready_ns, pulse.number, exposure_ns))
        self._log.settle(pulse, Fate.EXPOSED, [exposure.sequence for exposure in begun])
        return tuple(begun)

    def ghost(self, at_ns: int) -> Begun:
        """A frame nobody asked for, as soon as the camera can after `at_ns`; none while a line holds one open."""
        if self._open is not None:
            return ()
        return (self._begin(max(at_ns, self._deaf_until_ns), None, None),)

    def next_ready(self, now_ns: int) -> Exposure | None:
        """The oldest exposure that is read out by now, once each; `finish` must follow."""
        if self._waiting and self._waiting[0].ready_ns <= now_ns:
            return self._waiting.popleft()
        return None

    def finish(self, exposure: Exposure) -> bool:
        """Deliver it if there is a buffer. True if a buffer was finished. A camera that hangs delivers nothing."""
        if self.halted or self._faults.frozen:
            self._log.finished(exposure.sequence, Outcome.CUT)
            return False
        delivered = self._delivery.deliver(exposure)
        self._log.finished(exposure.sequence, Outcome.DELIVERED if delivered else Outcome.LOST)
        return delivered

    def cut(self) -> None:
        """The stream ends: what is not read out never will be."""
        if self._open is not None:
            self._log.settle(self._open[0], Fate.CUT)
            self._open = None
        while self._waiting:
            self._log.finished(self._waiting.popleft().sequence, Outcome.CUT)

    def _is_refused(self, pulse: Pulse) -> bool:
        fate = self._refusal_of(pulse)
        if fate is not None:
            self._log.settle(pulse, fate)
        return fate is not None

    def _refusal_of(self, pulse: Pulse) -> Fate | None:
        if self.halted or self._faults.frozen:
            return Fate.DROPPED
        if self._open is not None or pulse.at_ns < self._deaf_until_ns:
            return Fate.BUSY
        return Fate.DROPPED if self._faults.take_drop() else None

    def _start_ns(self, pulse: Pulse) -> int:
        jitter_ns = self._wiring.jitter_ns
        wobble_ns = int(self._random.integers(-jitter_ns, jitter_ns + 1))
        delay_ns = self._wiring.delay_ns + self._delay_ns() + self._faults.take_late_ns()
        return pulse.at_ns + max(delay_ns + wobble_ns, 0)

    def _begin(self, start_ns: int, pulse: int | None, exposure_ns: int | None) -> Exposure:
        light = self._sensor.light(self._next)
        if exposure_ns is not None:
            share = exposure_ns / max(light.exposure_ns, 1)
            light = replace(light, exposure_ns=exposure_ns, level=light.level * share)
        exposure = Exposure(self._next, start_ns, light, self._wiring.readout_ns)
        self._next += 1
        self._deaf_until_ns = exposure.ready_ns
        self._waiting.append(exposure)
        self._log.exposed(exposure.sequence, pulse, start_ns, exposure.end_ns, exposure.ready_ns)
        return exposure
