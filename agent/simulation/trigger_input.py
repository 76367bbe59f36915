"""A camera's trigger input: levels of a line and presses of a button become pulses, and pulses exposures."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import AbstractContextManager

from agent.simulation.controls import ControlSet
from agent.simulation.delivery import Delivery
from agent.simulation.faults import Faults
from agent.simulation.profiles import TriggerKind, TriggerWiring
from agent.simulation.sensor import Sensor
from agent.simulation.strobe import StrobeOutput
from agent.simulation.trigger_log import Fate, Source, TriggerAccount, TriggerLog
from agent.simulation.triggered_stream import Begun, TriggeredStream
from agent.v4l2.uapi import ControlFlag


class TriggerInput:
    """The line's level, the log, and the stream that listens while the camera is in trigger mode.

    `level`, `pulse`, `ghost` and `account` take the camera's lock, for callers from outside; for all others the
    camera holds it. `call_at` has the camera called when a frame is ready.
    """

    def __init__(
        self,
        wiring: TriggerWiring | None,
        faults: Faults,
        lock: AbstractContextManager[object],
        strobe: StrobeOutput,
        call_at: Callable[[int], None],
    ) -> None:
        self.strobe = strobe
        self._wiring, self._faults, self._lock, self._call_at = wiring, faults, lock, call_at
        self._log = TriggerLog()
        self._stream: TriggeredStream | None = None
        self._streaming = False
        self._active = False
        self._last_ns = 0
        self._number = -1
        self._risen_ns = 0

    def level(self, active: bool, at_ns: int) -> None:
        """The line stands at this level since `at_ns`; the same level again is no edge.

        Raises ValueError when `at_ns` lies before the last one told.
        """
        with self._lock:
            self._set_level(active, at_ns)

    def pulse(self, at_ns: int, width_ns: int) -> None:
        """A whole pulse on the line. Raises ValueError as `level` does."""
        with self._lock:
            self._set_level(active=True, at_ns=at_ns)
            self._set_level(active=False, at_ns=at_ns + width_ns)

    def ghost(self, at_ns: int) -> bool:
        """Expose a frame that no pulse asked for; False when the camera does not wait for pulses."""
        with self._lock:
            begun = () if self._stream is None else self._stream.ghost(at_ns)
            self._expect(begun)
            return bool(begun)

    def account(self) -> TriggerAccount:
        """The camera's own account of every pulse it saw and every frame it exposed for one."""
        with self._lock:
            return self._log.account()

    def start(self, delivery: Delivery, sensor: Sensor, controls: ControlSet) -> TriggeredStream | None:
        """STREAMON: the stream that waits for pulses, None when the camera runs free.

        From now on the mode cannot be changed, as with most vendors.
        """
        self._streaming = True
        wiring = self._wiring
        if wiring is None:
            return None
        controls.flag(wiring.mode_id, ControlFlag.GRABBED, on=True)
        kind = wiring.kinds.get(controls.number(wiring.mode_id))
        if kind is None or wiring.mode_id in self._faults.dead_controls:
            return None

        def delay_ns() -> int:
            return 0 if wiring.delay_id is None else controls.number(wiring.delay_id) * 1000

        self._stream = TriggeredStream(kind, wiring, delivery, sensor, self._faults, self._log, delay_ns)
        return self._stream

    def stop(self, controls: ControlSet) -> None:
        """STREAMOFF."""
        self._streaming = False
        if self._wiring is not None:
            controls.flag(self._wiring.mode_id, ControlFlag.GRABBED, on=False)
        if self._stream is not None:
            self._stream.cut()
            self.strobe.cut()
            self._stream = None

    def follow(self, written: Container[int], now_ns: int) -> None:
        """Controls were written: the software trigger, perhaps."""
        if self._wiring is None or self._wiring.software_id not in written:
            return
        pulse = self._log.saw(now_ns, Source.SOFTWARE, self._deaf_fate)
        if self._stream is not None and self._stream.kind is TriggerKind.SOFTWARE:
            self._expect(self._stream.pulse(pulse))

    @property
    def _deaf_fate(self) -> Fate:
        return Fate.NOT_LISTENING if self._streaming else Fate.NOT_STREAMING

    def _set_level(self, active: bool, at_ns: int) -> None:
        if at_ns < self._last_ns:
            raise ValueError(f"an edge at {at_ns} after one at {self._last_ns}: tell them in order of time")
        self._last_ns = at_ns
        if active == self._active:
            return
        self._active = active
        if active:
            self._rise(at_ns)
        else:
            self._fall(at_ns)

    def _rise(self, at_ns: int) -> None:
        pulse = self._log.saw(at_ns, Source.LINE, self._deaf_fate)
        self._number, self._risen_ns = pulse.number, at_ns
        if self._stream is None:
            return
        if self._stream.kind is TriggerKind.EDGE:
            self._expect(self._stream.pulse(pulse))
        elif self._stream.kind is TriggerKind.LEVEL:
            start_ns = self._stream.open(pulse)
            if start_ns is not None:
                self.strobe.schedule(active=True, at_ns=start_ns)

    def _fall(self, at_ns: int) -> None:
        self._log.measured(self._number, at_ns - self._risen_ns)
        if self._stream is None or self._stream.kind is not TriggerKind.LEVEL:
            return
        begun = self._stream.close(at_ns)
        if begun:
            self.strobe.schedule(active=False, at_ns=begun[0].end_ns)
            self._call_at(begun[0].ready_ns)
            self._expect(begun[1:])

    def _expect(self, begun: Begun) -> None:
        for exposure in begun:
            self.strobe.schedule(active=True, at_ns=exposure.start_ns)
            self.strobe.schedule(active=False, at_ns=exposure.end_ns)
            self._call_at(exposure.ready_ns)
