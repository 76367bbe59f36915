"""`device:` as what a camera is: read, refused, and turned into today's paths."""

from dataclasses import replace

import pytest
from config.told import parse, problems_of
from discovery.sockets import Unit, cameras_in

from agent.config.devices import CamerasMissing
from agent.config.problems import ConfigError
from agent.discovery.match import Match

A, B, TWIN, OTHER = Unit(1, "Bench", "A1"), Unit(2, "Bench", "B2"), Unit(3, "Twin", None), Unit(4, "Twin", None)


def file(*cameras):
    lines = "".join(f"  {camera}\n" for camera in cameras)
    return f"cameras:\n{lines}plans:\n  lapse: {{camera: top, every: 1s}}\n"


def paths(found):
    return {camera.name: camera.path for group in found.groups for camera in group.cameras}


def problems_at(text, present):
    with pytest.raises(ConfigError) as caught:
        parse(text).located(present)
    return caught.value


def test_a_match_is_read_and_stands_without_a_path_until_it_is_located():
    found = parse(file("top: {device: {serial: A1, vendor_id: 046D}}", "left: {device: /dev/video7}"))
    assert found.wanted["top"].match == Match(serial="A1", vendor_id="046d")
    assert (found.wanted["top"].line, found.wanted["top"].key) == (2, "cameras.top.device")
    assert paths(found) == {"top": "", "left": "/dev/video7"}
    assert found.devices == {"top": "serial A1 and vendor_id 046d", "left": "/dev/video7"}


def test_numbers_and_words_of_yaml_are_serials_as_they_stand():
    for text in ("0123", "1e3", "on", "1:30"):
        assert parse(file(f"top: {{device: {{serial: {text}}}}}")).wanted["top"].match.serial == text


def test_a_port_with_colons_needs_no_quotes():
    found = parse(file("top: {device: {port: pci-0000:00:14.0-usb-0:2:1.0}}"))
    assert found.wanted["top"].match.port == "pci-0000:00:14.0-usb-0:2:1.0"


@pytest.mark.parametrize(("device", "key", "told"), [
    ("{}", "", "nothing says which camera is meant"),
    ("{serial: }", ".serial", "nothing stands here"),
    ("{serial: ''}", "", "serial: nothing stands there"),
    ("{serail: A1}", ".serail", "there is no such key"),
    ("{vendor_id: 46d}", ".vendor_id", "no USB id"),
    ("{serial: [A1]}", ".serial", "a list, where text belongs"),
    ("[A1]", "", "a list, where a device belongs"),
])  # fmt: skip
def test_what_cannot_be_a_match_is_refused_where_it_stands(device, key, told):
    [problem] = problems_of(file(f"top: {{device: {device}}}"))
    assert (problem.line, problem.key) == (2, f"cameras.top.device{key}")
    assert told in problem.message
    assert problem.hint


def test_two_names_with_one_match_are_refused_before_anything_is_plugged_in():
    [problem] = problems_of(file("top: {device: {model: Twin}}", "left: {device: {model: Twin}}"))
    assert (problem.line, problem.key) == (3, "cameras.left")
    assert "model Twin is the device of top on line 2 already" in problem.message


def test_pain_11_names_stay_with_serial_and_port_when_everything_is_plugged_anew():
    found = parse(file("top: {device: {serial: A1}}", "left: {device: {port: 1-3}}"))
    first = found.located(cameras_in({1: A, 2: B, 3: TWIN}))
    assert paths(first) == {"top": "/dev/video0", "left": "/dev/video4"}
    second = found.located(cameras_in({1: TWIN, 2: A, 3: OTHER}, [3, 2, 1]))
    assert paths(second) == {"top": "/dev/video2", "left": "/dev/video0"}
    assert first.devices["top"] == "serial A1"


def test_a_file_without_matches_asks_for_no_cameras():
    found = parse(file("top: {device: /dev/video0}"))
    assert found.located([]) is found


def test_cameras_that_are_missing_are_told_with_file_line_and_key_all_at_once():
    text = file("top: {device: {serial: A1}}", "left: {device: {serial: B9}}", "right: {device: {serial: B2}}")
    error = problems_at(text, cameras_in({2: B}))
    assert isinstance(error, CamerasMissing)
    assert (error.code, error.exit_code) == ("camera_missing", 3)
    assert [(each.line, each.key) for each in error.problems] == [(2, "cameras.top.device"), (3, "cameras.left.device")]
    assert "plans.yaml:2: cameras.top.device: no camera has serial A1" in error.message
    assert '{serial: "B2"}' in error.problems[0].hint


def test_pain_11_twins_are_told_with_what_to_write_on_the_line():
    error = problems_at(file("top: {device: {model: Twin}}"), cameras_in({1: TWIN, 2: OTHER}))
    [problem] = error.problems
    assert type(error) is ConfigError
    assert problem.line == 2
    assert 'write device: {port: "pci-0000:00:14.0-usb-0:1:1.0"} or device: {port: ' in problem.hint


@pytest.mark.parametrize("device", ["/dev/video0", "/dev/v4l/by-id/a1"])
def test_a_match_for_the_camera_that_another_name_has_by_its_path(device):
    [camera] = cameras_in({1: A})
    linked = replace(camera, node=replace(camera.node, links=("/dev/v4l/by-id/a1",)))
    error = problems_at(file(f"top: {{device: {device}}}", "left: {device: {serial: A1}}"), [linked])
    [problem] = error.problems
    assert problem.line == 3
    assert "is the camera of top too" in problem.message


def test_a_path_that_udev_does_not_know_is_no_problem_of_discovery():
    found = parse(file("top: {device: {serial: A1}}", "left: {device: /dev/video77}")).located(cameras_in({1: A}))
    assert paths(found) == {"top": "/dev/video0", "left": "/dev/video77"}
