"""From a camera's pixels to 8-bit BGR, or to the full-range Y'CbCr planes that JPEG is made of.

Levels: JPEG (JFIF) means Y'CbCr of BT.601 over the full 0 to 255. Cameras mean black by 16 and white by 235, chroma
within 16 to 240, unless they say otherwise (V4L2_MAP_QUANTIZATION_DEFAULT: everything that is not RGB and not
V4L2_COLORSPACE_JPEG). No JPEG reader looks for a sign that says "limited": samples written as they are would show
grey blacks and dull colours, and would differ from the same frame as PNG. So `Levels.LIMITED`, the default, expands
them: the colours are those of OpenCV's conversions, to ±1. It costs 8-bit rounding once and clips the foot- and
headroom. `Levels.FULL` leaves every sample as it is: for cameras that send the full range, and for those who want
the very numbers of the sensor through the JPEG. Grey, RGB and Bayer formats are full range and never touched.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import simplejpeg

from agent.pipeline.layouts import (
    Grey,
    Jpeg,
    Layout,
    Mosaic,
    PackedYuv,
    PlanarYuv,
    Rgb,
    Rgb565,
    SemiPlanarYuv,
    layout_of,
)
from agent.pipeline.mjpeg import complete_jpeg
from agent.pipeline.pixels import PictureDamaged, Pixels, packed_yuv, rgb, rows, samples, semi_planar, yuv
from agent.v4l2.frame import Frame


class Levels(enum.StrEnum):
    """The range a camera's Y'CbCr samples use: see this module."""

    LIMITED = "limited"
    FULL = "full"


class Scratch:
    """Memory used again for every frame, so that a stream does not ask the kernel for new pages each time.

    What `array` returned is overwritten by the next call with its name. Not to be shared between threads.

    The arrays lie differently against the boundaries of cache lines: with targets that all lie alike, splitting and
    coding a 1080p frame was measured 0.6 ms slower (docs/decisions/0008).
    """

    def __init__(self) -> None:
        self._memory: dict[str, Pixels] = {}

    def array(self, name: str, *shape: int) -> Pixels:
        """The uint8 array of this name; its content is arbitrary."""
        size = math.prod(shape)
        found = self._memory.get(name)
        if found is None or found.size < size:
            found = self._memory[name] = _empty(size, 16 * len(self._memory) % _LINE)
        return found[:size].reshape(shape)


def _empty(size: int, offset: int) -> Pixels:
    """Memory that begins `offset` bytes behind a boundary of cache lines."""
    memory = np.empty(size + 2 * _LINE, np.uint8)
    start = -int(memory.ctypes.data) % _LINE + offset
    return memory[start : start + size]


@dataclass(frozen=True, slots=True)
class Planes:
    """Full-range Y'CbCr, each plane's lines without gaps between pixels."""

    y: Pixels
    u: Pixels
    v: Pixels


_FAST_PACKED = {"YUYV": cv2.COLOR_YUV2BGR_YUYV, "YVYU": cv2.COLOR_YUV2BGR_YVYU, "UYVY": cv2.COLOR_YUV2BGR_UYVY}
_FAST_420 = {True: cv2.COLOR_YUV2BGR_NV12, False: cv2.COLOR_YUV2BGR_NV21}
_DEMOSAIC = {
    "BGGR": cv2.COLOR_BayerBGGR2BGR,
    "GBRG": cv2.COLOR_BayerGBRG2BGR,
    "GRBG": cv2.COLOR_BayerGRBG2BGR,
    "RGGB": cv2.COLOR_BayerRGGB2BGR,
}
_FOOTROOM: Any = 16  # of OpenCV's scalars its stubs know nothing
_LINE = 64
_LUMA = (255 / 219, -16 * 255 / 219)
_CHROMA = (255 / 224, 128 - 128 * 255 / 224)


def to_bgr(frame: Frame, levels: Levels = Levels.LIMITED) -> Pixels:
    """The frame as OpenCV likes it: height x width x 3, blue first, 8 bits, full range.

    Bayer frames are demosaiced (bilinear), without white balance or gamma: the sensor's own colours.
    10 to 16 bits become 8 by the whole range. A BGR3 frame is returned as a view, anything else is new.
    Raises: FormatUnsupported, PictureDamaged.
    """
    layout = layout_of(frame.format.pixel_format)
    if isinstance(layout, Jpeg):
        return _decode(frame)
    if isinstance(layout, Rgb):
        return _reorder(rgb(frame, layout), layout)
    if isinstance(layout, Rgb565):
        return _pixels(cv2.cvtColor(rows(frame, 0, 2, frame.format.width_px, channels=2), cv2.COLOR_BGR5652BGR))
    if isinstance(layout, Grey):
        return _pixels(cv2.cvtColor(eight_bits(frame), cv2.COLOR_GRAY2BGR))
    if isinstance(layout, Mosaic):
        return _pixels(cv2.cvtColor(eight_bits(frame), _DEMOSAIC[layout.pattern]))
    if levels is Levels.LIMITED and (fast := _fast_bgr(frame, layout)) is not None:
        return fast
    return _bgr_of_planes(yuv_planes(frame, levels, Scratch()))


def eight_bits(frame: Frame) -> Pixels:
    """The samples of a grey or Bayer frame in 8 bits, height x width: a view when they are already."""
    values = samples(frame)
    if values.dtype == np.uint8:
        return _pixels(values)
    layout = layout_of(frame.format.pixel_format)
    bits = layout.bits if isinstance(layout, Grey | Mosaic) else 16
    return _pixels(cv2.convertScaleAbs(values, alpha=255 / ((1 << bits) - 1)))


def yuv_planes(frame: Frame, levels: Levels, scratch: Scratch) -> Planes:
    """The planes of a Y'CbCr frame, full range, chroma as fine as the camera sent it.

    They lie in `scratch` (the next call overwrites them) or, where nothing had to be done, in the frame itself.
    Raises: FormatUnsupported, PictureDamaged.
    """
    return next(yuv_bands(frame, levels, scratch, lines=frame.format.height_px))


def yuv_bands(frame: Frame, levels: Levels, scratch: Scratch, *, lines: int, quarter: bool = False) -> Iterator[Planes]:
    """What `yuv_planes` gives, in bands of `lines` lines from top to bottom; each is overwritten by the next.

    `lines` is a multiple of 4, or the whole height; the last band may have fewer. `quarter`: chroma is brought to
    4:2:0, 4:2:2 by the mean of two lines and 4:4:4 by the mean of four samples.
    """
    layout = layout_of(frame.format.pixel_format)
    if isinstance(layout, PackedYuv | SemiPlanarYuv):
        halve = quarter and (isinstance(layout, PackedYuv) or (layout.divide_x, layout.divide_y) == (2, 1))
        for y, chroma in _interleaved_bands(frame, layout, scratch, lines):
            first, second = _divide(chroma, levels, scratch, halve=halve and chroma.shape[0] % 2 == 0)
            u, v = (first, second) if layout.u_first else (second, first)
            planes = Planes(_expand(y, _LUMA, levels, "y expanded", scratch), u, v)
            yield _halve_chroma(planes) if quarter else planes
        return
    views = yuv(frame)
    divide = layout.divide_y if isinstance(layout, PlanarYuv) else 1
    for top in range(0, frame.format.height_px, lines):
        y = _expand(views.y[top : top + lines], _LUMA, levels, "y expanded", scratch)
        u = _expand(_cut(views.u, top, lines, divide), _CHROMA, levels, "u", scratch)
        v = _expand(_cut(views.v, top, lines, divide), _CHROMA, levels, "v", scratch)
        yield _halve_chroma(Planes(y, u, v)) if quarter else Planes(y, u, v)


def _interleaved_bands(
    frame: Frame, layout: PackedYuv | SemiPlanarYuv, scratch: Scratch, lines: int
) -> Iterator[tuple[Pixels, Pixels]]:
    """Luma and interleaved chroma, both two-dimensional."""
    tops = range(0, frame.format.height_px, lines)
    if isinstance(layout, SemiPlanarYuv):
        semi = semi_planar(frame, layout)
        chroma = semi.chroma.reshape(semi.chroma.shape[0], -1)  # a view: only the last two axes join
        for top in tops:
            yield semi.y[top : top + lines], _cut(chroma, top, lines, layout.divide_y)
        return
    pairs = packed_yuv(frame)
    for top in tops:
        band = pairs[top : top + lines]
        y, chroma = scratch.array("y", *band.shape[:2]), scratch.array("chroma", *band.shape[:2])
        cv2.split(band, [y, chroma] if layout.luma_first else [chroma, y])
        yield y[:, : frame.format.width_px], chroma


def _cut(plane: Pixels, top: int, lines: int, divide: int) -> Pixels:
    """The lines of a chroma plane that belong to a band of luma."""
    return plane[top // divide : -(-(top + lines) // divide)]


def _divide(chroma: Pixels, levels: Levels, scratch: Scratch, *, halve: bool) -> tuple[Pixels, Pixels]:
    """Interleaved chroma over the full range, as two planes; with `halve` the mean of each two lines, in one step."""
    if halve:
        scale, offset = (1.0, 0.0) if levels is Levels.FULL else _CHROMA
        target = scratch.array("chroma expanded", chroma.shape[0] // 2, chroma.shape[1])
        cv2.addWeighted(chroma[0::2], scale / 2, chroma[1::2], scale / 2, offset, target)
        chroma = target
    else:
        chroma = _expand(chroma, _CHROMA, levels, "chroma expanded", scratch)
    lines, columns = chroma.shape[0], chroma.shape[1] // 2
    first, second = scratch.array("first", lines, columns), scratch.array("second", lines, columns)
    cv2.split(chroma.reshape(lines, columns, 2), [first, second])
    return first, second


def _halve_chroma(planes: Planes) -> Planes:
    """4:2:0 of anything finer; 4:2:0 as it is."""
    height, width = planes.y.shape
    lines, columns = -(-height // 2), -(-width // 2)
    if planes.u.shape == (lines, columns):
        return planes
    u, v = (
        _pixels(cv2.resize(plane, (columns, lines), interpolation=cv2.INTER_AREA)) for plane in (planes.u, planes.v)
    )
    return Planes(planes.y, u, v)


def _expand(plane: Pixels, scale: tuple[float, float], levels: Levels, name: str, scratch: Scratch) -> Pixels:
    """`plane` over the full range: plane * scale + offset, saturated at both ends."""
    if levels is Levels.FULL:
        return plane
    target = scratch.array(name, *plane.shape)
    # convertScaleAbs mirrors what comes out below 0: what would is clipped before. A quarter faster than addWeighted
    cv2.subtract(plane, _FOOTROOM, target)
    cv2.convertScaleAbs(target, target, scale[0], scale[1] + _FOOTROOM * scale[0])
    return target


def _fast_bgr(frame: Frame, layout: Layout) -> Pixels | None:
    """OpenCV's own conversions, where it has one."""
    width = frame.format.width_px
    if width % 2 or frame.format.height_px % 2:
        return None
    packed = _FAST_PACKED.get(frame.format.pixel_format)
    if packed is not None:
        return _pixels(cv2.cvtColor(packed_yuv(frame), packed))
    if isinstance(layout, SemiPlanarYuv) and (layout.divide_x, layout.divide_y) == (2, 2):
        semi = semi_planar(frame, layout)
        return _pixels(cv2.cvtColorTwoPlane(semi.y, semi.chroma, _FAST_420[layout.u_first]))
    return None


