"""Video: every frame is in it with its own time, losslessly where that is promised; a file that is cut off is read."""

import contextlib
import errno
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.failing import FailingFiles
from pipeline.synthetic import RECIPES, camera_jpeg, frame_of, jpeg_frame

from agent.errors import FormatUnsupported, StateError, StorageError
from agent.pipeline import video
from agent.pipeline.colour import to_bgr
from agent.pipeline.pixels import samples, yuv
from agent.pipeline.video import VideoCodec, VideoEncoding, VideoUnavailable, load_av
from agent.pipeline.video_file import VideoFile, VideoKind, is_full

av = pytest.importorskip("av")
START_NS, STEP_NS = 10**12, 33_123_456
KINDS = list(VideoKind)


def frames(frame, count):
    """With stamps that come at no even rate."""
    return [
        replace(frame, sequence=number, timestamp_ns=START_NS + number * STEP_NS + number * number * 1000)
        for number in range(count)
    ]


def written(path, frame, codec, kind, count=40, files=None):
    encoding = VideoEncoding(frame.format, codec)
    file = VideoFile(path, encoding, kind, **({} if files is None else {"files": files}))
    try:
        for each in frames(frame, count):
            file.write(encoding.encode(each))
        file.release()
    finally:
        encoding.release()
    return path


def read(path, form=None):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = list(container.decode(video=0))
        times = [picture.pts * picture.time_base for picture in pictures]
        arrays = [picture.to_ndarray(**({} if form is None else {"format": form})) for picture in pictures]
        return stream.codec_context.name, times, arrays


@pytest.mark.parametrize(("kind", "tolerance"), [("mp4", 1e-6), ("mkv", 1e-3)])
def test_times_are_the_frames_own(tmp_path, kind, tolerance):
    name, times, pictures = read(written(tmp_path / "v", frame_of("YUYV"), VideoCodec.H264, VideoKind(kind)), "bgr24")
    stamps = [frame.timestamp_ns for frame in frames(frame_of("YUYV"), 40)]
    assert (name, len(times)) == ("h264", 40)
    assert [float(time) for time in times] == pytest.approx([(at - stamps[0]) / 1e9 for at in stamps], abs=tolerance)
    assert np.abs(pictures[20].astype(int) - to_bgr(frame_of("YUYV")))[64:].mean() < 3


@pytest.mark.parametrize("code", ["YUYV", "UYVY", "NV12", "NM21", "NV61", "YU12", "YM24"])
def test_ffv1_keeps_every_sample_of_the_planes(tmp_path, code):
    frame = frame_of(code)
    encoding = VideoEncoding(frame.format, VideoCodec.FFV1)
    with av.open(str(written(tmp_path / "v.mkv", frame, VideoCodec.FFV1, VideoKind.MKV, 3))) as container:
        picture = next(container.decode(video=0))
    encoding.release()
    for plane, view in zip(picture.planes, (yuv(frame).y, yuv(frame).u, yuv(frame).v), strict=True):
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        assert np.array_equal(lines[: view.shape[0], : view.shape[1]], view)


@pytest.mark.parametrize("code", ["GREY", "Y10", "Y12P", "Y14", "Y16", "RG10", "pBCC", "BA81"])
def test_ffv1_keeps_every_sample_of_grey_and_bayer(tmp_path, code):
    frame = frame_of(code)
    bits = RECIPES[code].bits
    path = written(tmp_path / "v.mkv", frame, VideoCodec.FFV1, VideoKind.MKV, 2)
    form = "gray" if bits == 8 else f"gray{bits}le"
    _, _, pictures = read(path, form)
    assert np.array_equal(pictures[1], samples(frame))


def test_ffv1_keeps_rgb(tmp_path):
    frame = frame_of("RGB3")
    _, _, pictures = read(written(tmp_path / "v.mkv", frame, VideoCodec.FFV1, VideoKind.MKV, 2), "bgr24")
    assert np.array_equal(pictures[0], to_bgr(frame))


def test_a_cameras_jpegs_are_copied_byte_for_byte(tmp_path):
    jpeg = camera_jpeg()
    path = written(tmp_path / "v.mkv", jpeg_frame(jpeg), VideoCodec.COPY, VideoKind.MKV, 5)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert packets == [jpeg] * 5


@pytest.mark.parametrize("code", RECIPES)
@pytest.mark.parametrize("codec", [VideoCodec.H264, VideoCodec.FFV1])
def test_every_format_can_be_coded_one_packet_a_frame(code, codec):
    frame = frame_of(code)
    encoding = VideoEncoding(frame.format, codec)
    try:
        coded = [encoding.encode(each) for each in frames(frame, 3)]
    finally:
        encoding.release()
    assert coded[0].is_key
    assert [each.at_ns for each in coded] == [each.timestamp_ns for each in frames(frame, 3)]


