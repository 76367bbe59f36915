"""Mean brightness of frames in every layout we know."""

from __future__ import annotations

import numpy as np
import pytest

from agent.v4l2.brightness import mean_brightness
from agent.v4l2.format import Format, PlaneLayout
from agent.v4l2.frame import Frame

WIDTH, HEIGHT = 70, 50


def frame(pixel_format, plane, line_bytes):
    layout = Format(pixel_format, WIDTH, HEIGHT, (PlaneLayout(line_bytes, plane.size),))
    return Frame(0, layout, (plane,), 0, 0, "monotonic", "soe", 0, 0, 0)


def filled(line_bytes, pitch, first, value, padding=7):
    """Lines of other bytes (11) with `value` where luma is; some padding at the end of each line."""
    lines = np.full((HEIGHT, line_bytes + padding), 11, np.uint8)
    lines[:, first : WIDTH * pitch : pitch] = value
    return frame_bytes(lines), line_bytes + padding


def frame_bytes(lines):
    return np.ascontiguousarray(lines).reshape(-1)


@pytest.mark.parametrize(
    ("pixel_format", "pitch", "first"),
    [("YUYV", 2, 0), ("UYVY", 2, 1), ("GREY", 1, 0), ("NV12", 1, 0), ("NM12", 1, 0), ("YU12", 1, 0), ("RGGB", 1, 0)],
)
def test_only_luma_counts(pixel_format, pitch, first):
    plane, line_bytes = filled(WIDTH * pitch, pitch, first, 77)
    assert mean_brightness(frame(pixel_format, plane, line_bytes)) == 77


def test_a_gradient_keeps_its_mean():
    lines = np.tile(np.linspace(0, 200, WIDTH).astype(np.uint8), (HEIGHT, 1))
    assert mean_brightness(frame("GREY", frame_bytes(lines), WIDTH)) == pytest.approx(100, abs=6)


@pytest.mark.parametrize(("pixel_format", "bits"), [("Y10", 10), ("Y12", 12), ("Y16", 16), ("RG10", 10)])
def test_deeper_formats_are_scaled_to_255(pixel_format, bits):
    plane = np.full(WIDTH * HEIGHT, 100 << (bits - 8), "<u2").view(np.uint8)
    assert mean_brightness(frame(pixel_format, plane, WIDTH * 2)) == 100


def test_every_bayer_colour_is_met():
    lines = np.zeros((HEIGHT, WIDTH), np.uint8)
    lines[::2, ::2], lines[::2, 1::2], lines[1::2, ::2], lines[1::2, 1::2] = 40, 80, 120, 160
    assert mean_brightness(frame("RGGB", frame_bytes(lines), WIDTH)) == pytest.approx(100, abs=12)


@pytest.mark.parametrize("pixel_format", ["MJPG", "H264", "XXXX"])
def test_what_cannot_be_measured_cheaply_is_not(pixel_format):
    assert mean_brightness(frame(pixel_format, np.zeros(1000, np.uint8), 0)) is None


def test_a_short_frame_is_not_measured():
    assert mean_brightness(frame("GREY", np.zeros(WIDTH * HEIGHT - 1, np.uint8), WIDTH)) is None


def test_the_last_line_may_lack_its_padding():
    plane, line_bytes = filled(WIDTH * 2, 2, 0, 60, padding=8)
    assert mean_brightness(frame("YUYV", plane[:-8], line_bytes)) == 60
