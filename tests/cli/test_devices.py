import errno
from dataclasses import replace

import pytest

from agent.simulation.bench import simulated_kernel, uvc_profile
from agent.simulation.kernel import SimulatedKernel


def test_lists_capture_nodes_only(cli):
    result = cli("devices")
    assert result.code == 0
    assert "/dev/video0" in result.out
    assert "Bench camera B" in result.out
    assert "bench-isp" in result.out
    assert "usb-0000:00:14.0-1" in result.out
    assert "YUYV 640x480 30/s" in result.out
    assert "/dev/video1" not in result.out
    assert result.err == ""


def test_all_says_what_the_other_nodes_are(cli):
    line = next(line for line in cli("devices", "--all").out.splitlines() if line.startswith("/dev/video1"))
    assert "metadata" in line


def test_formats_lists_sizes_and_rates(cli):
    out = cli("devices", "--formats").out
    assert "MJPG  Motion-JPEG" in out
    assert "1920x1080  30, 60, 15, 5 frames/s" in out


def test_json_is_one_document_with_the_offers(cli):
    result = cli("devices", "--formats", "--all", "--json")
    first, second, third = result.document["devices"]
    assert (first["path"], first["name"], first["kind"]) == ("/dev/video0", "Bench camera A", "capture")
    assert second["kind"] == "metadata"
    assert third["kind"] == "capture (multi-planar)"
    sizes = first["formats"][0]["sizes"]
    assert sizes[0]["minimum"] == sizes[0]["maximum"] == [640, 480]
    assert ["1/30", "1/30"] in sizes[0]["intervals_s"]


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_node_that_cannot_be_opened_does_not_hide_the_others(cli, kernel, flags):
    kernel.cameras[0].faults.refuse("open", errno.EACCES)
    result = cli("devices", *flags)
    assert result.code == 0
    assert "no permission to open /dev/video0" in result.out
    assert "Bench camera B" in result.out


def test_a_camera_that_fails_half_way_is_listed_with_name_and_reason(cli, kernel):
    kernel.cameras[0].faults.refuse("VIDIOC_G_FMT", errno.EIO)
    line = next(line for line in cli("devices").out.splitlines() if line.startswith("/dev/video0"))
    assert "Bench camera A" in line
    assert "VIDIOC_G_FMT" in line


def test_no_camera_at_all_says_what_to_do(cli):
    with simulated_kernel(0) as empty:
        result = cli("devices", on=empty)
        assert (result.code, result.out) == (0, "")
        assert "there is no camera" in result.err
        assert "--simulate" in result.err
        assert cli("devices", "--json", on=empty).document == {"devices": []}


def test_a_camera_cannot_speak_to_the_terminal_through_its_name(cli):
    with SimulatedKernel([replace(uvc_profile(), card="\x1b[31mevil\x07[bold]")]) as kernel:
        out = cli("devices", on=kernel).out
    assert "?[31mevil?[bold]" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("width", [80, 100])
def test_fits_the_terminal(cli, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in (("devices", "--all"), ("controls", "/dev/video0"), ("controls", "/dev/video2")):
        assert max(len(line) for line in cli(*arguments).out.splitlines()) <= width


def test_lines_for_a_pipe_are_not_folded(cli, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = cli("controls", "/dev/video0").out.splitlines()
    assert any("0 (Disabled), 1 (50 Hz), 2 (60 Hz)" in line for line in lines)
