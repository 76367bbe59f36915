"""Descriptions, names and values of controls, on simulated cameras and on drivers that misbehave."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ControlUnknown, ControlValueError, DeviceError, DeviceGone
from agent.simulation.bench import FIRMWARE, FRAME_COUNTER, NICKNAME, simulated_kernel
from agent.v4l2.controls import (
    Control,
    Kind,
    MenuItem,
    enumerate_controls,
    query,
    query_optional,
    refresh,
    slug_of,
)
from agent.v4l2.ioctl import Node
from agent.v4l2.names import find_control
from agent.v4l2.transaction import set_controls
from agent.v4l2.uapi import (
    VIDIOC_G_EXT_CTRLS,
    VIDIOC_QUERY_EXT_CTRL,
    VIDIOC_QUERYMENU,
    ControlFlag,
    ControlID,
    CtrlType,
)
from agent.v4l2.values import (
    check_value,
    describe_allowed,
    format_value,
    nearest_value,
    parse_value,
    read_each,
    read_values,
)

UVC, SENSOR = "/dev/video0", "/dev/video2"
EXPOSURE, AUTO = ControlID.EXPOSURE_ABSOLUTE, ControlID.EXPOSURE_AUTO


@pytest.fixture
def bench():
    with simulated_kernel() as kernel:
        yield kernel


@pytest.fixture
def uvc(bench):
    with Node(bench, UVC) as node:
        yield node


@pytest.fixture
def sensor(bench):
    with Node(bench, SENSOR) as node:
        yield node


class Doctored:
    """A kernel whose answers to one request pass through `doctor(argument, forward)`."""

    def __init__(self, kernel, request, doctor):
        self._kernel, self._request, self._doctor = kernel, request, doctor

    def __getattr__(self, name):
        return getattr(self._kernel, name)

    def ioctl(self, fd, request, argument):
        if request != self._request.number:
            return self._kernel.ioctl(fd, request, argument)
        return self._doctor(argument, lambda: self._kernel.ioctl(fd, request, argument))


def control(kind=Kind.INTEGER, minimum=0, maximum=100, step=1, menu=(), number=EXPOSURE, name="It"):
    return Control(number, name, slug_of(name), kind, minimum, maximum, step, 0, ControlFlag(0), menu)


def test_every_control_is_described_without_headings(uvc):
    controls = {c.slug: c for c in enumerate_controls(uvc)}
    assert list(controls) == sorted(controls, key=lambda slug: controls[slug].id)
    assert {"brightness", "auto_exposure", "exposure_time_absolute", "nickname", "firmware_word"} <= set(controls)
    assert "user_controls" not in controls
    exposure = controls["exposure_time_absolute"]
    assert (exposure.id, exposure.kind, exposure.minimum, exposure.maximum) == (EXPOSURE, Kind.INTEGER, 1, 5000)
    assert exposure.group == "camera"
    assert exposure.inactive
    assert not exposure.grabbed
    assert controls["do_white_balance"].kind is Kind.BUTTON
    assert controls["serial_number"].read_only
    assert controls["frame_counter"].volatile


def test_menus_keep_their_holes(uvc, sensor):
    assert query(uvc, AUTO).menu == (MenuItem(1, "Manual Mode"), MenuItem(3, "Aperture Priority Mode"))
    assert query(sensor, ControlID.LINK_FREQ).menu == (MenuItem(0, "297000000"), MenuItem(2, "445500000"))


def test_flags_are_read_fresh(uvc):
    stale = query(uvc, EXPOSURE)
    set_controls(uvc, {AUTO: 1})
    assert stale.inactive
    assert not query(uvc, EXPOSURE).inactive
    assert not refresh(uvc, stale).inactive
    menu = query(uvc, AUTO)
    assert refresh(uvc, menu) == menu


def test_an_unknown_id_is_named_with_what_there_is(uvc):
    assert query_optional(uvc, ControlID.FOCUS_ABSOLUTE) is None
    with pytest.raises(ControlUnknown, match="0x009a090a") as caught:
        query(uvc, ControlID.FOCUS_ABSOLUTE)
    assert "exposure_time_absolute" in caught.value.details["available"]


@pytest.mark.parametrize("name", ["exposure_absolute", "exposure_time_absolute", "EXPOSURE_ABSOLUTE", "0x009a0902"])
@pytest.mark.parametrize("driver_name", ["Exposure (Absolute)", "Exposure Time, Absolute", "Belichtung"])
def test_pain_8_old_and_new_names_find_the_same_control(name, driver_name):
    there = control(number=EXPOSURE, name=driver_name)
    assert find_control(UVC, [control(number=AUTO, name="Auto"), there], name) is there


@pytest.mark.parametrize(
    ("old", "new", "control_id"),
    [
        ("exposure_auto", "auto_exposure", AUTO),
        ("exposure_auto_priority", "exposure_dynamic_framerate", ControlID.EXPOSURE_AUTO_PRIORITY),
        ("white_balance_temperature_auto", "white_balance_automatic", ControlID.AUTO_WHITE_BALANCE),
        ("focus_auto", "focus_automatic_continuous", ControlID.FOCUS_AUTO),
        ("hue_auto", "hue_automatic", ControlID.HUE_AUTO),
    ],
)
def test_pain_8_renamed_controls_answer_to_both_names(old, new, control_id):
    for driver_name in (old, new):
        there = control(number=control_id, name=driver_name)
        assert find_control(UVC, [there], old) is there
        assert find_control(UVC, [there], new) is there


def test_the_cameras_own_name_wins_over_a_kernel_constant():
    # a driver's own control may be called like the constant of another
    vendor, standard = (
        control(number=0x98_1901, name="Exposure"),
        control(number=ControlID.EXPOSURE, name="Integration Time"),
    )
    assert find_control(UVC, [standard, vendor], "exposure") is vendor


def test_pain_5_vendor_controls_are_found_and_set_by_id(uvc):
    found = find_control(UVC, enumerate_controls(uvc), f"0x{FIRMWARE:08x}")
    assert found.slug == "firmware_word"
    set_controls(uvc, {found: -(2**39)})
    assert read_values(uvc, [found]) == {FIRMWARE: -(2**39)}


def test_unknown_names_get_suggestions():
    there = [control(number=1, name="Brightness"), control(number=2, name="Contrast")]
    with pytest.raises(ControlUnknown) as caught:
        find_control(UVC, there, "brigthness")
    assert caught.value.details["near"] == ["brightness"]
    assert "did you mean brightness" in caught.value.hint
    with pytest.raises(ControlUnknown, match="no control") as caught:
        find_control(UVC, there, "qqq")
    assert "brightness, contrast" in caught.value.hint
    with pytest.raises(ControlUnknown) as caught:
        find_control(UVC, [], "qqq")
    assert "no controls at all" in caught.value.hint


@pytest.mark.parametrize("name", ["base", "camera_class", "lastp1"])
def test_markers_of_the_header_are_no_names(name):
    everything = [control(number=int(member), name=f"c{member}") for member in set(ControlID)]
    with pytest.raises(ControlUnknown):
        find_control(UVC, everything, name)


def test_two_controls_of_one_name_ask_for_the_id():
    twins = [control(number=1, name="Gain"), control(number=2, name="Gain")]
    with pytest.raises(ControlUnknown, match="2 controls named gain") as caught:
        find_control(UVC, twins, "gain")
    assert "0x00000001" in caught.value.hint
    assert find_control(UVC, twins, 2) is twins[1]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Exposure Time, Absolute", "exposure_time_absolute"),
        ("White Balance Temperature, Auto", "white_balance_temperature_auto"),
        ("  U8 [2x3] ", "u8_2x3"),
        ("Größe", "gr_e"),
    ],
)
def test_slugs_are_those_of_v4l2_ctl(name, slug):
    assert slug_of(name) == slug


def test_a_broken_control_hides_only_itself(bench):
    # uvcvideo: "Failed to query (GET_DEF) UVC control": the enumeration answers EIO there
    def broken(argument, forward):
        wanted = argument.id
        forward()
        if argument.id == ControlID.GAIN:
            argument.id = wanted
            raise OSError(errno.EIO, "broken")

    with Node(Doctored(bench, VIDIOC_QUERY_EXT_CTRL, broken), UVC) as node:
        slugs = [c.slug for c in enumerate_controls(node)]
    assert "gain" not in slugs
    assert {"brightness", "white_balance_temperature", "exposure_time_absolute"} <= set(slugs)


def test_a_driver_that_does_not_advance_does_not_hang_us(bench):
    def stuck(argument, forward):
        argument.id = ControlID.BRIGHTNESS
        forward()

    with Node(Doctored(bench, VIDIOC_QUERY_EXT_CTRL, stuck), UVC) as node:
        assert {c.slug for c in enumerate_controls(node)} == {"brightness"}


def test_disabled_and_compound_controls(bench):
    def odd(argument, forward):
        forward()
        if argument.id == ControlID.GAIN:
            argument.flags |= ControlFlag.DISABLED
        if argument.id == ControlID.BRIGHTNESS:
            argument.nr_of_dims = 1
        if argument.id == ControlID.POWER_LINE_FREQUENCY:
            argument.type = CtrlType.AREA

    with Node(Doctored(bench, VIDIOC_QUERY_EXT_CTRL, odd), UVC) as node:
        controls = {c.id: c for c in enumerate_controls(node)}
        assert ControlID.GAIN not in controls
        assert controls[ControlID.BRIGHTNESS].kind is Kind.COMPOUND
        assert not controls[ControlID.POWER_LINE_FREQUENCY].readable
        found = read_each(node, list(controls.values()))
        assert found.skipped[ControlID.BRIGHTNESS] == "a compound has no value to read"
        assert found.values[EXPOSURE]
        with pytest.raises(ControlValueError):
            check_value(controls[ControlID.BRIGHTNESS], 1)


def test_a_control_that_vanished_is_unknown(bench, uvc):
    gain = query(uvc, ControlID.GAIN)
    with Node(bench, SENSOR) as sensor, pytest.raises(ControlUnknown, match="no control gain"):
        refresh(sensor, gain)


def test_a_menu_that_cannot_be_read_is_an_error_once(bench, uvc):
    bench.cameras[0].faults.refuse(VIDIOC_QUERYMENU.name, errno.EIO)
    with pytest.raises(DeviceError, match="VIDIOC_QUERYMENU"):
        query(uvc, AUTO)
    bench.cameras[0].faults.refuse(VIDIOC_QUERY_EXT_CTRL.name, errno.EIO)
    with pytest.raises(DeviceError, match="VIDIOC_QUERY_EXT_CTRL"):
        query(uvc, AUTO)


def test_a_bitmask_is_32_bits_wide_also_when_refreshed(bench):
    def signed(argument, forward):
        forward()
        if argument.type == CtrlType.BITMASK:
            argument.maximum = -(2**31)

    with Node(Doctored(bench, VIDIOC_QUERY_EXT_CTRL, signed), SENSOR) as node:
        mask = find_control(SENSOR, enumerate_controls(node), "test_row_mask")
        assert mask.maximum == refresh(node, mask).maximum == 0x8000_0000


def test_an_unplugged_camera_says_so(bench, uvc):
    bench.cameras[0].faults.unplug_at_call = VIDIOC_QUERY_EXT_CTRL.name
    with pytest.raises(DeviceGone):
        enumerate_controls(uvc)


def test_values_of_every_kind_come_in_one_call(bench):
    calls = []

    def count(argument, forward):
        calls.append(argument.count)
        forward()

    with Node(Doctored(bench, VIDIOC_G_EXT_CTRLS, count), UVC) as node:
        controls = enumerate_controls(node)
        set_controls(node, {NICKNAME: "Ada", FIRMWARE: 2**39, ControlID.BRIGHTNESS: -3})
        calls.clear()
        values = read_values(node, controls)
    assert calls == [len(values)]
    assert (values[NICKNAME], values[FIRMWARE], values[ControlID.BRIGHTNESS]) == ("Ada", 2**39, -3)
    assert ControlID.DO_WHITE_BALANCE not in values
    assert values[FRAME_COUNTER] == 0


def test_one_unreadable_control_does_not_sink_the_others(bench):
    def broken(argument, forward):
        for index in range(argument.count):
            if argument.controls[index].id == ControlID.GAIN:
                argument.error_idx = index
                raise OSError(errno.EIO, "broken")
        forward()

    with Node(Doctored(bench, VIDIOC_G_EXT_CTRLS, broken), UVC) as node:
        controls = enumerate_controls(node)
        with pytest.raises(DeviceError, match="gain of /dev/video0 cannot be read") as caught:
            read_values(node, controls)
        assert caught.value.details["control"] == "gain"
        found = read_each(node, controls)
    assert found.skipped[ControlID.GAIN] == "Input/output error"
    assert found.values[ControlID.BRIGHTNESS] == 0


def test_reading_from_an_unplugged_camera(bench, uvc):
    controls = enumerate_controls(uvc)
    bench.cameras[0].faults.unplug_at_call = VIDIOC_G_EXT_CTRLS.name
    with pytest.raises(DeviceGone):
        read_each(uvc, controls)


@given(st.integers(-50, 50), st.integers(0, 100), st.integers(1, 13), st.integers(-200, 200))
def test_the_nearest_value_is_allowed_and_nothing_is_nearer(minimum, span, step, asked):
    it = control(minimum=minimum, maximum=minimum + span, step=step)
    allowed = range(minimum, minimum + span + 1, step)
    nearest = nearest_value(it, asked)
    assert nearest in allowed
    assert abs(nearest - asked) == min(abs(value - asked) for value in allowed)
    if asked in allowed:
        assert check_value(it, asked) == asked
    else:
        with pytest.raises(ControlValueError) as caught:
            check_value(it, asked)
        details = caught.value.details
        assert (details["nearest"], details["asked"], details["step"]) == (nearest, asked, step)
        assert (details["minimum"], details["maximum"]) == (minimum, minimum + span)


MODES = control(Kind.MENU, 1, 3, menu=(MenuItem(1, "Manual Mode"), MenuItem(3, "Aperture Priority Mode")))
RATES = control(Kind.INTEGER_MENU, 0, 2, menu=(MenuItem(0, "297000000"), MenuItem(2, "445500000")))


@pytest.mark.parametrize(
    ("it", "text", "value"),
    [
        (control(), "42", 42),
        (control(minimum=-10), " -7 ", -7),
        (control(), "0x10", 16),
        (control(Kind.BOOLEAN, 0, 1), "on", 1),
        (control(Kind.BOOLEAN, 0, 1), "False", 0),
        (control(Kind.BOOLEAN, 0, 1), "1", 1),
        (MODES, "manual mode", 1),
        (MODES, "3", 3),
        (RATES, "2", 2),
        (control(Kind.BITMASK, 0, 0xFFFF_FFFF, 0), "0x80000001", 0x8000_0001),
        (control(Kind.INTEGER64, -(2**40), 2**40), "1099511627776", 2**40),
        (control(Kind.STRING, 0, 8), " a b ", " a b "),
        (control(Kind.BUTTON, 0, 0, 0), "press", 1),
    ],
)
def test_values_from_text(it, text, value):
    assert parse_value(it, text) == value


@pytest.mark.parametrize(
    ("it", "text", "told"),
    [
        (control(), "101", "0 to 100"),
        (control(step=7), "8", "the nearest is 7"),
        (control(), "8ms", "0 to 100"),
        (control(Kind.BOOLEAN, 0, 1), "maybe", "on or off"),
        (control(Kind.BOOLEAN, 0, 1), "2", "on or off"),
        (MODES, "2", "1 (Manual Mode), 3 (Aperture Priority Mode)"),
        (MODES, "auto", "1 (Manual Mode), 3 (Aperture Priority Mode)"),
        (control(Kind.BITMASK, 0, 0x0F, 0), "0x10", "any bits of 0x0000000f"),
        (control(Kind.STRING, 0, 3), "four", "text of 0 to 3 bytes"),
        (control(Kind.STRING, 0, 8, 2), "odd", "text of 0 to 8 in steps of 2 bytes"),
        (control(Kind.STRING, 0, 3), "ää", "text of 0 to 3 bytes"),
        (control(Kind.BUTTON, 0, 0, 0), "often", "press"),
    ],
)
def test_bad_values_name_what_is_allowed(it, text, told):
    with pytest.raises(ControlValueError) as caught:
        parse_value(it, text)
    assert told in caught.value.hint
    assert caught.value.details["control"] == "it"


def test_values_of_the_wrong_type_are_refused():
    with pytest.raises(ControlValueError):
        check_value(control(), "5")
    with pytest.raises(ControlValueError):
        check_value(control(Kind.STRING, 0, 8), 5)
    with pytest.raises(ControlValueError):
        check_value(control(Kind.STRING, 0, 8), "a\0b")


def test_values_for_people():
    assert format_value(MODES, 1) == "1 (Manual Mode)"
    assert format_value(control(Kind.BOOLEAN, 0, 1), 1) == "on"
    assert format_value(control(Kind.BITMASK, 0, 15, 0), 15) == "0x0000000f"
    assert format_value(control(), 7) == "7"
    assert describe_allowed(control(step=5)) == "0 to 100 in steps of 5"
    assert describe_allowed(control(Kind.COMPOUND)) == "nothing"
