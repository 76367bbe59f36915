"""Frames to pictures of any look: scaled where that is asked, encoded by the pipeline's encoders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np

from agent.control.picture import Look
from agent.pipeline.colour import eight_bits, to_bgr
from agent.pipeline.encode import Encoder, PictureKind
from agent.pipeline.jpeg import DEFAULT_QUALITY, Chroma
from agent.pipeline.layouts import Grey, Jpeg, layout_of
from agent.v4l2.format import Format, PlaneLayout
from agent.v4l2.frame import Frame
from agent.viewing.errors import SizeUnsupported

Size = tuple[int, int]
"""Width, height."""
_Key = tuple[str, int, bool]
"""Kind, quality, scaled."""


class Darkroom:
    """Develops frames. Keeps one encoder for each quality in use; not to be shared between threads."""

    def __init__(self) -> None:
        self._encoders: dict[_Key, Encoder] = {}

    def develop(self, frame: Frame, look: Look) -> tuple[bytes, Size]:
        """The picture and its size; nothing of it lies in the frame's memory.

        At the camera's size and without a quality the camera's own JPEG passes as it is. Raises SizeUnsupported,
        FormatUnsupported, PictureDamaged.
        """
        layout = layout_of(frame.format.pixel_format)
        own = (frame.format.width_px, frame.format.height_px)
        size = size_of(look, own)
        again = isinstance(layout, Jpeg) and look.kind == "jpeg" and look.quality is not None
        if size != own or again:
            frame = _scaled(frame, size, grey=isinstance(layout, Grey))
        return b"".join(self._encoder(look, scaled=size != own).encode(frame)), size

    def keep_only(self, looks: Iterable[Look]) -> None:
        """Forget the memory of what is not wanted any more."""
        wanted = {_key(look) for look in looks}
        self._encoders = {key: one for key, one in self._encoders.items() if key[:2] in wanted}

    def _encoder(self, look: Look, *, scaled: bool) -> Encoder:
        kind, quality = _key(look)
        found = self._encoders.get((kind, quality, scaled))
        if found is None:
            # what was scaled has finer colours than the camera sent: they would only cost time and bytes
            chroma = Chroma.QUARTER if scaled else Chroma.AS_SENT
            found = Encoder(PictureKind(kind), quality=quality, chroma=chroma)
            self._encoders[kind, quality, scaled] = found
        return found


def _key(look: Look) -> tuple[str, int]:
    return look.kind, look.quality or DEFAULT_QUALITY


def size_of(look: Look, own: Size) -> Size:
    """The size of the picture of a camera whose frames are of the size `own`. Raises SizeUnsupported: it is smaller."""
    own_width, own_height = own
    width, height = look.width_px, look.height_px
    if width is None and height is None:
        return own
    if width is None:
        width = max(round((height or 1) * own_width / own_height), 1)
    elif height is None:
        height = max(round(width * own_height / own_width), 1)
    size = (width, height or 1)
    if not (1 <= size[0] <= own_width and 1 <= size[1] <= own_height):
        raise SizeUnsupported(
            f"a picture of {size[0]}x{size[1]} is larger than the camera's {own_width}x{own_height}",
            hint=f"ask for a width from 1 to {own_width} and a height from 1 to {own_height}, or for neither",
            width_px=size[0],
            height_px=size[1],
            most_width_px=own_width,
            most_height_px=own_height,
        )
    return size


def _scaled(frame: Frame, size: Size, *, grey: bool) -> Frame:
    """The frame in 8 bits, grey or blue-green-red, at this size: each pixel the mean of those it stands for."""
    pixels = eight_bits(frame) if grey else to_bgr(frame)
    if size != (frame.format.width_px, frame.format.height_px):
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    pixels = np.ascontiguousarray(pixels)
    width, height = size
    stride = width if grey else 3 * width
    layout = (PlaneLayout(stride, stride * height),)
    form = Format("GREY" if grey else "BGR3", width, height, layout, interlaced=False)
    return replace(frame, format=form, planes=(pixels.reshape(-1),))
