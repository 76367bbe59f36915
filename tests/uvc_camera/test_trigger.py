# SPDX-License-Identifier: GPL-3.0-or-later
"""Trigger mode: which pulses become pictures, and that the record accounts for every one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvc_camera.camera import Build
from uvc_camera.controls import AUTO_EXPOSURE, EXPOSURE, MODE_MANUAL, PRIVACY
from uvc_camera.descriptors import Speed, configuration
from uvc_camera.edges import Edge, parse
from uvc_camera.errors import LineError, OrderError
from uvc_camera.faults import Fault, Faults
from uvc_camera.formats import FORMATS, SIZES
from uvc_camera.lines import find_line
from uvc_camera.orders import carry_out
from uvc_camera.pacing import Pulse, Triggered
from uvc_camera.record import next_number, next_pulse
from uvc_camera.trigger_input import Response, Terminals, TriggerInput, parse_response

MS = 1_000_000
YUYV, QVGA = 1, 2
STALL = -32
EXPOSED, BUSY = ("exposed", None), ("ignored", "busy")


class Wire:
    def __init__(self):
        self.lines = []
        self.deliver = None

    def connect(self, line):
        self.lines.append(line)


class Strobe:
    def __init__(self):
        self.levels = []

    def set(self, high):
        self.levels.append(high)


@pytest.fixture
def camera(make_bench):
    """A camera with its switch on, 5 ms of exposure, 2 ms of readout, streaming."""
    terminals = Terminals(TriggerInput(), Wire(), Strobe())
    bench = make_bench(build=Build(trigger_switch=True), terminals=terminals)
    bench.terminals = terminals
    bench.set(AUTO_EXPOSURE, MODE_MANUAL)
    bench.set(EXPOSURE, 50)
    assert bench.set(PRIVACY, 1) == 0
    bench.commit(YUYV, QVGA)
    settle(bench)
    return bench


def settle(bench, limit_ns=1_000 * MS):
    """Let time pass, URBs at hand, until the camera has nothing to do; the times at which headers went out."""
    end_ns, headers, fresh, outstanding = bench.clock.now_ns + limit_ns, [], True, 0
    while True:
        while outstanding < 5:
            outstanding += bool(bench.urb())
        answers = bench.turn(2)
        outstanding -= len(answers)
        for _, _, _, payload in answers:
            if fresh:
                headers.append(bench.clock.now_ns)
            fresh = bool(payload[1] & 2)
        if answers:
            continue
        due_ns = bench.device.due_ns
        if due_ns is None or due_ns > end_ns:
            return headers
        bench.clock.now_ns = max(bench.clock.now_ns, due_ns)


def stop(bench):
    """As uvcvideo ends a stream."""
    bench.control(0x02, 1, 0, 0x81, 0)


def pulse(bench, after_ns=0, width_ns=10_000):
    """An edge up and one down, so much later than now; when it went up."""
    bench.clock.now_ns += after_ns
    up_ns = bench.clock.now_ns
    bench.device.edges([Edge(up_ns, True), Edge(up_ns + width_ns, False)])
    return up_ns


def outcomes(bench):
    return [(note["outcome"], note["reason"]) for note in bench.notes.of("trigger")]


def made_by(bench):
    return [note["trigger"] for note in bench.notes.of("frame")]


def test_without_an_edge_there_is_no_picture(camera):
    assert settle(camera) == []
    assert camera.device.due_ns is None


def test_every_pulse_makes_one_picture_that_starts_at_its_edge(camera):
    times = []
    for _ in range(10):
        times.append(pulse(camera, 20 * MS))
        assert settle(camera, 10 * MS) == [times[-1]]
    frames = camera.notes.of("frame")
    assert [note["start_ns"] for note in frames] == times
    assert made_by(camera) == list(range(10))
    assert [note["time_ns"] for note in camera.notes.of("trigger")] == times
    assert outcomes(camera) == [EXPOSED] * 10
    assert camera.terminals.strobe.levels == [True, False] * 10


@pytest.mark.parametrize(
    ("after_ns", "outcome"),
    [(1, BUSY), (5 * MS, BUSY), (7 * MS - 1, BUSY), (7 * MS, EXPOSED)],
    ids=["at once", "readout begins", "readout ends", "idle"],
)
def test_a_pulse_during_exposure_or_readout_is_ignored_by_the_time_of_its_edge(camera, after_ns, outcome):
    first = pulse(camera, MS, width_ns=0)
    camera.device.edges([Edge(first + after_ns, True), Edge(first + after_ns, False)])
    assert outcomes(camera) == []  # not yet judged: the first one's exposure is not known
    camera.clock.now_ns += 20 * MS  # and this process learns of both much later
    settle(camera)
    pulse(camera, 20 * MS)
    settle(camera)
    assert outcomes(camera) == [EXPOSED, outcome, EXPOSED]


def test_a_falling_input_exposes_at_the_other_edge(camera):
    camera.device.trigger_mode(True, None, {"edge": "falling"})
    up = pulse(camera, MS, width_ns=3 * MS)
    settle(camera)
    assert [note["start_ns"] for note in camera.notes.of("frame")] == [up + 3 * MS]


def test_delay_and_jitter_are_kept_and_repeatable(camera):
    def delays():
        camera.device.trigger_mode(True, None, {"delay_ns": 300_000, "jitter_ns": 200_000, "seed": 7})
        starts = len(camera.notes.of("frame"))
        times = []
        for _ in range(20):
            times.append(pulse(camera, 20 * MS))
            settle(camera)
        return [note["start_ns"] - at for note, at in zip(camera.notes.of("frame")[starts:], times, strict=True)]

    first = delays()
    assert len(set(first)) > 10
    assert 300_000 <= min(first) <= max(first) <= 500_000
    assert delays() == first


def test_dropped_triggers_make_nothing_and_are_written_down(camera):
    camera.device.order_fault("drop_trigger", {"count": 2})
    for _ in range(4):
        pulse(camera, 20 * MS)
        settle(camera)
    assert outcomes(camera) == [("dropped", "drop_trigger")] * 2 + [EXPOSED] * 2
    assert made_by(camera) == [2, 3]
    assert [note["number"] for note in camera.notes.of("frame")] == [0, 1]


def test_a_doubled_trigger_makes_two_pictures_one_after_the_other(camera):
    camera.device.order_fault("double_trigger", {"count": 2})
    up = pulse(camera, 20 * MS)
    settle(camera)
    for _ in range(2):
        pulse(camera, 20 * MS)
        settle(camera)
    assert made_by(camera) == [0, 0, 1, 1, 2]
    assert [note["faults"] for note in camera.notes.of("frame")] == [(), ("double_trigger",)] * 2 + [()]
    assert [note["start_ns"] - up for note in camera.notes.of("frame")][:2] == [0, 7 * MS]
    assert outcomes(camera) == [EXPOSED] * 3


def test_a_late_trigger_is_late(camera):
    camera.device.order_fault("late_trigger", {"count": 1, "delay_ms": 30})
    up = pulse(camera, 20 * MS)
    settle(camera)
    (frame,) = camera.notes.of("frame")
    assert (frame["start_ns"] - up, frame["trigger"], frame["faults"]) == (30 * MS, 0, ("late_trigger",))
    assert outcomes(camera) == [EXPOSED]


def test_a_ghost_has_no_trigger(camera):
    pulse(camera, 20 * MS)
    settle(camera)
    camera.device.order_fault("ghost_frame", {"count": 1})
    settle(camera)
    assert made_by(camera) == [0, None]
    assert camera.notes.of("frame")[1]["faults"] == ("ghost_frame",)
    assert outcomes(camera) == [EXPOSED]


def test_a_host_that_fetches_nothing_has_pulses_ignored_for_want_of_memory(make_bench):
    terminals = Terminals()
    bench = make_bench(build=Build(trigger_switch=True), terminals=terminals)
    bench.set(AUTO_EXPOSURE, MODE_MANUAL)
    bench.set(EXPOSURE, 50)
    bench.set(PRIVACY, 1)
    bench.commit(YUYV, QVGA)
    bench.urb()
    bench.turn()
    for _ in range(4):
        pulse(bench, 20 * MS)
        bench.turn()
    assert outcomes(bench) == [EXPOSED] * 2 + [("ignored", "no_memory")] * 2


def test_pulses_while_not_streaming_or_unplugged_are_ignored_ones(camera):
    stop(camera)
    pulse(camera, MS)
    camera.turn()
    camera.terminals.trigger.on = True
    camera.device.unplug()
    camera.terminals.trigger.on = True
    pulse(camera, MS)
    assert outcomes(camera) == [("ignored", "not_streaming"), ("ignored", "unplugged")]


def test_pulses_before_the_stream_that_arrive_late_are_not_its_own(camera):
    before = camera.clock.now_ns
    stop(camera)
    camera.clock.now_ns += 10 * MS
    camera.commit(YUYV, QVGA)
    camera.urb()
    camera.turn()
    camera.device.edges([Edge(before + MS, True)])
    settle(camera)
    assert outcomes(camera) == [("ignored", "not_streaming")]


def test_the_input_is_armed_by_the_commit_since_the_first_urb_may_be_slow(camera):
    stop(camera)
    camera.commit(YUYV, QVGA)
    up = pulse(camera, MS)
    camera.turn()
    assert outcomes(camera) == []
    camera.clock.now_ns += 50 * MS
    settle(camera)
    assert outcomes(camera) == [EXPOSED]
    assert camera.notes.of("frame")[0]["start_ns"] == up


def test_a_commit_without_a_stream_accounts_for_its_pulses(camera):
    stop(camera)
    camera.commit(YUYV, QVGA)
    pulse(camera, MS)
    stop(camera)
    assert outcomes(camera) == [("ignored", "stopped")]


def test_pulses_that_wait_when_the_stream_stops_are_accounted_for(camera):
    camera.device.trigger_mode(True, None, {"delay_ns": 10 * MS})
    pulse(camera, MS)
    camera.turn()
    pulse(camera, MS)
    stop(camera)
    assert outcomes(camera) == [("ignored", "stopped")] * 2
    assert camera.device.due_ns is None


# ---- the switch


def test_the_switch_is_a_control_that_is_read_back_and_gone_with_the_power(camera):
    stop(camera)
    assert camera.get(PRIVACY) == 1
    assert camera.notes.of("trigger_mode")[-1]["by"] == "control"
    camera.device.unplug()
    camera.device.plug()
    assert camera.get(PRIVACY) == 0
    pulse(camera, MS)
    assert outcomes(camera) == []


def test_the_switch_works_while_streaming(camera):
    camera.device.trigger_mode(False, None, {})
    assert len(settle(camera, 200 * MS)) in (5, 6, 7)
    pulse(camera)
    assert outcomes(camera) == []
    freely = camera.clock.now_ns - MS
    camera.device.trigger_mode(True, None, {})
    camera.device.edges([Edge(freely, True)])  # told late: it still ran by itself then
    settle(camera)
    assert outcomes(camera) == [("ignored", "not_streaming")]
    before = len(camera.notes.of("frame"))
    pulse(camera, 20 * MS)
    settle(camera)
    assert len(camera.notes.of("frame")) == before + 1
    assert outcomes(camera) == [("ignored", "not_streaming"), EXPOSED]


def test_an_order_moves_the_same_switch(camera):
    stop(camera)
    assert carry_out(camera.device, b'{"do": "trigger_mode", "on": false}')["ok"] is False
    assert carry_out(camera.device, b'{"do": "trigger_mode", "on": false, "line": null}') == {"ok": True}
    assert camera.get(PRIVACY) == 0
    order = b'{"do": "trigger_mode", "on": true, "line": "rig-spare:spare1", "jitter_ns": 5}'
    assert carry_out(camera.device, order) == {"ok": True}
    assert camera.terminals.wire.lines == ["rig-spare:spare1"]
    assert camera.get(PRIVACY) == 1


def test_a_camera_may_ignore_its_switch_and_read_back_shows_it(camera):
    stop(camera)
    camera.set(PRIVACY, 0)
    camera.device.order_fault("ignore_setting", {"control": "privacy"})
    assert camera.set(PRIVACY, 1) == 0
    assert camera.get(PRIVACY) == 0


def test_the_switch_is_the_only_thing_that_a_trigger_input_adds_to_the_descriptors():
    without, with_it = (configuration(Speed.HIGH, tuple(FORMATS.values()), SIZES, switch) for switch in (False, True))
    assert [a ^ b for a, b in zip(without, with_it, strict=True) if a != b] == [1 << 18 - 16]  # D18 of bmControls


def test_a_camera_without_a_trigger_input_has_no_switch(bench):
    assert bench.get(PRIVACY) == STALL


@pytest.mark.parametrize(
    "words", [{"edge": "both"}, {"delay_ns": -1}, {"jitter_ns": True}, {"seed": "1"}, {"width": 1}]
)
def test_a_response_that_makes_no_sense_is_refused(words):
    with pytest.raises(OrderError):
        parse_response(words)


def test_a_response_says_only_what_differs():
    assert parse_response({"delay_ns": 5}) == Response(delay_ns=5)


# ---- the arithmetic of it


@given(
    gaps=st.lists(st.integers(1, 30), max_size=40),
    batch=st.integers(1, 5),
    orders=st.lists(st.sampled_from(["drop_trigger", "double_trigger", "late_trigger", "ghost_frame"]), max_size=4),
)
def test_every_pulse_is_exposed_or_ignored_once_and_exposures_never_overlap(gaps, batch, orders):
    faults, ignored, starts = Faults(), [], []
    for name in orders:
        faults.order(Fault(name, count=1, delay_ms=3))
    pacing = Triggered(0, 2 * MS, faults, lambda pulse, outcome, reason: ignored.append(pulse.number))
    now, waiting = 0, []
    for number, gap in enumerate(gaps):
        now += gap * MS
        waiting.append(Pulse(number, now))
        if len(waiting) == batch:
            for each in waiting:
                pacing.trigger(each)
            waiting.clear()
        starts += drain(pacing, now)
    for each in waiting:
        pacing.trigger(each)
    starts += drain(pacing, now + 1_000 * MS)
    exposed = [start.pulse.number for start in starts if start.pulse and "double_trigger" not in start.faults]
    assert sorted(exposed + ignored) == list(range(len(gaps)))
    assert exposed == sorted(exposed)
    for earlier, later in pairwise(starts):
        assert later.time_ns - earlier.time_ns >= 7 * MS


def drain(pacing, now_ns):
    taken = []
    while (due_ns := pacing.due_ns) is not None and due_ns <= now_ns:
        start = pacing.take(now_ns)
        if start is not None:
            pacing.stretch(5 * MS)
            taken.append(start)
    return taken


# ---- what the kernel says


TRACE = b"""\
            bash-375     [000] .....   123.849283: gpio_value: 516 set 0
          <idle>-0       [001] d.h2.  4123.849634: gpio_value: 516 set 1
