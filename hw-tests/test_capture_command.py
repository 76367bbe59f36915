"""`camera-agent` on real nodes, checked against the pixels and against the UVC camera's own record of what it did."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from command import capturing, finish, pictures_in, run
from nodes import KERNEL
from PIL import Image
from uvc_camera import UvcCamera
from uvc_camera.formats import FORMATS
from uvc_camera.scene import Scene
from uvc_camera.sensor import Settings as SceneSettings
from witness import Witness

from agent.capture.session import Session
from agent.capture.settings import Settings
from agent.simulation.mark import FrameMark, read_mark
from agent.units import NS_PER_MS, NS_PER_S, format_duration
from agent.v4l2.device import query_capabilities
from agent.v4l2.formats import set_format
from agent.v4l2.ioctl import Node
from agent.v4l2.snapshot import snapshot
from agent.v4l2.uapi import BufType

WIDTH_PX, HEIGHT_PX = 640, 480
EXPOSURE_NS, EXPOSURE_STEP_NS = 8 * NS_PER_MS, 100_000
EXPOSURE_UNITS = EXPOSURE_NS // EXPOSURE_STEP_NS
SLACK_NS = 50 * NS_PER_MS
"""The stamp is made by a kernel thread fed from a user process; both wait their turn on an emulated, shared machine."""
REQUIRED = {
    "file", "camera", "sequence", "timestamp_ns", "timestamp_clock", "timestamp_source", "uncertainty_ns",
    "dequeued_ns", "realtime_ns", "exposure_requested_ns", "exposure_ns", "gain", "width", "height", "pixel_format",
    "lost_before",
}  # fmt: skip
LIMIT_NS = 10 * NS_PER_S


@pytest.fixture
def camera(uvc_camera):
    with Node(KERNEL, str(uvc_camera.node)) as node:
        set_format(node, BufType.VIDEO_CAPTURE, pixel_format="YUYV", width_px=WIDTH_PX, height_px=HEIGHT_PX)
    return uvc_camera


def assert_stream_ended(witness):
    assert witness.kinds("start", "stop") == ["start", "stop"]


def assert_works_at_once(camera):
    with Session(KERNEL, str(camera.node)) as session:
        session.prepare(Settings())
        session.arm()
        session.give_back(session.take(limit_ns=LIMIT_NS))


def assert_refused(result, code, *words):
    """One message, then what to do about it; nothing on stdout."""
    assert (result.code, result.out) == (code, ""), result.err
    message, *hints = result.err.splitlines()
    assert message.startswith("camera-agent: ")
    assert hints, "no hint"
    assert all(line.startswith("  ") for line in hints), result.err
    for word in words:
        assert word in result.err


def jpeg_luma(path: Path):
    return simplejpeg.decode_jpeg(path.read_bytes(), colorspace="GRAY")[..., 0]


def drawn(pixel_format: str, mark: FrameMark) -> bytes:
    """The picture as the camera drew it, byte for byte."""
    scene = Scene(FORMATS[pixel_format], WIDTH_PX, HEIGHT_PX)
    return scene.take(mark.sequence, SceneSettings(mark.exposure_ns // EXPOSURE_STEP_NS, mark.gain, brightness=0))


# ---- what was asked for, what the files say, what the camera did


def test_five_photos_agree_in_pixels_metadata_and_the_cameras_own_record(camera, tmp_path):
    witness = Witness(camera)
    result = run("capture", "--device", camera.node, "--count", 5, "--exposure", "8ms", "--output", tmp_path)
    assert result.code == 0, result.err
    assert "8ms asked, 8ms granted" in result.out
    names, lines = pictures_in(tmp_path)
    assert len(lines) == 5
    assert [line["file"] for line in lines] == names

    assert witness.settings == [("auto_exposure", 1, "done"), ("exposure_time_absolute", EXPOSURE_UNITS, "done")]
    kinds = witness.kinds()
    assert kinds.index("start") > max(n for n, e in enumerate(witness.entries()) if e.get("request") == "SET_CUR")
    assert_stream_ended(witness)
    assert witness.entries("start")[0]["format"] == "yuyv"

    frames = witness.frames
    numbers = [check_photo(line, jpeg_luma(tmp_path / line["file"]), frames) for line in lines]
    assert numbers == sorted(set(numbers))
    for earlier, later in pairwise(lines):
        assert later["sequence"] == earlier["sequence"] + 1 + later["lost_before"]
        assert later["timestamp_ns"] > earlier["timestamp_ns"]
    # what the driver saw between two photos, the camera had sent
    steps = zip(pairwise(numbers), pairwise(line["sequence"] for line in lines), strict=True)
    assert all(after - before >= later - earlier for (before, after), (earlier, later) in steps)


def check_photo(line, luma, frames) -> int:
    """One photo against its line and the camera's record; the camera's number of it."""
    assert set(line) >= REQUIRED
    mark = read_mark(luma)
    assert mark is not None
    frame = frames[mark.sequence]
    assert frame["faults"] == []
    assert line["exposure_requested_ns"] == EXPOSURE_NS
    assert line["exposure_ns"] == mark.exposure_ns == frame["exposure_ns"] == EXPOSURE_NS
    assert line["gain"] == mark.gain == frame["gain"]
    assert (line["width"], line["height"], line["pixel_format"]) == (WIDTH_PX, HEIGHT_PX, "YUYV")
    assert luma.shape == (HEIGHT_PX, WIDTH_PX)
    assert (line["timestamp_clock"], line["timestamp_source"]) == ("monotonic", "soe")
    late_ns = line["timestamp_ns"] - frame["header_ns"]
    assert -line["uncertainty_ns"] <= late_ns <= line["uncertainty_ns"] + SLACK_NS
    assert frame["start_ns"] <= line["timestamp_ns"]
    assert line["dequeued_ns"] >= frame["start_ns"] + EXPOSURE_NS
    clocks_apart_ns = time.time_ns() - time.monotonic_ns()
    assert abs(line["realtime_ns"] - line["timestamp_ns"] - clocks_apart_ns) < 100 * NS_PER_MS
    return mark.sequence


def test_a_png_is_the_cameras_grey_picture_bit_by_bit_and_the_controls_are_put_back(camera, tmp_path):
    witness = Witness(camera)
    before = controls_of(camera)
    options = ("--format", "GREY", "--file-type", "png", "--exposure", "8ms", "--restore-controls")
    result = run("capture", "--device", camera.node, "--output", tmp_path, *options)
    assert result.code == 0, result.err
    [name], [line] = pictures_in(tmp_path)
    with Image.open(tmp_path / name) as picture:
        luma = np.asarray(picture)
    assert luma.ndim == 2
    mark = read_mark(luma)
    assert (mark.exposure_ns, mark.gain) == (EXPOSURE_NS, line["gain"])
    assert luma.tobytes() == drawn("grey", mark)
    assert ("exposure_time_absolute", EXPOSURE_UNITS, "done") in witness.settings
    assert witness.settings[-1] == ("auto_exposure", 8, "done")
    assert witness.kinds("start", "stop", "control")[-1] == "control", "put back while it streamed"
    assert controls_of(camera) == before


def controls_of(camera):
    with Node(KERNEL, str(camera.node)) as node:
        return snapshot(node).values


def test_a_raw_file_is_what_came_over_the_bus(camera, tmp_path):
    result = run("capture", "--device", camera.node, "--output", tmp_path, "--file-type", "raw", "--exposure", "8ms")
    assert result.code == 0, result.err
    [name], [line] = pictures_in(tmp_path)
    assert name.endswith(".yuyv")
    assert line["bytes_per_line"] == [2 * WIDTH_PX]
    data = (tmp_path / name).read_bytes()
    luma = np.frombuffer(data, np.uint8).reshape(HEIGHT_PX, WIDTH_PX, 2)[..., 0]
    assert data == drawn("yuyv", read_mark(luma))


def test_a_jpeg_of_the_camera_passes_unchanged_but_for_its_exif(camera, tmp_path):
    result = run("capture", "--device", camera.node, "--output", tmp_path, "--format", "MJPG", "--exposure", "8ms")
    assert result.code == 0, result.err
    [name], [line] = pictures_in(tmp_path)
    assert line["pixel_format"] == "MJPG"
    data = (tmp_path / name).read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.getexif().get_ifd(0x8769)[0x829A] == pytest.approx(EXPOSURE_NS / NS_PER_S)
    mark = read_mark(jpeg_luma(tmp_path / name))
    assert mark.exposure_ns == line["exposure_ns"] == EXPOSURE_NS
    assert without_exif(data) == drawn("mjpeg", mark)


def without_exif(data: bytes) -> bytes:
    assert data[:4] == b"\xff\xd8\xff\xe1"
    return data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]


# ---- stopped from outside


def test_ctrl_c_in_the_middle_leaves_whole_pictures_and_a_free_camera(camera, tmp_path):
    witness = Witness(camera)
    with capturing(camera.node, tmp_path, "--exposure", "8ms") as process:
        process.send_signal(signal.SIGINT)
        result = finish(process)
        assert_stream_ended(witness)
        assert_works_at_once(camera)
    names, lines = pictures_in(tmp_path)
    told = f"camera-agent: stopped by Ctrl-C: {len(lines)} of 1000 pictures are in {tmp_path}\n"
    assert (result.code, result.out, result.err) == (130, "", told)
    assert [line["file"] for line in lines] == names
    assert_all_whole(tmp_path, names)


def assert_all_whole(folder, names):
    assert names
    for name in names:
        assert read_mark(jpeg_luma(folder / name)) is not None, name
        assert (folder / name).read_bytes().endswith(b"\xff\xd9")


def test_a_kill_in_the_middle_stops_the_camera_and_leaves_whole_pictures(camera, tmp_path):
    witness = Witness(camera)
    with capturing(camera.node, tmp_path) as process:
        process.kill()
        assert process.wait(timeout=10) == -signal.SIGKILL
        assert_stream_ended(witness)
        assert_works_at_once(camera)
    names, lines = pictures_in(tmp_path)
    listed = [line["file"] for line in lines]
    assert names[: len(listed)] == listed
    assert len(names) <= len(listed) + 1, "more than the one picture that was waiting for its line"
    assert_all_whole(tmp_path, names)

    again = run("capture", "--device", camera.node, "--output", tmp_path)
    assert again.code == 0, again.err
    more, lines_after = pictures_in(tmp_path)
    assert lines_after[:-1] == lines
    assert more == [*names, lines_after[-1]["file"]]


def test_pain_13_a_second_user_is_told_who_holds_the_camera(camera, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    with capturing(camera.node, first, "--every", "500ms", pictures=1) as process:
        refused = run("capture", "--device", camera.node, "--output", second)
        assert_refused(refused, 5, str(camera.node), f"camera-agent (pid {process.pid})")
        assert process.poll() is None, "the first one was disturbed"
        process.send_signal(signal.SIGINT)
        assert finish(process).code == 130
    assert pictures_in(second) == ([], [])


# ---- a camera that fails


def test_a_camera_that_ignores_the_exposure_gives_no_picture(camera, tmp_path):
    witness = Witness(camera)
    camera.fault("ignore_setting", control="exposure_time_absolute")
    result = run("capture", "--device", camera.node, "--output", tmp_path, "--exposure", "8ms")
    assert_refused(result, 6, "not proven", "exposure_time_absolute")
    assert pictures_in(tmp_path) == ([], [])
    assert ("exposure_time_absolute", EXPOSURE_UNITS, "ignored") in witness.settings
    assert witness.kinds("start") == []


def test_a_camera_that_sends_no_picture_is_given_up_and_stopped(camera, tmp_path):
    witness = Witness(camera)
    camera.fault("hold_pictures")
    result = run("capture", "--device", camera.node, "--output", tmp_path, "--timeout", "1s")
    assert_refused(result, 6, "no frame within 1s", "0 of 1 pictures written")
    assert_stream_ended(witness)
    camera.clear_faults()
    assert_works_at_once(camera)


@pytest.mark.usefixtures("uvc_camera")
def test_pain_10_an_unplug_in_the_middle_keeps_what_was_taken(tmp_path):
    with UvcCamera(serial="RIG0002") as another, capturing(another.node, tmp_path) as process:
        node = another.node
        another.fault("gone")
        result = finish(process)
        another.plug()
        assert_works_at_once(another)
    names, lines = pictures_in(tmp_path)
    assert_refused(result, 3, f"{node} is gone", f"{len(lines)} of 1000 pictures are in {tmp_path}")
    assert [line["file"] for line in lines] == names
    assert_all_whole(tmp_path, names)


# ---- a disk that fails


@pytest.fixture
def disk(tmp_path):
    """Mounts a file system of the given options; unmounted in the end."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True, timeout=10)
        return place

    yield mount
    subprocess.run(["umount", place], check=False, timeout=10, capture_output=True)


