"""The whole way of a trigger on real drivers: pulse, gpio-sim, camera, uvcvideo, our frame, paired in the ledger.

The ledger is held against the camera's own record of every edge it saw and every picture it took.
"""

from __future__ import annotations

import os
import signal
from contextlib import closing
from itertools import pairwise

import pytest
from driver import PROGRAM, Driver
from frame_clients import Reception
from uvc_camera import UvcCamera
from uvc_camera.lines import Pull, find_line
from vivid import SINGLE, order, settings
from witness import Witness

from agent.capture.board import Head, Of
from agent.capture.messages import EmergencyStopped, Refused, ReleaseStop, StartCamera, TriggerTold
from agent.capture.order import CameraOrder
from agent.capture.state_word import Phase, read_word
from agent.capture.trigger_mode import TriggerWish
from agent.capture.trigger_order import CameraTrigger, StopOrder, TriggerKind, TriggerOrder
from agent.clock import monotonic_ns
from agent.schedule.plan import OnEdge, WhenBusy
from agent.simulation.mark import read_mark
from agent.trigger.budget import Budget
from agent.trigger.lines import InputOrder, LineRef, OutputOrder
from agent.trigger.modes import TriggerMode
from agent.trigger.pulse import PulseOrder
from agent.trigger.pwm_order import PwmOrder
from agent.trigger.verdicts import Cause, End
from agent.units import NS_PER_MS, NS_PER_S, NS_PER_US

pulses = pytest.importorskip("pulses", reason="no gpiod bindings here: `make rig`", exc_type=ImportError)

UVC, OTHER = "triggered", "other"
TRIGGER, EDGE, STOP, PWM = (LineRef("rig-lines", name) for name in ("trigger", "edge", "stop", "pwm"))
EXPOSURE_NS = 5 * NS_PER_MS
# software emulation on a shared machine: an edge reaches the camera's process late, and sometimes very late
BUDGET = Budget(delay_ns=250 * NS_PER_MS, jitter_ns=250 * NS_PER_MS, window_ns=250 * NS_PER_MS, wait_ns=4 * NS_PER_S)
PERIOD_NS = 700 * NS_PER_MS
OTHER_CONTROLLER = 30  # ports count through all controllers, thirty each
PULSE = TriggerOrder(
    kind=TriggerKind.PULSE,
    output=OutputOrder(line=TRIGGER, consumer="rig"),
    pulse=PulseOrder(width_ns=NS_PER_MS),
    cycle_ns=600 * NS_PER_MS,
)
WAITS = {"when_busy": WhenBusy.CATCH_UP, "catch_up": 50}
"""A machine that is slow at times fires late, but leaves no tick out."""
STOP_ORDER = StopOrder(input=InputOrder(line=STOP, consumer="rig"))


@pytest.fixture(scope="module")
def _pair(pytestconfig):
    """Two cameras on the trigger line, on controllers of their own."""
    if pytestconfig.getoption("--rig") is None:
        pytest.skip("no rig: `make rig`")
    small = {"formats": ["yuyv"], "sizes": ["320x240"], "trigger_line": str(TRIGGER)}
    with (
        UvcCamera(serial="TRIG101", port=OTHER_CONTROLLER + 1, **small) as one,
        UvcCamera(serial="TRIG102", **small) as two,
    ):
        yield one, two


@pytest.fixture
def pair(_pair):
    for camera in _pair:
        camera.clear_faults()
        camera.trigger_mode(False, line=str(TRIGGER))
    yield _pair
    for camera in _pair:
        camera.clear_faults()


@pytest.fixture
def camera(pair):
    return pair[0]


def triggered(camera, name=UVC, budget=BUDGET):
    trigger = CameraTrigger(budget=budget, wish=TriggerWish(mode=TriggerMode.EXTERNAL_EDGE))
    wanted = settings(rate=5, exposure_ns=EXPOSURE_NS)
    return CameraOrder(name=name, path=str(camera.node), settings=wanted, trigger=trigger)


