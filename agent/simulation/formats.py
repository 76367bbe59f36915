"""Picture formats: what each four-character code means in bytes, and the nearest picture to what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from agent.v4l2.uapi import fourcc


@dataclass(frozen=True)
class PixelLayout:
    """How a format lies in memory: bytes of a line and of a picture per plane, as shares of width and area."""

    code: str
    description: str
    line: tuple[Fraction, ...]
    size: tuple[Fraction, ...]
    compressed: bool = False

    @property
    def number(self) -> int:
        """The kernel's number of the format."""
        return fourcc(self.code)

    def bytes_per_line(self, width_px: int) -> tuple[int, ...]:
        """Bytes of a line in each memory plane; 0 when compressed."""
        return tuple(int(share * width_px) for share in self.line)

    def plane_sizes(self, width_px: int, height_px: int) -> tuple[int, ...]:
        """Bytes of each memory plane."""
        return tuple(int(share * width_px * height_px) for share in self.size)


_ONE, _HALF = Fraction(1), Fraction(1, 2)
LAYOUTS = {
    layout.code: layout
    for layout in (
        PixelLayout("YUYV", "YUYV 4:2:2", (2 * _ONE,), (2 * _ONE,)),
        PixelLayout("NV12", "Y/UV 4:2:0", (_ONE,), (_ONE + _HALF,)),
        PixelLayout("NM12", "Y/UV 4:2:0 (N-C)", (_ONE, _ONE), (_ONE, _HALF)),
        PixelLayout("GREY", "8-bit Greyscale", (_ONE,), (_ONE,)),
        PixelLayout("MJPG", "Motion-JPEG", (Fraction(0),), (2 * _ONE,), compressed=True),
    )
}
"""The formats a simulated camera can draw."""


@dataclass(frozen=True)
class StepwiseSizes:
    """Picture sizes in steps, both ends included."""

    minimum_px: tuple[int, int]
    maximum_px: tuple[int, int]
    step_px: tuple[int, int]

    def nearest(self, width_px: int, height_px: int) -> tuple[int, int]:
        """The allowed size at or below what is asked, at least the minimum."""
        width, height = (
            low + (min(max(asked, low), high) - low) // step * step
            for asked, low, high, step in zip(
                (width_px, height_px), self.minimum_px, self.maximum_px, self.step_px, strict=True
            )
        )
        return width, height


@dataclass(frozen=True)
class Picture:
    """A format and a size in force."""

    layout: PixelLayout
    width_px: int
    height_px: int


def nearest_size(sizes: Sequence[tuple[int, int]], width_px: int, height_px: int) -> tuple[int, int]:
    """The size with the smallest area not shared with what is asked, as uvcvideo chooses (uvc_v4l2_try_format)."""

    def distance(size: tuple[int, int]) -> int:
        shared = min(size[0], width_px) * min(size[1], height_px)
        return size[0] * size[1] + width_px * height_px - 2 * shared

    return min(sizes, key=distance)


def nearest_interval(intervals: Sequence[Fraction], asked: Fraction) -> Fraction:
    """The frame interval closest to what is asked."""
    return min(intervals, key=lambda interval: abs(interval - asked))
