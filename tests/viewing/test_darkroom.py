"""Pictures of any look: the size that was asked for, the colours of the frame, the camera's own JPEG as it is."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pipeline.synthetic import HEIGHT, WIDTH, camera_jpeg, frame_of, jpeg_frame, scene

from agent.control.picture import Look
from agent.pipeline.jpeg import JpegEncoder
from agent.viewing.darkroom import Darkroom, size_of
from agent.viewing.errors import SizeUnsupported


def shown(data):
    with Image.open(io.BytesIO(data)) as picture:
        return picture.format.lower(), np.asarray(picture.convert("RGB"))


def test_what_the_camera_sent_as_jpeg_passes_as_it_is():
    content = camera_jpeg()
    assert Darkroom().develop(jpeg_frame(content), Look()) == (content, (WIDTH, HEIGHT))


def test_a_quality_that_is_asked_for_is_kept_also_of_a_jpeg():
    content = camera_jpeg(quality=95)
    small, _ = Darkroom().develop(jpeg_frame(content), Look(quality=20))
    assert len(small) < len(content) // 2


@pytest.mark.parametrize("code", ["YUYV", "NV12", "BGR3", "GREY", "Y10", "RGGB", "MJPG"])
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
def test_a_scaled_picture_is_the_frame_smaller(code, kind):
    frame = jpeg_frame(camera_jpeg()) if code == "MJPG" else frame_of(code)
    data, size = Darkroom().develop(frame, Look(kind=kind, width_px=80))
    found, pixels = shown(data)
    assert found == kind
    assert size == (80, 60)
    assert pixels.shape[:2] == (60, 80)
    expected = np.asarray(
        Image.fromarray(np.ascontiguousarray(scene()[..., ::-1])).resize((80, 60), Image.Resampling.BOX)
    )
    if code in ("GREY", "Y10"):
        expected = np.asarray(Image.fromarray(expected).convert("L").convert("RGB"))
    below = slice(30, None)  # the mark on top is black and white: no place to compare means
    difference = np.abs(pixels[below].astype(int) - expected[below].astype(int)).mean()
    assert difference < 6, difference


def test_a_pixel_is_the_mean_of_those_it_stands_for():
    stripes = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stripes[:, ::2] = 255
    data, _ = Darkroom().develop(frame_of("BGR3", stripes), Look(kind="png", width_px=80))
    assert np.abs(shown(data)[1].astype(int) - 127).max() <= 1


def test_its_own_size_is_encoded_as_everywhere_else():
    frame = frame_of("YUYV")
    data, _ = Darkroom().develop(frame, Look(width_px=WIDTH))
    assert data == b"".join(JpegEncoder().encode(frame))


@given(
    own=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    width=st.none() | st.integers(1, 6000),
    height=st.none() | st.integers(1, 6000),
)
def test_a_size_is_what_was_asked_for_or_refused(own, width, height):
    look = Look(width_px=width, height_px=height)
    if (width or 0) > own[0] or (height or 0) > own[1]:
        with pytest.raises(SizeUnsupported) as refused:
            size_of(look, own)
        assert (refused.value.details["most_width_px"], refused.value.details["most_height_px"]) == own
        return
    found = size_of(look, own)
    assert width in (None, found[0])
    assert height in (None, found[1])
    assert 1 <= found[0] <= own[0]
    assert 1 <= found[1] <= own[1]
    if width is None and height is None:
        assert found == own


def test_encoders_that_nobody_wants_are_forgotten():
    room = Darkroom()
    for quality in range(10, 60, 10):
        room.develop(frame_of("GREY"), Look(quality=quality))
    room.keep_only([Look(quality=20)])
    assert len(room._encoders) == 1
