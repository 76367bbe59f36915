import errno
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli.outcome import assert_all_is_whole, assert_let_go, written

from agent.capture.session import Session
from agent.capture.settings import Settings
from agent.cli.bench import read_mark_of
from agent.cli.capture import FILE_TYPES, MEMORY
from agent.kernel import LinuxKernel
from agent.pipeline.encode import PictureKind
from agent.pipeline.layouts import LAYOUTS
from agent.simulation.bench import simulated_kernel
from agent.v4l2.buffers import MemoryKind
from agent.v4l2.uapi import ControlID

UVC, SENSOR = "/dev/video0", "/dev/video2"
REPOSITORY = Path(__file__).parents[2]
AGENT = (sys.executable, "-m", "agent.cli")


@pytest.fixture
def capture(cli, tmp_path):
    """Captures from the UVC-like camera into `photos` of the test's folder, quickly."""

    def call(*arguments, on=None):
        return cli("capture", "--device", UVC, "--rate", "60", "--output", tmp_path / "photos", *arguments, on=on)

    return call


@pytest.fixture
def photos(tmp_path):
    return tmp_path / "photos"


def test_the_choices_are_those_of_the_pipeline_and_the_allocator():
    assert tuple(PictureKind) == FILE_TYPES
    assert tuple(kind.value for kind in MemoryKind) == MEMORY


def test_writes_pictures_that_show_what_their_lines_say(capture, photos, kernel):
    result = capture("--count", "4", "--exposure", "8ms", "--gain", "16", "--format", "MJPG", "--size", "320x240")
    assert (result.code, result.err) == (0, "")
    assert assert_all_is_whole(photos) == 4
    for line in written(photos)[1]:
        assert read_mark_of(photos / line["file"]) == (line["sequence"], 8_000_000, 16)
        assert (line["exposure_ns"], line["exposure_requested_ns"], line["gain"]) == (8_000_000, 8_000_000, 16)
        assert (line["pixel_format"], line["width"], line["height"]) == ("MJPG", 320, 240)
    assert_let_go(kernel)


def test_the_table_names_every_figure(capture, photos):
    out = capture("--count", "2", "--exposure", "8.04ms").out
    for fragment in (
        "Bench-camera-A-000000.jpg to Bench-camera-A-000001.jpg",
        str(photos),
        "Bench camera A (/dev/video0)",
        "YUYV 640x480",
        "8.04ms asked, 8ms granted (the camera's step is 100us)",
        "monotonic clock, start of exposure, within ±2 ms",
        "mmap+expbuf, 4 buffers, 2.3 MiB",
        "STREAMOFF",
    ):
        assert fragment in out
    # on a busy machine a frame may be lost to whoever takes them late, and is then not left out
    assert re.search(r"^lost +\d.*; \d left out on purpose$", out, re.MULTILINE), out


def test_json_has_every_figure_and_nothing_else_is_on_stdout(capture, photos):
    result = capture("--count", "3", "--exposure", "8ms", "--json")
    document = result.document
    assert document["pictures"] == written(photos)[0]
    assert document["frames"]["delivered"] == 3
    assert (document["exposure_asked_ns"], document["exposure_granted_ns"]) == (8_000_000, 8_000_000)
    assert document["memory"] == "mmap+expbuf"
    assert (document["timestamp_clock"], document["timestamp_source"]) == ("monotonic", "soe")
    assert document["streamoff_ns"] > 0
    assert result.err == ""


def test_numbers_go_on_and_nothing_is_overwritten(capture, photos):
    capture("--count", "2")
    before = {name: (photos / name).read_bytes() for name in written(photos)[0]}
    capture("--count", "2")
    assert assert_all_is_whole(photos) == 4
    assert {name: (photos / name).read_bytes() for name in before} == before


@pytest.mark.parametrize(("kind", "suffix"), [("jpeg", "jpg"), ("png", "png"), ("tiff", "tif"), ("raw", "yuyv")])
def test_every_file_type(capture, photos, kind, suffix):
    assert capture("--file-type", kind).code == 0
    assert written(photos)[0] == [f"Bench-camera-A-000000.{suffix}"]


