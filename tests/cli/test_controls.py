import errno

import pytest

from agent.v4l2.uapi import ControlID

UVC, SENSOR = "/dev/video0", "/dev/video2"


def line_of(out, name):
    return next(line for line in out.splitlines() if line.startswith(f"{name} "))


def value(kernel, control_id, camera=0):
    return kernel.cameras[camera].controls.number(control_id)


def test_lists_values_ranges_and_who_holds_whom(cli):
    result = cli("controls", UVC)
    assert result.code == 0
    assert "user controls" in result.out
    assert "camera controls" in result.out
    assert "100 = 10ms" in line_of(result.out, "exposure_time_absolute")
    assert "(100us to 500ms)" in line_of(result.out, "exposure_time_absolute")
    assert "held by auto_exposure" in line_of(result.out, "exposure_time_absolute")
    assert "1 (50 Hz)" in line_of(result.out, "power_line_frequency")
    assert "in steps of 10" in line_of(result.out, "white_balance_temperature")
    assert "read-only" in line_of(result.out, "serial_number")


def test_lists_a_sensors_exposure_in_time(cli):
    assert "675 = 10ms" in line_of(cli("controls", SENSOR).out, "exposure")


def test_a_node_without_controls_is_said_to_have_none(cli):
    assert "has no controls" in cli("controls", "/dev/video1").out


def test_json_lists_every_control(cli):
    document = cli("controls", UVC, "--json").document
    found = {entry["name"]: entry for entry in document["controls"]}
    assert found["gain"]["maximum"] == 255
    assert found["exposure_time_absolute"]["held_by"] == "auto_exposure"
    assert found["exposure_time_absolute"]["physical"] == "10ms"
    assert found["power_line_frequency"]["menu"] == {"0": "Disabled", "1": "50 Hz", "2": "60 Hz"}


def test_sets_several_and_reports_before_asked_after(cli, kernel):
    result = cli("controls", UVC, "gain=16", "power_line_frequency=60 Hz", "nickname=left one")
    assert result.code == 0
    assert line_of(result.out, "gain").split() == ["gain", "0", "16", "16"]
    assert "1 (50 Hz)" in line_of(result.out, "power_line_frequency")
    assert value(kernel, ControlID.GAIN) == 16
    assert value(kernel, ControlID.POWER_LINE_FREQUENCY) == 2


def test_all_or_none_is_set(cli, kernel):
    result = cli("controls", UVC, "gain=16", "brightness=1000")
    assert result.code == 2
    assert "brightness: 1000 is out of range" in result.err
    assert "-64 to 64" in result.err
    assert value(kernel, ControlID.GAIN) == 0


def test_all_or_none_when_the_driver_fails_in_the_middle(cli, kernel):
    kernel.cameras[0].faults.broken_write_at = 1
    result = cli("controls", UVC, "gain=16", "brightness=10", "--json")
    assert result.code == 6
    assert result.out == ""
    assert result.error["rolled_back"] is True
    assert value(kernel, ControlID.BRIGHTNESS) == 0
    assert value(kernel, ControlID.GAIN) == 0


def test_a_held_control_is_refused_with_both_ways_out(cli, kernel):
    result = cli("controls", UVC, "exposure=8ms")
    assert result.code == 2
    assert "auto_exposure is 3 (Aperture Priority Mode)" in result.err
    assert "set auto_exposure to 1 (Manual Mode) in the same call, or add --manual" in result.err
    assert value(kernel, ControlID.EXPOSURE_ABSOLUTE) == 100


def test_manual_switches_the_automatic_mode_off_in_the_same_transaction(cli, kernel):
    result = cli("controls", UVC, "--manual", "exposure=8ms", "--json")
    assert [change["name"] for change in result.document["changes"]] == ["auto_exposure", "exposure_time_absolute"]
    assert value(kernel, ControlID.EXPOSURE_AUTO) == 1
    assert value(kernel, ControlID.EXPOSURE_ABSOLUTE) == 80


def test_the_mode_may_be_given_beside_the_exposure(cli, kernel):
    assert cli("controls", UVC, "auto_exposure=manual mode", "exposure=8ms").code == 0
    assert value(kernel, ControlID.EXPOSURE_ABSOLUTE) == 80


def test_rounding_to_a_step_is_said(cli):
    result = cli("controls", UVC, "--manual", "exposure=8.04ms")
    assert "8.04ms asked, 8ms set: the step is 100us" in result.out


def test_a_sensors_exposure_by_time_and_by_its_own_number(cli, kernel):
    assert cli("controls", SENSOR, "exposure=8ms").code == 0
    assert value(kernel, ControlID.EXPOSURE, 1) == 540
    assert cli("controls", SENSOR, "exposure=100", "gain=7").code == 0
    assert value(kernel, ControlID.EXPOSURE, 1) == 100
    assert value(kernel, ControlID.ANALOGUE_GAIN, 1) == 7


@pytest.mark.parametrize(
    ("assignment", "code", "said"),
    [
        ("exposure=8", 2, ["exposure: the duration '8' has no unit", "8ms", "exposure_time_absolute=8"]),
        ("exposure=8parsec", 2, ["unknown unit 'parsec'"]),
        ("exposure=8s", 2, ["8s is out of range", "100us to 500ms"]),
        ("exposure=0ms", 2, ["out of range"]),
        ("gain=6dB", 2, ["no known law in decibels", "0 to 255"]),
        ("gain=999", 2, ["gain: 999 is out of range", "0 to 255"]),
        ("gian=1", 2, ["has no control gian", "did you mean gain?"]),
        ("power_line_frequency=70 Hz", 2, ["50 Hz", "60 Hz"]),
        ("serial_number=1", 2, ["serial_number", "read-only"]),
        ("gain", 2, ["'gain' is no assignment", "name=value"]),
        ("=3", 2, ["'=3' is no assignment"]),
    ],
)
def test_bad_assignments(cli, kernel, assignment, code, said):
    before = cli("controls", UVC, "--json").document
    result = cli("controls", UVC, "--manual", assignment)
    assert result.code == code
    assert result.out == ""
    assert result.err.startswith("camera-agent: ")
    assert len(result.err.splitlines()) == 2
    for fragment in said:
        assert fragment in result.err
    assert cli("controls", UVC, "--json").document == before


@pytest.mark.parametrize("pair", [("gain=1", "gain=2"), ("gain=1", "0x00980913=2"), ("gain=1", "Gain=2")])
def test_a_control_given_twice_is_refused(cli, kernel, pair):
    result = cli("controls", UVC, *pair)
    assert result.code == 2
    assert "twice" in result.err or "given too" in result.err
    assert value(kernel, ControlID.GAIN) == 0


def test_no_such_device(cli):
    assert cli("controls", "/dev/video9").code == 3


def test_no_permission(cli, kernel):
    kernel.cameras[0].faults.refuse("open", errno.EACCES)
    result = cli("controls", UVC)
    assert result.code == 4
    assert "usermod -aG video" in result.err


def test_the_device_is_missing(cli):
    result = cli("controls")
    assert result.code == 2
    assert "'DEVICE'" in result.err
