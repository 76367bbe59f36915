"""Bands: the joined picture is the one that would have been made at once, whatever its size and format."""

import io

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pipeline.synthetic import frame_of, segments

from agent.pipeline import bands
from agent.pipeline.bands import band_lines, join_bands
from agent.pipeline.colour import Levels, Scratch, yuv_bands, yuv_planes
from agent.pipeline.jpeg import Chroma, JpegEncoder

SOF0, DRI = 0xC0, 0xDD


def _noise(height, width):
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def _compressed(frame, lines, *, quarter=False):
    parts = yuv_bands(frame, Levels.LIMITED, Scratch(), lines=lines, quarter=quarter)
    return [simplejpeg.encode_jpeg_yuv_planes(part.y, part.u, part.v, 90) for part in parts]


@pytest.mark.parametrize("code", ["YUYV", "VYUY", "NV12", "NV61", "NV24", "YU12", "422P", "YM24"])
@pytest.mark.parametrize("quarter", [False, True])
@pytest.mark.parametrize("height", [64, 66, 96, 352])
def test_bands_show_the_same_pixels_as_the_whole(code, quarter, height):
    frame = frame_of(code, _noise(height, 48))
    whole = b"".join(join_bands(_compressed(frame, height, quarter=quarter), height))
    joined = b"".join(join_bands(_compressed(frame, 32, quarter=quarter), height))
    assert DRI in [marker for marker, _, _ in segments(joined)]
    assert DRI not in [marker for marker, _, _ in segments(whole)]
    expected = simplejpeg.decode_jpeg(whole, "BGR", strict=True)
    assert np.array_equal(simplejpeg.decode_jpeg(joined, "BGR", strict=True), expected)
    assert np.array_equal(cv2.imdecode(np.frombuffer(joined, np.uint8), cv2.IMREAD_COLOR), expected)
    with Image.open(io.BytesIO(joined)) as picture:
        assert picture.size == (48, height)
        picture.load()


def test_planes_in_bands_are_the_whole_planes_cut():
    frame = frame_of("NV12", _noise(80, 64))
    whole = yuv_planes(frame, Levels.LIMITED, Scratch())
    parts = [[plane.copy() for plane in (part.y, part.u, part.v)] for part in
             yuv_bands(frame, Levels.LIMITED, Scratch(), lines=32)]  # fmt: skip
    for number, plane in enumerate((whole.y, whole.u, whole.v)):
        assert np.array_equal(np.concatenate([part[number] for part in parts]), plane)


def test_a_large_picture_is_encoded_in_bands_and_a_small_one_is_not():
    large = b"".join(JpegEncoder(chroma=Chroma.QUARTER).encode(frame_of("YUYV", _noise(480, 1024))))
    small = b"".join(JpegEncoder().encode(frame_of("YUYV", _noise(240, 320))))
    assert DRI in [marker for marker, _, _ in segments(large)]
    assert simplejpeg.decode_jpeg_header(large)[:2] == (480, 1024)
    assert DRI not in [marker for marker, _, _ in segments(small)]


def test_exif_comes_first_and_the_pixels_are_not_copied():
    frame = frame_of("YUYV", _noise(480, 1024))
    exif = b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\0"
    pieces = JpegEncoder().encode(frame, exif)
    assert b"".join(pieces)[2:4] == b"\xff\xe1"
    assert sum(isinstance(piece, memoryview) for piece in pieces) >= 480 // band_lines(1024, 480)


@given(st.integers(1, 65_500), st.integers(1, 65_500))
def test_every_size_gets_bands_that_can_be_joined(width_px, height_px):
    lines = band_lines(width_px, height_px)
    if lines == height_px:
        return
    assert lines % 32 == 0
    assert height_px % lines != 1
    assert -(-width_px // 8) * (lines // 8) <= 0xFFFF


def test_a_last_band_of_one_line_is_avoided(monkeypatch):
    monkeypatch.setattr(bands, "_BAND_PIXELS", 128 * 1000)
    assert band_lines(1000, 257) == 96
    assert band_lines(1000, 256) == 128


def test_arrays_that_are_split_into_do_not_lie_alike():
    scratch = Scratch()
    planes = list(yuv_bands(frame_of("YUYV", _noise(64, 64)), Levels.LIMITED, scratch, lines=32))
    lie = {name: scratch.array(name, 1).ctypes.data % 64 for name in ("y", "chroma", "first", "second")}
    assert planes
    assert lie["y"] != lie["chroma"]
    assert lie["first"] != lie["second"]
