# SPDX-License-Identifier: GPL-3.0-or-later
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvc_camera.controls import (
    AUTO_EXPOSURE,
    BRIGHTNESS,
    CONTROLS,
    EXPOSURE,
    GAIN,
    GET_DEF,
    GET_INFO,
    GET_MAX,
    GET_MIN,
    GET_RES,
    MODE_MANUAL,
)  # fmt: skip
from uvc_camera.errors import Stall
from uvc_camera.faults import Fault
from uvc_camera.formats import FORMATS, SIZES
from uvc_camera.negotiation import BLOCK_BYTES, Negotiation

STALLED = -32


def last_error(bench):
    return bench.control(0xA1, 0x81, 2 << 8, 0, 1)[1][0]


def settings(bench):
    return [(note["control"], note["value"], note["outcome"]) for note in bench.notes.of("control")
            if note["request"] == "SET_CUR"]  # fmt: skip


@pytest.mark.parametrize("control", [control for control in CONTROLS if not control.bitmap], ids=lambda each: each.name)
def test_a_control_tells_its_range(bench, control):
    answers = [bench.get(control, request) for request in (GET_MIN, GET_MAX, GET_RES, GET_DEF)]
    assert answers == [control.minimum, control.maximum, control.resolution, control.default]


def test_the_exposure_mode_tells_its_modes_as_a_bitmap(bench):
    assert bench.get(AUTO_EXPOSURE, GET_RES) == 0b1001
    assert bench.get(AUTO_EXPOSURE, GET_MIN) == STALLED


def test_every_control_is_read_from_the_camera_and_not_from_the_drivers_cache(bench):
    assert all(bench.get(control, GET_INFO) & 0b1011 == 0b1011 for control in CONTROLS)


def test_the_length_of_a_control_is_asked_for_in_two_bytes(bench):
    assert bench.control(0xA1, 0x85, EXPOSURE.selector << 8, EXPOSURE.entity << 8, 2) == (0, b"\4\0")


def test_exposure_belongs_to_the_camera_until_the_mode_is_manual(bench):
    assert bench.get(EXPOSURE, GET_INFO) & 4
    assert bench.set(EXPOSURE, 80) == STALLED
    assert last_error(bench) == Stall.WRONG_STATE
    assert bench.set(AUTO_EXPOSURE, MODE_MANUAL) == 0
    assert bench.set(EXPOSURE, 80) == 0
    assert bench.get(EXPOSURE) == 80
    assert not bench.get(EXPOSURE, GET_INFO) & 4
    assert settings(bench) == [
        ("exposure_time_absolute", 80, "stalled"), ("auto_exposure", 1, "done"), ("exposure_time_absolute", 80, "done"),
    ]  # fmt: skip


@pytest.mark.parametrize(("control", "value"), [(GAIN, 0), (GAIN, 256), (BRIGHTNESS, -65), (AUTO_EXPOSURE, 2),
                                                (AUTO_EXPOSURE, 9), (AUTO_EXPOSURE, 0)])  # fmt: skip
def test_a_value_out_of_range_is_stalled_and_changes_nothing(bench, control, value):
    before = bench.get(control)
    assert bench.set(control, value) == STALLED
    assert last_error(bench) == Stall.OUT_OF_RANGE
    assert bench.get(control) == before


@pytest.mark.parametrize(("entity", "selector", "reason"), [(1, 9, Stall.INVALID_CONTROL), (9, 1, Stall.INVALID_UNIT)])
def test_a_control_that_is_not_there_is_stalled_with_its_reason(bench, entity, selector, reason):
    assert bench.control(0xA1, 0x81, selector << 8, entity << 8, 1)[0] == STALLED
    assert last_error(bench) == reason


def test_an_ignored_setting_is_accepted_and_shows_in_the_read_back(bench):
    bench.set(AUTO_EXPOSURE, MODE_MANUAL)
    bench.device.faults.order(Fault("ignore_setting", control="exposure_time_absolute"))
    assert bench.set(EXPOSURE, 80) == 0
    assert bench.get(EXPOSURE) == EXPOSURE.default
    assert bench.set(GAIN, 20) == 0
    assert bench.get(GAIN) == 20
    assert ("exposure_time_absolute", 80, "ignored") in settings(bench)


def test_a_control_can_be_stalled_a_number_of_times(bench):
    bench.device.faults.order(Fault("stall_control", control="gain", count=1))
    assert [bench.set(GAIN, 20), bench.set(GAIN, 20)] == [STALLED, 0]


def test_a_slow_control_is_answered_late_while_others_are_answered_at_once(bench):
    bench.device.faults.order(Fault("slow_control", control="gain", count=1, delay_ms=3000))
    setup = struct.pack("<BBHHH", 0xA1, 0x81, GAIN.selector << 8, GAIN.entity << 8, 2)
    slow = bench.kernel.submit(0, True, 2, setup)
    assert bench.turn() == []
    assert bench.get(BRIGHTNESS) == 0
    assert bench.device.due_ns == bench.clock.now_ns + 3_000_000_000
    bench.clock.now_ns = bench.device.due_ns
    assert bench.turn() == [(3, slow, 0, b"\x10\0")]


def test_a_slow_control_that_the_host_gives_up_on_is_never_answered(bench):
    bench.device.faults.order(Fault("slow_control"))
    setup = struct.pack("<BBHHH", 0xA1, 0x81, GAIN.selector << 8, GAIN.entity << 8, 2)
    unlink = bench.kernel.unlink(bench.kernel.submit(0, True, 2, setup))
    assert bench.turn() == [(4, unlink, -104, b"")]
    bench.clock.now_ns += 10_000_000_000
    assert bench.turn() == []


@given(st.binary(min_size=BLOCK_BYTES, max_size=BLOCK_BYTES))
def test_any_wish_is_answered_with_a_mode_the_camera_has(block):
    negotiation = Negotiation(tuple(FORMATS.values()), SIZES, 16384)
    mode = negotiation.put(block)
    assert mode.interval in mode.size.intervals
    answer = negotiation.get(0x81)
    assert negotiation.put(answer) == mode
    assert len(answer) == BLOCK_BYTES
    assert struct.unpack_from("<II", answer, 18) == (mode.picture_bytes, 16384)