def test_a_key_frame_comes_every_second_and_when_asked():
    frame = frame_of("YUYV")
    encoding = VideoEncoding(frame.format, VideoCodec.H264)
    try:
        coded = [encoding.encode(each, key=number == 5) for number, each in enumerate(frames(frame, 100))]
    finally:
        encoding.release()
    keys = [each.at_ns for each in coded if each.is_key]
    assert coded[5].is_key
    assert all(later - earlier < 1_100_000_000 for earlier, later in pairwise(keys))
    assert len(keys) < 8


@pytest.mark.parametrize(("codec", "kind"), [("h264", "mp4"), ("h264", "mkv"), ("ffv1", "mkv"), ("copy", "mkv")])
def test_a_file_that_is_cut_off_anywhere_is_read_up_to_there(tmp_path, codec, kind):
    """As after SIGKILL: what was written is there, what libav would have written at the end is not."""
    frame = jpeg_frame(camera_jpeg()) if codec == "copy" else frame_of("YUYV")
    files = FailingFiles()
    encoding = VideoEncoding(frame.format, VideoCodec(codec))
    file = VideoFile(tmp_path / "v", encoding, VideoKind(kind), files=files)
    counts = []
    for number, each in enumerate(frames(frame, 120)):
        file.write(encoding.encode(each))
        if number % 40 == 39:
            (tmp_path / "cut").write_bytes((tmp_path / "v").read_bytes())
            counts.append(len(read(tmp_path / "cut", "bgr24")[1]))
    file.release()
    encoding.release()
    assert counts == [39, 79, 119], "all but the last, which libav holds until the next one comes"
    assert len(read(tmp_path / "v", "bgr24")[1]) == 120


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(room=st.integers(0, 60_000))
def test_a_full_disk_leaves_a_file_that_is_read_or_none(tmp_path_factory, kind, room):
    path = tmp_path_factory.mktemp("full") / "v"
    files = FailingFiles(room=room)
    frame = frame_of("YUYV", gap=0)
    frame = replace(frame, planes=(np.random.default_rng(1).integers(0, 255, frame.planes[0].size, np.uint8),))
    encoding = VideoEncoding(frame.format, VideoCodec.H264)
    file = None
    try:
        file = VideoFile(path, encoding, kind, files=files)
        for each in frames(frame, 40):
            file.write(encoding.encode(each))
    except StorageError as error:
        failed = error
    finally:
        encoding.release()
    assert is_full(failed)
    assert not files.open_fds
    assert path.exists() == bool(file and file.frames)
    if path.exists():
        assert len(read(path, "bgr24")[1]) == file.frames == file.safe


def test_a_call_that_fails_leaves_nothing_open(tmp_path):
    for number, call in enumerate(("open", "writev", "seek", "close", "ftruncate")):
        files = FailingFiles(fails={call: errno.EIO})
        with contextlib.suppress(StorageError):
            written(tmp_path / f"v{number}", frame_of("YUYV"), VideoCodec.H264, VideoKind.MKV, 3, files)
        assert not files.open_fds


def test_names_are_not_taken_twice_and_empty_files_not_left(tmp_path):
    frame = frame_of("YUYV")
    encoding = VideoEncoding(frame.format, VideoCodec.H264)
    (tmp_path / "v").write_text("mine")
    with pytest.raises(StorageError):
        VideoFile(tmp_path / "v", encoding, VideoKind.MKV)
    assert (tmp_path / "v").read_text() == "mine"
    empty = VideoFile(tmp_path / "w", encoding, VideoKind.MKV)
    empty.release()
    empty.release()
    assert not (tmp_path / "w").exists()
    with pytest.raises(StateError):
        empty.write(encoding.encode(frame))
    encoding.release()


def test_what_cannot_be_is_refused_before_the_first_frame():
    with pytest.raises(FormatUnsupported, match="even"):
        VideoEncoding(replace(frame_of("GREY").format, width_px=321), VideoCodec.H264)
    with pytest.raises(FormatUnsupported, match="no JPEGs"):
        VideoEncoding(frame_of("YUYV").format, VideoCodec.COPY)


def test_without_pyav_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(VideoUnavailable) as caught:
        load_av()
    assert "camera-agent[video]" in caught.value.hint
    assert video.VideoUnavailable.exit_code == 2
