"""The contract of "trigger lines": what holds on the simulation and on the kernel's GPIO.

Imported by a test module that gives the fixture `lines_under_test`; nothing here knows which lines they are.
"""

from __future__ import annotations

import select
import threading
from contextlib import contextmanager
from itertools import pairwise

import pytest

from agent.clock import monotonic_ns
from agent.errors import InputError, StateError
from agent.trigger.errors import ChipNotFound, LineBusy, LineGone, LineNotFound
from agent.trigger.lines import Bias, Edge, Edges, InputLine, InputOrder, LineRef, OutputOrder
from agent.trigger.pulse import PulseOrder, PulseOut
from agent.units import NS_PER_MS, NS_PER_US
from contract.line_bench import IN, LABEL, NAMES, OUT, SPARE, LinesUnderTest

LIMIT_MS = 10_000


@contextmanager
def output(bench: LinesUnderTest, name: str = OUT, **order):
    line = bench.lines.open_output(OutputOrder(line=bench.ref(name), consumer="the-contract", **order))
    try:
        yield line
    finally:
        line.release()


@contextmanager
def watched(bench: LinesUnderTest, name: str = IN, **order):
    line = bench.lines.open_input(InputOrder(line=bench.ref(name), consumer="the-contract", **order))
    try:
        yield line
    finally:
        line.release()


def is_readable(line: InputLine, limit_ms: int = 0) -> bool:
    poller = select.poll()
    poller.register(line.fileno(), select.POLLIN)
    return bool(poller.poll(limit_ms))


def take(line: InputLine, until) -> Edges:
    """Read until `until(edges)`; all of it as one."""
    edges: tuple[Edge, ...] = ()
    lost = 0
    while not until(edges):
        assert is_readable(line, LIMIT_MS), f"no more edges came after {edges}"
        found = line.read()
        edges, lost = edges + found.edges, lost + found.lost
    return Edges(edges, lost)


def drive_edge(bench: LinesUnderTest, line: InputLine, name: str, high: bool) -> Edge:
    """Drive and wait for the one edge: gpio-sim's interrupt is a thread, which may merge quick edges."""
    bench.drive(name, high)
    (edge,) = take(line, lambda edges: edges).edges
    return edge


def line_info(bench: LinesUnderTest, name: str):
    return bench.lines.lines(LABEL)[NAMES.index(name)]


# ---- what there is, and how it is found


def test_chips_and_lines_are_listed(lines_under_test):
    (chip,) = [chip for chip in lines_under_test.lines.chips() if chip.label == LABEL]
    assert chip.lines == len(NAMES)
    assert chip.path == f"/dev/{chip.name}"
    lines = lines_under_test.lines.lines(chip.name)
    assert [line.offset for line in lines] == [0, 1, 2, 3]
    assert tuple(line.name for line in lines) == NAMES
    assert not any(line.used or line.consumer for line in lines)


def test_a_line_is_found_by_every_name_it_has(lines_under_test):
    (chip,) = [chip for chip in lines_under_test.lines.chips() if chip.label == LABEL]
    for word in (chip.name, chip.path, chip.label, ""):
        names = [SPARE] if not word else [SPARE, str(NAMES.index(SPARE))]
        for name in names:
            order = InputOrder(line=LineRef(word, name), consumer="the-contract")
            line = lines_under_test.lines.open_input(order)
            try:
                assert line_info(lines_under_test, SPARE).used, order
            finally:
                line.release()


def test_what_is_not_there_is_refused_with_what_is(lines_under_test):
    lines = lines_under_test.lines
    with pytest.raises(ChipNotFound) as no_chip:
        lines.lines("contract-linse")
    assert LABEL in no_chip.value.suggestions
    with pytest.raises(ChipNotFound):
        lines.open_input(InputOrder(line=LineRef("contract-linse", IN), consumer="me"))
    for ref in (LineRef(LABEL, "contract-inn"), LineRef("", "contract-inn")):
        with pytest.raises(LineNotFound) as no_line:
            lines.open_output(OutputOrder(line=ref, consumer="me"))
        assert no_line.value.suggestions[0] == IN
        assert IN in no_line.value.hint
    with pytest.raises(LineNotFound):
        lines.open_output(OutputOrder(line=LineRef(LABEL, "4"), consumer="me"))


