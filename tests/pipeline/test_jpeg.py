"""JPEG: the range of the samples, the fineness of the colours, and what cameras leave out."""

import io

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pipeline.synthetic import camera_jpeg, frame_from, frame_of, jpeg_frame, scene, segments, without_tables

from agent.errors import InputError, StreamFault
from agent.pipeline.colour import Levels, Scratch, to_bgr, yuv_planes
from agent.pipeline.jpeg import Chroma, JpegEncoder
from agent.pipeline.mjpeg import STANDARD_TABLES, complete_jpeg, with_exif
from agent.pipeline.pixels import PictureDamaged

EXIF = b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\0"
DQT, DHT, SOS, APP1 = 0xDB, 0xC4, 0xDA, 0xE1


def _decode(picture):
    return cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)


def _encode(frame, **options):
    return b"".join(JpegEncoder(**options).encode(frame))


def _yuyv(luma, chroma=128):
    return frame_from("YUYV", 16, 16, [(32, bytes([luma, chroma]) * 256)])


@pytest.mark.parametrize(("sample", "shown"), [(0, 0), (16, 0), (17, 1), (126, 128), (235, 255), (255, 255)])
def test_limited_luma_is_expanded_and_clipped(sample, shown):
    assert _decode(_encode(_yuyv(sample), quality=100))[8, 8].tolist() == [shown] * 3


@pytest.mark.parametrize(("sample", "expanded"), [(0, 0), (16, 1), (128, 128), (240, 255), (255, 255)])
def test_limited_chroma_is_expanded_and_clipped(sample, expanded):
    planes = yuv_planes(_yuyv(128, sample), Levels.LIMITED, Scratch())
    assert abs(int(planes.u[0, 0]) - expanded) <= 1
    assert abs(int(planes.v[0, 0]) - expanded) <= 1


@pytest.mark.parametrize("code", ["YUYV", "UYVY", "NV12", "NV21"])
def test_the_colours_are_those_of_opencv(code):
    rng = np.random.default_rng(1)
    bgr = np.repeat(np.repeat(rng.integers(40, 216, (12, 16, 3), np.uint8), 8, axis=0), 8, axis=1)
    frame = frame_of(code, bgr)
    ours = simplejpeg.decode_jpeg(_encode(frame, quality=100), "BGR").astype(int)
    assert np.abs(ours - to_bgr(frame))[4::8, 4::8].max() <= 4


@pytest.mark.parametrize("code", ["YUYV", "NV12", "YU12", "NM21", "422P"])
def test_full_levels_leave_every_sample_alone(code):
    frame = frame_of(code, full_range=True)
    planes = yuv_planes(frame, Levels.FULL, Scratch())
    assert np.abs(planes.y - scene().astype(float) @ (0.114, 0.587, 0.299)).max() <= 0.51
    assert np.abs(_decode(_encode(frame, levels=Levels.FULL)).astype(int) - scene())[40:].mean() < 2
    assert np.abs(to_bgr(frame, Levels.FULL).astype(int) - scene())[40:].mean() < 2


@pytest.mark.parametrize(
    ("code", "as_sent", "quarter"),
    [("YUYV", "422", "420"), ("NV12", "420", "420"), ("NV24", "444", "420"), ("RGB3", "444", "420"),
     ("GREY", "Gray", "Gray"), ("RGGB", "420", "420"), ("YM16", "422", "420")],
)  # fmt: skip
def test_chroma_is_as_fine_as_asked(code, as_sent, quarter):
    frame = frame_of(code)
    for chroma, expected in ((Chroma.AS_SENT, as_sent), (Chroma.QUARTER, quarter)):
        picture = _encode(frame, chroma=chroma)
        assert simplejpeg.decode_jpeg_header(picture)[3] == expected
        if code != "GREY":
            assert np.abs(_decode(picture).astype(int) - scene())[40:].mean() < 2.5


def test_an_odd_number_of_lines_can_be_quartered():
    bgr = scene()[:, :-1][:-1, :318]
    assert np.abs(_decode(_encode(frame_of("YUYV", bgr), chroma=Chroma.QUARTER)).astype(int) - bgr)[40:].mean() < 2.5


