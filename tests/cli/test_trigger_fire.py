"""`trigger fire` on a simulated chip: on time, told edge by edge, safe at every end."""

import os
import pty
import select
import subprocess
import sys
from itertools import count, pairwise

import pytest
from cli.lines_bench import TRIGGER, LinesBench, interrupt

from agent.cli.spread import Spread
from agent.cli.trigger_train import KEPT_EDGES, PulsesLeftOut, Train
from agent.simulation.clock import ManualClock
from agent.simulation.line_level import LineChip
from agent.simulation.lines import SimulatedLines
from agent.trigger.lines import OutputOrder
from agent.trigger.pulse import PulseOrder
from agent.units import NS_PER_MS


@pytest.fixture
def bench(capsys):
    with LinesBench(capsys) as made:
        yield made


def test_one_pulse_is_shown_with_both_edges(bench):
    result = bench.call("fire", "bench:trigger", "--pulse", "2ms")
    assert (result.code, result.err) == (0, "")
    active, inactive, *summary = result.out.splitlines()
    assert "0  active    asked 0.000000s  seen 0.000" in active
    assert "0  inactive  asked 0.002" in inactive
    for fragment in ("pulses    1 of 1 on bench:trigger", "lateness  min ", "2ms asked", "inactive, its safe level"):
        assert fragment in "\n".join(summary)
    assert bench.levels == [True, False]
    assert bench.is_free()


def test_a_train_keeps_its_absolute_instants(bench):
    document = bench.call("fire", "bench:trigger", "--count", 5, "--every", "20ms", "--pulse", "1ms", "--json").document
    assert (document["asked"], document["sent"] + document["left_out"]) == (5, 5)
    rising = [edge for edge in document["edges"] if edge["active"]]
    assert [edge["pulse"] for edge in rising] == [0, 1, 2, 3, 4]
    asked = [edge["asked_ns"] for edge in rising]
    assert [later - earlier for earlier, later in pairwise(asked)] == [20 * NS_PER_MS] * 4
    for edge in document["edges"]:
        assert edge["before_ns"] is None or edge["asked_ns"] <= edge["before_ns"] <= edge["after_ns"]
    assert document["widths"]["min_ns"] >= NS_PER_MS
    lateness = document["lateness"]
    assert 0 <= lateness["min_ns"] <= lateness["median_ns"] <= lateness["max_ns"]


def test_polarity_and_safe_level(bench):
    result = bench.call("fire", "bench:trigger", "--active", "low", "--safe", "active", "--json")
    assert result.code == 0
    # safe is active, which is low: high between pulses, low in the pulse, and low in the end
    assert bench.levels[:3] == [True, False, True][: len(bench.levels)]
    assert (result.document["active_low"], result.document["safe_active"]) == (True, True)


def test_more_than_a_screenful_is_summed_up_unless_asked_for(bench):
    train = ("fire", "bench:trigger", "--count", 21, "--every", "2ms", "--pulse", "350us")
    assert "asked 0." not in bench.call(*train).out
    assert bench.call(*train, "--edges").out.count("  active ") >= 1


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ("bench:trigger", "--pulse", "20ms", "--count", "2", "--every", "10ms"),
            2,
            "does not fit into a period of 10ms",
        ),
        (("bench:trigger", "--pulse", "10ms", "--count", "2", "--every", "10ms"), 2, "must fall between two pulses"),
        (("bench:trigger", "--count", "2"), 2, "needs --every"),
        (("bench:trigger", "--pulse", "1"), 2, "--pulse"),
        (("bench:trigger", "--pulse", "0ms"), 2, "not more than zero"),
        (("bench:trigger", "--count", "0"), 2, "--count"),
        (("17",), 2, "says nothing without its chip"),
        (("bench:triger",), 3, "named lines are trigger"),
        (("bench:9",), 3, "no line '9'"),
        (("bnch:trigger",), 3, "there are bench"),
    ],
)
def test_bad_input_touches_nothing(bench, arguments, code, told):
    result = bench.call("fire", *arguments)
    assert (result.code, result.out) == (code, "")
    assert told in result.err
    assert bench.levels == []


def test_a_line_in_use_says_by_whom(bench):
    held = bench.hold("the-other-program")
    result = bench.call("fire", "bench:trigger", "--json")
    held.release()
    assert result.code == 5
    assert (result.error["code"], result.error["consumer"]) == ("line_busy", "the-other-program")