def test_the_holder_can_be_seen(lines_under_test):
    with output(lines_under_test, active_low=True), watched(lines_under_test):
        out, seen = line_info(lines_under_test, OUT), line_info(lines_under_test, IN)
        assert (out.used, out.consumer, out.output, out.active_low) == (True, "the-contract", True, True)
        assert (seen.used, seen.consumer, seen.output, seen.active_low) == (True, "the-contract", False, False)
    out, seen = line_info(lines_under_test, OUT), line_info(lines_under_test, IN)
    assert (out.used, out.consumer, seen.used, seen.consumer) == (False, "", False, "")


def test_a_busy_line_names_its_consumer_and_is_left_alone(lines_under_test):
    with output(lines_under_test) as line:
        line.set(True)
        for opening in (
            lambda: lines_under_test.lines.open_output(OutputOrder(line=lines_under_test.ref(OUT), consumer="other")),
            lambda: lines_under_test.lines.open_input(InputOrder(line=lines_under_test.ref(OUT), consumer="other")),
        ):
            with pytest.raises(LineBusy, match="the-contract") as caught:
                opening()
            assert caught.value.consumer == "the-contract"
            assert caught.value.line == OUT
        assert line.is_active()
        assert lines_under_test.level(OUT)


# ---- outputs


@pytest.mark.parametrize("active_low", [False, True])
@pytest.mark.parametrize("safe_active", [False, True])
def test_an_output_begins_at_its_safe_level_and_follows(lines_under_test, active_low, safe_active):
    with output(lines_under_test, active_low=active_low, safe_active=safe_active) as line:
        assert line.is_active() is safe_active
        assert lines_under_test.level(OUT) is (safe_active != active_low)
        for active in (True, False, False, True):
            before_ns = monotonic_ns()
            written = line.set(active)
            assert before_ns <= written.before_ns <= written.after_ns <= monotonic_ns()
            assert line.is_active() is active
            assert lines_under_test.level(OUT) is (active != active_low)


def test_an_output_does_not_care_what_pulls_it(lines_under_test):
    with output(lines_under_test) as line:
        lines_under_test.drive(OUT, True)
        assert not line.is_active()
        line.set(True)
        lines_under_test.drive(OUT, False)
        assert line.is_active()


@pytest.mark.parametrize("pulled", [False, True])
def test_a_released_output_is_what_pulls_it(lines_under_test, pulled):
    lines_under_test.drive(OUT, pulled)
    with output(lines_under_test) as line:
        line.set(not pulled)
        assert lines_under_test.level(OUT) is not pulled
    assert lines_under_test.level(OUT) is pulled
    line.release()  # once more
    for use in (lambda: line.set(True), line.is_active):
        with pytest.raises(StateError, match="released"):
            use()
    assert lines_under_test.level(OUT) is pulled


def test_an_output_can_be_opened_again(lines_under_test):
    for _ in range(3):
        with output(lines_under_test) as line:
            line.set(True)


# ---- pulses


def test_a_short_pulse_has_its_width_and_is_over(lines_under_test):
    width_ns = 50 * NS_PER_US
    order = OutputOrder(line=lines_under_test.ref(OUT), consumer="the-contract")
    with PulseOut(lines_under_test.lines.open_output(order), PulseOrder(width_ns=width_ns)) as pulses:
        for _ in range(5):
            begin, end = pulses.fire(monotonic_ns())
            assert end.written.before_ns - begin.written.after_ns >= width_ns
            assert not lines_under_test.level(OUT)


