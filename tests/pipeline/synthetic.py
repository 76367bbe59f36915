"""Frames as a camera would send them, packed here sample by sample with numpy, apart from the code under test.

Lines are longer in memory than the picture is wide, and what lies between is noise: code that ignores a stride fails.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
import simplejpeg
from PIL import Image

from agent.pipeline.record import Circumstances, FrameRecord, record_of
from agent.simulation.mark import FrameMark, draw_mark, mark_height_px
from agent.v4l2.format import Format, PlaneLayout
from agent.v4l2.frame import Frame

WIDTH, HEIGHT = 320, 240
MARK = FrameMark(sequence=4711, exposure_ns=8_100_000, gain=37)
MARK_ROWS = mark_height_px(WIDTH)
GAP = 24


@dataclass(frozen=True)
class Recipe:
    """How a format is packed: `kind`, the order of its parts, subsampling, memory planes, bits."""

    kind: str
    order: str
    divide: tuple[int, int] = (1, 1)
    memory_planes: int = 1
    bits: int = 8
    mipi: bool = False
    big_endian: bool = False


RECIPES = {
    **{code: Recipe("packed", code, (2, 1)) for code in ("YUYV", "YVYU", "UYVY", "VYUY")},
    "NV12": Recipe("semi", "UV", (2, 2)),
    "NV21": Recipe("semi", "VU", (2, 2)),
    "NV16": Recipe("semi", "UV", (2, 1)),
    "NV61": Recipe("semi", "VU", (2, 1)),
    "NV24": Recipe("semi", "UV", (1, 1)),
    "NV42": Recipe("semi", "VU", (1, 1)),
    "NM12": Recipe("semi", "UV", (2, 2), 2),
    "NM21": Recipe("semi", "VU", (2, 2), 2),
    "NM16": Recipe("semi", "UV", (2, 1), 2),
    "NM61": Recipe("semi", "VU", (2, 1), 2),
    "YU12": Recipe("planar", "UV", (2, 2)),
    "YV12": Recipe("planar", "VU", (2, 2)),
    "422P": Recipe("planar", "UV", (2, 1)),
    "YM12": Recipe("planar", "UV", (2, 2), 3),
    "YM21": Recipe("planar", "VU", (2, 2), 3),
    "YM16": Recipe("planar", "UV", (2, 1), 3),
    "YM61": Recipe("planar", "VU", (2, 1), 3),
    "YM24": Recipe("planar", "UV", (1, 1), 3),
    "YM42": Recipe("planar", "VU", (1, 1), 3),
    "RGB3": Recipe("rgb", "RGB"),
    "BGR3": Recipe("rgb", "BGR"),
    **{code: Recipe("rgb", "BGRX") for code in ("XR24", "AR24", "BGR4")},
    **{code: Recipe("rgb", "RGBX") for code in ("XB24", "AB24")},
    **{code: Recipe("rgb", "XRGB") for code in ("BX24", "BA24", "RGB4")},
    **{code: Recipe("rgb", "XBGR") for code in ("RX24", "RA24")},
    "RGBP": Recipe("rgb565", ""),
    "GREY": Recipe("grey", ""),
    **{f"Y{bits}": Recipe("grey", "", bits=bits) for bits in (10, 12, 14, 16)},
    "Y16-BE": Recipe("grey", "", bits=16, big_endian=True),
    **{f"Y{bits}P": Recipe("grey", "", bits=bits, mipi=True) for bits in (10, 12)},
    **{
        code: Recipe("bayer", pattern, bits=bits, mipi=mipi)
        for bits, mipi, codes in (
            (8, False, "BA81 GBRG GRBG RGGB"),
            (10, False, "BG10 GB10 BA10 RG10"),
            (12, False, "BG12 GB12 BA12 RG12"),
            (14, False, "BG14 GB14 GR14 RG14"),
            (16, False, "BYR2 GB16 GR16 RG16"),
            (10, True, "pBAA pGAA pgAA pRAA"),
            (12, True, "pBCC pGCC pgCC pRCC"),
        )
        for code, pattern in zip(codes.split(), ("BGGR", "GBRG", "GRBG", "RGGB"), strict=True)
    },
}
COLOURLESS = [code for code, recipe in RECIPES.items() if recipe.kind == "grey"]


def scene(width=WIDTH, height=HEIGHT):
    """A smooth picture in all colours, with a mark in its top: height x width x BGR."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    bgr = np.stack([40 + 170 * x, 210 - 150 * y, 60 + 120 * y * (1 - x) + 30 * x], axis=-1).round().astype(np.uint8)
    for channel in range(3):
        draw_mark(bgr[..., channel], MARK)
    return bgr


def grey_of(bgr):
    return bgr.astype(float) @ (0.114, 0.587, 0.299)


def frame_of(code, bgr=None, *, gap=GAP, full_range=False):
    """A frame of this format that shows `bgr` (the scene)."""
    bgr = scene() if bgr is None else bgr
    recipe = RECIPES[code]
    if recipe.kind in ("packed", "semi", "planar"):
        arrays = _yuv_arrays(recipe, bgr, full_range=full_range)
    else:
        arrays = [_single_array(recipe, bgr)]
    return frame_from(code, bgr.shape[1], bgr.shape[0], _memory(recipe, arrays, gap))


def frame_from(code, width, height, planes, **changes):
    """A frame from (bytes per line, bytes) of each memory plane; read-only, as a mapped buffer may be."""
    layouts, memory = [], []
    for bytes_per_line, content in planes:
        array = np.frombuffer(bytes(content), np.uint8)
        layouts.append(PlaneLayout(bytes_per_line, array.size))
        memory.append(array)
    form = Format(code, width, height, tuple(layouts))
    frame = Frame(0, form, tuple(memory), 4711, 5_000_000_123, "monotonic", "soe", 1_000, 5_010_000_000, 0)
    return replace(frame, **changes)


