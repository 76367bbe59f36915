"""Mean brightness of a frame, cheap enough for every frame: every ninth pixel of every ninth line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.v4l2.frame import Frame

_STEP = 9
"""Odd, so that all colours of a Bayer mosaic are met."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where luma lies in the first plane: first byte, bytes from pixel to pixel, significant bits."""

    first: int
    pitch: int
    bits: int = 8


_Y = _Layout(0, 1)
_LAYOUTS: dict[str, _Layout] = {
    "YUYV": _Layout(0, 2),
    "YVYU": _Layout(0, 2),
    "UYVY": _Layout(1, 2),
    "VYUY": _Layout(1, 2),
    **dict.fromkeys(("GREY", "NV12", "NV21", "NM12", "NM21", "NV16", "NV61", "NM16", "NM61", "YU12", "YV12"), _Y),
    **dict.fromkeys(("YM12", "YM21", "422P", "YUV9", "NV24", "NV42"), _Y),
    "RGB3": _Layout(1, 3),
    "BGR3": _Layout(1, 3),
    **dict.fromkeys(("BA81", "GBRG", "GRBG", "RGGB"), _Y),
    "Y10": _Layout(0, 2, 10),
    "Y12": _Layout(0, 2, 12),
    "Y14": _Layout(0, 2, 14),
    "Y16": _Layout(0, 2, 16),
    **dict.fromkeys(("BG10", "GB10", "BA10", "RG10"), _Layout(0, 2, 10)),
    **dict.fromkeys(("BG12", "GB12", "BA12", "RG12"), _Layout(0, 2, 12)),
    **dict.fromkeys(("BYR2", "GB16", "GR16", "RG16"), _Layout(0, 2, 16)),
}


def mean_brightness(frame: Frame) -> float | None:
    """Mean luma of the frame, 0 to 255 (raw formats: of the sensor's numbers, scaled).

    None for compressed and unknown formats, and for a frame with fewer bytes than its format needs.
    """
    layout = _LAYOUTS.get(frame.format.pixel_format)
    if layout is None or not frame.planes:
        return None
    width_px, height_px = frame.format.width_px, frame.format.height_px
    pitch = layout.pitch
    line_bytes = frame.format.planes[0].bytes_per_line or width_px * pitch
    plane = frame.planes[0]
    if plane.size < (height_px - 1) * line_bytes + width_px * pitch:
        return None
    rows, columns = _sampled(height_px), _sampled(width_px)
    first = layout.first + rows.start * line_bytes + columns.start * pitch
    shape, strides = (len(rows), len(columns)), (_STEP * line_bytes, _STEP * pitch)
    low = np.lib.stride_tricks.as_strided(plane[first:], shape, strides, writeable=False)
    if layout.bits == 8:
        return float(low.mean())
    high = np.lib.stride_tricks.as_strided(plane[first + 1 :], shape, strides, writeable=False)
    return float(low.mean() + 256.0 * high.mean()) / (1 << (layout.bits - 8))


def _sampled(length: int) -> range:
    """Every ninth of `length`, as far from one end as from the other."""
    return range(min(_STEP, length - 1) // 2, length, _STEP)
