"""One pulse and trains of them."""

from __future__ import annotations

import errno
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trigger.acting import GONE, NotedOutput, RunningClock

from agent.errors import InputError, StateError
from agent.trigger.errors import LineError, LineGone, PulseActive
from agent.trigger.pulse import KEPT_EDGES, SPIN_BELOW_NS, PulseEdge, PulseOrder, PulseOut
from agent.units import NS_PER_MS, NS_PER_US


def pulses(order: PulseOrder, *, step_ns: int = 100, **options) -> tuple[PulseOut, NotedOutput, RunningClock]:
    clock = RunningClock(step_ns)
    line = NotedOutput(clock)
    return PulseOut(line, order, read_ns=clock, **options), line, clock


def run(out: PulseOut, clock: RunningClock, late_ns: int = 0) -> list[PulseEdge]:
    """Fire, and call `due` at each `next_ns`, or so late."""
    edges = list(out.fire(clock()))
    while (next_ns := out.next_ns) is not None:
        clock.now_ns = max(clock.now_ns, next_ns + late_ns)
        edges += out.due(clock.now_ns)
    return edges


@pytest.mark.parametrize("width_ns", [0, -1])
def test_a_pulse_without_width_is_refused(width_ns):
    with pytest.raises(InputError) as caught:
        PulseOrder(width_ns=width_ns)
    assert caught.value.details["width_ns"] == width_ns


@pytest.mark.parametrize(
    "order",
    [
        {"width_ns": 1_000, "count": 0},
        {"width_ns": 1_000, "count": 2},
        {"width_ns": 1_000, "count": 2, "period_ns": 1_000},
        {"width_ns": 1_001, "count": 2, "period_ns": 1_000},
        {"width_ns": 1_000, "period_ns": -5},
    ],
)
def test_a_train_that_cannot_be_is_refused(order):
    with pytest.raises(InputError):
        PulseOrder(**order)


def test_a_long_pulse_ends_by_due():
    out, line, clock = pulses(PulseOrder(width_ns=2 * NS_PER_MS))
    now_ns = clock()
    (begin,) = out.fire(now_ns)
    assert (begin.number, begin.active, begin.wanted_ns) == (0, True, now_ns)
    assert out.is_active
    assert line.active
    assert out.next_ns == begin.written.after_ns + 2 * NS_PER_MS
    assert out.due(out.next_ns - 1) == ()
    assert line.active
    clock.now_ns = wanted_ns = out.next_ns
    (end,) = out.due(wanted_ns)
    assert (end.number, end.active, end.wanted_ns) == (0, False, wanted_ns)
    assert end.written.before_ns >= begin.written.after_ns + 2 * NS_PER_MS
    assert not line.active
    assert out.next_ns is None
    assert out.edges == (begin, end)


@pytest.mark.parametrize("width_ns", [10 * NS_PER_US, SPIN_BELOW_NS - 1])
def test_a_short_pulse_is_over_when_fire_returns(width_ns):
    out, line, clock = pulses(PulseOrder(width_ns=width_ns))
    begin, end = out.fire(clock())
    assert not line.active
    assert out.next_ns is None
    assert width_ns <= end.written.before_ns - begin.written.after_ns <= width_ns + 10 * clock.step_ns


def test_the_threshold_is_where_spinning_ends():
    out, _, clock = pulses(PulseOrder(width_ns=SPIN_BELOW_NS))
    assert len(out.fire(clock())) == 1
    out, _, clock = pulses(PulseOrder(width_ns=50), spin_below_ns=50)
    assert len(out.fire(clock())) == 1


def test_a_pulse_on_this_machine_has_its_width():
    """Real time, no upper bound: the machine is shared."""
    line = NotedOutput(RunningClock())
    out = PulseOut(line, PulseOrder(width_ns=100 * NS_PER_US))
    begins, ends = [], []
    line.set = lambda active: _stamp(begins if active else ends)
    out.fire(1)
    assert ends[0].before_ns - begins[0].after_ns >= 100 * NS_PER_US


