"""The trigger of a group of cameras: armed when all of them are, fired for ticks or followed, safe at every end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.capture.board import Head
from agent.capture.edge_input import EdgeInput
from agent.capture.firing import Firing, Output
from agent.capture.outputs import Fired, LineOutput, SoftwareOutput, TriggerNotIdle
from agent.capture.pwm_output import OpenPwm, PwmOutput
from agent.capture.trigger_order import TriggerKind, TriggerOrder
from agent.capture.unit import CameraUnit
from agent.clock import ReadClock
from agent.errors import AgentError
from agent.schedule.run import Tick
from agent.trigger.errors import LineError
from agent.trigger.frame_sets import FrameSet, FrameSets
from agent.trigger.lines import Lines
from agent.trigger.verdicts import Entry
from agent.units import NS_PER_MS, NS_PER_S

_RETRY_NS = NS_PER_S
_USUAL_CYCLE_NS = 100 * NS_PER_MS
"""Between two pulses, where no camera states its frame interval."""

TellFault = Callable[[AgentError | None], None]


class GroupTrigger:
    """Owned by the loop. A line that cannot be had, or vanishes, is a fault that is told, and tried again.

    `on_pulse(at_ns)` is called for each pulse that others made, so that plans start on it.
    """

    def __init__(
        self,
        order: TriggerOrder,
        lines: Lines,
        units: Sequence[CameraUnit],
        words: memoryview,
        *,
        on_pulse: Callable[[int], None],
        tell: TellFault,
        now_ns: ReadClock,
        open_pwm: OpenPwm,
    ) -> None:
        """Nothing is opened before `check`."""
        self._open_pwm = open_pwm
        self._order, self._lines, self._units, self._words = order, lines, units, words
        self._on_pulse, self._tell, self._now_ns = on_pulse, tell, now_ns
        self.fault: AgentError | None = None
        self._output: Output | None = None
        self._pwm: PwmOutput | None = None
        self._firing = Firing(self._fire, self._cycle_ns, words[Head.PULSES] - 1)
        self._number = words[Head.PULSES] - 1
        self._last_ns = 0
        self._abandoned: int | None = None
        names = [unit.name for unit in units]
        self._sets = FrameSets(names) if len(names) > 1 else None
        self._ready_ns: int | None = None
        self._retry_ns: int | None = now_ns()
        self.input = None
        if order.input is not None:
            self.input = EdgeInput(lines, order.input, words, self._edge, tell, now_ns)

    # -- for takers -----------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Armed and settled, the idle level proven."""
        return self._ready_ns is not None and self._now_ns() >= self._ready_ns

    def pulse_for(self, tick: Tick) -> int:
        """Fired now, shared or to come; of a trigger that others fire, the one that started the tick, or the next."""
        if self._order.fires:
            return self._firing.serve(tick.due_ns, tick.wanted, self._now_ns())
        return self._number if tick.due_ns == self._last_ns else self._number + 1

    def waited_for(self) -> None:
        """If the pulse could not be fired, that is told to them now."""
        first, self._abandoned = self._abandoned, None
        if first is not None:
            for unit in self._units:
                unit.without_pulse(first)

    # -- for the loop ---------------------------------------------------------------------------------------------

    @property
    def next_ns(self) -> int | None:
        """When `check` should be called next."""
        instants = [self._retry_ns]
        if self._output is not None:
            instants.append(self._output.next_ns)
        if self.ready:
            instants.append(self._firing.next_ns)
        if self._pwm is not None:
            instants.append(self._pwm.next_ns)
        if self.input is not None:
            instants.append(self.input.next_ns)
        return min((instant_ns for instant_ns in instants if instant_ns is not None), default=None)

    def check(self, now_ns: int) -> None:
        """What is due: the end of a pulse, the next pulse, a line to be opened, a pulse of the PWM."""
        if self._retry_ns is not None and now_ns >= self._retry_ns:
            self._retry_ns = None
            self._open()
        if self.input is not None:
            self.input.check(now_ns)
        output = self._output
        try:
            if output is not None and output.next_ns is not None and now_ns >= output.next_ns:
                output.due(now_ns)
        except LineError as error:
            self._broke(error)
        if self.ready:
            self._firing.check(now_ns)
        if self._pwm is not None:
            for at_ns in self._pwm.passed(now_ns):
                self._pulsed(at_ns, self._pwm.uncertainty_ns)
        self.waited_for()

    def changed(self, unit: CameraUnit) -> None:
        """A camera came to another state: when all are armed, the trigger is."""
        if unit.armed and all(each.armed for each in self._units) and self.fault is None:
            self._arm()

    def stopping(self) -> None:
        """A camera's stream ends: no pulse from now on, the line idle; who waits for one is told so."""
        self._ready_ns = None
        try:
            if self._pwm is not None:
                self._pwm.stop()
            if self._output is not None:
                self._output.stop()
        except AgentError as error:
            self._broke(error)
        self._abandoned = self._firing.give_up()
        self.waited_for()

    def ended(self, camera: str, entry: Entry) -> None:
        """A camera's ledger brought a pulse or a frame to its end: no further tick shares that pulse."""
        if entry.pulse is None:
            return
        self._firing.answered(entry.pulse)
        if self._sets is not None:
            self._count(self._sets.add(camera, (entry,)))

    def release(self) -> None:
        """Lines at their safe levels, let go; idempotent."""
        self._ready_ns = None
        output, self._output = self._output, None
        pwm, self._pwm = self._pwm, None
        for each in (output, pwm, self.input):
            if each is not None:
                each.release()

    # -- the rest -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Take the line that pulses leave on; arm, if the cameras are waiting for it."""
        order = self._order
        try:
            if order.kind is TriggerKind.PULSE and self._output is None and order.output is not None:
                self._output = LineOutput(self._lines, order.output, order.pulse, self._told, self._now_ns)
            elif order.kind is TriggerKind.SOFTWARE and self._output is None:
                self._output = SoftwareOutput(self._units, self._told_camera, lambda _, error: self._broke(error))
            elif order.kind is TriggerKind.PWM and self._pwm is None and order.pwm is not None:
                self._pwm = PwmOutput(order.pwm, self._now_ns, self._open_pwm, predicts=order.input is None)
        except AgentError as error:
            self._broke(error)
            return
        if self.fault is not None:
            self.fault = None
            self._tell(None)
        if self._units and all(unit.armed for unit in self._units):
            self._arm()

    def _arm(self) -> None:
        """Prove the idle level; pulses may leave when the cameras have settled."""
        if self._order.kind is None or self._ready_ns is not None:
            return
        try:
            if self._output is not None:
                self._output.prove_idle()
            elif self._order.fires:
                return  # it is not there yet: `_open` comes back
            settled_ns = max(unit.armed_ns for unit in self._units) + self._order.settle_ns
            self._ready_ns = max(settled_ns, self._now_ns())
            if self._pwm is not None:
                self._pwm.start()
        except (LineError, TriggerNotIdle, AgentError) as error:
            self._broke(error)

    def _fire(self, number: int, now_ns: int) -> None:
        if self._output is None:
            self._abandoned = number
            return
        try:
            self._output.fire(number, now_ns)
        except AgentError as error:
            self._abandoned = number
            self._broke(error)

    def _told(self, fired: Fired) -> None:
        self._words[Head.PULSES] += 1
        self._open_set(fired.number)
        for unit in self._units:
            unit.pulsed(fired.number, fired.at_ns, fired.uncertainty_ns)

    def _told_camera(self, camera: str, fired: Fired) -> None:
        if self._words[Head.PULSES] <= fired.number:
            self._words[Head.PULSES] = fired.number + 1
            self._open_set(fired.number)
        for unit in self._units:
            if unit.name == camera:
                unit.pulsed(fired.number, fired.at_ns, fired.uncertainty_ns)

    def _edge(self, at_ns: int) -> None:
        """An edge of the input, as the kernel stamped it."""
        if self._order.kind in (TriggerKind.EDGE, TriggerKind.PWM):
            self._pulsed(at_ns, 0)
        else:
            self._on_pulse(at_ns)

    def _pulsed(self, at_ns: int, uncertainty_ns: int) -> None:
        """A pulse that was not fired for a tick."""
        self._number += 1
        self._last_ns = at_ns
        self._words[Head.PULSES] += 1
        if self.ready:
            self._open_set(self._number)
            for unit in self._units:
                unit.pulsed(self._number, at_ns, uncertainty_ns)
        self._on_pulse(at_ns)

    def _open_set(self, number: int) -> None:
        if self._sets is not None:
            self._count(self._sets.pulse(number))

    def _count(self, sets: Sequence[FrameSet]) -> None:
        words = self._words
        for each in sets:
            words[Head.SETS if each.complete else Head.SETS_INCOMPLETE] += 1
            if each.complete and each.skew_ns is not None:
                words[Head.SKEW_NS] = each.skew_ns
                words[Head.SKEW_MAX_NS] = max(words[Head.SKEW_MAX_NS], each.skew_ns)

    def _cycle_ns(self) -> int:
        if self._order.cycle_ns is not None:
            return self._order.cycle_ns
        prepared = (unit.session.prepared for unit in self._units if unit.session is not None)
        intervals_ns = [each.interval_ns or 0 for each in prepared if each is not None]
        return max(intervals_ns, default=0) or _USUAL_CYCLE_NS

    def _broke(self, error: AgentError) -> None:
        """The line is gone, held by somebody else, or not idle: no pulses until it works again."""
        self._ready_ns = None
        first = self._firing.give_up()
        if self._abandoned is None:
            self._abandoned = first
        for each in (self._output, self._pwm):
            if each is not None:
                each.release()
        self._output = self._pwm = None
        self._retry_ns = self._now_ns() + _RETRY_NS
        if self.fault is None or self.fault.code != error.code:
            self._tell(error)
        self.fault = error
