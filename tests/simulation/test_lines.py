"""Simulated lines: wires, stamps by the simulation's clock, listeners; the rest is the contract."""

from __future__ import annotations

import select
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.simulation.clock import MachineClock, ManualClock
from agent.simulation.line_level import LineChip
from agent.simulation.lines import SimulatedLines
from agent.trigger.errors import LineGone, LinePermission
from agent.trigger.lines import Edge, Edges, InputOrder, LineRef, OutputOrder
from agent.trigger.pulse import PulseOrder, PulseOut
from agent.units import NS_PER_MS, NS_PER_US

OUT, IN, ALSO = (LineRef("bench", name) for name in ("out", "in", "also"))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def lines(clock):
    with made(clock) as lines:
        yield lines


def made(clock) -> SimulatedLines:
    return SimulatedLines([LineChip(label="bench", names=("out", "in", "also"))], clock=clock)


def output(lines, ref=OUT, **order):
    return lines.open_output(OutputOrder(line=ref, consumer="me", **order))


def watched(lines, ref=IN, **order):
    return lines.open_input(InputOrder(line=ref, consumer="me", **order))


def readable(line) -> int:
    poller = select.poll()
    poller.register(line.fileno(), select.POLLIN)
    return poller.poll(0)[0][1] if poller.poll(0) else 0


def test_wires_carry_an_output_to_inputs_at_one_instant(lines, clock):
    lines.wire(OUT, IN, ALSO)
    with output(lines) as out, watched(lines) as one, watched(lines, ALSO, active_low=True) as other:
        clock.move_to(5_000_000_000)
        written = out.set(True)
        assert written == (5_000_000_000, 5_000_000_000)
        assert one.read() == Edges((Edge(5_000_000_000, True, 1, 1),), 0)
        assert other.read() == Edges((Edge(5_000_000_000, False, 1, 1),), 0)
        out.set(True)  # no edge
        assert one.read() == Edges((), 0)


def test_a_wire_lets_the_pull_decide_when_nobody_drives(lines):
    lines.pull(IN, True)
    lines.wire(OUT, IN)
    with watched(lines) as seen:
        assert seen.is_active()
        with output(lines):
            assert not seen.is_active()
        assert seen.is_active()
        assert [edge.active for edge in seen.read().edges] == [False, True]


def test_of_two_outputs_on_one_wire_the_high_one_wins(lines):
    lines.wire(OUT, IN)
    lines.wire(ALSO, IN)
    with output(lines) as one, output(lines, ALSO) as other:
        one.set(True)
        other.set(True)
        one.set(False)
        assert lines.level(IN)
        other.set(False)
        assert not lines.level(IN)


def test_a_debounced_edge_comes_when_the_level_was_steady(lines, clock):
    with watched(lines, debounce_ns=NS_PER_MS) as seen:
        start_ns = clock.now_ns()
        lines.pull(IN, True)
        lines.deadlines.advance_to(start_ns + NS_PER_MS - 1)
        assert not seen.is_active()
        lines.pull(IN, False)  # bounces, one nanosecond before it would have counted
        lines.pull(IN, True)
        lines.deadlines.advance_to(start_ns + 2 * NS_PER_MS - 2)
        assert seen.read() == Edges((), 0)
        lines.deadlines.advance_to(start_ns + 5 * NS_PER_MS)
        assert seen.read() == Edges((Edge(start_ns + 2 * NS_PER_MS - 1, True, 1, 1),), 0)
        assert seen.is_active()


def test_a_bounce_back_is_not_heard(lines, clock):
    with watched(lines, debounce_ns=NS_PER_MS) as seen:
        lines.pull(IN, True)
        lines.pull(IN, False)
        lines.deadlines.advance_to(clock.now_ns() + 5 * NS_PER_MS)
        assert seen.read() == Edges((), 0)


def test_a_debounced_line_may_go_while_it_bounces():
    with made(MachineClock()) as lines, watched(lines, debounce_ns=50 * NS_PER_MS) as seen:
        lines.pull(IN, True)
        lines.unplug("bench")
        with pytest.raises(LineGone):
            seen.read()


