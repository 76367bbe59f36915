"""Where the samples of each pixel format lie: one table, after the kernel's "Image Formats" chapter of the V4L2 API.

A format's multi-planar twin (`NV12` and `NM12`) has the same layout; only the number of memory planes differs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from agent.errors import FormatUnsupported


@dataclass(frozen=True, slots=True)
class PackedYuv:
    """Y'CbCr 4:2:2 in one plane: four bytes hold two pixels."""

    luma_first: bool
    u_first: bool


@dataclass(frozen=True, slots=True)
class SemiPlanarYuv:
    """A luma plane, then U and V (or V and U) interleaved, smaller by `divide_x` and `divide_y`."""

    divide_x: int
    divide_y: int
    u_first: bool


@dataclass(frozen=True, slots=True)
class PlanarYuv:
    """A luma plane, then U and V (or V and U) on their own, smaller by `divide_x` and `divide_y`."""

    divide_x: int
    divide_y: int
    u_first: bool


@dataclass(frozen=True, slots=True)
class Rgb:
    """8 bits a channel, in the byte order of `channels`; X is a byte without meaning (or alpha, which is dropped)."""

    channels: str


@dataclass(frozen=True, slots=True)
class Rgb565:
    """16 bits a pixel, little-endian, red in the high bits."""


@dataclass(frozen=True, slots=True)
class Grey:
    """One sample a pixel. `packed`: as MIPI CSI-2 sends 10 and 12 bits, without gaps."""

    bits: int
    packed: bool = False
    big_endian: bool = False


@dataclass(frozen=True, slots=True)
class Mosaic:
    """One sample a pixel behind a colour filter: `pattern` is its top left 2x2, row by row."""

    pattern: str
    bits: int
    packed: bool = False


@dataclass(frozen=True, slots=True)
class Jpeg:
    """One JPEG picture a frame."""


Layout: TypeAlias = PackedYuv | SemiPlanarYuv | PlanarYuv | Rgb | Rgb565 | Grey | Mosaic | Jpeg


def _mosaics(bits: int, codes: str, *, packed: bool = False) -> dict[str, Layout]:
    """Layouts of four codes in the kernel's order BGGR, GBRG, GRBG, RGGB."""
    patterns = ("BGGR", "GBRG", "GRBG", "RGGB")
    return {code: Mosaic(pattern, bits, packed) for code, pattern in zip(codes.split(), patterns, strict=True)}


LAYOUTS: dict[str, Layout] = {
    "YUYV": PackedYuv(luma_first=True, u_first=True),
    "YVYU": PackedYuv(luma_first=True, u_first=False),
    "UYVY": PackedYuv(luma_first=False, u_first=True),
    "VYUY": PackedYuv(luma_first=False, u_first=False),
    "NV12": SemiPlanarYuv(2, 2, u_first=True),
    "NV21": SemiPlanarYuv(2, 2, u_first=False),
    "NV16": SemiPlanarYuv(2, 1, u_first=True),
    "NV61": SemiPlanarYuv(2, 1, u_first=False),
    "NV24": SemiPlanarYuv(1, 1, u_first=True),
    "NV42": SemiPlanarYuv(1, 1, u_first=False),
    "NM12": SemiPlanarYuv(2, 2, u_first=True),
    "NM21": SemiPlanarYuv(2, 2, u_first=False),
    "NM16": SemiPlanarYuv(2, 1, u_first=True),
    "NM61": SemiPlanarYuv(2, 1, u_first=False),
    "YU12": PlanarYuv(2, 2, u_first=True),
    "YV12": PlanarYuv(2, 2, u_first=False),
    "422P": PlanarYuv(2, 1, u_first=True),
    "YM12": PlanarYuv(2, 2, u_first=True),
    "YM21": PlanarYuv(2, 2, u_first=False),
    "YM16": PlanarYuv(2, 1, u_first=True),
    "YM61": PlanarYuv(2, 1, u_first=False),
    "YM24": PlanarYuv(1, 1, u_first=True),
    "YM42": PlanarYuv(1, 1, u_first=False),
    "RGB3": Rgb("RGB"),
    "BGR3": Rgb("BGR"),
    "XR24": Rgb("BGRX"),
    "AR24": Rgb("BGRX"),
    "BGR4": Rgb("BGRX"),
    "XB24": Rgb("RGBX"),
    "AB24": Rgb("RGBX"),
    "BX24": Rgb("XRGB"),
    "BA24": Rgb("XRGB"),
    "RGB4": Rgb("XRGB"),
    "RX24": Rgb("XBGR"),
    "RA24": Rgb("XBGR"),
    "RGBP": Rgb565(),
    "GREY": Grey(8),
    "Y10": Grey(10),
    "Y12": Grey(12),
    "Y14": Grey(14),
    "Y16": Grey(16),
    "Y16-BE": Grey(16, big_endian=True),
    "Y10P": Grey(10, packed=True),
    "Y12P": Grey(12, packed=True),
    **_mosaics(8, "BA81 GBRG GRBG RGGB"),
    **_mosaics(10, "BG10 GB10 BA10 RG10"),
    **_mosaics(12, "BG12 GB12 BA12 RG12"),
    **_mosaics(14, "BG14 GB14 GR14 RG14"),
    **_mosaics(16, "BYR2 GB16 GR16 RG16"),
    **_mosaics(10, "pBAA pGAA pgAA pRAA", packed=True),
    **_mosaics(12, "pBCC pGCC pgCC pRCC", packed=True),
    "MJPG": Jpeg(),
    "JPEG": Jpeg(),
}
"""By four-character code, as `agent.v4l2.uapi.fourcc_text` spells it (no trailing spaces)."""


def layout_of(pixel_format: str) -> Layout:
    """The layout of a pixel format. Raises FormatUnsupported, naming what can be written."""
    layout = LAYOUTS.get(pixel_format)
    if layout is None:
        raise unsupported(f"{pixel_format} cannot be turned into a picture", pixel_format, LAYOUTS)
    return layout


def unsupported(problem: str, pixel_format: str, allowed: Collection[str]) -> FormatUnsupported:
    """The error for a pixel format that something here cannot handle."""
    return FormatUnsupported(
        problem,
        hint=f"write it raw (any format can be), or capture in one of {', '.join(allowed)}",
        asked=pixel_format,
        allowed=list(allowed),
    )
