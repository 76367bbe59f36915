"""Frames to PNG and TIFF: nothing is lost behind the conversion to RGB, and grey stays grey with all its bits.

- 8-bit grey: as it is. 10 to 16-bit grey: 16 bits, shifted up so that white is white in every viewer; PNG notes the
  bits that mean something (sBIT), the original number is the stored one shifted down again.
- Bayer: PNG shows colours (demosaiced to 8 bits), for people. TIFF keeps the mosaic as grey, like 10 to 16-bit grey
  above, for programs that demosaic themselves.
- all others: 8-bit RGB as `agent.pipeline.colour` converts them.

PNG through OpenCV, faster than Pillow at equal size; EXIF goes into its eXIf chunk.
TIFF through Pillow, without compression: what every program reads, in a small part of PNG's time.
"""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
from PIL import Image

from agent.pipeline.colour import Levels, to_bgr
from agent.pipeline.layouts import Grey, Mosaic, layout_of
from agent.pipeline.mjpeg import Pieces
from agent.pipeline.pixels import Samples, samples
from agent.v4l2.frame import Frame

_PNG_HEADER_END = 8 + 25
"""The signature and IHDR, which comes first and has a fixed length (PNG, 5.6 and 11.2.2)."""
_EXIF_PREFIX = b"Exif\0\0"
_FAST = 1
"""zlib level: on pictures with the noise of a sensor, 3 is a third to two thirds slower for 1 to 4 % of the size."""


def encode_png(frame: Frame, exif: bytes = b"", levels: Levels = Levels.LIMITED) -> Pieces:
    """The frame as PNG. Raises FormatUnsupported, PictureDamaged."""
    layout = layout_of(frame.format.pixel_format)
    chunks = b""
    if isinstance(layout, Grey):
        pixels: Samples = _shifted(samples(frame), layout.bits)
        if layout.bits not in (8, 16):
            chunks = _chunk(b"sBIT", bytes([layout.bits]))
    else:
        pixels = to_bgr(frame, levels)
    if exif:
        chunks += _chunk(b"eXIf", exif.removeprefix(_EXIF_PREFIX))
    encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, _FAST])[1].data.cast("B")
    return encoded[:_PNG_HEADER_END], chunks, encoded[_PNG_HEADER_END:]


def encode_tiff(frame: Frame, exif: bytes = b"", levels: Levels = Levels.LIMITED) -> Pieces:
    """The frame as TIFF. Raises FormatUnsupported, PictureDamaged."""
    layout = layout_of(frame.format.pixel_format)
    if isinstance(layout, Grey | Mosaic):
        picture = Image.fromarray(np.ascontiguousarray(_shifted(samples(frame), layout.bits)))
    else:
        bgr = to_bgr(frame, levels)
        size = (bgr.shape[1], bgr.shape[0])
        picture = Image.frombuffer("RGB", size, np.ascontiguousarray(bgr), "raw", "BGR", 0, 1)
    out = io.BytesIO()
    picture.save(out, "TIFF", exif=exif)
    return (out.getbuffer(),)


def _shifted(values: Samples, bits: int) -> Samples:
    if values.dtype == np.uint8 or bits == 16:
        return values
    return np.left_shift(values, 16 - bits)


def _chunk(name: bytes, body: bytes) -> bytes:
    """A PNG chunk (PNG, 5.3): length, name, body, CRC of the last two."""
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