def test_a_line_that_is_not_idle_is_not_pulsed(bench):
    bench.stuck = True
    result = bench.call("fire", "bench:trigger", "--json")
    assert (result.code, result.error["code"]) == (1, "trigger_not_idle")
    assert True not in bench.levels
    assert bench.is_free()


def test_without_permission_the_group_is_named(bench):
    bench.chip.forbid("bench")
    result = bench.call("fire", "bench:trigger")
    assert result.code == 4
    assert "gpio" in result.err


# ---- ends


def test_a_line_that_vanishes_is_told_with_what_was_sent(bench):
    bench.on_set = lambda number: bench.chip.unplug("bench") if number == 4 else None
    result = bench.call("fire", "bench:trigger", "--count", 10, "--every", "5ms", "--json")
    assert (result.code, result.error["code"]) == (3, "line_gone")
    assert result.error["notes"] == ["2 of 10 pulses were sent"]


def test_ctrl_c_in_a_long_pulse_does_not_wait_for_its_end(bench):
    bench.on_set = lambda number: interrupt() if number == 1 else None
    result = bench.call("fire", "bench:trigger", "--pulse", "1h")
    assert result.code == 130
    assert bench.levels == [True, False]
    assert bench.is_free()


def test_ctrl_c_ends_a_train(bench):
    bench.on_set = lambda number: interrupt() if number == 5 else None
    result = bench.call("fire", "bench:trigger", "--count", 1000, "--every", "10ms", "--pulse", "5ms")
    assert result.code == 130
    assert "stopped by Ctrl-C: 3 of 1000 pulses sent; bench:trigger was left inactive, its safe level" in result.err
    assert bench.levels == [True, False] * 3
    assert bench.is_free()


# ---- the train on a clock of its own


@pytest.fixture
def stepped():
    """A chip in a time that stands still until somebody waits."""
    with SimulatedLines([LineChip(label="bench", names=("trigger",))], clock=ManualClock()) as lines:
        yield lines


def a_train(lines, **pulse):
    return Train(OutputOrder(line=TRIGGER, consumer="test"), PulseOrder(**pulse), read_ns=lines.clock.now_ns)


def test_a_machine_that_sleeps_over_periods_leaves_pulses_out_and_says_so(stepped):
    train = a_train(stepped, width_ns=10, count=5, period_ns=100)
    turns = count()
    told = []
    train.run(stepped, lambda until_ns: stepped.clock.move_to(until_ns + 250 * (next(turns) == 1)), told.extend)
    assert (train.sent, train.left_out) == (3, 2)
    assert [edge.number for edge in told if edge.written is None] == [1, 2]
    with pytest.raises(PulsesLeftOut) as caught:
        train.raise_left_out()
    assert caught.value.details == {"left_out": 2, "sent": 3}


def test_figures_are_of_the_edges_and_memory_is_bounded(stepped):
    pulses = KEPT_EDGES
    train = a_train(stepped, width_ns=1_000, count=pulses, period_ns=10_000)
    late = count()
    told = []
    # every third wake-up is 300 ns late
    wait = lambda until_ns: stepped.clock.move_to(until_ns + 300 * (next(late) % 3 == 0))  # noqa: E731
    train.run(stepped, wait, lambda edges: told.append(len(edges)))
    assert (train.sent, len(train.edges), sum(told)) == (pulses, KEPT_EDGES, 2 * pulses)
    assert (train.lateness, train.widths) == (Spread(pulses, 0, 0, 300), Spread(pulses, 1_000, 1_000, 1_300))
    assert max(told) < 2 * pulses


def test_progress_of_a_long_train_is_on_the_terminal_only():
    ours, theirs = pty.openpty()
    options = ("--simulate", "--count", "100", "--every", "2ms", "--pulse", "350us")
    command = (sys.executable, "-m", "agent.cli", "trigger", "fire", "bench:trigger", *options)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = read_terminal(ours)
        out = process.stdout.read().decode()
    assert "bench:trigger" in shown
    assert "\x1b" not in out
    assert "100 on bench:trigger every 2ms" in out


def read_terminal(fd):
    """All that is written to a terminal until its other end is closed."""
    shown = b""
    try:
        while select.select([fd], [], []):
            shown += os.read(fd, 65536)
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(fd)
    return shown.decode()
