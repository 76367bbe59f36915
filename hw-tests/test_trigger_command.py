"""`camera-agent trigger` on real gpio-sim lines, checked against the kernel's trace of the line and against pulls."""

from __future__ import annotations

import json
import signal
import time
from itertools import pairwise

import pytest
from command import Result, finish, run, start
from gpiosim import CONFIGFS, GpioSim
from uvc_camera.edges import TracedEdges
from uvc_camera.lines import Pull, find_line

from agent.units import NS_PER_MS, NS_PER_US

pulses = pytest.importorskip("pulses", reason="no gpiod bindings here: `make rig`", exc_type=ImportError)
gpio = pytest.importorskip("agent.trigger.gpio", reason="no gpiod bindings here: `make rig`", exc_type=ImportError)

TRIGGER, EDGE = "rig-lines:trigger", "rig-lines:edge"
LIMIT_S = 60
ROUNDING_NS = NS_PER_US  # the kernel prints its trace in whole microseconds


@pytest.fixture(autouse=True)
def _rig(pytestconfig):
    if pytestconfig.getoption("--rig") is None or not CONFIGFS.is_dir():
        pytest.skip("no rig: `make rig`")


@pytest.fixture
def traced():
    """What the kernel says of the trigger line, from now on."""
    line = find_line(TRIGGER)
    edges = TracedEdges(line.number, line.high)
    yield edges
    edges.close()


@pytest.fixture
def pull():
    """The world outside, at the input."""
    made = Pull(find_line(EDGE))
    made.set(False)
    yield made
    made.set(False)
    made.close()


def holder(text):
    """Who holds a line."""
    chip, _, name = text.rpartition(":")
    return next(info.consumer for info in gpio.GpioLines().lines(chip) if info.name == name)


def until_held(process, text):
    """Return when the command has taken its line."""
    deadline = time.monotonic() + LIMIT_S
    while holder(text) != "camera-agent":
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lines_of(result: Result):
    *edges, last = (json.loads(line) for line in result.out.splitlines())
    return edges, last["summary"]


# ---- lines


def test_the_lines_of_the_rig_are_listed_with_who_holds_them():
    with pulses.PulseLine(TRIGGER):
        result = run("trigger", "lines", "rig-lines", "--json")
    assert result.code == 0, result.err
    (chip,) = json.loads(result.out)["chips"]
    found = {line["name"]: line for line in chip["lines"]}
    assert {"trigger", "edge", "stop"} <= set(found)
    assert (found["trigger"]["used"], found["trigger"]["consumer"]) == (True, "hw-tests")
    assert found["trigger"]["direction"] == "output"
    assert not found["edge"]["used"]


# ---- fire


def test_each_edge_was_within_the_bracket_that_is_told(traced):
    result = run("trigger", "fire", TRIGGER, "--count", 20, "--every", "200ms", "--pulse", "5ms", "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert (document["sent"], document["left_out"]) == (20, 0)
    seen = traced.read()
    assert [edge.high for edge in seen] == [True, False] * 20
    for told, edge in zip(document["edges"], seen, strict=True):
        assert told["active"] == edge.high
        assert told["asked_ns"] <= told["before_ns"] <= edge.time_ns + ROUNDING_NS
        assert edge.time_ns <= told["after_ns"]
    rising = [told["asked_ns"] for told in document["edges"] if told["active"]]
    assert {after - before for before, after in pairwise(rising)} == {200 * NS_PER_MS}
    assert document["widths"]["min_ns"] >= 5 * NS_PER_MS
    assert holder(TRIGGER) == ""


def test_active_low_is_high_between_the_pulses_and_left_safe(traced):
    result = run("trigger", "fire", TRIGGER, "--pulse", "1ms", "--active", "low", "--json")
    assert result.code == 0, result.err
    assert [edge.high for edge in traced.read()] == [True, False, True]


def test_ctrl_c_in_a_pulse_leaves_the_line_low(traced):
    process = start("trigger", "fire", TRIGGER, "--pulse", "10min")
    until_held(process, TRIGGER)
    deadline = time.monotonic() + LIMIT_S
    while not find_line(TRIGGER).high:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 130
    assert "left inactive, its safe level" in result.err
    assert [edge.high for edge in traced.read()] == [True, False]
    assert not find_line(TRIGGER).high


def test_a_line_in_use_is_told_with_its_holder():
    with pulses.PulseLine(TRIGGER):
        result = run("trigger", "fire", TRIGGER, "--pulse", "1ms", "--json")
    assert result.code == 5
    assert (json.loads(result.err)["code"], json.loads(result.err)["consumer"]) == ("line_busy", "hw-tests")


def test_no_such_line_or_chip_is_told_with_what_there_is():
    for name, told in (("rig-lines:triger", "trigger"), ("rig-linse:trigger", "rig-lines")):
        result = run("trigger", "fire", name, "--pulse", "1ms")
        assert result.code == 3
        assert told in result.err


# ---- watch


def test_each_pull_is_an_edge_with_the_kernels_time(pull):
    process = start("trigger", "watch", EDGE, "--count", 40, "--json")
    until_held(process, EDGE)
    brackets, edges = [], []
    for number in range(40):
        before_ns = time.monotonic_ns()
        pull.set(number % 2 == 0)
        brackets.append((before_ns, time.monotonic_ns()))
        # the kernel merges edges that come faster than its interrupt thread: the next one when this one was seen
        edges.append(json.loads(process.stdout.readline()))
    result = finish(process)
    assert result.code == 0, result.err
    summary = json.loads(result.out)["summary"]
    assert [edge["active"] for edge in edges] == [True, False] * 20
    assert [edge["seqno"] for edge in edges] == list(range(1, 41))
    for (before_ns, after_ns), edge in zip(brackets, edges, strict=True):
        assert before_ns <= edge["time_ns"] <= after_ns
    assert (summary["edges"], summary["rising"], summary["lost"]) == (40, 20, 0)


def test_a_storm_while_nobody_reads_is_counted_to_the_last_edge(pull):
    process = start("trigger", "watch", EDGE, "--count", 200, "--json")
    until_held(process, EDGE)
    process.send_signal(signal.SIGSTOP)
    for number in range(4000):
        pull.set(number % 2 == 0)
        time.sleep(0.0005)  # the kernel merges edges that come faster than its interrupt thread
    process.send_signal(signal.SIGCONT)
    result = finish(process)
    assert result.code == 0, result.err
    edges, summary = lines_of(result)
    assert (len(edges), summary["edges"]) == (200, 200)
    # more than the kernel's buffer holds; how many it merges before it numbers them is the machine's affair
    assert summary["lost"] > 0
    assert edges[-1]["seqno"] == 200 + summary["lost"]


def test_a_chip_that_is_unplugged_ends_the_watch_with_what_was_seen():
    with GpioSim("trigger-command", ("edge",)) as chip:
        process = start("trigger", "watch", "trigger-command:edge", "--json")
        until_held(process, "trigger-command:edge")
        chip.drive("edge", True)
        chip.unplug()
        result = finish(process)
    assert result.code == 3
    assert json.loads(result.err)["code"] == "line_gone"


def test_ctrl_c_sums_up_and_frees_the_line(pull):
    process = start("trigger", "watch", EDGE)
    until_held(process, EDGE)
    pull.set(True)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 130
    assert "stopped by Ctrl-C" in result.err
    assert holder(EDGE) == ""