def armed(driver, *names):
    driver.until(lambda: all(driver.states()[name].startswith("armed") for name in names or (UVC,)))


def finished(driver, ticks, slot=0):
    def is_over():
        account = driver.account(slot)
        return account.ticks >= ticks and not account.under_way and not account.waiting

    driver.until(is_over)


def edges_of(witness, outcome=None):
    return [entry for entry in witness.entries("trigger") if outcome is None or entry["outcome"] == outcome]


def assert_agrees(ledger, witness, camera=0):
    """Every matched pair is the camera's own: this edge made this picture, and no other."""
    edges = {entry["number"]: entry["time_ns"] for entry in edges_of(witness)}
    pictures = [entry["trigger"] for entry in witness.entries("frame")]
    matched = [record for record in ledger if record.camera == camera and record.end is End.MATCHED]
    assert matched
    for record in matched:
        nearest = min(edges, key=lambda number: abs(edges[number] - record.pulse_ns))
        # the driver numbers frames as they arrive: those the camera sent completely, in their order
        assert pictures[record.frame] == nearest, record
    return matched


def closes(driver, camera):
    words = driver.words(camera)
    ends = sum(words[of] for of in (Of.MATCHED, Of.MISSED, Of.LATE, Of.AMBIGUOUS))
    assert words[Of.PULSES] == ends, words


# ---- pulses of ours


def test_every_pulse_is_paired_with_its_own_frame_and_no_first_trigger_is_lost(camera):
    witness = Witness(camera)
    with Driver(triggered(camera), trigger=PULSE) as driver:
        armed(driver)
        driver.add(UVC, period_ns=PERIOD_NS, count=20, **WAITS)
        finished(driver, 20)
        account = driver.account()
        assert (account.delivered, account.failed, account.skipped) == (20, 0, 0), account
        matched = assert_agrees(driver.ledger(), witness)
        assert [record.pulse for record in matched] == list(range(20))
        assert len(edges_of(witness, "exposed")) == len(edges_of(witness)) == 20
        closes(driver, UVC)
        words, delays = driver.words(UVC), driver.group.board.delays(0)
        assert (words[Of.SPURIOUS], words[Of.RELOCKS], delays.count) == (0, 0, 20)
        print(f"pulse to stamp: median {delays.percentile(50) / 1e6:.1f} ms, max {delays.max_ns / 1e6:.1f} ms")
        driver.quit()
    assert witness.settings[-1][:2] == ("privacy", 0), "the trigger mode was not put back"


def test_lost_doubled_and_ghost_frames_are_each_named_and_no_pairing_shifts(camera):
    """Pain 4. A ghost between two windows is one; within a window it could be the pulse's own, and no time tells."""
    witness = Witness(camera)
    with Driver(triggered(camera), trigger=PULSE) as driver:
        armed(driver)
        driver.add(UVC, period_ns=1500 * NS_PER_MS, count=9, **WAITS)
        for ticks, name in ((2, "drop_trigger"), (4, "double_trigger"), (6, "ghost_frame"), (7, "drop_trigger")):
            driver.until(lambda wanted=ticks: driver.account().delivered + driver.account().failed >= wanted)
            if name == "ghost_frame":
                driver.watch(600 * NS_PER_MS)
            camera.fault(name, count=1)
        finished(driver, 9)
        ledger = driver.ledger()
        assert_agrees(ledger, witness)
        closes(driver, UVC)
        missed = [record for record in ledger if record.end is End.MISSED and not record.explained]
        dropped = [entry for entry in edges_of(witness) if entry["outcome"] == "dropped"]
        assert len(missed) == len(dropped) == 2
        # a camera that is told to drop one acts on the next: its numbers have no gap, so it did not expose
        assert Cause.NO_EXPOSURE in [record.cause for record in ledger if record.end is End.MISSED]
        words = driver.words(UVC)
        assert words[Of.SPURIOUS] + words[Of.AMBIGUOUS_FRAMES] == 2, "the double and the ghost"
        account = driver.account()
        assert (account.delivered, account.failed) == (7, 2)


