"""Exposure in nanoseconds: asked, granted, why; locked, proven, and on the right frame."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ControlRefused, ControlUnknown, ControlValueError, ExposureNotProven, InputError
from agent.simulation.bench import sensor_profile, uvc_profile
from agent.simulation.clock import ManualClock
from agent.simulation.control_spec import AutoCluster, boolean, integer, menu
from agent.simulation.kernel import SimulatedKernel
from agent.simulation.mark import read_mark
from agent.v4l2.allocator import Allocator
from agent.v4l2.brightness import mean_brightness
from agent.v4l2.controls import enumerate_controls, query
from agent.v4l2.device import query_capabilities, require_capture
from agent.v4l2.effect import BrightFrame, EffectFinder, ExposureChange, State
from agent.v4l2.exposure import ensure_manual, lock_exposure, prove_exposure, prove_manual, read_exposure
from agent.v4l2.exposure_scale import find_scale
from agent.v4l2.formats import set_format, set_interval
from agent.v4l2.gain import GainRequest
from agent.v4l2.ioctl import Node
from agent.v4l2.stamps import StampJudge
from agent.v4l2.stream import Stream
from agent.v4l2.transaction import set_controls, set_manual
from agent.v4l2.uapi import VIDIOC_S_EXT_CTRLS, BufType, ControlID
from agent.v4l2.values import read_each, read_values

UVC = "/dev/video0"
EXPOSURE, AUTO, GAIN = int(ControlID.EXPOSURE_ABSOLUTE), int(ControlID.EXPOSURE_AUTO), int(ControlID.GAIN)
LINES, PRIORITY = int(ControlID.EXPOSURE), int(ControlID.EXPOSURE_AUTO_PRIORITY)
US, MS = 1_000, 1_000_000
LINE_NS = Fraction(2200 * 10**9, 148_500_000)


@contextlib.contextmanager
def opened(profile=None):
    with SimulatedKernel([profile or uvc_profile()]) as kernel, Node(kernel, UVC) as node:
        yield kernel.cameras[0], node


def without(profile, *ids, add=(), **changes):
    """The same camera without these controls, with others instead."""
    gone = {*ids, *(spec.id for spec in add)}
    controls = (*(spec for spec in profile.controls if spec.id not in gone), *add)
    clusters = tuple(c for c in profile.clusters if not gone & {c.master, *c.partners})
    return replace(profile, controls=controls, **{"clusters": clusters, **changes})


def blind(profile, stand_in=ControlID.BRIGHTNESS):
    """A camera without any exposure control, as vivid; its light follows another one."""
    optics = replace(profile.optics, exposure_id=stand_in, auto_id=None)
    return without(profile, EXPOSURE, AUTO, optics=optics)


def in_unknown_units(driver="odd"):
    profile = uvc_profile()
    add = (integer(LINES, "Exposure", 0, 1000, 10),)
    optics = replace(profile.optics, exposure_id=LINES, auto_id=None)
    return without(profile, EXPOSURE, AUTO, add=add, optics=optics, driver=driver)


def everything(node):
    controls = enumerate_controls(node)
    values = read_each(node, controls).values
    return {c.slug: values.get(c.id) for c in controls if not c.inactive and not c.volatile}


def test_pain_7_exposure_is_locked_on_a_camera_that_starts_automatic():
    with opened() as (_, node):
        assert read_exposure(node).automatic
        report = lock_exposure(node, 8 * MS)
        assert (report.asked_ns, report.granted_ns, report.why) == (8 * MS, 8 * MS, ())
        assert (report.control.slug, report.value) == ("exposure_time_absolute", 80)
        assert [c.control.slug for c in report.changes.changes] == ["auto_exposure", "exposure_time_absolute"]
        found = read_exposure(node)
        assert (found.automatic, found.mode, found.exposure_ns) == (False, "1 (Manual Mode)", 8 * MS)
        assert (found.minimum_ns, found.maximum_ns, found.step_ns) == (100 * US, 500 * MS, 100 * US)


def test_between_two_steps_the_nearest_is_granted_and_says_why():
    with opened() as (_, node):
        report = lock_exposure(node, 8_030 * US)
        assert report.granted_ns == 8 * MS
        assert [(reason.code, reason.text) for reason in report.why] == [("step", "the camera's step is 100us")]
        assert lock_exposure(node, 8_050 * US).granted_ns == 8 * MS
        assert lock_exposure(node, 8_051 * US).granted_ns == 8_100 * US


@pytest.mark.parametrize("asked_ns", [0, -5, 99_999, 500_000_001])
def test_out_of_range_is_refused_in_units_and_nothing_changed(asked_ns):
    with opened() as (_, node):
        before = everything(node)
        with pytest.raises(ControlValueError) as caught:
            lock_exposure(node, asked_ns, GainRequest(value=9))
        assert "100us to 500ms" in caught.value.hint
        assert caught.value.details["nearest"] in (100 * US, 500 * MS)
        assert everything(node) == before
        assert read_exposure(node).automatic


def test_the_ends_of_the_range_are_allowed():
    with opened() as (_, node):
        assert lock_exposure(node, 100 * US).value == 1
        assert lock_exposure(node, 500 * MS).value == 5000


def test_longer_than_the_frame_interval_is_said():
    with opened() as (_, node):
        set_interval(node, BufType.VIDEO_CAPTURE, Fraction(1, 30))
        assert lock_exposure(node, 33 * MS).why == ()
        (reason,) = lock_exposure(node, 40 * MS).why
        assert reason.code == "frame_interval"
        assert "33.333333ms" in reason.text


def test_gain_is_part_of_the_same_transaction():
    with opened() as (camera, node):
        report = lock_exposure(node, 8 * MS, GainRequest(value=16))
        assert report.gain.value == 16
        assert {c.control.id for c in report.changes.changes} == {AUTO, EXPOSURE, GAIN}
        before = everything(node)
        camera.faults.ignored_controls = {GAIN}
        with pytest.raises(ExposureNotProven):
            lock_exposure(node, 9 * MS, GainRequest(value=17))
        assert everything(node) == before


def test_a_camera_that_ignores_its_exposure_is_not_proven_and_put_back():
    with opened() as (camera, node):
        camera.faults.ignored_controls = {EXPOSURE}
        with pytest.raises(ExposureNotProven, match="exposure_time_absolute is 100, not 80") as caught:
            lock_exposure(node, 8 * MS)
        assert caught.value.details["rolled_back"] is True
        assert read_exposure(node).automatic


def test_a_camera_that_refuses_its_exposure_is_put_back():
    with opened() as (camera, node):
        camera.faults.broken_write_at = 1
        with pytest.raises(ControlRefused) as caught:
            lock_exposure(node, 8 * MS)
        assert caught.value.details["rolled_back"]
        assert caught.value.details["control"] == "exposure_time_absolute"
        assert read_exposure(node).automatic


def test_a_stream_is_not_started_when_somebody_changed_it_since():
    with opened() as (_, node):
        report = lock_exposure(node, 8 * MS, GainRequest(value=3))
        prove_exposure(node, report)
        set_controls(node, {GAIN: 4})
        with pytest.raises(ExposureNotProven, match="gain reads 4, not 3"):
            prove_exposure(node, report)
        set_controls(node, {GAIN: 3})
        set_controls(node, {EXPOSURE: 81})
        with pytest.raises(ExposureNotProven, match="exposure_time_absolute reads 81, not 80"):
            prove_exposure(node, report)
        set_controls(node, {EXPOSURE: 80})
        set_controls(node, {AUTO: 3})
        with pytest.raises(ExposureNotProven, match="switched on again"):
            prove_exposure(node, report)


def test_manual_without_a_value_is_ensured_and_proven():
    with opened() as (camera, node):
        with pytest.raises(ExposureNotProven, match="automatic exposure is on"):
            prove_manual(node)
        assert not ensure_manual(node).automatic
        assert not ensure_manual(node).automatic
        assert prove_manual(node).exposure_ns == 10 * MS
        set_controls(node, {AUTO: 3})
        camera.faults.ignored_controls = {AUTO}
        with pytest.raises(ExposureNotProven, match="auto_exposure is 3"):
            ensure_manual(node)


MODES = {0: "Auto Mode", 1: "Manual Mode", 2: "Shutter Priority Mode", 3: "Aperture Priority Mode"}


@pytest.mark.parametrize(("offered", "chosen"), [((0, 1, 2, 3), 1), ((1, 3), 1), ((0, 2), 2), ((2, 3), 2)])
def test_exposure_modes_differ_per_camera(offered, chosen):
    add = (menu(AUTO, "Auto Exposure", {n: MODES[n] for n in offered}, offered[-1] if offered[-1] != chosen else 0),)
    cluster = AutoCluster(AUTO, chosen, frozenset({EXPOSURE}), refuses=True)
    profile = uvc_profile()
    profile = replace(without(profile, AUTO, add=add), clusters=(cluster,))
    with opened(profile) as (_, node):
        lock_exposure(node, 8 * MS)
        assert read_values(node, [query(node, AUTO)]) == {AUTO: chosen}


def test_a_camera_that_is_always_automatic_says_so():
    add = (menu(AUTO, "Auto Exposure", {0: "Auto Mode", 3: "Aperture Priority Mode"}, 3),)
    with opened(without(uvc_profile(), AUTO, add=add)) as (_, node):
        with pytest.raises(ControlRefused, match="has no manual mode"):
            lock_exposure(node, 8 * MS)
        with pytest.raises(ExposureNotProven, match="offers no manual mode"):
            ensure_manual(node)


def test_the_variable_frame_rate_is_switched_off_too():
    profile = without(uvc_profile(), add=(boolean(PRIORITY, "Exposure, Dynamic Framerate", 1),))
    with opened(profile) as (_, node):
        report = lock_exposure(node, 8 * MS)
        assert PRIORITY in {c.control.id for c in report.changes.changes}
        assert read_values(node, [query(node, PRIORITY)]) == {PRIORITY: 0}
        assert PRIORITY not in {c.control.id for c in lock_exposure(node, 9 * MS).changes.changes}


def test_a_camera_without_an_automatic_mode_is_just_set():
    profile = uvc_profile()
    profile = without(profile, AUTO, optics=replace(profile.optics, auto_id=None))
    with opened(profile) as (_, node):
        assert lock_exposure(node, 8 * MS).granted_ns == 8 * MS
        assert prove_manual(node).mode is None
        assert ensure_manual(node).exposure_ns == 8 * MS


def test_a_camera_without_exposure_says_what_it_has_and_is_left_alone_otherwise():
    with opened(blind(uvc_profile())) as (_, node):
        with pytest.raises(ControlUnknown, match="no exposure control") as caught:
            lock_exposure(node, 8 * MS)
        assert "gain" in caught.value.details["available"]
        assert "leave the exposure away" in caught.value.hint
        found = read_exposure(node)
        assert (found.automatic, found.control, found.exposure_ns) == (False, None, None)


def test_a_sensor_counts_lines_exactly():
    with opened(sensor_profile()) as (_, node):
        scale = find_scale(node)
        assert (scale.unit_ns, scale.in_lines) == (LINE_NS, True)
        report = lock_exposure(node, 8 * MS)
        assert report.value == 540
        assert report.granted_ns == 8 * MS
        report = lock_exposure(node, 8_005 * US)
        assert report.granted_ns == 8 * MS
        assert report.why[0].text == "the camera's step is one line, 14.815us"


def test_a_sensor_scaled_down_still_has_the_lines_of_the_sensor():
    with opened(sensor_profile()) as (_, node):
        set_format(node, require_capture(node, query_capabilities(node)), width_px=640, height_px=480)
        assert find_scale(node).unit_ns == LINE_NS


def test_a_sensors_range_follows_its_blanking():
    with opened(sensor_profile()) as (_, node):
        with pytest.raises(ControlValueError) as caught:
            lock_exposure(node, 50 * MS)
        assert "vertical blanking" in caught.value.hint
        set_controls(node, {ControlID.VBLANK: 4000})
        assert abs(lock_exposure(node, 50 * MS).granted_ns - 50 * MS) < LINE_NS


def test_a_sensor_with_a_fixed_addition():
    # imx296: 14.26 us beside the lines
    with opened(replace(sensor_profile(), card="bench, imx296 10-001a")) as (_, node):
        assert find_scale(node).to_ns(100) == round(100 * Fraction(550 * 10**9, 37_125_000)) + 14_260
        assert find_scale(node, sensor="imx219").unit_ns == LINE_NS


def test_the_units_of_a_driver_can_be_known():
    profile = without(uvc_profile(), EXPOSURE, AUTO, driver="tegra-video")
    profile = without(profile, add=(integer(0x009A_200A, "Exposure", 30, 600_000, 100),))
    profile = replace(profile, optics=replace(profile.optics, exposure_id=0x009A_200A, auto_id=None))
    with opened(profile) as (_, node):
        assert lock_exposure(node, 8 * MS).value == 8000


def test_an_unknown_unit_is_an_error_never_a_guess():
    with opened(in_unknown_units()) as (_, node):
        with pytest.raises(InputError, match=r"unit of exposure of /dev/video0 \(driver odd\) is not known") as caught:
            lock_exposure(node, 8 * MS)
        assert "0 to 1000" in caught.value.hint
        assert read_exposure(node).exposure_ns is None


@given(asked_ns=st.integers(-MS, 600 * MS), step=st.integers(1, 7), lines=st.booleans())
def test_granted_is_the_nearest_step_or_refused(asked_ns, step, lines):
    profile = sensor_profile() if lines else uvc_profile()
    control = LINES if lines else EXPOSURE
    unit_ns = LINE_NS if lines else Fraction(100_000)
    stepped = next(replace(spec, step=step) for spec in profile.controls if spec.id == control)
    with opened(without(profile, add=(stepped,))) as (_, node):
        offered = [value * unit_ns for value in range(1, query(node, control).maximum + 1, step)]
        try:
            report = lock_exposure(node, asked_ns)
        except ControlValueError:
            assert not offered[0] <= asked_ns <= offered[-1]
        else:
            nearest = min(offered, key=lambda exposure: (abs(exposure - asked_ns), exposure))
            assert report.granted_ns == round(nearest)
            assert (report.granted_ns == asked_ns) == (not any(r.code == "step" for r in report.why))
            assert read_exposure(node).exposure_ns == report.granted_ns


def frames_around_a_change(before_ns, after_ns, pixel_format="YUYV"):
    """20 frames of a simulated stream, exposure changed after the eighth; each with its own mark."""
    clock = ManualClock()
    with SimulatedKernel([uvc_profile()], clock=clock) as kernel, Node(kernel, UVC) as node:
        lock_exposure(node, before_ns)
        with Allocator(node, BufType.VIDEO_CAPTURE).allocate(640, 480, pixel_format) as pool:
            stream = Stream(node, pool, StampJudge("uvcvideo", 33 * MS), read_monotonic_ns=clock.now_ns)
            stream.start()
            change, seen = None, []
            for number in range(20):
                if number == 8:
                    started_ns = clock.now_ns()
                    lock_exposure(node, after_ns)
                    change = ExposureChange(started_ns, clock.now_ns(), before_ns, after_ns)
                kernel.step(kernel.cameras[0])
                frame = stream.dequeue()
                mark = None
                if pixel_format == "YUYV":
                    mark = read_mark(frame.planes[0].reshape(480, 1280)[:, ::2])
                seen.append((BrightFrame(frame.sequence, frame.timestamp_ns, mean_brightness(frame)), mark))
                stream.give_back(frame)
            stream.stop()
    return change, seen


@pytest.mark.parametrize(("before_ns", "after_ns"), [(5 * MS, 15 * MS), (15 * MS, 4 * MS)])
def test_pain_6_the_frame_named_is_the_one_with_the_new_exposure_drawn_into_it(before_ns, after_ns):
    change, seen = frames_around_a_change(before_ns, after_ns)
    finder = EffectFinder(change)
    verdict = [finder.feed(frame) for frame, _ in seen][-1]
    truth = next(mark.sequence for _, mark in seen if mark.exposure_ns == after_ns)
    assert verdict.state is State.FOUND
    assert verdict.sequence == truth


def test_a_compressed_stream_is_named_by_the_bound():
    change, seen = frames_around_a_change(5 * MS, 15 * MS, "MJPG")
    finder = EffectFinder(change)
    verdict = [finder.feed(frame) for frame, _ in seen][-1]
    assert (verdict.state, verdict.evidence, verdict.delay_frames) == (State.ASSUMED, "bound", 6)


def test_refusals_of_the_driver_reach_the_caller():
    with opened() as (camera, node):
        camera.faults.refuse(VIDIOC_S_EXT_CTRLS.name, errno.EPIPE)
        with pytest.raises(ControlRefused) as caught:
            lock_exposure(node, 8 * MS)
        assert caught.value.errno == errno.EPIPE
        set_manual(node, {EXPOSURE: 5})
