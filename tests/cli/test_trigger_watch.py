"""`trigger watch` on a simulated chip: each edge, what was lost, bounded however many come."""

import json
from itertools import pairwise

import pytest
from cli.lines_bench import EDGE, LinesBench, interrupt
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.trigger_edges import EdgeWatch
from agent.cli.trigger_watch import BIASES
from agent.simulation.clock import ManualClock
from agent.simulation.line_level import LineChip
from agent.simulation.lines import SimulatedLines
from agent.trigger.lines import MOST_BUFFERED_EVENTS, Bias, Edge, Edges, InputOrder


@pytest.fixture
def bench(capsys):
    with LinesBench(capsys) as made:
        yield made


def pulls(bench, levels):
    """Somebody moves the line once it is watched."""

    def move(number):
        if number == 0:
            for high in levels:
                bench.chip.pull(EDGE, high)

    bench.on_read = move


def lines_of(result):
    *edges, last = (json.loads(line) for line in result.out.splitlines())
    return edges, last["summary"]


def test_the_choices_of_bias_are_those_of_the_seam():
    assert set(BIASES) == {bias.value for bias in Bias}


def test_each_edge_is_a_line_and_the_last_is_the_summary(bench):
    pulls(bench, [True, False, True])
    result = bench.call("watch", "bench:edge", "--count", 3, "--json")
    assert (result.code, result.err) == (0, "")
    edges, summary = lines_of(result)
    assert [edge["active"] for edge in edges] == [True, False, True]
    assert [edge["seqno"] for edge in edges] == [1, 2, 3]
    assert edges[0]["since_ns"] is None
    for before, after in pairwise(edges):
        assert after["since_ns"] == after["time_ns"] - before["time_ns"]
    assert (summary["edges"], summary["rising"], summary["lost"], summary["active_at_begin"]) == (3, 2, 0, True)
    assert summary["intervals"]["count"] == 2
    assert bench.is_free(EDGE)


def test_people_get_kernel_time_level_and_interval(bench):
    pulls(bench, [True, False])
    out = bench.call("watch", "bench:edge", "--count", 2).out
    first, second, *summary = out.splitlines()
    assert "s  active" in first
    assert "s  inactive  +" in second
    assert "2 of bench:edge, 1 to active" in "\n".join(summary)


def test_active_low_turns_the_levels_round(bench):
    pulls(bench, [True])
    edges, summary = lines_of(bench.call("watch", "bench:edge", "--count", 1, "--active", "low", "--json"))
    assert [edge["active"] for edge in edges] == [False]
    assert summary["rising"] == 0


def test_no_more_than_count_even_if_more_wait(bench):
    pulls(bench, [True, False] * 10)
    edges, summary = lines_of(bench.call("watch", "bench:edge", "--count", 5, "--json"))
    assert len(edges) == summary["edges"] == 5


def test_a_storm_is_counted_and_what_the_kernel_dropped_is_said_where_it_was(bench):
    pulls(bench, [True, False] * (MOST_BUFFERED_EVENTS + 50))
    edges, summary = lines_of(bench.call("watch", "bench:edge", "--count", MOST_BUFFERED_EVENTS, "--json"))
    assert (summary["edges"], summary["lost"]) == (MOST_BUFFERED_EVENTS, MOST_BUFFERED_EVENTS + 100)
    assert edges[0]["lost"] == summary["lost"]
    assert edges[0]["since_ns"] is None
    out = bench.call("watch", "bench:edge", "--count", MOST_BUFFERED_EVENTS).out
    assert f"... {MOST_BUFFERED_EVENTS + 100} edges were lost here" in out


def test_no_interval_is_told_across_edges_that_were_lost(bench):
    def act(number):
        for high in ([True], [False, True] * MOST_BUFFERED_EVENTS)[number] if number < 2 else ():
            bench.chip.pull(EDGE, high)

    bench.on_read = act
    edges, summary = lines_of(bench.call("watch", "bench:edge", "--count", 3, "--json"))
    assert [edge["lost"] for edge in edges] == [0, MOST_BUFFERED_EVENTS, 0]
    assert [edge["since_ns"] is None for edge in edges] == [True, True, False]
    assert summary["intervals"]["count"] == 1


def test_for_a_time_without_edges_is_no_error_but_missing_ones_are(bench):
    result = bench.call("watch", "bench:edge", "--for", "20ms", "--json")
    assert (result.code, lines_of(result)[1]["edges"]) == (0, 0)
    pulls(bench, [True])
    result = bench.call("watch", "bench:edge", "--for", "20ms", "--count", 2, "--json")
    assert (result.code, result.error["code"]) == (1, "edges_missing")
    assert (result.error["wanted"], result.error["came"]) == (2, 1)