def jpeg_frame(content, code="MJPG", **changes):
    return frame_from(code, WIDTH, HEIGHT, [(0, content)], **changes)


def open_picture(path):
    """The picture as Pillow reads it, with no file left open."""
    return Image.open(io.BytesIO(path.read_bytes()))


def camera_jpeg(bgr=None, quality=90):
    return simplejpeg.encode_jpeg(scene() if bgr is None else bgr, quality, "BGR", "422")


def segments(picture):
    """(marker, offset, length with marker) of each JPEG segment after SOI, up to and with SOS."""
    offset, found = 2, []
    while True:
        length = 2 + int.from_bytes(picture[offset + 2 : offset + 4], "big")
        found.append((picture[offset + 1], offset, length))
        if picture[offset + 1] == 0xDA:
            return found
        offset += length


def without_tables(picture):
    """As UVC cameras send it: no DHT segment."""
    for marker, offset, length in reversed(segments(picture)):
        if marker == 0xC4:
            picture = picture[:offset] + picture[offset + length :]
    return picture


CIRCUMSTANCES = Circumstances(
    realtime_ns=1_784_000_000_123_456_789, exposure_requested_ns=8_000_000, exposure_ns=8_100_000, gain=37
)


def record(frame=None, *, file="cam-000000.jpg", camera="cam", circumstances=CIRCUMSTANCES, **changes) -> FrameRecord:
    frame = jpeg_frame(b"") if frame is None else frame
    return replace(record_of(frame, file=file, camera=camera, circumstances=circumstances), **changes)


def _yuv_arrays(recipe, bgr, *, full_range):
    b, g, r = np.moveaxis(bgr.astype(float), -1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    u, v = (b - y) / 1.772, (r - y) / 1.402
    luma, chroma, foot = (1, 1, 0) if full_range else (219 / 255, 224 / 255, 16)
    parts = {"Y": _bytes(foot + y * luma)}
    parts["U"], parts["V"] = (_bytes(_shrink(plane, *recipe.divide) * chroma + 128) for plane in (u, v))
    if recipe.kind == "planar":
        return [parts["Y"], *(parts[name] for name in recipe.order)]
    if recipe.kind == "semi":
        return [parts["Y"], _interleave([parts[name] for name in recipe.order])]
    lumas = iter((parts["Y"][:, 0::2], parts["Y"][:, 1::2]))
    return [_interleave([next(lumas) if name == "Y" else parts[name] for name in recipe.order])]


def _single_array(recipe, bgr):
    if recipe.kind == "rgb":
        channels = dict(zip("BGR", np.moveaxis(bgr, -1, 0), strict=True))
        noise = np.random.default_rng(3).integers(0, 256, bgr.shape[:2], np.uint8)
        return _interleave([channels.get(name, noise) for name in recipe.order])
    if recipe.kind == "rgb565":
        b, g, r = np.moveaxis(bgr.astype(np.uint16), -1, 0)
        return ((r >> 3) << 11 | (g >> 2) << 5 | b >> 3).astype("<u2").view(np.uint8)
    values = grey_of(bgr) if recipe.kind == "grey" else mosaic_of(bgr, recipe.order)
    return _packed_samples(recipe, scaled(values, recipe.bits))


def mosaic_of(bgr, pattern):
    values = np.empty(bgr.shape[:2])
    for i, name in enumerate(pattern):
        values[i // 2 :: 2, i % 2 :: 2] = bgr[i // 2 :: 2, i % 2 :: 2, "BGR".index(name)]
    return values


def scaled(values, bits):
    """0 to 255 over the whole range of `bits`."""
    return np.rint(values * ((1 << bits) - 1) / 255).astype(np.uint16)


def _packed_samples(recipe, values):
    if recipe.bits == 8:
        return values.astype(np.uint8)
    if not recipe.mipi:
        return values.astype(">u2" if recipe.big_endian else "<u2").view(np.uint8)
    group = 4 if recipe.bits == 10 else 2
    low = recipe.bits - 8
    columns = [(values[:, i::group] >> low).astype(np.uint8) for i in range(group)]
    last = sum((values[:, i::group] & ((1 << low) - 1)) << (low * i) for i in range(group)).astype(np.uint8)
    return _interleave([*columns, last])


def _memory(recipe, arrays, gap):
    """(bytes per line, bytes) of each memory plane. In one plane, chroma lines are as long as V4L2 says: the luma
    line's length over the subsampling (planar), or twice that (interleaved)."""
    noise = np.random.default_rng(5)
    own = recipe.memory_planes > 1
    strides = [arrays[0].shape[1] + gap]
    for array in arrays[1:]:
        factor = 2 if recipe.kind == "semi" else 1
        strides.append(array.shape[1] + gap // 2 if own else factor * strides[0] // recipe.divide[0])
    padded = []
    for array, stride in zip(arrays, strides, strict=True):
        lines = noise.integers(0, 256, (array.shape[0], stride), np.uint8)
        lines[:, : array.shape[1]] = array
        padded.append((stride, lines.tobytes()))
    return padded if own else [(strides[0], b"".join(content for _, content in padded))]


def _shrink(plane, x, y):
    height, width = plane.shape
    return plane.reshape(height // y, y, width // x, x).mean(axis=(1, 3))


def _interleave(parts):
    return np.stack(parts, axis=-1).reshape(parts[0].shape[0], -1)


def _bytes(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