def test_two_cameras_on_one_line_bring_sets_and_one_that_misses_makes_an_incomplete_one(pair):
    one, two = pair
    witnesses = [Witness(each) for each in pair]
    cameras = triggered(one), triggered(two, OTHER)
    with Driver(*cameras, trigger=PULSE) as driver:
        armed(driver, UVC, OTHER)
        driver.add("group", period_ns=PERIOD_NS, count=10, **WAITS)
        driver.until(lambda: driver.account().delivered >= 4)
        two.fault("drop_trigger", count=1)
        finished(driver, 10)
        ledger = driver.ledger()
        for place, witness in enumerate(witnesses):
            assert_agrees(ledger, witness, place)
        assert (driver.head(Head.SETS), driver.head(Head.SETS_INCOMPLETE)) == (9, 1)
        account = driver.account()
        assert (account.delivered, account.failed, account.frames) == (9, 1, 18)
        last_ns, most_ns = driver.head(Head.SKEW_NS), driver.head(Head.SKEW_MAX_NS)
        print(f"skew of sets: last {last_ns / 1e6:.2f} ms, max {most_ns / 1e6:.2f} ms")


def test_a_groups_client_gets_the_frames_of_a_set_with_the_number_of_their_pulse(pair, tmp_path):
    """Held against both cameras' records: one and the same edge made the two pictures of a set."""
    witnesses = dict(zip((UVC, OTHER), map(Witness, pair), strict=True))
    cameras = triggered(pair[0]), triggered(pair[1], OTHER)
    with (
        Driver(*cameras, trigger=PULSE) as driver,
        Reception(driver, tmp_path) as at,
        at.connect("group", kind="group", every=True) as feed,
    ):
        armed(driver, UVC, OTHER)
        driver.add("group", period_ns=PERIOD_NS, count=5, **WAITS)
        seen = {}
        for _ in range(10):
            frame = feed.next()
            seen[frame.camera, frame.pulse] = read_mark(frame.to("luma")).sequence
        finished(driver, 5)
        assert [driver.words(name)[Of.CLIENT_COPIED] for name in (UVC, OTHER)] == [0, 0]
    assert sorted(seen) == sorted((name, pulse) for name in (UVC, OTHER) for pulse in range(5))
    for pulse in range(5):
        one_ns, other_ns = (edge_of(witnesses[name], seen[name, pulse]) for name in (UVC, OTHER))
        # two traces of one edge differ, on a busy machine by milliseconds; two edges are a period apart
        assert abs(one_ns - other_ns) < PERIOD_NS // 4


def edge_of(witness, number):
    """When the edge was that made a camera's picture of this number."""
    made_by = witness.frames[number]["trigger"]
    [edge_ns] = [entry["time_ns"] for entry in edges_of(witness) if entry["number"] == made_by]
    return edge_ns


def test_a_process_that_is_killed_leaves_the_line_inactive_and_the_next_one_goes_on(camera):
    long = TriggerOrder(kind=TriggerKind.PULSE, output=PULSE.output, pulse=PulseOrder(width_ns=3 * NS_PER_S),
                        cycle_ns=4 * NS_PER_S)  # fmt: skip
    line = find_line(str(TRIGGER))
    with Driver(triggered(camera), trigger=long) as driver:
        armed(driver)
        driver.add(UVC, period_ns=5 * NS_PER_S)
        driver.until(lambda: find_line(str(TRIGGER)).high)
        import os

        os.kill(driver.pid, signal.SIGKILL)
        driver.until(lambda: not find_line(str(TRIGGER)).high)
        driver.until(lambda: driver.group.starts == 2)
        armed(driver)
        delivered = driver.account().delivered
        driver.until(lambda: driver.account().delivered > delivered)
    assert not line.high or not find_line(str(TRIGGER)).high


