"""A folder of pictures: names, numbers, and a log that never names what is not there."""

import errno
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags
from pipeline.failing import FailingFiles
from pipeline.synthetic import CIRCUMSTANCES, camera_jpeg, frame_of, jpeg_frame, open_picture

from agent.errors import FormatUnsupported, StateError, StorageError
from agent.pipeline.encode import PictureKind
from agent.pipeline.frame_log import LOG_NAME
from agent.pipeline.pixels import PictureDamaged
from agent.pipeline.writer import PictureWriter, file_name, next_number


def _names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != LOG_NAME)


def _lines(folder):
    return [json.loads(line) for line in (folder / LOG_NAME).read_text().splitlines()]


def test_pictures_and_lines(tmp_path):
    with PictureWriter(tmp_path / "out", "bench", model="Bench Cam") as writer:
        records = [writer.write(replace(frame_of("YUYV"), sequence=n), CIRCUMSTANCES) for n in range(3)]
    assert _names(tmp_path / "out") == ["bench-000000.jpg", "bench-000001.jpg", "bench-000002.jpg"]
    assert [line["file"] for line in _lines(tmp_path / "out")] == _names(tmp_path / "out")
    assert [record.sequence for record in records] == [0, 1, 2]
    exif = open_picture(tmp_path / "out" / records[2].file).getexif()
    assert exif[ExifTags.Base.Model] == "Bench Cam"
    assert b"sequence=2" in exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]


@pytest.mark.parametrize(
    ("kind", "suffix"), [("jpeg", "jpg"), ("png", "png"), ("tiff", "tif"), ("raw", "yuyv")], ids=str
)
def test_kinds_and_suffixes(tmp_path, kind, suffix):
    frame = frame_of("YUYV")
    with PictureWriter(tmp_path, "cam", PictureKind(kind)) as writer:
        assert writer.write(frame, CIRCUMSTANCES).file == f"cam-000000.{suffix}"
    if kind == "raw":
        assert (tmp_path / "cam-000000.yuyv").read_bytes() == frame.planes[0].tobytes()
        assert _lines(tmp_path)[0]["bytes_per_line"] == [frame.format.planes[0].bytes_per_line]
    else:
        assert open_picture(tmp_path / f"cam-000000.{suffix}").size == (320, 240)


def test_numbers_go_on_behind_what_is_there(tmp_path):
    (tmp_path / "cam-000041.png").touch()
    (tmp_path / "other-000099.jpg").touch()
    with PictureWriter(tmp_path, "cam") as writer:
        assert writer.write(frame_of("YUYV"), CIRCUMSTANCES).file == "cam-000042.jpg"


def test_a_name_that_turns_up_meanwhile_is_not_overwritten(tmp_path):
    with PictureWriter(tmp_path, "cam") as writer:
        (tmp_path / "cam-000000.jpg").write_bytes(b"mine")
        with pytest.raises(StorageError):
            writer.write(frame_of("YUYV"), CIRCUMSTANCES)
    assert (tmp_path / "cam-000000.jpg").read_bytes() == b"mine"
    assert _lines(tmp_path) == []


def _write_many(writer):
    for _ in range(100):
        writer.write(jpeg_frame(camera_jpeg()), CIRCUMSTANCES)


@given(room=st.integers(0, 30_000))
def test_a_line_never_names_a_file_that_is_not_there(tmp_path_factory, room):
    folder = tmp_path_factory.mktemp("full")
    files = FailingFiles()
    with PictureWriter(folder, "cam", files=files) as writer:
        files.room = room
        with pytest.raises(StorageError):
            _write_many(writer)
    assert not files.open_fds
    names = _names(folder)
    lines = _lines(folder)
    assert {line["file"] for line in lines} <= set(names)
    assert len(names) - len(lines) in (0, 1)
    for name in names:
        open_picture(folder / name).load()


def test_the_picture_comes_before_its_line(tmp_path):
    files = FailingFiles()
    with PictureWriter(tmp_path, "cam", files=files) as writer:
        files.calls.clear()
        writer.write(frame_of("YUYV"), CIRCUMSTANCES)
    assert files.calls.index("link_open") < len(files.calls) - 1 - files.calls[::-1].index("writev")


@pytest.mark.parametrize(("frame", "error"), [
    (jpeg_frame(b"\0\0\0\1", "H264"), FormatUnsupported),
    (jpeg_frame(camera_jpeg()[:-500]), PictureDamaged),
])  # fmt: skip
def test_a_frame_that_cannot_be_written_leaves_no_file_and_no_gap(tmp_path, frame, error):
    with PictureWriter(tmp_path, "cam") as writer:
        with pytest.raises(error):
            writer.write(frame, CIRCUMSTANCES)
        assert _names(tmp_path) == []
        assert writer.write(frame_of("YUYV"), CIRCUMSTANCES).file == "cam-000000.jpg"


def test_a_folder_that_takes_nothing_is_said_before_the_first_frame(tmp_path):
    with pytest.raises(StorageError):
        PictureWriter(tmp_path, "cam", files=FailingFiles(fails={"open": errno.EACCES}))


def test_release_is_idempotent_and_final(tmp_path):
    writer = PictureWriter(tmp_path, "cam")
    writer.release()
    writer.release()
    with pytest.raises(StateError):
        writer.write(frame_of("YUYV"), CIRCUMSTANCES)


@pytest.mark.parametrize(
    ("camera", "name"),
    [("bench", "bench"), ("usb/1-2: left cam", "usb-1-2-left-cam"), ("../../etc", "etc"), (".hidden", "hidden"),
     ("", "camera"), ("...", "camera"), ("Küche", "K-che")],
)  # fmt: skip
def test_camera_names(camera, name):
    assert file_name(camera) == name


@given(st.text())
def test_any_camera_name_is_a_safe_file_name(camera):
    name = file_name(camera)
    assert name
    assert not name.startswith(".")
    assert "/" not in name
    assert len(name) <= 100
    assert name.isascii()


def test_numbers_beyond_six_digits(tmp_path):
    (tmp_path / "cam-1234567.jpg").touch()
    assert next_number(tmp_path, "cam") == 1_234_568