def _stamp(into):
    from agent.clock import monotonic_ns
    from agent.trigger.lines import Written

    into.append(Written(monotonic_ns(), monotonic_ns()))
    return into[-1]


def test_a_pulse_is_refused_while_one_is_active_or_to_come():
    out, line, clock = pulses(PulseOrder(width_ns=NS_PER_MS, count=2, period_ns=10 * NS_PER_MS))
    out.fire(clock())
    with pytest.raises(PulseActive) as caught:
        out.fire(clock())
    assert caught.value.details["state"] == "active"
    assert len(line.noted) == 1
    out.due(out.next_ns)
    with pytest.raises(PulseActive) as caught:
        out.fire(clock())
    assert caught.value.details["state"] == "train"
    assert caught.value.details["next_ns"] == out.next_ns
    out.stop()
    out.fire(clock())


def test_a_train_keeps_to_its_grid_however_late_each_edge_was():
    order = PulseOrder(width_ns=NS_PER_MS, count=50, period_ns=10 * NS_PER_MS)
    out, _, clock = pulses(order)
    edges = run(out, clock, late_ns=NS_PER_MS)
    begins = [edge for edge in edges if edge.active]
    assert [edge.wanted_ns - begins[0].wanted_ns for edge in begins] == [n * order.period_ns for n in range(50)]
    assert all(edge.written.before_ns - edge.wanted_ns < 2 * NS_PER_MS for edge in begins)
    assert [edge.number for edge in edges] == [n for n in range(50) for _ in range(2)]


def test_a_short_pulse_train_is_spun_pulse_by_pulse():
    out, line, clock = pulses(PulseOrder(width_ns=20 * NS_PER_US, count=3, period_ns=NS_PER_MS))
    edges = run(out, clock)
    assert [(edge.number, edge.active) for edge in edges] == [(n, active) for n in range(3) for active in (True, False)]
    assert not line.active


def test_pulses_whose_time_has_passed_are_told_as_missed():
    out, line, clock = pulses(PulseOrder(width_ns=NS_PER_MS, count=5, period_ns=10 * NS_PER_MS))
    start_ns = clock()
    out.fire(start_ns)
    clock.now_ns = start_ns + 32 * NS_PER_MS  # within the period of pulse 3
    edges = out.due(clock.now_ns)
    assert [(edge.number, edge.active, edge.written is None) for edge in edges] == [
        (0, False, False),
        (1, True, True),
        (2, True, True),
    ]
    # pulse 3 is still possible, after half a gap: the camera needs the line to fall
    assert out.next_ns == edges[0].written.after_ns + out.order.least_gap_ns
    clock.now_ns = out.next_ns
    (begin,) = out.due(clock.now_ns)
    assert (begin.number, begin.wanted_ns) == (3, start_ns + 30 * NS_PER_MS)
    assert line.active


