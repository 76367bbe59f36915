"""A picture as views on memory planes, the same for every format: luma, and both chroma planes where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.simulation.formats import Picture

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Views:
    """Writable views of one picture. Chroma is None for GREY; it has half the width, and half the height if 4:2:0."""

    luma: Pixels
    blue: Pixels | None
    red: Pixels | None


def view_planes(picture: Picture, planes: Sequence[Pixels]) -> Views:
    """The views of an uncompressed picture in its memory planes; `MJPG` means the I420 planes before encoding."""
    width, height = picture.width_px, picture.height_px
    sizes = picture.layout.plane_sizes(width, height)
    if picture.layout.code == "YUYV":
        lines = planes[0][: sizes[0]].reshape(height, 2 * width)
        return Views(lines[:, 0::2], lines[:, 1::4], lines[:, 3::4])
    luma = planes[0][: width * height].reshape(height, width)
    if picture.layout.code == "GREY":
        return Views(luma, None, None)
    quarter = width * height // 4
    if picture.layout.compressed:
        blue, red = (planes[0][width * height :][n * quarter : (n + 1) * quarter] for n in (0, 1))
        return Views(luma, blue.reshape(height // 2, width // 2), red.reshape(height // 2, width // 2))
    chroma = planes[1][: sizes[1]] if len(sizes) > 1 else planes[0][width * height : sizes[0]]
    pairs = chroma.reshape(height // 2, width)
    return Views(luma, pairs[:, 0::2], pairs[:, 1::2])


def canvas_sizes(picture: Picture) -> tuple[int, ...]:
    """Bytes of the planes a picture is drawn in."""
    if picture.layout.compressed:
        return (picture.width_px * picture.height_px * 3 // 2,)
    return picture.layout.plane_sizes(picture.width_px, picture.height_px)
