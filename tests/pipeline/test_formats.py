"""Every format through every kind of picture: the scene comes back, with its mark."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from pipeline.synthetic import COLOURLESS, MARK, MARK_ROWS, RECIPES, camera_jpeg, frame_of, grey_of, jpeg_frame, scene

from agent.errors import FormatUnsupported
from agent.pipeline.colour import to_bgr
from agent.pipeline.encode import Encoder, PictureKind, encode
from agent.pipeline.layouts import LAYOUTS
from agent.simulation.mark import read_mark

FORMATS = [*RECIPES, "MJPG", "JPEG"]


def _frame(code):
    return jpeg_frame(camera_jpeg(quality=97), code) if code in ("MJPG", "JPEG") else frame_of(code)


def _expected(code):
    return np.repeat(grey_of(scene())[..., None], 3, axis=2) if code in COLOURLESS else scene().astype(float)


def _assert_shows_scene(code, bgr):
    difference = np.abs(bgr.astype(float) - _expected(code))[MARK_ROWS + 8 :]
    assert difference.mean() < (3.5 if code == "RGBP" else 1.8)  # 5 bits, cut
    assert difference.max() < 16
    assert read_mark(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)) == MARK


def test_the_table_and_the_recipes_know_the_same_formats():
    assert set(FORMATS) == set(LAYOUTS)


@pytest.mark.parametrize("code", FORMATS)
def test_bgr(code):
    _assert_shows_scene(code, to_bgr(_frame(code)))


@pytest.mark.parametrize("code", FORMATS)
def test_jpeg(code):
    picture = encode(_frame(code), PictureKind.JPEG)
    _assert_shows_scene(code, cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("code", FORMATS)
def test_png(code):
    picture = encode(_frame(code), PictureKind.PNG)
    _assert_shows_scene(code, cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("code", [code for code in FORMATS if RECIPES.get(code, RECIPES["YUYV"]).kind != "bayer"])
def test_tiff(code):
    picture = Image.open(io.BytesIO(encode(_frame(code), PictureKind.TIFF)))
    rgb = np.asarray(picture.convert("RGB") if picture.mode != "I;16" else _to_rgb(picture))
    _assert_shows_scene(code, np.ascontiguousarray(rgb[..., ::-1]))


def _to_rgb(picture):
    return np.repeat((np.asarray(picture) >> 8).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("code", FORMATS)
def test_raw_is_the_very_bytes(code):
    frame = _frame(code)
    assert encode(frame, PictureKind.RAW) == b"".join(plane.tobytes() for plane in frame.planes)


@pytest.mark.parametrize("code", RECIPES)
def test_an_odd_size_without_gaps(code):
    recipe = RECIPES[code]
    across, down = recipe.divide
    width, height = 161 if across == 1 and not recipe.mipi else 162, 99 if down == 1 else 98
    if recipe.mipi:
        width = 164
    bgr = to_bgr(frame_of(code, scene(width, height), gap=0))
    assert bgr.shape == (height, width, 3)
    assert read_mark(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)) == MARK


def test_an_encoder_keeps_nothing_of_the_frame_before():
    encoder = Encoder(PictureKind.JPEG)
    other = 255 - scene()
    first = b"".join(encoder.encode(frame_of("YUYV")))
    b"".join(encoder.encode(frame_of("NV12", other[:120, :160])))
    b"".join(encoder.encode(frame_of("YUYV", other)))
    assert b"".join(encoder.encode(frame_of("YUYV"))) == first


@pytest.mark.parametrize("kind", [PictureKind.JPEG, PictureKind.PNG, PictureKind.TIFF])
def test_an_unknown_format_says_what_can_be_written(kind):
    frame = jpeg_frame(b"\0\0\0\1", "H264")
    with pytest.raises(FormatUnsupported) as caught:
        encode(frame, kind)
    assert "raw" in caught.value.hint
    assert "YUYV" in caught.value.details["allowed"]
    with pytest.raises(FormatUnsupported):
        kind.check("H264")


def test_an_unknown_format_can_be_written_raw():
    PictureKind.RAW.check("H264")
    assert encode(jpeg_frame(b"\0\0\0\1", "H264"), PictureKind.RAW) == b"\0\0\0\1"
    assert PictureKind.RAW.suffix("H264") == "h264"
    assert PictureKind.RAW.suffix("Y16-BE") == "y16be"
