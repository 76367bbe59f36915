"""Gain by number and in decibels."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ControlUnknown, ControlValueError, InputError, QuantityError
from agent.simulation.bench import sensor_profile, uvc_profile
from agent.simulation.control_spec import integer
from agent.simulation.kernel import SimulatedKernel
from agent.v4l2.controls import query, query_optional
from agent.v4l2.gain import (
    LAWS,
    GainRequest,
    RatioLaw,
    parse_gain,
    plan_gain,
    read_gain,
    sensor_name,
    set_gain,
)
from agent.v4l2.ioctl import Node
from agent.v4l2.uapi import ControlID
from agent.v4l2.values import read_values

GAIN, ANALOGUE = ControlID.GAIN, ControlID.ANALOGUE_GAIN
UVC = "/dev/video0"


@contextlib.contextmanager
def opened(profile):
    with SimulatedKernel([profile]) as kernel, Node(kernel, UVC) as node:
        yield node


def sensor_called(card):
    return replace(sensor_profile(), card=card)


def decibels(ratio):
    return 20_000 * math.log10(ratio)


@pytest.mark.parametrize(
    ("sensor", "value", "ratio"),
    [
        # from the sensors' own descriptions: imx219 256/(256-x), imx477 1024/(1024-x), ov5647 x/16, imx290 0.3 dB
        ("imx219", 128, 2),
        ("imx219", 232, 256 / 24),
        ("imx477", 978, 1024 / 46),
        ("ov5647", 16, 1),
        ("ov5647", 1023, 1023 / 16),
        ("imx290", 20, 10 ** (6 / 20)),
        ("imx296", 60, 10 ** (6 / 20)),
        ("hm1246", 16, 2),
    ],
)
def test_laws_of_known_sensors(sensor, value, ratio):
    assert LAWS[sensor].mdb(value) == round(decibels(ratio))


@pytest.mark.parametrize("sensor", sorted(LAWS))
def test_every_law_rises_with_its_number(sensor):
    gains = [gain for gain in map(LAWS[sensor].mdb, range(32)) if gain is not None]
    assert gains == sorted(gains)
    assert gains[0] < gains[-1]


def test_a_law_without_a_gain_says_none():
    assert RatioLaw(1, 0, 0, 16).mdb(0) is None
    assert RatioLaw(0, 256, -1, 256).mdb(256) is None


@pytest.mark.parametrize(("text", "asked"), [("16", GainRequest(value=16)), ("6dB", GainRequest(mdb=6000))])
def test_gain_from_text(text, asked):
    assert parse_gain(text) == asked


def test_gain_from_bad_text():
    for text in ("6.5", "loud", "6 db", ""):
        with pytest.raises(QuantityError):
            parse_gain(text)


@pytest.mark.parametrize(
    ("driver", "card", "name"),
    [
        ("tegra-video", "vi-output, imx219 9-0010", "imx219"),
        ("imx477", "whatever", "imx477"),
        ("unicam", "unicam", None),
        ("uvcvideo", "HD Webcam C920", None),
    ],
)
def test_sensors_are_known_by_driver_or_card(driver, card, name):
    assert sensor_name(driver, card) == name


def test_a_number_is_taken_as_it_is_and_proven():
    with opened(uvc_profile()) as node:
        report = set_gain(node, GainRequest(value=16))
        assert (report.control.slug, report.value, report.granted_mdb, report.why) == ("gain", 16, None, ())
        assert read_gain(node).value == 16
        with pytest.raises(ControlValueError, match="300 is out of range"):
            set_gain(node, GainRequest(value=300))
        assert read_values(node, [query(node, GAIN)]) == {GAIN: 16}


def test_decibels_without_a_law_are_refused_with_the_range():
    with opened(uvc_profile()) as node, pytest.raises(InputError, match="no known law") as caught:
        set_gain(node, GainRequest(mdb=6000))
    assert caught.value.hint == "give the control's own number, 0 to 255"


def test_decibels_where_the_sensor_is_known():
    with opened(sensor_called("bench, imx290 10-001a")) as node:
        report = set_gain(node, GainRequest(mdb=6000))
        assert (report.value, report.granted_mdb, report.why) == (20, 6000, ())
        report = set_gain(node, GainRequest(mdb=6100))
        assert (report.value, report.granted_mdb) == (20, 6000)
        assert report.why == ("the nearest step of the sensor is 6dB",)
        assert read_gain(node).granted_mdb == 6000


def test_the_sensor_can_be_named_by_the_configuration():
    with opened(sensor_called("nameless")) as node:
        assert plan_gain(node, GainRequest(mdb=20_000), sensor="imx296").value == 200
        with pytest.raises(InputError):
            plan_gain(node, GainRequest(mdb=20_000))


@pytest.mark.parametrize("mdb", [-100, 144_100])
def test_decibels_out_of_range_are_refused_in_decibels(mdb):
    with opened(sensor_called("imx290")) as node, pytest.raises(ControlValueError) as caught:
        plan_gain(node, GainRequest(mdb=mdb))
    assert caught.value.hint == "it allows 0dB to 144dB"
    assert caught.value.details["nearest"] == (0 if mdb < 0 else 144_000)


@given(sensor=st.sampled_from(["imx219", "imx477", "ov5647", "imx290"]), mdb=st.integers(0, 20_000))
def test_the_granted_gain_is_the_nearest_there_is(sensor, mdb):
    law = LAWS[sensor]
    with opened(sensor_called(sensor)) as node:
        control = query_optional(node, ANALOGUE)
        offered = [gain for value in range(control.maximum + 1) if (gain := law.mdb(value)) is not None]
        try:
            report = plan_gain(node, GainRequest(mdb=mdb))
        except ControlValueError:
            assert not min(offered) <= mdb <= max(offered)
        else:
            assert report.granted_mdb == law.mdb(report.value)
            assert abs(report.granted_mdb - mdb) == min(abs(gain - mdb) for gain in offered)


def test_a_camera_without_gain_says_what_it_has():
    profile = uvc_profile()
    kept = tuple(control for control in profile.controls if control.id != GAIN)
    optics = replace(profile.optics, gain_id=ControlID.BRIGHTNESS)
    without = replace(profile, controls=kept, optics=optics)
    with opened(without) as node, pytest.raises(ControlUnknown, match="no gain control") as caught:
        read_gain(node)
    assert "brightness" in caught.value.hint


def test_the_analogue_gain_comes_first():
    profile = sensor_called("imx290")
    with opened(replace(profile, controls=(*profile.controls, integer(GAIN, "Gain", 0, 9, 0)))) as node:
        assert read_gain(node).control.id == ANALOGUE


def test_the_laws_are_those_of_the_analogue_gain_only():
    with opened(replace(uvc_profile(), card="imx290")) as node, pytest.raises(InputError, match="no known law"):
        plan_gain(node, GainRequest(mdb=6000))