##### CPU 1 buffer started ####
 a gpio: x 1.2: y-9    [001] d.h2.  4123.849640: gpio_value:  16 set 0
"""


def test_the_trace_is_read():
    assert parse(TRACE) == [
        Edge(123_849_283_000, False),
        Edge(4_123_849_634_000, True),
        Edge(4_123_849_640_000, False),
    ]


def test_lost_events_are_an_error():
    with pytest.raises(LineError, match="lost 12"):
        parse(TRACE + b"CPU:1 [LOST 12 EVENTS]\n")


def test_a_line_is_found_by_the_chips_label_and_its_own_name(tmp_path):
    for path, text in {
        "config/rig/dev_name": "gpio-sim.0",
        "config/rig/bank0/label": "rig-lines",
        "config/rig/bank0/chip_name": "gpiochip3",
        "config/rig/bank0/line1/name": "edge",
        "class/gpiochip512/label": "rig-lines",
        "class/gpiochip512/base": "512",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")
    roots = tmp_path / "config", tmp_path, tmp_path / "class"
    line = find_line("rig-lines:edge", *roots)
    assert (line.offset, line.number, line.folder) == (1, 513, tmp_path / "gpio-sim.0/gpiochip3/sim_gpio1")
    for text in ("rig-lines:trigger", "other:edge", "edge"):
        with pytest.raises(LineError):
            find_line(text, *roots)


def test_pulses_and_pictures_are_counted_apart_when_a_process_starts_anew():
    entries = [{"kind": "frame", "number": 4}, {"kind": "trigger", "number": 9}]
    assert (next_number(entries), next_pulse(entries)) == (5, 10)
