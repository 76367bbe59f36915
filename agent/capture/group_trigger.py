"""The trigger of a group of cameras: armed when all of them are, fired for ticks or followed, safe at every end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from agent.capture.board import Head
from agent.capture.edge_input import EdgeInput
from agent.capture.firing import Firing, Output
from agent.capture.outputs import Fired, LineOutput, SoftwareOutput
from agent.capture.pwm_output import OpenPwm, PwmOutput
from agent.capture.trigger_order import TriggerKind, TriggerOrder
from agent.capture.unit import CameraUnit
from agent.clock import ReadClock
from agent.errors import AgentError
from agent.schedule.run import Tick
from agent.trigger.frame_sets import FrameSet, FrameSets
from agent.trigger.lines import Lines
from agent.trigger.verdicts import Cause, End, Entry
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
        self._firing = Firing(self._fire, self._is_free, self._cycle_ns, words[Head.PULSES] - 1)
        self._number = words[Head.PULSES] - 1
        self._last_ns: int | None = None
        """When the last pulse of others was, while ticks may take it: it was told to the cameras, and goes on."""
        self._abandoned: int | None = None
        """Pulses from this number on will not come, and that was not told yet."""
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
        """Shared or to come; of a trigger that others fire, the one that started the tick, or the next."""
        if self._order.fires:
            return self._firing.serve(tick.due_ns, tick.wanted)
        return self._number if tick.due_ns == self._last_ns else self._number + 1

    def waited_for(self) -> None:
        """All who wait for the pulse are there: it leaves, if it may. If it cannot, that is told to them now."""
        if self.ready:
            self._firing.check(self._now_ns())
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
            instants.append(self._pwm.next_ns if self._pwm.is_on else self._ready_ns)
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
            if self._pwm is not None and self.ready:
                self._pwm.start()
        except AgentError as error:
            self._broke(error)
        self.foresee()
        self.waited_for()

    def foresee(self) -> None:
        """Pulses of the PWM that have passed, as far as they are not seen: told before the frames they caused are."""
        if self._pwm is not None and self._pwm.next_ns is not None:
            for at_ns in self._pwm.passed(self._now_ns()):
                self._pulsed(at_ns, self._pwm.uncertainty_ns)

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
        self._give_up()
        self.waited_for()

    def ended(self, camera: str, entry: Entry) -> None:
        """A camera's ledger brought a pulse or a frame to its end: no further tick shares that pulse."""
        if entry.pulse is None:
            return
        self._firing.answered(entry.pulse)
        if entry.pulse == self._number:
            self._last_ns = None
        if self._sets is not None:
            self._count(self._sets.add(camera, (entry,)))

    def release(self) -> None:
        """Lines at their safe levels, let go; idempotent. One that fails keeps none back."""
        self._ready_ns = None
        output, self._output = self._output, None
        pwm, self._pwm = self._pwm, None
        with ExitStack() as steps:
            for each in (self.input, pwm, output):
                if each is not None:
                    steps.callback(each.release)

    # -- the rest -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Take the line that pulses leave on; arm, if the cameras are waiting for it."""
        order = self._order
        try:
            if order.kind is TriggerKind.PULSE and self._output is None and order.output is not None:
                self._output = LineOutput(self._lines, order.output, order.pulse, self._told, self._now_ns)
            elif order.kind is TriggerKind.SOFTWARE and self._output is None:
                self._output = SoftwareOutput(self._units, self._told_camera, self._not_told)
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
        except AgentError as error:
            self._broke(error)

    def _is_free(self) -> bool:
        return self._output is not None and self._output.free

    def _fire(self, number: int, now_ns: int) -> bool:
        output = self._output
        if output is None:
            return False
        if self._order.kind is TriggerKind.SOFTWARE:
            self._left(number)  # from now on it may, at any of them
        try:
            output.fire(number, now_ns)
        except AgentError as error:
            self._broke(error)
        has_left = self._words[Head.PULSES] > number
        if not has_left:
            self._abandon(number)
        return has_left

    def _left(self, number: int) -> None:
        self._words[Head.PULSES] = number + 1
        self._open_set(number)

    def _told(self, fired: Fired) -> None:
        self._left(fired.number)
        for unit in self._units:
            unit.pulsed(fired.number, fired.at_ns, fired.uncertainty_ns)

    def _told_camera(self, camera: str, fired: Fired) -> None:
        self._unit(camera).pulsed(fired.number, fired.at_ns, fired.uncertainty_ns)

    def _not_told(self, camera: str, number: int, error: AgentError) -> None:
        """A camera whose own trigger failed: it has no such pulse. That of one which is being stopped is no fault."""
        unit = self._unit(camera)
        if self._sets is not None:
            self._count(self._sets.add(camera, (Entry(End.MISSED, number, None, cause=Cause.STOPPED),)))
        unit.without_pulse(number)
        if unit.armed:
            self._broke(error)
            self.waited_for()

    def _unit(self, camera: str) -> CameraUnit:
        return next(unit for unit in self._units if unit.name == camera)

    def _edge(self, at_ns: int) -> None:
        """An edge of the input, as the kernel stamped it."""
        if self._order.kind in (TriggerKind.EDGE, TriggerKind.PWM):
            self._pulsed(at_ns, 0)
        else:
            self._on_pulse(at_ns)

    def _pulsed(self, at_ns: int, uncertainty_ns: int) -> None:
        """A pulse that was not fired for a tick."""
        self._number += 1
        self._words[Head.PULSES] += 1
        is_ready = self._ready_ns is not None and at_ns >= self._ready_ns
        self._last_ns = at_ns if is_ready else None
        if is_ready:
            self._open_set(self._number)
        for unit in self._units:
            # also while another camera keeps the trigger from being ready: it takes its frames all the same
            if unit.armed and at_ns >= unit.armed_ns + self._order.settle_ns:
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

    def _give_up(self) -> None:
        self._firing.give_up()
        self._last_ns = None
        self._abandon((self._firing.number if self._order.fires else self._number) + 1)

    def _abandon(self, first: int) -> None:
        self._abandoned = first if self._abandoned is None else min(first, self._abandoned)

    def _broke(self, error: AgentError) -> None:
        """The line is gone, held by somebody else, or not idle: no pulses until it works again."""
        self._ready_ns = None
        self._give_up()
        for each in (self._output, self._pwm):
            if each is not None:
                with suppress(AgentError):  # told already: what refuses one thing may well refuse the next
                    each.release()
        self._output = self._pwm = None
        self._retry_ns = self._now_ns() + _RETRY_NS
        if self.fault is None or self.fault.code != error.code:
            self._tell(error)
        self.fault = error