def test_listeners_hear_each_change_until_they_are_ended(lines, clock):
    heard = []
    end = lines.on_level(OUT, lambda high, now_ns: heard.append((high, now_ns)))
    now_ns = clock.now_ns()
    with output(lines) as out:
        out.set(True)
        out.set(True)
        out.set(False)
        end()
        end()
        out.set(True)
    assert heard == [(True, now_ns), (False, now_ns)]


def test_a_listener_may_use_the_lines_and_is_called_without_the_lock(lines):
    """A camera that exposes on the pulse raises its strobe from within the listener; another thread may look."""
    levels = []

    def strobe(high: bool, now_ns: int) -> None:
        also.set(high)
        looking = threading.Thread(target=lambda: levels.append(lines.level(ALSO)))
        looking.start()
        looking.join()

    with output(lines) as out, output(lines, ALSO) as also:
        lines.on_level(OUT, strobe)
        out.set(True)
        assert lines.level(ALSO)
        out.set(False)
    assert levels[:2] == [True, False]


def test_release_goes_through_the_safe_level(lines):
    heard = []
    with output(lines, safe_active=True) as out:
        out.set(False)
        lines.on_level(OUT, lambda high, _: heard.append(high))
    assert heard == [True, False]  # safe, then the pull


def test_a_chip_comes_back_with_nobody_holding_it(lines):
    with output(lines) as before:
        lines.unplug("bench")
        lines.plug("bench")
        with pytest.raises(LineGone):
            before.set(True)
        with output(lines) as after:
            after.set(True)
            before.release()  # must not touch the new holder
            assert after.is_active()
            assert lines.lines("bench")[0].used


def test_a_vanished_output_drives_its_wire_no_more(clock):
    chips = [LineChip(label="one", names=("out",)), LineChip(label="two", names=("in",))]
    with SimulatedLines(chips, clock=clock) as lines:
        lines.wire(LineRef("one", "out"), LineRef("two", "in"))
        with output(lines, LineRef("one", "out")) as out, watched(lines, LineRef("two", "in")) as seen:
            out.set(True)
            lines.unplug("one")
            assert [edge.active for edge in seen.read().edges] == [True, False]


def test_a_forbidden_chip_is_refused(lines):
    lines.forbid("bench")
    for use in (lambda: output(lines), lambda: lines.lines("bench"), lines.chips):
        with pytest.raises(LinePermission):
            use()


def test_a_spun_pulse_has_its_width_on_the_wire():
    with made(MachineClock()) as lines:
        lines.wire(OUT, IN)
        with watched(lines) as seen, PulseOut(output(lines), PulseOrder(width_ns=50 * NS_PER_US)) as pulses:
            begin, end = pulses.fire(lines.clock.now_ns())
            rose, fell = seen.read().edges
    assert begin.written.before_ns <= rose.time_ns <= begin.written.after_ns
    assert end.written.before_ns <= fell.time_ns <= end.written.after_ns
    assert fell.time_ns - rose.time_ns >= 50 * NS_PER_US


@given(
    buffer_events=st.integers(1, 9),
    turns=st.lists(st.integers(0, 20), max_size=20),
    both=st.booleans(),
)
def test_every_edge_was_read_or_counted_as_lost(buffer_events, turns, both):
    """And the descriptor is readable exactly while edges wait; what stays are the newest."""
    with made(ManualClock()) as lines, watched(lines, buffer_events=buffer_events, falling=both) as seen:
        high, made_edges, accounted = False, 0, 0
        for toggles in turns:
            for _ in range(toggles):
                high = not high
                lines.pull(IN, high)
                made_edges += 1 if both or high else 0
            waiting = made_edges > accounted
            assert bool(readable(seen)) is waiting
            edges: tuple[Edge, ...] = ()
            while readable(seen):
                found = seen.read()
                edges += found.edges
                accounted += found.lost + len(found.edges)
            assert accounted == made_edges
            if waiting:
                assert edges[-1].seqno == edges[-1].line_seqno == made_edges
                assert len(edges) <= 1 << (buffer_events - 1).bit_length()
