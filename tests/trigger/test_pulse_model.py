"""Any order of fire, due, stop, release, vanish on simulated lines: the line ends safe."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from trigger.acting import LABEL, STROBE, TRIGGER, simulated_lines

from agent.errors import StateError
from agent.simulation.clock import ManualClock
from agent.trigger.errors import LineGone, PulseActive
from agent.trigger.lines import InputOrder, OutputOrder
from agent.trigger.pulse import PulseOrder, PulseOut

WIDTH_NS = 1_000_000
PERIOD_NS = 4_000_000


class Pulses(RuleBasedStateMachine):
    @initialize(safe_active=st.booleans(), active_low=st.booleans(), count=st.integers(1, 4))
    def open(self, safe_active, active_low, count):
        self.clock = ManualClock()
        self.lines = simulated_lines(clock=self.clock)
        self.lines.wire(TRIGGER, STROBE)
        self.active_low, self.safe_high = active_low, safe_active != active_low
        self.levels: list[tuple[bool, int]] = []
        self.lines.on_level(TRIGGER, lambda high, now_ns: self.levels.append((high, now_ns)))
        line = self.lines.open_output(
            OutputOrder(line=TRIGGER, consumer="model", safe_active=safe_active, active_low=active_low)
        )
        self.watched = self.lines.open_input(InputOrder(line=STROBE, consumer="model", active_low=active_low))
        period_ns = PERIOD_NS if count > 1 else None
        order = PulseOrder(width_ns=WIDTH_NS, count=count, period_ns=period_ns)
        self.pulses = PulseOut(line, order, read_ns=self.clock.now_ns)
        self.here, self.released = True, False
        self.levels.clear()

    @rule(after_ns=st.sampled_from([0, 1, WIDTH_NS // 2, WIDTH_NS, PERIOD_NS, 3 * PERIOD_NS]))
    def time_goes_on(self, after_ns):
        self.clock.move_to(self.clock.now_ns() + after_ns)

    @rule()
    def fire(self):
        busy = self.pulses.next_ns is not None
        if not busy:
            self.levels.clear()
        self._do(lambda: self.pulses.fire(self.clock.now_ns()), refused=busy)

    @rule()
    def due(self):
        self._do(lambda: self.pulses.due(self.clock.now_ns()))
        if self.here and not self.released and self.pulses.next_ns is not None:
            assert self.pulses.next_ns > self.clock.now_ns() or self.pulses.is_active

    @precondition(lambda self: not self.released)
    @rule()
    def stop(self):
        self._do(self.pulses.stop, may_be_idle=True)
        if self.here:
            assert self.pulses.next_ns is None

    @rule()
    def release(self):
        held = self.here and not self.released
        before = self.lines.level(TRIGGER) if held else None
        self.levels.clear()
        self.pulses.release()
        self.released = True
        expected = []
        if held:  # to the safe level, and only then to what the pull says, which is low
            expected = [self.safe_high] * (before != self.safe_high) + [False] * self.safe_high
        assert [high for high, _ in self.levels] == expected

    @precondition(lambda self: self.here)
    @rule()
    def vanish(self):
        self.lines.unplug(LABEL)
        self.here = False

    def _do(self, verb, *, refused=False, may_be_idle=False):
        try:
            verb()
        except PulseActive:
            assert refused
        except StateError:
            assert self.released
        except LineGone:
            assert not self.here
            assert self.pulses.next_ns is None
        else:
            assert not self.released
            assert not refused

    @invariant()
    def the_line_is_active_only_while_a_pulse_is(self):
        if not hasattr(self, "here") or not self.here or self.released:
            return
        if self.pulses.is_active:
            assert self.lines.level(TRIGGER) is not self.active_low
        else:
            assert self.lines.level(TRIGGER) is self.active_low

    @invariant()
    def what_was_said_is_what_was_seen(self):
        """The edges told and the edges on the wire are the same, in number, level and time."""
        if not hasattr(self, "here") or not self.here or self.released:
            return
        told = [edge for edge in self.pulses.edges if edge.written is not None]
        for edge, (high, now_ns) in zip(told, self.levels, strict=True):
            assert high is (edge.active != self.active_low)
            assert edge.written.before_ns <= now_ns <= edge.written.after_ns

    def teardown(self):
        if not hasattr(self, "here"):
            return
        self.pulses.release()
        self.pulses.release()
        self.watched.release()
        if self.here:
            assert not self.lines.level(TRIGGER)  # the pull, as nobody holds it


TestPulses = Pulses.TestCase