def test_a_full_disk_stops_the_stream_and_leaves_nothing_half_written(camera, disk):
    folder, bytes_each = disk("size=2m"), WIDTH_PX * HEIGHT_PX * 2
    witness = Witness(camera)
    result = run("capture", "--device", camera.node, "--output", folder, "--count", 100, "--file-type", "raw")
    names, lines = pictures_in(folder)
    assert [(folder / name).stat().st_size for name in names] == [bytes_each] * 3
    assert [line["file"] for line in lines] == names
    assert_refused(result, 7, "No space left on device", f"3 of 100 pictures are in {folder}")
    assert_stream_ended(witness)
    assert_works_at_once(camera)


def test_a_folder_that_cannot_be_written_is_said_before_the_stream(camera, disk):
    folder = disk("ro")
    witness = Witness(camera)
    result = run("capture", "--device", camera.node, "--output", folder / "photos")
    assert_refused(result, 7, str(folder), "Read-only file system")
    assert witness.kinds("start") == []


# ---- bad input, on real nodes


def test_bad_input_is_refused_before_anything_is_touched(camera, tmp_path):
    node = str(camera.node)
    metadata = next(path for path in KERNEL.video_nodes() if kind_of(path) == "metadata")
    witness = Witness(camera)
    cases = {
        ("--device", metadata): (2, "captures no video", "metadata"),
        ("--device", "/dev/null"): (2, "no V4L2 device"),
        ("--device", "/dev/video99"): (3, "there is no device /dev/video99"),
        ("--device", node, "--format", "XXXX"): (2, "no pixel format XXXX", "YUYV", "MJPG", "GREY"),
        ("--device", node, "--exposure", "8"): (2, "--exposure", "unit"),
        ("--device", node, "--exposure", "10s"): (2, "out of range", "100us to 500ms"),
    }
    for case, (code, *words) in cases.items():
        assert_refused(run("capture", "--output", tmp_path / "photos", *case), code, *words)
    assert not (tmp_path / "photos").exists()
    assert witness.kinds("start") == []
    assert witness.settings == []


