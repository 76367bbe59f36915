"""What a simulated camera sees: a test card with its name, a ball that crosses it, and the frame's mark.

Everything but the ball and the mark is drawn once per format, size and brightness; a frame costs one copy.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from agent.simulation.formats import Picture
from agent.simulation.mark import BLOCK_PX, FrameMark, draw_mark, mark_height_px
from agent.simulation.picture import Pixels, Views, canvas_sizes, view_planes
from agent.simulation.sensor import Light

JPEG_QUALITY = 80
_STEPS_PER_STOP = 8
_BARS = ((235, 128, 128), (210, 16, 146), (170, 166, 16), (145, 54, 34), (106, 202, 222), (81, 90, 240), (41, 240, 110))
_BALL = (225, 60, 150)  # luma, blue, red


class Scene:
    """The pictures of one camera in one format. Not locked: the camera's lock guards it."""

    def __init__(self, picture: Picture, label: str, crop: tuple[float, float, float, float]) -> None:
        """`crop`: left, top, width and height of what is seen, as shares of the whole scene."""
        self.shows = (picture, crop)
        self._picture = picture
        self._card = _cropped(_draw_card(picture, label), crop)
        self._step: int | None = None
        self._canvas = [np.zeros(size, np.uint8) for size in canvas_sizes(picture)]
        views = view_planes(picture, self._canvas)
        for target, source in ((views.blue, self._card[1]), (views.red, self._card[2])):
            if target is not None:
                target[:] = _at_size(source, target.shape)
        # a picture too small for the mark goes without
        self._has_mark = picture.width_px >= BLOCK_PX and mark_height_px(picture.width_px) <= picture.height_px
        radius = max(8, picture.height_px // 12) & ~1
        rows, columns = np.ogrid[-radius:radius, -radius:radius]
        self._disc = rows**2 + columns**2 < radius**2

    def expose(self, mark: FrameMark, light: Light, planes: Sequence[Pixels]) -> list[int]:
        """Draw one frame into the memory planes; the bytes used of each."""
        self._brighten(light.level)
        if not self._picture.layout.compressed:
            for source, target in zip(self._canvas, planes, strict=True):
                target[: source.size] = source
            self._finish(view_planes(self._picture, planes), mark)
            return [source.size for source in self._canvas]
        drawn = [self._canvas[0].copy()]
        views = view_planes(self._picture, drawn)
        self._finish(views, mark)
        code = simplejpeg.encode_jpeg_yuv_planes(views.luma, views.blue, views.red, quality=JPEG_QUALITY, fastdct=True)
        planes[0][: len(code)] = np.frombuffer(code, np.uint8)
        return [len(code)]

    def _brighten(self, level: float) -> None:
        step = round(_STEPS_PER_STOP * float(np.log2(max(level, 1e-6))))
        if step == self._step:
            return
        self._step = step
        # a display's gamma keeps dark and bright settings legible
        factor = 2 ** (step / _STEPS_PER_STOP * 0.6)
        table = np.clip(16 + (np.arange(256) - 16) * factor, 16, 235).astype(np.uint8)
        view_planes(self._picture, self._canvas).luma[:] = cv2.LUT(self._card[0], table)

    def _finish(self, views: Views, mark: FrameMark) -> None:
        size = self._disc.shape[0]
        height, width = views.luma.shape
        left = (mark.sequence * max(2, width // 120)) % max(1, width - size) & ~1
        swing = abs((mark.sequence * 3) % 120 - 60) / 60
        top = int(height * (0.35 + 0.3 * swing)) & ~1
        _stamp(views.luma, self._disc, left, top, _BALL[0])
        for chroma, value in ((views.blue, _BALL[1]), (views.red, _BALL[2])):
            if chroma is not None:
                tall = chroma.shape[0] == height
                shape, row = (self._disc[:, ::2], top) if tall else (self._disc[::2, ::2], top // 2)
                _stamp(chroma, shape, left // 2, row, value)
        if self._has_mark:
            draw_mark(views.luma, mark)


def _stamp(target: Pixels, shape: NDArray[np.bool_], left: int, top: int, value: int) -> None:
    patch = target[top : top + shape.shape[0], left : left + shape.shape[1]]
    patch[shape[: patch.shape[0], : patch.shape[1]]] = value


def _draw_card(picture: Picture, label: str) -> tuple[Pixels, Pixels, Pixels]:
    """Luma, blue and red of the whole test card: bars above, a ramp of greys below, the label in a box."""
    width, height = picture.width_px, picture.height_px
    luma, blue, red = (np.empty((height, width), np.uint8) for _ in range(3))
    bars = np.array(_BARS, np.uint8)[np.arange(width) * len(_BARS) // width]
    luma[:], blue[:], red[:] = bars[:, 0], 128 + (bars[:, 1] - 128.0) * 0.6, 128 + (bars[:, 2] - 128.0) * 0.6
    shade = np.linspace(0.55, 0.8, height)[:, None]
    luma[:] = (16 + (luma - 16.0) * shade).astype(np.uint8)
    ramp = height * 5 // 6
    luma[ramp:] = np.linspace(16, 235, width).astype(np.uint8)
    blue[ramp:], red[ramp:] = 128, 128
    for row in range(height // 4, ramp, max(8, height // 12)):
        luma[row] = 200
    _write_label(luma, blue, red, label)
    return luma, blue, red


def _write_label(luma: Pixels, blue: Pixels, red: Pixels, label: str) -> None:
    height, width = luma.shape
    font, scale, thickness = cv2.FONT_HERSHEY_DUPLEX, height / 480, max(1, height // 320)
    (text_width, text_height), _ = cv2.getTextSize(label, font, scale, thickness)
    left, bottom = (width - text_width) // 2, height * 2 // 5
    margin = text_height // 2
    rows, columns = (
        slice(max(0, bottom - text_height - margin), bottom + margin),
        slice(max(0, left - margin), left + text_width + margin),
    )
    luma[rows, columns], blue[rows, columns], red[rows, columns] = 24, 128, 128
    cv2.putText(luma, label, (left, bottom), font, scale, 220, thickness, cv2.LINE_AA)


def _cropped(card: tuple[Pixels, Pixels, Pixels], crop: tuple[float, float, float, float]) -> list[Pixels]:
    height, width = card[0].shape
    left, top = int(crop[0] * width), int(crop[1] * height)
    right, bottom = max(left + 2, int((crop[0] + crop[2]) * width)), max(top + 2, int((crop[1] + crop[3]) * height))
    return [_at_size(plane[top:bottom, left:right], (height, width)) for plane in card]


def _at_size(plane: Pixels, shape: tuple[int, ...]) -> Pixels:
    if plane.shape == shape:
        return plane
    return np.asarray(cv2.resize(plane, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), np.uint8)
