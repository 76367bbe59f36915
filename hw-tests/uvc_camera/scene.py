# SPDX-License-Identifier: GPL-3.0-or-later
"""What the camera looks at: bars whose brightness follows exposure and gain, under the mark of the picture.

Kept cheap, since it runs under software emulation: one row is computed when the light changes, and copied down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.simulation.mark import FrameMark, draw_mark, mark_height_px

from .controls import EXPOSURE, GAIN_UNITY
from .errors import UvcCameraError
from .formats import GREY, MJPEG, NV12, YUYV, PictureFormat
from .sensor import Settings

_BARS = ((180, 128, 128), (162, 44, 142), (131, 156, 44), (112, 72, 58), (84, 184, 198), (65, 100, 212), (35, 212, 114))
"""Colour bars at 75 %, as (Y, Cb, Cr) in BT.601."""
_JPEG_QUALITY = 80
_NEUTRAL = 128


class Scene:
    """Draws the pictures of one stream. Holds one canvas, so it is for one thread."""

    def __init__(self, picture: PictureFormat, width_px: int, height_px: int) -> None:
        bars = np.array(_BARS, np.uint8)[np.arange(width_px) * len(_BARS) // width_px]
        self._row: NDArray[np.float32] = bars[:, 0].astype(np.float32)
        self._below = mark_height_px(width_px)
        self._lit: Settings | None = None
        self._canvas = _CANVASES[picture](width_px, height_px)
        self._canvas.colour(bars[::2, 1:], self._below)

    def take(self, number: int, settings: Settings) -> bytes:
        """The picture `number` as the bytes that go over the wire."""
        if settings != self._lit:
            light = settings.exposure_units / EXPOSURE.default * settings.gain / GAIN_UNITY
            row = np.clip(self._row * light + settings.brightness, 0, 255)
            self._canvas.luma[self._below :] = row.astype(np.uint8)
            self._lit = settings
        draw_mark(self._canvas.luma, FrameMark(number & 0xFFFFFFFF, settings.exposure_ns, settings.gain))
        return self._canvas.encode()


class _Canvas(Protocol):
    """A picture being drawn: `luma` is drawn into, `colour` sets the chroma below a row, `encode` yields the bytes."""

    luma: NDArray[np.uint8]

    def colour(self, chroma: NDArray[np.uint8], from_row: int) -> None: ...

    def encode(self) -> bytes: ...


class _Packed:
    """YUYV: luma and chroma alternate."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._pixels = np.full((height_px, width_px, 2), _NEUTRAL, np.uint8)
        self.luma: NDArray[np.uint8] = self._pixels[:, :, 0]

    def colour(self, chroma: NDArray[np.uint8], from_row: int) -> None:
        self._pixels[from_row:, :, 1] = chroma.reshape(-1)

    def encode(self) -> bytes:
        return self._pixels.tobytes()


class _SemiPlanar:
    """NV12: a plane of luma, then one of chroma pairs at half the size each way."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._rows = np.full((height_px * 3 // 2, width_px), _NEUTRAL, np.uint8)
        self.luma: NDArray[np.uint8] = self._rows[:height_px]

    def colour(self, chroma: NDArray[np.uint8], from_row: int) -> None:
        self._rows[self.luma.shape[0] + from_row // 2 :] = chroma.reshape(-1)

    def encode(self) -> bytes:
        return self._rows.tobytes()


class _Luma:
    """GREY: luma alone."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self.luma: NDArray[np.uint8] = np.zeros((height_px, width_px), np.uint8)

    def colour(self, chroma: NDArray[np.uint8], from_row: int) -> None:
        """Grey has no colour."""

    def encode(self) -> bytes:
        return self.luma.tobytes()


class _Jpeg:
    """Motion-JPEG: three planes, encoded by libjpeg-turbo without a colour conversion."""

    def __init__(self, width_px: int, height_px: int) -> None:
        try:
            from simplejpeg import encode_jpeg_yuv_planes
        except ImportError as error:
            raise UvcCameraError(
                "MJPEG needs simplejpeg", hint="install it, or leave mjpeg out of --formats"
            ) from error
        self._encode = encode_jpeg_yuv_planes
        self.luma: NDArray[np.uint8] = np.zeros((height_px, width_px), np.uint8)
        self._chroma = np.full((2, height_px // 2, width_px // 2), _NEUTRAL, np.uint8)

    def colour(self, chroma: NDArray[np.uint8], from_row: int) -> None:
        self._chroma[:, from_row // 2 :] = chroma.T[:, np.newaxis]

    def encode(self) -> bytes:
        return bytes(self._encode(self.luma, *self._chroma, quality=_JPEG_QUALITY, fastdct=True))


_CANVASES: dict[PictureFormat, Callable[[int, int], _Canvas]] = {
    YUYV: _Packed,
    NV12: _SemiPlanar,
    GREY: _Luma,
    MJPEG: _Jpeg,
}
