"""A capture format: a value, which needs nothing of the kernel's structures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlaneLayout:
    """One memory plane: bytes from line to line (0 for compressed formats), bytes in all."""

    bytes_per_line: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Format:
    """A capture format as the driver granted it. `pixel_format` is the four-character code, such as `YUYV`."""

    pixel_format: str
    width_px: int
    height_px: int
    planes: tuple[PlaneLayout, ...]
    interlaced: bool = False

    @property
    def compressed(self) -> bool:
        """Whether frames vary in length: such formats have no bytes per line."""
        return self.planes[0].bytes_per_line == 0

    def __str__(self) -> str:
        return f"{self.pixel_format} {self.width_px}x{self.height_px}"