@pytest.mark.parametrize("active_low", [False, True])
def test_a_long_pulse_is_on_the_line_until_due(lines_under_test, active_low):
    order = OutputOrder(line=lines_under_test.ref(OUT), consumer="the-contract", active_low=active_low)
    with PulseOut(lines_under_test.lines.open_output(order), PulseOrder(width_ns=NS_PER_MS)) as pulses:
        (begin,) = pulses.fire(monotonic_ns())
        assert lines_under_test.level(OUT) is not active_low
        (end,) = pulses.due(pulses.next_ns)
        assert lines_under_test.level(OUT) is active_low
        assert begin.written.after_ns <= end.written.before_ns
        pulses.fire(monotonic_ns())
    assert not lines_under_test.level(OUT)  # released within a pulse: safe, then what pulls it


def test_a_pulse_on_a_chip_that_has_gone_is_told(lines_under_test):
    order = OutputOrder(line=lines_under_test.ref(OUT), consumer="the-contract")
    with PulseOut(lines_under_test.lines.open_output(order), PulseOrder(width_ns=NS_PER_MS)) as pulses:
        pulses.fire(monotonic_ns())
        lines_under_test.unplug()
        with pytest.raises(LineGone):
            pulses.due(pulses.next_ns)
        assert pulses.next_ns is None
        with pytest.raises(LineGone):
            pulses.fire(monotonic_ns())


# ---- inputs


@pytest.mark.parametrize("active_low", [False, True])
def test_an_input_has_the_level_of_what_drives_it(lines_under_test, active_low):
    with watched(lines_under_test, active_low=active_low) as line:
        for high in (True, False):
            lines_under_test.drive(IN, high)
            assert line.is_active() is (high != active_low)


def test_a_bias_pulls(lines_under_test):
    with watched(lines_under_test, bias=Bias.PULL_UP) as line:
        assert line.is_active()
        assert line_info(lines_under_test, IN).bias is Bias.PULL_UP
    with watched(lines_under_test, bias=Bias.PULL_DOWN) as line:
        assert not line.is_active()


def test_a_released_input_is_refused_by_name(lines_under_test):
    with watched(lines_under_test) as line:
        pass
    line.release()
    for use in (line.fileno, line.read, line.is_active):
        with pytest.raises(StateError, match="released"):
            use()


def test_reading_without_an_edge_gives_nothing_at_once(lines_under_test):
    with watched(lines_under_test) as line:
        assert not is_readable(line)
        assert line.read() == Edges((), 0)


@pytest.mark.parametrize("active_low", [False, True])
def test_edges_are_stamped_and_numbered_without_a_gap(lines_under_test, active_low):
    edges = []
    with watched(lines_under_test, active_low=active_low) as line:
        for turn in range(10):
            high = turn % 2 == 0
            before_ns = monotonic_ns()
            edge = drive_edge(lines_under_test, line, IN, high)
            assert before_ns <= edge.time_ns <= monotonic_ns()
            assert edge.active is (high != active_low)
            edges.append(edge)
        assert not is_readable(line)
    assert [edge.seqno for edge in edges] == list(range(1, 11))
    assert [edge.line_seqno for edge in edges] == list(range(1, 11))
    assert all(one.time_ns < other.time_ns for one, other in pairwise(edges))


@pytest.mark.parametrize(("rising", "falling"), [(True, False), (False, True)])
@pytest.mark.parametrize("active_low", [False, True])
def test_only_the_edges_that_were_asked_for_come(lines_under_test, rising, falling, active_low):
    with watched(lines_under_test, rising=rising, falling=falling, active_low=active_low) as line:
        for number in (1, 2, 3):
            for high in (True, False):
                lines_under_test.drive(IN, high)
                if (high != active_low) is rising:
                    found = take(line, lambda edges: edges)
                    assert [(edge.active, edge.seqno) for edge in found.edges] == [(rising, number)]
                else:
                    assert line.read() == Edges((), 0)