def test_without_an_exposure_the_camera_is_left_alone(capture, kernel):
    result = capture()
    assert "automatic: 3 (Aperture Priority Mode)" in result.out
    assert kernel.cameras[0].controls.number(ControlID.EXPOSURE_AUTO) == 3


def test_further_controls_are_set_and_stay(capture, kernel):
    assert capture("--control", "brightness=5", "--control", "power_line_frequency=60 Hz").code == 0
    assert kernel.cameras[0].controls.number(ControlID.BRIGHTNESS) == 5
    assert kernel.cameras[0].controls.number(ControlID.POWER_LINE_FREQUENCY) == 2


def test_restore_controls_puts_them_back(capture, kernel):
    assert capture("--exposure", "8ms", "--gain", "9", "--control", "brightness=5", "--restore-controls").code == 0
    controls = kernel.cameras[0].controls
    numbers = [controls.number(c) for c in (ControlID.EXPOSURE_AUTO, ControlID.GAIN, ControlID.BRIGHTNESS)]
    assert numbers == [3, 0, 0]


def test_settle_and_buffers_and_granularity(capture):
    options = ("--settle", "3", "--buffers", "6", "--granularity", "4MiB", "--json")
    document = capture(*options).document
    assert document["frames"]["skipped"] == 3
    assert document["buffers"] == 6
    assert document["buffer_bytes"] == 6 * 4 * 1024**2


@pytest.mark.parametrize("memory", MEMORY)
def test_every_kind_of_memory(capture, memory):
    assert capture("--memory", memory, "--json").document["memory"] == memory


def test_every_takes_the_first_frame_that_begins_after_each_due_time(capture, photos):
    document = capture("--every", "300ms", "--count", "3", "--json").document
    stamps = [line["timestamp_ns"] for line in written(photos)[1]]
    # the first one may be late on a busy machine, but not by a whole period
    assert stamps[2] - stamps[0] > 300_000_000
    assert document["frames"]["skipped"] > 0


def test_the_time_limit_begins_when_a_picture_is_due(capture):
    assert capture("--every", "800ms", "--count", "2", "--timeout", "400ms").code == 0


def test_the_first_simulated_camera_is_the_default(cli, photos):
    assert "Bench camera A" in cli("capture", "--simulate", "--output", photos).out


def test_the_only_camera_is_the_default(cli, photos):
    with simulated_kernel(1) as one:
        assert "Bench camera A" in cli("capture", "--output", photos, on=one).out


def test_several_cameras_are_named(cli, kernel, photos):
    result = cli("capture", "--output", photos)
    assert result.code == 2
    assert "there are 2 cameras: /dev/video0 (Bench camera A), /dev/video2 (Bench camera B)" in result.err
    assert "--device /dev/video0" in result.err
    assert_let_go(kernel)


def test_no_camera_at_all(cli, photos):
    with simulated_kernel(0) as none:
        result = cli("capture", "--output", photos, on=none)
    assert result.code == 3
    assert "--simulate" in result.err


