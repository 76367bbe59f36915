"""Frames to JPEG by libjpeg-turbo, without a detour over RGB: it is given the camera's own Y'CbCr planes.

What the colours mean: see `agent.pipeline.colour`. Quality 90 is the default: nobody sees the difference to the
original at normal size, and 100 costs about three times the bytes. Chroma stays as fine as the camera sent it (4:2:2
from YUYV), `Chroma.QUARTER` makes 4:2:0 of it as OpenCV does by default: a tenth to a fifth smaller and about a fifth
cheaper, with softer edges between colours.
"""

from __future__ import annotations

import enum
from typing import Any

import simplejpeg

from agent.errors import InputError
from agent.pipeline.bands import band_lines, join_bands
from agent.pipeline.colour import Levels, Scratch, eight_bits, to_bgr, yuv_bands
from agent.pipeline.layouts import Grey, Jpeg, PackedYuv, PlanarYuv, Rgb, Rgb565, SemiPlanarYuv, layout_of
from agent.pipeline.mjpeg import Pieces, complete_jpeg, with_exif
from agent.pipeline.pixels import rgb
from agent.v4l2.frame import Frame

DEFAULT_QUALITY = 90


class Chroma(enum.StrEnum):
    """How fine the colours of a JPEG are: see this module."""

    AS_SENT = "as-sent"
    QUARTER = "4:2:0"


class JpegEncoder:
    """Frames to JPEG, one after another, in memory that is used again. Not to be shared between threads."""

    def __init__(
        self,
        quality: int = DEFAULT_QUALITY,
        *,
        levels: Levels = Levels.LIMITED,
        chroma: Chroma = Chroma.AS_SENT,
    ) -> None:
        if not 1 <= quality <= 100:
            raise InputError(
                f"{quality} is not a JPEG quality",
                hint="choose 1 to 100, 90 is usual",
                asked=quality,
                allowed="1 to 100",
            )
        self.quality = quality
        self.levels = levels
        self.chroma = chroma
        self._scratch = Scratch()

    def encode(self, frame: Frame, exif: bytes = b"") -> Pieces:
        """The frame as JPEG. What the camera already sent as JPEG passes as it is, whatever the quality.

        Raises: FormatUnsupported, PictureDamaged.
        """
        layout = layout_of(frame.format.pixel_format)
        if isinstance(layout, Jpeg):
            return with_exif(complete_jpeg(frame), exif)
        if isinstance(layout, PackedYuv | SemiPlanarYuv | PlanarYuv):
            return with_exif(self._compress_planes(frame), exif)
        return with_exif((bytes(self._compress(frame)),), exif)

    def _compress(self, frame: Frame) -> Any:
        """The frame as simplejpeg makes it: bytes, which its stubs do not say."""
        layout = layout_of(frame.format.pixel_format)
        fine = "420" if self.chroma is Chroma.QUARTER else "444"
        if isinstance(layout, Grey):
            return simplejpeg.encode_jpeg_yuv_planes(eight_bits(frame), None, None, quality=self.quality)
        if isinstance(layout, Rgb):
            return simplejpeg.encode_jpeg(rgb(frame, layout), self.quality, layout.channels, fine)
        if isinstance(layout, Rgb565):
            return simplejpeg.encode_jpeg(to_bgr(frame), self.quality, "BGR", fine)
        # Bayer: a colour filter sees each colour on every other line and column at most
        return simplejpeg.encode_jpeg(to_bgr(frame), self.quality, "BGR", "420")

    def _compress_planes(self, frame: Frame) -> Pieces:
        form = frame.format
        bands = yuv_bands(
            frame,
            self.levels,
            self._scratch,
            lines=band_lines(form.width_px, form.height_px),
            quarter=self.chroma is Chroma.QUARTER,
        )
        compress = simplejpeg.encode_jpeg_yuv_planes
        return join_bands(
            [bytes(compress(band.y, band.u, band.v, quality=self.quality)) for band in bands], form.height_px
        )