def test_without_edges_only_the_level_is_read(lines_under_test):
    with watched(lines_under_test, rising=False, falling=False) as line:
        lines_under_test.drive(IN, True)
        assert line.is_active()
        assert line.read() == Edges((), 0)


def test_what_the_buffer_could_not_hold_is_counted(lines_under_test):
    turns = 40
    with watched(lines_under_test, buffer_events=4) as line:
        for turn in range(turns):
            lines_under_test.drive(IN, turn % 2 == 0)
        found = take(line, lambda edges: edges)
        while is_readable(line):  # some may still have been under way
            more = line.read()
            found = Edges(found.edges + more.edges, found.lost + more.lost)
        assert found.lost > 0
        assert found.lost + len(found.edges) == found.edges[-1].seqno <= turns
        # and after it nothing is missing
        last = found.edges[-1].seqno
        after = drive_edge(lines_under_test, line, IN, not lines_under_test.level(IN))
        assert after.seqno == last + 1


def test_one_read_gives_a_buffer_full(lines_under_test):
    with watched(lines_under_test, buffer_events=8) as line:
        for turn in range(8):
            drive_edge(lines_under_test, line, IN, turn % 2 == 0)
        assert not is_readable(line)
    with watched(lines_under_test, buffer_events=1024) as line:
        assert line.read() == Edges((), 0)


def test_a_bouncing_line_is_heard_once(lines_under_test):
    debounce_ns = 200 * NS_PER_MS
    with watched(lines_under_test, debounce_ns=debounce_ns) as line:
        for turn in range(7):
            last_ns = monotonic_ns()
            lines_under_test.drive(IN, turn % 2 == 0)
        assert not line.is_active()
        (edge,) = take(line, lambda edges: edges).edges
        assert (edge.active, edge.seqno) == (True, 1)
        # the kernel's timer counts in jiffies, 4 ms or 10 ms
        assert edge.time_ns >= last_ns + debounce_ns - 20 * NS_PER_MS
        assert line.is_active()
        assert not is_readable(line)


def test_orders_that_cannot_be_are_refused(lines_under_test):
    ref = lines_under_test.ref(IN)
    for order in (
        {"consumer": ""},
        {"consumer": "x" * 32},
        {"consumer": "me", "buffer_events": 0},
        {"consumer": "me", "buffer_events": 1025},
        {"consumer": "me", "debounce_ns": 0},
        {"consumer": "me", "debounce_ns": 1_500},
    ):
        with pytest.raises(InputError):
            InputOrder(line=ref, **order)
    assert not line_info(lines_under_test, IN).used


# ---- the chip goes


def test_when_the_chip_goes_every_call_says_so(lines_under_test):
    with output(lines_under_test) as out, watched(lines_under_test) as seen:
        out.set(True)
        drive_edge(lines_under_test, seen, IN, True)
        lines_under_test.unplug()
        assert is_readable(seen, LIMIT_MS)
        for use in (lambda: out.set(False), out.is_active, seen.read, seen.is_active):
            with pytest.raises(LineGone) as caught:
                use()
            assert caught.value.code == "line_gone"
            assert caught.value.device.startswith("/dev/gpiochip")
    with pytest.raises(ChipNotFound):
        lines_under_test.lines.lines(LABEL)
    with pytest.raises(ChipNotFound):
        lines_under_test.lines.open_input(InputOrder(line=lines_under_test.ref(IN), consumer="me"))


def test_who_waits_for_an_edge_wakes_when_the_chip_goes(lines_under_test):
    with watched(lines_under_test) as line:
        poller = select.poll()
        poller.register(line.fileno(), select.POLLIN)
        woken: list = []
        waiting = threading.Thread(target=lambda: woken.extend(poller.poll(LIMIT_MS)))
        waiting.start()
        lines_under_test.unplug()
        waiting.join()
        assert woken
        assert woken[0][1] & (select.POLLERR | select.POLLHUP)