def test_the_only_node_cannot_be_opened(cli, photos):
    with simulated_kernel(1) as one:
        one.cameras[0].faults.refuse("open", errno.EACCES, every=True)
        assert cli("capture", "--output", photos, on=one).code == 4


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--format", "H264"], 2, ["no pixel format H264", "YUYV, MJPG"]),
        (["--format", "nonsense"], 2, ["no pixel format nonsense", "YUYV, MJPG"]),
        (["--size", "641x480"], 2, ["no size 641x480", "640x480"]),
        (["--size", "640"], 2, ["--size: '640' is not a frame size", "640x480"]),
        (["--size", "0x0"], 2, ["--size"]),
        (["--rate", "0"], 2, ["--rate: '0' is not a frame rate"]),
        (["--rate", "fast"], 2, ["--rate: 'fast' is not a frame rate"]),
        (["--exposure", "8"], 2, ["--exposure: the duration '8' has no unit", "8ms"]),
        (["--exposure", "8parsec"], 2, ["unknown unit 'parsec'", "us"]),
        (["--exposure", "long"], 2, ["--exposure: 'long' is not a duration"]),
        (["--exposure", "8s"], 2, ["8s is out of range", "100us to 500ms"]),
        (["--exposure", "-8ms"], 2, ["-8ms is out of range"]),
        (["--gain", "6dB"], 2, ["no known law in decibels", "0 to 255"]),
        (["--gain", "6dezibel"], 2, ["--gain", "unknown unit 'dezibel'", "6dB"]),
        (["--gain", "300"], 2, ["gain: 300 is out of range", "0 to 255"]),
        (["--control", "gian=1"], 2, ["no control gian", "did you mean gain?"]),
        (["--control", "brightness=99"], 2, ["brightness: 99 is out of range", "-64 to 64"]),
        (["--control", "brightness"], 2, ["--control: 'brightness' is no assignment"]),
        (["--control", "serial_number=1"], 2, ["read-only"]),
        (["--count", "0"], 2, ["--count", "x>=1"]),
        (["--count", "-3"], 2, ["--count", "x>=1"]),
        (["--count", "many"], 2, ["--count", "'many' is not a valid integer"]),
        (["--file-type", "gif"], 2, ["'gif'", "'jpeg', 'png', 'tiff', 'dng', 'raw'"]),
        (["--memory", "tape"], 2, ["'tape'", "'dma-heap'"]),
        (["--quality", "101"], 2, ["--quality", "1<=x<=100"]),
        (["--granularity", "4"], 2, ["--granularity: the size '4' has no unit", "4MiB"]),
        (["--granularity", "4B"], 2, ["4 B is not a whole number of pages"]),
        (["--granularity", "0B"], 2, ["--granularity: '0B' is not more than zero"]),
        (["--timeout", "0s"], 2, ["--timeout: '0s' is not more than zero"]),
        (["--every", "3"], 2, ["--every: the duration '3' has no unit"]),
        (["--device", "/dev/video1"], 2, ["/dev/video1 captures no video", "metadata"]),
        (["--device", "/dev/video9"], 3, ["no device /dev/video9"]),
        (["--frobnicate"], 2, ["no such option '--frobnicate'", "capture --help"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0].startswith("-") else "",
)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_bad_input_is_one_message_and_leaves_nothing(capture, photos, kernel, arguments, code, said, as_json):
    before = cli_state(kernel)
    result = capture(*arguments, *(["--json"] if as_json else []))
    assert result.code == code
    assert result.out == ""
    if as_json:
        message = f"{result.error['message']} {result.error['hint']}"
        assert result.error["code"]
    else:
        message = result.err
        assert len(message.splitlines()) == 2
        assert message.startswith("camera-agent: ")
        assert message.splitlines()[1].startswith("  ")
    for fragment in said:
        assert fragment in message
    assert not photos.exists()
    assert_let_go(kernel)
    assert cli_state(kernel) == before


def cli_state(kernel):
    """The numbers of the controls that a refused capture must not have changed."""
    ids = (ControlID.EXPOSURE_AUTO, ControlID.GAIN, ControlID.BRIGHTNESS, ControlID.POWER_LINE_FREQUENCY)
    return [kernel.cameras[0].controls.number(number) for number in ids]


def test_a_pixel_format_that_no_file_can_hold_is_refused_before_the_folder_is_made(cli, photos, monkeypatch):
    monkeypatch.delitem(LAYOUTS, "GREY")
    result = cli("capture", "--device", SENSOR, "--format", "GREY", "--output", photos)
    assert result.code == 2
    assert "GREY cannot be written as jpeg" in result.err
    assert "write it raw" in result.err
    assert not photos.exists()
    assert cli("capture", "--device", SENSOR, "--format", "GREY", "--file-type", "raw", "--output", photos).code == 0


def test_a_node_that_is_no_camera_at_all(cli, photos):
    result = cli("capture", "--device", "/dev/null", "--output", photos, on=LinuxKernel())
    assert result.code == 2
    assert "/dev/null is no V4L2 device" in result.err
    assert "camera-agent devices" in result.err
    assert not photos.exists()


def test_no_permission(capture, photos, kernel):
    kernel.cameras[0].faults.refuse("open", errno.EACCES)
    result = capture()
    assert result.code == 4
    assert "no permission to open /dev/video0" in result.err
    assert not photos.exists()