def _bgr_of_planes(planes: Planes) -> Pixels:
    height, width = planes.y.shape
    u, v = (
        cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) if plane.shape != (height, width) else plane
        for plane in (planes.u, planes.v)
    )
    return _pixels(cv2.cvtColor(cv2.merge([planes.y, v, u]), cv2.COLOR_YCrCb2BGR))


def _reorder(pixels: Pixels, layout: Rgb) -> Pixels:
    if layout.channels == "BGR":
        return pixels
    out = np.empty((*pixels.shape[:2], 3), np.uint8)
    pairs = [number for to, name in enumerate("BGR") for number in (layout.channels.index(name), to)]
    cv2.mixChannels([pixels], [out], pairs)
    return out


def _decode(frame: Frame) -> Pixels:
    picture = b"".join(complete_jpeg(frame))
    try:
        return _pixels(simplejpeg.decode_jpeg(picture, "BGR"))
    except ValueError as error:
        raise PictureDamaged(
            f"the JPEG of frame {frame.sequence} is damaged: {error}",
            hint="look at the cable and the USB bandwidth",
            sequence=frame.sequence,
        ) from error


def _pixels(array: object) -> Pixels:
    """OpenCV's stubs know arrays of any number; ours are bytes."""
    return np.asarray(array, np.uint8)