def test_quality_goes_to_the_encoder():
    sizes = [len(_encode(frame_of("YUYV"), quality=quality)) for quality in (30, 90, 100)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_a_quality_that_is_none_is_refused(quality):
    with pytest.raises(InputError):
        JpegEncoder(quality)


def test_a_whole_camera_jpeg_passes_unchanged_and_uncopied():
    picture = camera_jpeg()
    frame = jpeg_frame(picture)
    pieces = JpegEncoder(quality=10).encode(frame)
    assert b"".join(pieces) == picture
    assert np.shares_memory(np.frombuffer(pieces[-1], np.uint8), frame.planes[0])


def test_missing_tables_are_put_before_the_pixels():
    picture = camera_jpeg()
    bare = without_tables(picture)
    assert len(bare) < len(picture)
    mended = b"".join(complete_jpeg(jpeg_frame(bare)))
    markers = [marker for marker, *_ in segments(mended)]
    assert markers.count(DHT) == 1
    assert markers[-1] == SOS
    assert np.array_equal(_decode(mended), _decode(picture))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(mended))), np.asarray(Image.open(io.BytesIO(picture))))


def test_the_standard_tables_are_those_libjpeg_writes():
    written = camera_jpeg()
    tables = b"".join(written[at + 4 : at + size] for marker, at, size in segments(written) if marker == DHT)
    assert b"\xff\xc4" + (len(tables) + 2).to_bytes(2, "big") + tables == STANDARD_TABLES


@pytest.mark.parametrize("padding", [b"\0", b"\0" * 5000, b"\0" * 3 + b"\x12\x34"])
def test_padding_behind_the_end_is_cut(padding):
    picture = camera_jpeg()
    assert b"".join(complete_jpeg(jpeg_frame(picture + padding))) == picture


@given(st.data())
def test_a_broken_off_jpeg_is_damaged_wherever_it_breaks(data):
    picture = camera_jpeg()
    cut = data.draw(st.integers(0, len(picture) - 1))
    with pytest.raises(PictureDamaged) as caught:
        complete_jpeg(jpeg_frame(picture[:cut]))
    assert isinstance(caught.value, StreamFault)


@given(st.binary(max_size=200))
def test_rubbish_is_damaged_or_whole_but_nothing_else(content):
    try:
        pieces = complete_jpeg(jpeg_frame(b"\xff\xd8" + content + b"\xff\xd9"))
    except PictureDamaged:
        return
    assert b"".join(pieces).startswith(b"\xff\xd8")


def test_a_jpeg_without_its_start_is_damaged():
    with pytest.raises(PictureDamaged, match="start"):
        complete_jpeg(jpeg_frame(camera_jpeg()[1:]))


def test_a_broken_segment_is_damaged():
    picture = bytearray(camera_jpeg())
    picture[3 + 1] ^= 0x01  # the length of the first segment
    with pytest.raises(PictureDamaged):
        complete_jpeg(jpeg_frame(picture))


def test_fill_bytes_between_segments_are_allowed():
    picture = camera_jpeg()
    filled = picture[:2] + b"\xff\xff" + picture[2:]
    assert np.array_equal(_decode(b"".join(complete_jpeg(jpeg_frame(filled)))), _decode(picture))


def test_damage_that_only_decoding_shows_is_typed():
    picture = camera_jpeg()
    scan = segments(picture)[-1][1]
    broken = picture[: scan + 40] + b"\xff\xd9"
    with pytest.raises(PictureDamaged):
        to_bgr(jpeg_frame(broken))


@pytest.mark.parametrize("code", ["YUYV", "MJPG"])
def test_exif_is_the_first_segment(code):
    frame = jpeg_frame(camera_jpeg()) if code == "MJPG" else frame_of(code)
    plain, spliced = (b"".join(JpegEncoder().encode(frame, exif)) for exif in (b"", EXIF))
    marker, offset, length = segments(spliced)[0]
    assert marker == APP1
    assert spliced[offset + 4 : offset + length] == EXIF
    assert spliced[:offset] + spliced[offset + length :] == plain


def test_exif_that_does_not_fit_is_refused():
    assert with_exif((camera_jpeg(),), bytes(65_533))
    with pytest.raises(ValueError, match="65534"):
        with_exif((camera_jpeg(),), bytes(65_534))