def test_busy_with_another_program(capture, photos, kernel):
    with Session(kernel, UVC) as other:
        other.prepare(Settings())
        other.arm()
        result = capture()
        assert result.code == 5
        assert "/dev/video0 is busy" in result.err
        assert not photos.exists()
        assert other.take(limit_ns=10**9).frame.sequence >= 0


def test_the_folder_is_a_file(capture, photos, kernel):
    photos.write_text("not a folder")
    result = capture()
    assert result.code == 7
    assert str(photos) in result.err
    assert photos.read_text() == "not a folder"
    assert_let_go(kernel)


def test_a_folder_nobody_may_write_to(cli, kernel):
    # /proc refuses new names to everybody, root included
    result = cli("capture", "--device", UVC, "--output", "/proc/photos")
    assert result.code == 7
    assert "cannot write /proc/photos" in result.err
    assert_let_go(kernel)


def test_a_full_disk_in_the_middle():
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here: apt-get install util-linux")
    # its own mount namespace: a disk of 300 KiB that nobody else sees
    script = (
        'mount -t tmpfs -o size=300k none /mnt && cd /mnt && "$@"; code=$?;'
        ' ls -A /mnt/photos; echo ===; cat /mnt/photos/frames.jsonl; exit "$code"'
    )
    command = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *AGENT)
    ended = subprocess.run(
        (*command, "capture", "--simulate", "--count", "500"),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    if "unshare:" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip(f"namespaces are not allowed here: {ended.stderr.strip()}")
    names, _, log = ended.stdout.partition("===\n")
    lines = [json.loads(line)["file"] for line in log.splitlines()]
    assert ended.returncode == 7, ended.stderr
    assert "No space left on device" in ended.stderr
    assert f"{len(lines)} of 500 pictures are in /mnt/photos" in ended.stderr
    assert lines
    assert lines == [name for name in names.split() if name != "frames.jsonl"]


def test_unplugged_in_the_middle(capture, photos, kernel):
    kernel.cameras[0].faults.unplug_at_frame = 20
    result = capture("--count", "100")
    assert result.code == 3
    assert "/dev/video0 is gone" in result.err
    count = assert_all_is_whole(photos)
    assert 0 < count <= 20
    assert f"{count} of 100 pictures are in {photos}" in result.err
    assert_let_go(kernel)


def test_a_camera_that_hangs(capture, photos, kernel):
    kernel.cameras[0].faults.frozen = True
    result = capture("--timeout", "150ms", "--json")
    assert result.code == 6
    assert "no frame within 150ms" in result.error["message"]
    assert result.error["notes"] == ["0 of 1 pictures written"]
    assert assert_all_is_whole(photos) == 0
    assert_let_go(kernel)


def test_manual_exposure_that_does_not_hold_is_not_captured(capture, photos, kernel):
    kernel.cameras[0].faults.ignored_controls = {ControlID.EXPOSURE_ABSOLUTE}
    result = capture("--exposure", "8ms")
    assert result.code == 6
    assert "not proven" in result.err
    assert not photos.exists()
    assert_let_go(kernel)


def test_a_damaged_picture_is_left_out_and_counted(capture, photos, kernel):
    kernel.cameras[0].faults.short_frames = range(1, 10**6, 2)
    document = capture("--format", "MJPG", "--count", "14", "--json").document
    # more than may be damaged in a row
    assert assert_all_is_whole(photos) == 14
    assert all(line["sequence"] % 2 == 0 for line in written(photos)[1])
    assert document["damaged"] + document["frames"]["error flag"] > 0


def test_nothing_but_damaged_pictures_is_an_error(capture, photos, kernel):
    kernel.cameras[0].faults.short_frames = range(10**6)
    result = capture("--format", "MJPG")
    assert result.code == 6
    assert assert_all_is_whole(photos) == 0
    assert_let_go(kernel)


def test_no_descriptor_of_ours_survives_into_a_child():
    with simulated_kernel(1) as kernel, Session(kernel, UVC) as session:
        assert fcntl.fcntl(session.camera.node.fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