# ---- pulses of others


def test_an_edge_starts_a_plan_and_its_frame_is_that_of_the_edge(camera):
    follow = TriggerOrder(kind=TriggerKind.EDGE, input=InputOrder(line=EDGE, consumer="rig", falling=False))
    witness = Witness(camera)
    seen = Pull(find_line(str(EDGE)))
    with closing(seen), Driver(triggered(camera), trigger=follow) as driver:
        armed(driver)
        driver.add(UVC, period_ns=None, on_edge=OnEdge(divider=2))
        with pulses.PulseLine(str(TRIGGER)) as out:
            for sent in range(1, 7):
                driver.watch(PERIOD_NS)
                # as on one wire: a wire of software between the two would be slower than the camera
                seen.set(True)
                out.pulse(20 * NS_PER_MS)
                seen.set(False)
                driver.until(lambda wanted=sent: driver.head(Head.EDGES) >= wanted)
                driver.until(lambda wanted=sent: driver.words(UVC)[Of.MATCHED] >= wanted)
        finished(driver, 3)
        account = driver.account()
        assert (account.ticks, account.delivered) == (3, 3)
        assert (driver.head(Head.EDGES), driver.head(Head.EDGES_LOST)) == (6, 0)
        assert_agrees(driver.ledger(), witness)


def test_no_trigger_for_a_while_is_no_fault(camera):
    """Pains 2 and 3: it waits, and nothing is taken for a fault; and it can be ended at once."""
    follow = TriggerOrder(kind=TriggerKind.EDGE, input=InputOrder(line=EDGE, consumer="rig", falling=False))
    with Driver(triggered(camera), trigger=follow) as driver:
        armed(driver)
        driver.add(UVC, period_ns=None)
        driver.watch(5 * NS_PER_S)
        assert driver.words(UVC)[Of.FAULTS] == 0
        assert driver.account().under_way == 1
        report, _ = driver.cancel(UVC)
        assert report.cameras[0].was_on
        assert read_word(driver.words(UVC)[Of.WORD])[0] is Phase.PREPARED


def test_a_pwm_output_fires_the_camera_by_itself(camera):
    """The kernel's pwm-gpio toggles a line of gpio-sim; the pulses are predicted, as no input shows them."""
    every_ns = 700 * NS_PER_MS
    pwm = TriggerOrder(kind=TriggerKind.PWM, pwm=PwmOrder(chip="pwmchip0", channel=0, period_ns=every_ns,
                                                          width_ns=20 * NS_PER_MS))  # fmt: skip
    camera.trigger_mode(False, line=str(PWM))
    witness = Witness(camera)
    with Driver(triggered(camera), trigger=pwm) as driver:
        armed(driver)
        driver.add(UVC, period_ns=None, on_edge=OnEdge(), count=8, **WAITS)
        finished(driver, 8)
        driver.cancel(UVC)
        before = len(edges_of(witness))
        driver.watch(2 * every_ns)
        assert len(edges_of(witness)) == before, "the output goes on after the cancel"
        times = [entry["time_ns"] for entry in edges_of(witness)]
        gaps_ns = [after - before for before, after in pairwise(times)]
        assert all(abs(gap_ns - every_ns) < 300 * NS_PER_MS for gap_ns in gaps_ns), gaps_ns
        words = driver.words(UVC)
        assert words[Of.MATCHED] >= 7, words


# ---- the emergency stop


