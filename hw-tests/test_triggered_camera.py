"""UVC cameras over USB/IP in trigger mode, under uvcvideo: edges on a line of gpio-sim, plain V4L2 at the other end.

The witness is the camera's own record: every edge it saw, and which picture came of it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from nodes import KERNEL, set_by_name, set_defaults
from uvc_camera import UvcCamera
from uvc_camera.edges import TracedEdges
from uvc_camera.lines import find_line
from wires import Wires
from witness import Witness

from agent.capture.session import Session
from agent.capture.settings import Settings
from agent.clock import monotonic_ns
from agent.errors import ControlRefused
from agent.pipeline.pixels import luma
from agent.simulation.mark import read_mark
from agent.units import NS_PER_MS, NS_PER_S, NS_PER_US
from agent.v4l2.controls import enumerate_controls
from agent.v4l2.ioctl import Node
from agent.v4l2.names import find_control
from agent.v4l2.values import read_values

pulses = pytest.importorskip("pulses", reason="no gpiod bindings here: `make rig`", exc_type=ImportError)

TRIGGER, EDGE, STROBE, PWM = (f"rig-lines:{name}" for name in ("trigger", "edge", "strobe", "pwm"))
EXPOSURE_NS = 5 * NS_PER_MS
LONG_NS = 150 * NS_PER_MS
LIMIT_NS = 10 * NS_PER_S
QUIET_NS = 300 * NS_PER_MS
ROUNDING_NS = NS_PER_US  # the kernel prints its trace in whole microseconds
OTHER_CONTROLLER = 30  # ports count through all controllers, thirty each
WIDTHS_NS = [width * NS_PER_US for width in (10, 20, 50, 100, 1000)]


@pytest.fixture(scope="module")
def _made(pytestconfig):
    if pytestconfig.getoption("--rig") is None:
        pytest.skip("no rig: `make rig`")
    small = {"formats": ["yuyv"], "sizes": ["320x240"], "port": OTHER_CONTROLLER}
    with UvcCamera(serial="TRIG001", trigger_line=TRIGGER, strobe_line=STROBE, **small) as made:
        yield made


@pytest.fixture
def camera(_made):
    """In trigger mode, behaving, its controls at their defaults otherwise."""
    _made.clear_faults()
    set_defaults(str(_made.node))
    _made.trigger_mode(True)
    yield _made
    _made.clear_faults()


@pytest.fixture
def out():
    with pulses.PulseLine(TRIGGER) as line:
        yield line


@contextmanager
def armed(camera, exposure_ns=EXPOSURE_NS, **more):
    settings = Settings(pixel_format="YUYV", rate=Fraction(5), exposure_ns=exposure_ns, settle_frames=0, **more)
    with Session(KERNEL, str(camera.node)) as session:
        session.prepare(settings)
        session.arm()
        yield session


def take(session):
    """The next frame and the number drawn in it."""
    shot = session.take(limit_ns=LIMIT_NS)
    number = read_mark(luma(shot.frame)).sequence
    session.give_back(shot)
    return shot.frame, number


def nothing_comes(session):
    end_ns = monotonic_ns() + QUIET_NS
    while monotonic_ns() < end_ns:
        if session.take_waiting() is not None:
            return False
        time.sleep(0.01)
    return True


def until(condition):
    """Look again and again, no longer than the limit."""
    end_ns = monotonic_ns() + LIMIT_NS
    while not condition():
        assert monotonic_ns() < end_ns
        time.sleep(0.005)


def outcomes(witness):
    return [(entry["outcome"], entry["reason"]) for entry in witness.entries("trigger")]


def made_by(witness):
    return [entry["trigger"] for entry in witness.entries("frame")]


EXPOSED = ("exposed", None)


def test_every_edge_makes_one_picture_down_to_ten_microseconds(camera, out):
    witness = Witness(camera)
    with armed(camera) as session:
        assert nothing_comes(session), "a picture nobody triggered"
        sent, frames = [], []
        for count in range(100):
            sent.append(out.pulse(WIDTHS_NS[count % len(WIDTHS_NS)]))
            frames.append(take(session))
        assert nothing_comes(session), "more pictures than edges"
        assert session.ledger.lost == 0
        assert session.judge.distrusted == 0, session.judge.first_reason
    numbers = [number for _, number in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(sent)))
    seen = witness.entries("trigger")
    assert outcomes(witness) == [EXPOSED] * len(sent)
    for pulse, edge, (frame, _) in zip(sent, seen, frames, strict=True):
        assert pulse.before_ns - ROUNDING_NS <= edge["time_ns"] <= pulse.after_ns + ROUNDING_NS
        assert frame.timestamp_ns > edge["time_ns"]
    assert made_by(witness) == [edge["number"] for edge in seen]
    late_ns = sorted(frame.timestamp_ns - edge["time_ns"] for edge, (frame, _) in zip(seen, frames, strict=True))
    print(f"edge to stamp: median {late_ns[len(late_ns) // 2] / 1e6:.1f} ms, max {late_ns[-1] / 1e6:.1f} ms")


def test_a_burst_is_neither_lost_nor_reordered_while_nobody_looks(camera, out):
    witness = Witness(camera)
    with armed(camera, buffer_count=16) as session:
        for count in range(10):
            out.pulse()
            until(lambda sent=count + 1: len(made_by(witness)) == sent)
        frames = [take(session) for _ in range(10)]
        assert session.ledger.lost == 0
    assert outcomes(witness) == [EXPOSED] * 10
    assert made_by(witness) == [entry["number"] for entry in witness.entries("trigger")]
    for (earlier, first), (later, second) in pairwise(frames):
        assert later.timestamp_ns > earlier.timestamp_ns
        assert second == first + 1


def test_an_edge_during_the_exposure_is_ignored_and_written_down(camera, out):
    witness = Witness(camera)
    with armed(camera, LONG_NS) as session:
        for _ in range(3):
            out.pulse()
            out.pulse()
            take(session)
        assert nothing_comes(session)
        assert session.ledger.lost == 0
    assert outcomes(witness) == [EXPOSED, ("ignored", "busy")] * 3
    exposed = [entry["number"] for entry in witness.entries("trigger") if entry["outcome"] == "exposed"]
    assert made_by(witness) == exposed


def test_pictures_without_edges_and_edges_without_pictures_on_order(camera, out):
    witness = Witness(camera)
    with armed(camera) as session:
        camera.fault("drop_trigger", count=2)
        out.pulse()
        out.pulse()
        assert nothing_comes(session)
        camera.fault("double_trigger", count=1)
        out.pulse()
        take(session), take(session)
        camera.fault("ghost_frame", count=1)
        take(session)
        camera.fault("late_trigger", count=1, delay_ms=200)
        sent = out.pulse()
        late, _ = take(session)
        assert late.timestamp_ns >= sent.before_ns + 200 * NS_PER_MS
        out.pulse()
        take(session)
        assert session.ledger.lost == 0
    assert outcomes(witness) == [("dropped", "drop_trigger")] * 2 + [EXPOSED] * 3
    first = witness.entries("trigger")[0]["number"]
    assert made_by(witness) == [first + 2, first + 2, None, first + 3, first + 4]
    faults = [entry["faults"] for entry in witness.entries("frame")]
    assert faults == [[], ["double_trigger"], ["ghost_frame"], ["late_trigger"], []]


def test_delay_jitter_and_the_falling_edge(camera, out):
    camera.trigger_mode(True, edge="falling", delay_ns=3 * NS_PER_MS, jitter_ns=2 * NS_PER_MS, seed=1)
    witness = Witness(camera)
    with armed(camera) as session:
        for _ in range(8):
            out.pulse(NS_PER_MS)
            take(session)
    starts = [entry["start_ns"] for entry in witness.entries("frame")]
    delays = [start - edge["time_ns"] for start, edge in zip(starts, witness.entries("trigger"), strict=True)]
    assert all(3 * NS_PER_MS <= delay <= 5 * NS_PER_MS for delay in delays)
    assert len(set(delays)) > 4


# ---- the switch


def read_switch(camera):
    with Node(KERNEL, str(camera.node)) as node:
        control = find_control(node.path, enumerate_controls(node), "privacy")
        return read_values(node, [control])[control.id]


def test_the_driver_switches_trigger_mode_and_reads_it_back_from_the_camera(camera, out):
    path = str(camera.node)
    set_by_name(path, "privacy", "0")
    witness = Witness(camera)
    set_by_name(path, "privacy", "1")
    assert read_switch(camera) == 1
    assert witness.settings == [("privacy", 1, "done")]
    assert [(entry["by"], entry["on"]) for entry in witness.entries("trigger_mode")] == [("control", True)]
    with armed(camera) as session:
        assert nothing_comes(session)
        out.pulse()
        take(session)
        set_by_name(path, "privacy", "0")
        assert take(session), "off: it runs by itself"


def test_a_camera_that_ignores_its_switch_is_found_out_by_read_back(camera):
    path = str(camera.node)
    set_by_name(path, "privacy", "0")
    camera.fault("ignore_setting", control="privacy")
    witness = Witness(camera)
    with pytest.raises(ControlRefused, match="privacy"):
        set_by_name(path, "privacy", "1")
    assert read_switch(camera) == 0
    assert ("privacy", 1, "ignored") in witness.settings


# ---- lines


def test_the_strobe_is_high_while_the_camera_exposes(camera, out):
    with pulses.EdgeLine(STROBE) as strobe, armed(camera, 20 * NS_PER_MS) as session:
        sent = []
        for _ in range(5):
            sent.append(out.pulse())
            take(session)
        seen = strobe.wait(5)
    assert [event.line_seqno for event in seen] == [1, 2, 3, 4, 5]
    for pulse, event in zip(sent, seen, strict=True):
        assert event.timestamp_ns > pulse.before_ns


def test_wires_carry_every_edge_late_but_in_order(out):
    with Wires(TRIGGER, EDGE, "rig-spare:spare0") as wires, pulses.EdgeLine(EDGE) as edge:
        sent, seen = [], []
        for count in range(60):
            sent.append(out.pulse(WIDTHS_NS[count % len(WIDTHS_NS)]))
            seen += edge.wait(1)
    assert [event.line_seqno for event in seen] == list(range(1, len(sent) + 1))
    assert all(event.timestamp_ns > pulse.before_ns for pulse, event in zip(sent, seen, strict=True))
    late_ns = sorted(wires.latencies_ns)
    assert len(late_ns) == 2 * len(sent)
    print(f"wires: median {late_ns[len(sent)] / 1e6:.2f} ms, max {late_ns[-1] / 1e6:.2f} ms")


def test_a_pwm_chip_toggles_its_line_and_can_trigger_a_camera(camera):
    line = find_line(PWM)
    witness = Witness(camera)
    camera.trigger_mode(True, line=PWM)
    traced = TracedEdges(line.number, line.high)
    try:
        with armed(camera) as session, _pwm(period_ns=100 * NS_PER_MS, duty_ns=10 * NS_PER_MS):
            for _ in range(10):
                take(session)
        rising = [edge.time_ns for edge in traced.read() if edge.high]
    finally:
        traced.close()
        camera.trigger_mode(True, line=TRIGGER)
    assert not line.high
    exposed = [entry["time_ns"] for entry in witness.entries("trigger") if entry["outcome"] == "exposed"]
    # every period has its edge, however late the emulated timer is; two traces of one edge differ by microseconds
    assert len(exposed) >= 10
    assert len(rising) >= len(exposed)
    assert all(later - earlier > 0 for earlier, later in pairwise(rising))
    assert rising[9] - rising[0] >= 8 * 100 * NS_PER_MS


@contextmanager
def _pwm(period_ns, duty_ns):
    chip = Path("/sys/class/pwm/pwmchip0")
    (chip / "export").write_text("0")
    try:
        (chip / "pwm0" / "period").write_text(str(period_ns))
        (chip / "pwm0" / "duty_cycle").write_text(str(duty_ns))
        (chip / "pwm0" / "enable").write_text("1")
        yield
        (chip / "pwm0" / "enable").write_text("0")
    finally:
        (chip / "unexport").write_text("0")


# ---- groups


@pytest.fixture
def other(uvc_camera):
    """The rig's usual camera, on the first controller, without a switch of its own: put into trigger mode by hand."""
    uvc_camera.trigger_mode(True, line=TRIGGER)
    yield uvc_camera
    uvc_camera.trigger_mode(False)


def test_two_cameras_on_one_line_both_see_every_edge(camera, other, out):
    witnesses = Witness(camera), Witness(other)
    with armed(camera) as one, armed(other) as two:
        frames = []
        for _ in range(20):
            sent = out.pulse(50 * NS_PER_US)
            frames.append((sent, take(one)[0], take(two)[0]))
        assert nothing_comes(one)
        assert nothing_comes(two)
        assert one.ledger.lost == two.ledger.lost == 0
    assert all(min(a.timestamp_ns, b.timestamp_ns) > sent.before_ns for sent, a, b in frames)
    for witness in witnesses:
        assert outcomes(witness) == [EXPOSED] * 20
        assert made_by(witness) == [entry["number"] for entry in witness.entries("trigger")]
        for (sent, _, _), edge in zip(frames, witness.entries("trigger"), strict=True):
            assert sent.before_ns - ROUNDING_NS <= edge["time_ns"] <= sent.after_ns + ROUNDING_NS