def kind_of(path):
    with Node(KERNEL, path) as node:
        return query_capabilities(node).kind


def test_without_permission_the_group_is_named(camera, tmp_path):
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    result = run("capture", "--device", camera.node, "--output", tmp_path / "photos", under=nobody)
    assert_refused(result, 4, f"no permission to open {camera.node}", "video")


# ---- looking at what is there


def test_the_cameras_of_the_rig_are_listed_with_what_they_offer(camera):
    node = str(camera.node)
    listed, offered, shown = (
        run("devices", "--all", "--json"),
        run("devices", "--formats"),
        run("controls", node, "--json"),
    )
    assert [listed.code, offered.code, shown.code] == [0, 0, 0]
    devices = {found["path"]: found for found in json.loads(listed.out)["devices"]}
    assert list(devices) == KERNEL.video_nodes()
    ours = devices[node]
    assert (ours["driver"], ours["kind"], ours["error"]) == ("uvcvideo", "capture", None)
    assert (ours["pixel_format"], ours["width"], ours["height"]) == ("YUYV", WIDTH_PX, HEIGHT_PX)
    assert sorted(found["kind"] for found in devices.values() if found["driver"] == "vivid") == [
        "capture",
        "capture (multi-planar)",
    ]
    _, _, offers = offered.out.partition(f"\n{node} ")
    assert all(word in offers for word in ("YUYV", "MJPG", "NV12", "GREY", "1920x1080", "320x240", "100, 60, 30"))
    found = {control["name"]: control for control in json.loads(shown.out)["controls"]}
    exposure = found["exposure_time_absolute"]
    assert exposure["physical"] == format_duration(exposure["value"] * EXPOSURE_STEP_NS)
    assert (exposure["maximum"], exposure["held_by"]) == (5000, "auto_exposure")
    with Node(KERNEL, node) as opened:
        values = snapshot(opened).values
    assert {control["id"]: control["value"] for control in found.values()}.items() >= values.items()