def test_an_edge_on_the_stop_line_is_a_streamoff_of_every_camera_and_latches(camera, vivids):
    free = order(vivids, SINGLE)
    witness = Witness(camera)
    stop = Pull(find_line(str(STOP)))
    try:
        stop.set(False)
        with Driver(triggered(camera), free, trigger=PULSE, emergency_stop=STOP_ORDER, spawn=PROGRAM) as driver:
            armed(driver, UVC, SINGLE)
            driver.add(UVC, period_ns=PERIOD_NS)
            driver.until(lambda: driver.account().delivered >= 3)
            asked_ns = monotonic_ns()
            stop.set(True)
            driver.until(lambda: driver.said(EmergencyStopped))
            (told,) = driver.said(EmergencyStopped)
            assert asked_ns <= told.pressed_ns
            assert {report.camera for report in told.facts.cameras} == {UVC, SINGLE}
            for report in told.facts.cameras:
                assert report.was_on
                assert told.pressed_ns <= report.entered_ns <= report.returned_ns <= told.at_ns
                print(f"{report.camera}: edge to STREAMOFF {(report.entered_ns - told.pressed_ns) / 1e6:.2f} ms")
            assert witness.kinds("start", "stop")[-1] == "stop"
            assert not find_line(str(TRIGGER)).high
            frames = driver.frames(SINGLE)
            for _ in range(2):
                answer = driver.answer(driver.ask(StartCamera, camera=SINGLE))
                assert isinstance(answer, Refused)
                assert answer.code == "emergency_stop"
                stop.set(False)
            assert driver.frames(SINGLE) == frames
            driver.done(ReleaseStop)
            driver.start(SINGLE)
            driver.until(lambda: driver.frames(SINGLE) > frames)
    finally:
        stop.set(False)
        stop.close()


def test_a_short_press_is_enough_and_outlives_the_process(vivids):
    stop = Pull(find_line(str(STOP)))
    try:
        with Driver(order(vivids, SINGLE), emergency_stop=STOP_ORDER) as driver:
            driver.until(lambda: driver.frames(SINGLE) > 0)
            stop.set(True)
            stop.set(False)
            driver.until(lambda: driver.said(EmergencyStopped))

            os.kill(driver.pid, signal.SIGKILL)
            driver.until(lambda: driver.group.starts == 2)
            driver.watch(NS_PER_S)
            assert read_word(driver.words(SINGLE)[Of.WORD])[0] in (Phase.IDLE, Phase.PREPARED)
            driver.until(lambda: not isinstance(driver.answer(driver.ask(ReleaseStop)), Refused))
            driver.start(SINGLE)
    finally:
        stop.set(False)
        stop.close()


# ---- lines that are not to be had


def test_a_line_that_somebody_holds_is_told_by_whom_and_taken_when_it_is_free(camera):
    with pulses.PulseLine(str(TRIGGER)):
        driver = Driver(triggered(camera), trigger=PULSE)
        with driver:
            armed(driver)
            driver.until(lambda: driver.said(TriggerTold))
            assert driver.said(TriggerTold)[0].code == "line_busy"
            assert "hw-tests" in driver.said(TriggerTold)[0].told
            driver.add(UVC, period_ns=PERIOD_NS, count=2)
            driver.until(lambda: driver.account().skipped_not_ready == 2)


@pytest.mark.parametrize("width_ns", [50 * NS_PER_US, 30 * NS_PER_MS])
def test_pulses_are_as_wide_as_asked(camera, width_ns):
    trigger = TriggerOrder(kind=TriggerKind.PULSE, output=PULSE.output, pulse=PulseOrder(width_ns=width_ns),
                           cycle_ns=PULSE.cycle_ns)  # fmt: skip
    from uvc_camera.edges import TracedEdges

    line = find_line(str(TRIGGER))
    traced = TracedEdges(line.number, line.high)
    try:
        with Driver(triggered(camera), trigger=trigger) as driver:
            armed(driver)
            driver.add(UVC, period_ns=PERIOD_NS, count=4, **WAITS)
            finished(driver, 4)
        edges = traced.read()
    finally:
        traced.close()
    widths = [fall.time_ns - rise.time_ns for rise, fall in zip(edges[::2], edges[1::2], strict=True)]
    assert len(widths) == 4
    # never shorter but for what the trace rounds; how much longer is the machine's
    assert all(each >= width_ns - 2 * NS_PER_US for each in widths), widths
    print(f"asked {width_ns} ns: {widths}")
