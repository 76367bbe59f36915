import errno
import json
import os
import signal
from dataclasses import replace

import pytest
from discovery.sockets import Unit
from discovery.world import World

from agent.cli.devices_watch import follow
from agent.cli.interruption import Interrupted
from agent.discovery.watch import Watch
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


# ---- what to write, and what comes and goes


def test_suggest_prints_yaml_that_a_plan_file_takes(cli, tmp_path):
    result = cli("devices", "--suggest")
    assert (result.code, result.err) == (0, "")
    assert 'device: {serial: "SIM00001"}' in result.out
    assert 'device: {port: "platform-bench-isp.2"}' in result.out
    assert "# Bench camera A, now /dev/video0: its serial number follows it to any port" in result.out
    path = tmp_path / "plans.yaml"
    path.write_text(f"{result.out}plans:\n  lapse: {{camera: bench-camera-a, every: 1s}}\n")
    assert cli("plan", "check", path).code == 0


def test_suggest_json_has_match_reason_and_identity(cli):
    entry = cli("devices", "--suggest", "--json").document["cameras"]["bench-camera-a"]
    assert (entry["device"], entry["path"], entry["stable"]) == ({"serial": "SIM00001"}, "/dev/video0", True)
    assert entry["identity"]["port"] == "pci-0000:00:14.0-usb-0:1:1.0"


def test_pain_11_twins_are_suggested_by_port(cli):
    twins = [replace(uvc_profile(place=place), serial="SN0001") for place in (1, 2)]
    with SimulatedKernel(twins) as kernel:
        out = cli("devices", "--suggest", on=kernel).out
    assert 'device: {port: "pci-0000:00:14.0-usb-0:1:1.0"}' in out
    assert 'device: {port: "pci-0000:00:14.0-usb-0:2:1.0"}' in out
    assert "another one has the same serial number" in out


def test_suggest_without_a_camera_says_what_to_do(cli):
    with simulated_kernel(0) as empty:
        result = cli("devices", "--suggest", on=empty)
        assert (result.code, result.out) == (0, "")
        assert "there is no camera" in result.err
        assert cli("devices", "--suggest", "--json", on=empty).document == {"cameras": {}}


@pytest.mark.parametrize("options", [("--watch", "--simulate"), ("--watch", "--suggest"), ("--watch", "--formats"),
                                     ("--suggest", "--all")])  # fmt: skip
def test_options_that_do_not_go_together(cli, options):
    result = cli("devices", *options)
    assert (result.code, result.out) == (2, "")
    assert options[0] in result.err


@pytest.mark.parametrize("as_json", [True, False])
def test_watch_tells_what_comes_and_goes_until_a_signal(capsys, as_json):
    class Played(World):
        """Pulls the camera when its first line is out, and at the end asks to stop."""

        def receive(self):
            record = super().receive()
            if record is None:
                self.act()
            return record

        def act(self):
            if self.plugged:
                self.unplug(1)
                os.eventfd_write(self.fileno(), 1)
            elif not self.nodes:
                os.kill(os.getpid(), signal.SIGINT)

    world = Played()
    world.plug(1, Unit(1, "Bench\x1b camera", "A1"))
    with pytest.raises(Interrupted) as caught:
        follow(Watch(world, now_ns=lambda: 77), as_json=as_json)
    assert caught.value.exit_code == 130
    assert world.released
    lines = capsys.readouterr().out.splitlines()
    if as_json:
        first, *_, last = map(json.loads, lines)
        assert (first["event"], first["path"], first["at_ns"]) == ("appeared", "/dev/video0", 77)
        assert first["nodes"] == ["/dev/video0", "/dev/video1"]
        assert last["event"] == "gone"
        assert last["identity"]["serial"] == "A1"
    else:
        assert "appeared /dev/video0  Bench? camera  serial A1  port pci-0000:00:14.0-usb-0:1:1.0" in lines[0]
        assert "gone     /dev/video0" in lines[-1]
