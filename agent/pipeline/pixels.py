"""Views of a frame's pixels.

Nothing is copied: every array here lies in the driver's buffer and is valid as long as the frame is. Lines may be
longer in memory than the picture is wide; the views' strides skip what is between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.errors import StreamFault
from agent.pipeline.layouts import (
    LAYOUTS,
    Grey,
    Mosaic,
    PackedYuv,
    PlanarYuv,
    Rgb,
    SemiPlanarYuv,
    layout_of,
    unsupported,
)
from agent.v4l2.frame import Frame

Pixels = NDArray[np.uint8]
Samples = NDArray[np.uint8] | NDArray[np.uint16]


class PictureDamaged(StreamFault):
    """A frame holds less than a whole picture. Details: sequence, and what was found."""

    code = "picture_damaged"


@dataclass(frozen=True, slots=True)
class YuvViews:
    """Luma (height x width) and both chroma planes (smaller by the format's subsampling), with any strides."""

    y: Pixels
    u: Pixels
    v: Pixels


@dataclass(frozen=True, slots=True)
class Semi:
    """Luma (height x width) and interleaved chroma (rows x columns x 2)."""

    y: Pixels
    chroma: Pixels


def luma(frame: Frame) -> Pixels:
    """The brightness of a Y'CbCr or 8-bit grey frame, height x width.

    Raises: FormatUnsupported when the format holds no such plane, PictureDamaged when bytes are missing.
    """
    layout = layout_of(frame.format.pixel_format)
    if isinstance(layout, Grey) and layout.bits == 8:
        return rows(frame, 0, 1, frame.format.width_px)
    if isinstance(layout, PackedYuv):
        return yuv(frame).y
    if isinstance(layout, SemiPlanarYuv | PlanarYuv):
        return rows(frame, 0, 1, frame.format.width_px)
    raise _no_such_view(frame, "8-bit luma plane", (PackedYuv, SemiPlanarYuv, PlanarYuv))


def yuv(frame: Frame) -> YuvViews:
    """All three planes of a Y'CbCr frame.

    Raises: FormatUnsupported for other formats, PictureDamaged when bytes are missing.
    """
    layout = layout_of(frame.format.pixel_format)
    if isinstance(layout, PackedYuv):
        pairs = packed_yuv(frame)
        y, chroma = (0, 1) if layout.luma_first else (1, 0)
        first, second = pairs[:, 0::2, chroma], pairs[:, 1::2, chroma]
        return YuvViews(pairs[:, : frame.format.width_px, y], *_in_order(first, second, u_first=layout.u_first))
    if isinstance(layout, SemiPlanarYuv):
        semi = semi_planar(frame, layout)
        return YuvViews(semi.y, *_in_order(semi.chroma[..., 0], semi.chroma[..., 1], u_first=layout.u_first))
    if isinstance(layout, PlanarYuv):
        return _planar(frame, layout)
    raise _no_such_view(frame, "Y'CbCr planes", (PackedYuv, SemiPlanarYuv, PlanarYuv))


def packed_yuv(frame: Frame) -> Pixels:
    """A packed 4:2:2 frame as height x even width x 2: luma and chroma of each pixel."""
    width = -(-frame.format.width_px // 2) * 2
    return rows(frame, 0, 2, width, channels=2)


def semi_planar(frame: Frame, layout: SemiPlanarYuv) -> Semi:
    """Luma and interleaved chroma, from one memory plane or two."""
    form = frame.format
    columns, lines = -(-form.width_px // layout.divide_x), -(-form.height_px // layout.divide_y)
    stride = 2 * _stride(frame, 0, form.width_px) // layout.divide_x
    if len(frame.planes) > 1:
        chroma = rows(frame, 1, 2, columns, channels=2, height_px=lines)
    else:
        start = _stride(frame, 0, form.width_px) * form.height_px
        chroma = _view(frame, 0, start, (lines, columns, 2), (stride, 2, 1))
    return Semi(rows(frame, 0, 1, form.width_px), chroma)


def rgb(frame: Frame, layout: Rgb) -> Pixels:
    """Height x width x channels, in the byte order the layout names."""
    count = len(layout.channels)
    return rows(frame, 0, count, frame.format.width_px, channels=count)


def samples(frame: Frame) -> Samples:
    """The numbers of a grey or Bayer frame as the sensor gave them, height x width, 8 or 16 bits each, not scaled.

    A view, except for packed formats (`pRAA`, `Y10P`) and big-endian ones, which have to be unpacked.
    Raises: FormatUnsupported for other formats, PictureDamaged when bytes are missing.
    """
    layout = layout_of(frame.format.pixel_format)
    if not isinstance(layout, Grey | Mosaic):
        raise _no_such_view(frame, "raw samples", (Grey, Mosaic))
    if layout.packed:
        return _unpack(frame, layout.bits)
    if layout.bits == 8:
        return rows(frame, 0, 1, frame.format.width_px)
    return words(frame, big_endian=isinstance(layout, Grey) and layout.big_endian)


def words(frame: Frame, *, big_endian: bool = False) -> NDArray[np.uint16]:
    """16-bit little-endian words, height x width; big-endian ones are copied into that order."""
    pairs = rows(frame, 0, 2, frame.format.width_px, channels=2)
    if big_endian:
        return pairs.view(">u2")[..., 0].astype(np.uint16)
    return pairs.view("<u2")[..., 0]


def rows(
    frame: Frame, plane: int, bytes_per_pixel: int, width_px: int, *, channels: int = 1, height_px: int | None = None
) -> Pixels:
    """A plane as height x width (x channels, when more than one), without what lies between its lines."""
    height = frame.format.height_px if height_px is None else height_px
    stride = _stride(frame, plane, width_px * bytes_per_pixel)
    if channels == 1:
        return _view(frame, plane, 0, (height, width_px), (stride, bytes_per_pixel))
    return _view(frame, plane, 0, (height, width_px, channels), (stride, bytes_per_pixel, 1))


def _planar(frame: Frame, layout: PlanarYuv) -> YuvViews:
    form = frame.format
    columns, lines = -(-form.width_px // layout.divide_x), -(-form.height_px // layout.divide_y)
    if len(frame.planes) > 1:
        first = rows(frame, 1, 1, columns, height_px=lines)
        second = rows(frame, 2, 1, columns, height_px=lines)
    else:
        luma_stride = _stride(frame, 0, form.width_px)
        stride = -(-luma_stride // layout.divide_x)
        start = luma_stride * form.height_px
        first = _view(frame, 0, start, (lines, columns), (stride, 1))
        second = _view(frame, 0, start + stride * lines, (lines, columns), (stride, 1))
    return YuvViews(rows(frame, 0, 1, form.width_px), *_in_order(first, second, u_first=layout.u_first))


def _unpack(frame: Frame, bits: int) -> NDArray[np.uint16]:
    """MIPI CSI-2 RAW10 (4 pixels in 5 bytes) or RAW12 (2 in 3): high bytes first, the low bits together at the end."""
    group, low_bits = (4, 2) if bits == 10 else (2, 4)
    groups = -(-frame.format.width_px // group)
    packed = rows(frame, 0, group + 1, groups, channels=group + 1)
    out = np.empty((frame.format.height_px, groups * group), np.uint16)
    for i in range(group):
        low = (packed[..., group] >> (low_bits * i)) & ((1 << low_bits) - 1)
        out[:, i::group] = (packed[..., i].astype(np.uint16) << low_bits) | low
    return out[:, : frame.format.width_px]


def _stride(frame: Frame, plane: int, least: int) -> int:
    """Bytes from line to line; drivers that leave it 0 mean lines without gaps."""
    return frame.format.planes[plane].bytes_per_line or least


def _view(frame: Frame, plane: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Pixels:
    memory = frame.planes[plane]
    needed = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) + 1
    if memory.size < needed:
        raise PictureDamaged(
            f"frame {frame.sequence} ({frame.format}) holds {memory.size} bytes of at least {needed}",
            hint="the camera sent a short frame: look at the cable and the USB bandwidth, or write it raw",
            sequence=frame.sequence,
            bytes_found=memory.size,
            bytes_needed=needed,
        )
    return np.ndarray(shape, np.uint8, memory, offset, strides)


def _in_order(first: Pixels, second: Pixels, *, u_first: bool) -> tuple[Pixels, Pixels]:
    return (first, second) if u_first else (second, first)


def _no_such_view(frame: Frame, what: str, kinds: tuple[type, ...]) -> Exception:
    code = frame.format.pixel_format
    allowed = [name for name, layout in LAYOUTS.items() if isinstance(layout, kinds)]
    return unsupported(f"{code} has no {what}", code, allowed)
