"""One frame to one picture: the way in for everybody who wants bytes."""

from __future__ import annotations

import enum

from agent.pipeline.colour import Levels
from agent.pipeline.dng import MOSAICS, encode_dng
from agent.pipeline.jpeg import DEFAULT_QUALITY, Chroma, JpegEncoder
from agent.pipeline.layouts import LAYOUTS, layout_of, unsupported
from agent.pipeline.mjpeg import Pieces
from agent.pipeline.still import encode_png, encode_tiff
from agent.v4l2.frame import Frame


class PictureKind(enum.StrEnum):
    """What a frame is written as. RAW is the buffer's bytes as the driver left them, gaps between lines included."""

    JPEG = "jpeg"
    PNG = "png"
    TIFF = "tiff"
    DNG = "dng"
    RAW = "raw"

    def suffix(self, pixel_format: str) -> str:
        """The end of a file name, without its dot: `jpg`, `png`, `tif`, `dng`; for RAW the format, such as `yuyv`."""
        if self is PictureKind.RAW:
            return "".join(letter for letter in pixel_format.lower() if letter.isalnum()) or "raw"
        return {PictureKind.JPEG: "jpg", PictureKind.PNG: "png", PictureKind.TIFF: "tif", PictureKind.DNG: "dng"}[self]

    def check(self, pixel_format: str) -> None:
        """Raises FormatUnsupported when frames of this pixel format cannot be written so: ask before capturing."""
        if self is PictureKind.DNG and pixel_format not in MOSAICS:
            raise unsupported(f"{pixel_format} cannot be written as dng: it is no Bayer format", pixel_format, MOSAICS)
        if self is not PictureKind.RAW and pixel_format not in LAYOUTS:
            raise unsupported(f"{pixel_format} cannot be written as {self}", pixel_format, LAYOUTS)


class Encoder:
    """Frames to pictures of one kind. Keeps its memory from frame to frame; not to be shared between threads."""

    def __init__(
        self,
        kind: PictureKind,
        *,
        quality: int = DEFAULT_QUALITY,
        levels: Levels = Levels.LIMITED,
        chroma: Chroma = Chroma.AS_SENT,
    ) -> None:
        self.kind = kind
        self._levels = levels
        self._jpeg = JpegEncoder(quality, levels=levels, chroma=chroma)

    def encode(self, frame: Frame, exif: bytes = b"") -> Pieces:
        """The picture, in pieces to be written one after another; valid until the frame is given back.

        `exif` as `agent.pipeline.exif` makes it; RAW has no place for it. Raises FormatUnsupported, PictureDamaged.
        """
        if self.kind is PictureKind.RAW:
            return tuple(plane.data.cast("B") for plane in frame.planes)
        layout_of(frame.format.pixel_format)
        if self.kind is PictureKind.JPEG:
            return self._jpeg.encode(frame, exif)
        if self.kind is PictureKind.PNG:
            return encode_png(frame, exif, self._levels)
        if self.kind is PictureKind.DNG:
            return encode_dng(frame, exif)
        return encode_tiff(frame, exif, self._levels)


def encode(frame: Frame, kind: PictureKind, *, quality: int = DEFAULT_QUALITY, exif: bytes = b"") -> bytes:
    """One frame as one picture in memory. For many frames keep an `Encoder`.

    Raises: FormatUnsupported, PictureDamaged, InputError for a quality outside 1 to 100.
    """
    return b"".join(Encoder(kind, quality=quality).encode(frame, exif))