@given(
    width_ns=st.integers(1, 1_000_000),
    gap_ns=st.integers(1, 1_000_000),
    count=st.integers(1, 30),
    lateness_ns=st.lists(st.integers(0, 5_000_000), min_size=60, max_size=60),
    spun=st.booleans(),
)
def test_every_pulse_is_sent_or_told_as_missed_and_none_is_short(width_ns, gap_ns, count, lateness_ns, spun):
    order = PulseOrder(width_ns=width_ns, count=count, period_ns=width_ns + gap_ns)
    out, line, clock = pulses(order, step_ns=max(1, width_ns // 50), spin_below_ns=10**9 if spun else 0)
    edges = list(out.fire(clock()))
    for late_ns in lateness_ns:
        if out.next_ns is None:
            break
        clock.now_ns = max(clock.now_ns, out.next_ns + late_ns)
        edges += out.due(clock.now_ns)
    assert out.next_ns is None
    assert not line.active
    assert [edge.number for edge in edges if edge.active] == list(range(count))
    sent = [edge for edge in edges if edge.written is not None]
    assert [edge.active for edge in sent] == [True, False] * (len(sent) // 2)
    for one, other in pairwise(sent):
        least_ns = width_ns if one.active else order.least_gap_ns
        assert other.written.before_ns - one.written.after_ns >= least_ns
        assert other.written.before_ns >= other.wanted_ns


def test_stop_ends_the_pulse_and_the_train():
    out, line, clock = pulses(PulseOrder(width_ns=NS_PER_MS, count=3, period_ns=10 * NS_PER_MS))
    out.fire(clock())
    (end,) = out.stop()
    assert not end.active
    assert not line.active
    assert out.next_ns is None
    assert out.stop() == ()


@pytest.mark.parametrize("at", [0, 1])
def test_a_fault_ends_the_train_and_leaves_the_line_inactive(at):
    out, line, clock = pulses(PulseOrder(width_ns=20 * NS_PER_US, count=3, period_ns=NS_PER_MS))
    line.fails = [None] * at + [errno.EIO]
    with pytest.raises(LineError):
        out.fire(clock())
    assert out.next_ns is None
    assert not out.is_active
    assert line.noted[-1][0] is False
    assert len(out.edges) == at  # what was made before is not forgotten


def test_an_interrupt_while_spinning_leaves_the_line_inactive():
    clock = RunningClock()
    line = NotedOutput(clock)

    def interrupted() -> int:
        raise KeyboardInterrupt

    out = PulseOut(line, PulseOrder(width_ns=20 * NS_PER_US), read_ns=interrupted)
    with pytest.raises(KeyboardInterrupt):
        out.fire(clock())
    assert [active for active, _ in line.noted] == [True, False]


def test_when_the_chip_goes_within_a_pulse_it_is_over():
    out, line, clock = pulses(PulseOrder(width_ns=NS_PER_MS))
    out.fire(clock())
    line.fails = [GONE, GONE]
    with pytest.raises(LineGone):
        out.due(out.next_ns)
    assert out.next_ns is None
    out.release()


def test_release_leaves_the_safe_level_and_refuses_more():
    out, line, clock = pulses(PulseOrder(width_ns=NS_PER_MS))
    with out:
        out.fire(clock())
    out.release()
    assert not line.active
    assert out.next_ns is None
    for use in (out.fire, out.due):
        with pytest.raises(StateError, match="released"):
            use(clock())
    assert out.stop() == ()


def test_the_edges_kept_are_bounded():
    count = KEPT_EDGES
    out, _, clock = pulses(PulseOrder(width_ns=1, count=count, period_ns=1_000_000))
    edges = run(out, clock)
    assert len(edges) == 2 * count
    assert out.edges == tuple(edges[-KEPT_EDGES:])


def test_a_line_that_is_safe_when_active_idles_inactive_and_goes_back():
    clock = RunningClock()
    line = NotedOutput(clock, safe_active=True)
    out = PulseOut(line, PulseOrder(width_ns=NS_PER_MS), read_ns=clock)
    assert not line.active
    (begin,) = out.fire(clock())
    assert begin.active
    out.release()
    assert line.active


def test_a_line_that_cannot_be_made_inactive_is_let_go():
    clock = RunningClock()
    line = NotedOutput(clock, safe_active=True)
    line.fails = [errno.EIO]
    with pytest.raises(LineError):
        PulseOut(line, PulseOrder(width_ns=NS_PER_MS), read_ns=clock)
    assert line.releases == 1


def test_a_pulse_that_the_gap_pushes_out_of_its_period_is_missed_at_once():
    out, _, clock = pulses(PulseOrder(width_ns=NS_PER_MS, count=3, period_ns=10 * NS_PER_MS))
    start_ns = clock()
    out.fire(start_ns)
    clock.now_ns = start_ns + 16 * NS_PER_MS  # half a gap, 4.5 ms, ends after pulse 1's period
    end, missed = out.due(clock.now_ns)
    assert (missed.number, missed.written) == (1, None)
    assert out.next_ns == end.written.after_ns + out.order.least_gap_ns