def test_ctrl_c_sums_up_and_lets_go(bench):
    def act(number):
        if number == 0:
            bench.chip.pull(EDGE, True)
        else:
            interrupt()

    bench.on_read = act
    result = bench.call("watch", "bench:edge")
    assert result.code == 130
    assert "1 of bench:edge" in result.out
    assert result.err == "camera-agent: stopped by Ctrl-C: 1 edges of bench:edge\n"
    assert bench.is_free(EDGE)


def test_a_line_that_vanishes_while_watched_ends_with_what_was_seen(bench):
    def act(number):
        if number == 0:
            bench.chip.pull(EDGE, True)
        else:
            bench.chip.unplug("bench")

    bench.on_read = act
    result = bench.call("watch", "bench:edge", "--json")
    assert (result.code, result.error["code"]) == (3, "line_gone")
    assert result.error["notes"] == ["1 edges of bench:edge"]
    edges, summary = lines_of(result)
    assert len(edges) == summary["edges"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("bench:egde",), 3, "named lines are edge"),
        (("gpiochip7:edge",), 3, "no chip 'gpiochip7'"),
        (("bench:edge", "--debounce", "100ns"), 2, "cannot be debounced"),
        (("bench:edge", "--debounce", "1500ns"), 2, "whole microseconds"),
        (("bench:edge", "--bias", "up"), 2, "--bias"),
        (("bench:edge", "--for", "0s"), 2, "not more than zero"),
    ],
)
def test_bad_input(bench, arguments, code, told):
    result = bench.call("watch", *arguments)
    assert (result.code, result.out) == (code, "")
    assert told in result.err


def test_a_line_in_use_says_by_whom(bench):
    held = bench.hold("the-other-program")
    result = bench.call("watch", "bench:trigger")
    held.release()
    assert (result.code, result.out) == (5, "")
    assert "the-other-program" in result.err


def test_intervals_of_millions_of_edges_take_no_more_memory(bench):
    clock = ManualClock()
    with SimulatedLines([LineChip(label="bench", names=("edge",))], clock=clock) as lines:
        watch = EdgeWatch(InputOrder(line=EDGE, consumer="test"), read_ns=clock.now_ns)
        level = [False]

        def wait(_until_ns, _fd):
            clock.move_to(clock.now_ns() + 1_000_000)
            level[0] = not level[0]
            lines.pull(EDGE, level[0])
            return True

        watch.run(lines, wait, lambda _seen: None, count=2_000, for_ns=None)
    spread = watch.intervals
    assert (spread.count, spread.min_ns, spread.max_ns) == (1_999, 1_000_000, 1_000_000)
    assert spread.median_ns == 1_000_000


class Script:
    """Lines whose one input gives what a test wrote."""

    def __init__(self, reads):
        self._reads = iter(reads)
        self.released = False

    def open_input(self, _order):
        return self

    def fileno(self):
        return 0

    def is_active(self):
        return False

    def read(self):
        return next(self._reads)

    def release(self):
        self.released = True


READS = st.lists(st.lists(st.tuples(st.integers(0, 2_000), st.integers(1, 10**9)), max_size=8), min_size=1)


@given(READS, st.integers(0, 2**32 - 1))
def test_edges_and_losses_add_up_to_the_kernels_numbers(reads, gap):
    """Each edge has a gap before it in the numbers, which wrap, and a distance in time."""
    number, now_ns, script, gaps = 0, 0, [], []
    for read in reads:
        batch = []
        for place, (lost, distance_ns) in enumerate(read):
            missing = gap if not batch and not script and place == 0 else lost
            number, now_ns = number + missing + 1, now_ns + distance_ns
            gaps.append(missing)
            batch.append(Edge(now_ns, number % 2 == 1, number % 2**32, number % 2**32))
        script.append(Edges(tuple(batch), 0))
    watch = EdgeWatch(InputOrder(line=EDGE, consumer="test"))
    lines, told = Script(script), []
    watch.run(lines, lambda *_: True, told.extend, count=len(gaps), for_ns=None)
    assert lines.released
    assert watch.edges == len(told) == len(gaps)
    assert [one.lost for one in told] == gaps
    assert watch.edges + watch.lost == number
    for before, one in zip([None, *told], told, strict=False):
        expected = None if before is None or one.lost else one.edge.time_ns - before.edge.time_ns
        assert one.since_ns == expected
    counted = [one.since_ns for one in told if one.since_ns is not None]
    assert (watch.intervals.count if watch.intervals else 0) == len(counted)
    if counted:
        assert (watch.intervals.min_ns, watch.intervals.max_ns) == (min(counted), max(counted))
