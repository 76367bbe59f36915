"""A frame's pixels as numpy arrays of the shape a program expects, in the camera's own memory: nothing is copied.

| formats | image |
|---|---|
| YUYV and its like | (height, width, 2) uint8: luma and chroma of each pixel in the camera's order |
| NV12 and its like | tuple: luma (height, width), chroma (lines, columns, 2), in the camera's order |
| YU12 and its like | tuple: Y (height, width), U and V (lines, columns), in this order |
| RGB3, XR24 and their like | (height, width, 3 or 4) uint8, in the camera's order |
| RGBP | (height, width) uint16, red in the high bits |
| GREY and 8-bit Bayer | (height, width) uint8 |
| grey and Bayer of 10 to 16 bits | (height, width) uint16, in the camera's byte order, not scaled |
| packed grey and Bayer (Y10P, pRAA) | (height, groups, 5 or 3) uint8: 4 or 2 pixels, their low bits last |
| MJPG, JPEG | (bytes,) uint8 |

Lines may be longer in memory than the picture is wide: strides skip what is between. An odd width in a 4:2:2 format is
rounded up to pairs.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

from agent.pipeline.layouts import Grey, Jpeg, Mosaic, PackedYuv, PlanarYuv, Rgb, SemiPlanarYuv, layout_of
from agent.pipeline.pixels import packed_yuv, rgb, rows, semi_planar, yuv
from agent.v4l2.frame import Frame

Image: TypeAlias = NDArray[Any] | tuple[NDArray[Any], ...]
_PACKED_GROUP = {10: 4, 12: 2}
"""Pixels that share one byte of low bits (MIPI CSI-2 RAW10, RAW12)."""


def image_of(frame: Frame) -> Image:
    """Views by format, as this module's table says.

    Raises FormatUnsupported for a format whose layout is not known (its `planes` are), PictureDamaged when bytes are
    missing.
    """
    layout = layout_of(frame.format.pixel_format)
    width = frame.format.width_px
    if isinstance(layout, PackedYuv):
        return packed_yuv(frame)
    if isinstance(layout, SemiPlanarYuv):
        semi = semi_planar(frame, layout)
        return semi.y, semi.chroma
    if isinstance(layout, PlanarYuv):
        views = yuv(frame)
        return views.y, views.u, views.v
    if isinstance(layout, Rgb):
        return rgb(frame, layout)
    if isinstance(layout, Jpeg):
        return frame.planes[0]
    if isinstance(layout, Grey | Mosaic):
        return _samples(frame, layout)
    return _words(frame, width, "<u2")  # RGB565


def _samples(frame: Frame, layout: Grey | Mosaic) -> NDArray[Any]:
    width = frame.format.width_px
    if layout.packed:
        group = _PACKED_GROUP[layout.bits]
        return rows(frame, 0, group + 1, -(-width // group), channels=group + 1)
    if layout.bits == 8:
        return rows(frame, 0, 1, width)
    return _words(frame, width, ">u2" if isinstance(layout, Grey) and layout.big_endian else "<u2")


def _words(frame: Frame, width: int, kind: str) -> NDArray[Any]:
    return rows(frame, 0, 2, width, channels=2).view(kind)[..., 0]
