"""EXIF 2.32 of one picture: when it was taken, for how long, by which camera.

Nothing is invented: what is not known is left out. ISO always is, for a raw gain does not tell it.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, tzinfo
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from PIL import ExifTags, Image, TiffImagePlugin

import agent
from agent.pipeline.record import FrameRecord
from agent.units import NS_PER_S

_ASCII_COMMENT = b"ASCII\0\0\0"
_UINT32_MAX = 0xFFFFFFFF


def exif_of(record: FrameRecord, *, make: str = "", model: str = "", zone: tzinfo | None = None) -> bytes:
    """EXIF as JPEG's APP1 carries it: `Exif`, two zeros, a TIFF header.

    `make` and `model` as the driver names the camera. The time is written in `zone` (None: the system's) with its
    offset, to the nanosecond. The comment holds the sequence number and the monotonic timestamp.
    """
    comment = _comment(record).encode("ascii", "replace")
    form = _form(_ascii(make), _ascii(model), record.exposure_ns is not None, len(comment))
    seconds, nanoseconds = divmod(record.realtime_ns, NS_PER_S)
    date, offset = _date(seconds, zone)
    values = [date, date, b"%09d" % nanoseconds, offset, comment]
    if record.exposure_ns is not None:
        values.append(form.rational.pack(*_rational(record.exposure_ns)))
    content = bytearray(form.content)
    for place, value in zip(form.places, values, strict=True):
        content[place : place + len(value)] = value
    return bytes(content)


@lru_cache(maxsize=64)
def _date(seconds: int, zone: tzinfo | None) -> tuple[bytes, bytes]:
    """Date with time, and offset from UTC: the same for all pictures of a second."""
    taken = datetime.fromtimestamp(seconds, UTC).astimezone(zone)
    offset = taken.strftime("%z")
    return taken.strftime("%Y:%m:%d %H:%M:%S").encode("ascii"), f"{offset[:3]}:{offset[3:5]}".encode("ascii")


class _Form(NamedTuple):
    """The EXIF of one camera with blanks: where they are, in the order `exif_of` fills them in."""

    content: bytes
    places: tuple[int, ...]
    rational: struct.Struct


_BLANKS = ("\x01" * 19, "\x02" * 19, "\x03" * 9, "\x04" * 6)
"""Date, original date, nanoseconds, offset from UTC: all of fixed length."""
_BLANK_COMMENT = b"\x05"
_BLANK_RATIONAL = (0x06060607, 0x07070708)
"""Without a common divisor, so that it is written as it is."""


@lru_cache(maxsize=64)
def _form(make: str, model: str, exposed: bool, comment_bytes: int) -> _Form:
    """Made by Pillow once for each camera: from picture to picture only a few bytes change."""
    exif = Image.Exif()
    texts = {ExifTags.Base.Make: make, ExifTags.Base.Model: model}
    for tag, text in texts.items():
        if text:
            exif[tag] = text
    exif[ExifTags.Base.Software] = f"camera-agent {agent.__version__}"
    exif[ExifTags.Base.DateTime] = _BLANKS[0]
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = _BLANKS[1]
    details[ExifTags.Base.SubsecTimeOriginal] = _BLANKS[2]
    details[ExifTags.Base.OffsetTimeOriginal] = _BLANKS[3]
    if exposed:
        details[ExifTags.Base.ExposureTime] = TiffImagePlugin.IFDRational(*_BLANK_RATIONAL)
    details[ExifTags.Base.UserComment] = _ASCII_COMMENT + _BLANK_COMMENT * comment_bytes
    content = exif.tobytes()
    rational = struct.Struct("<II" if content[6:8] == b"II" else ">II")
    blanks = [*(blank.encode("ascii") for blank in _BLANKS), _BLANK_COMMENT * comment_bytes]
    if exposed:
        blanks.append(rational.pack(*_BLANK_RATIONAL))
    # from the end: a camera's name, wherever it comes from, lies before them all
    return _Form(content, tuple(content.rindex(blank) for blank in blanks), rational)


def _rational(duration_ns: int) -> tuple[int, int]:
    """Seconds in two 32-bit numbers: exact up to 4.29 s, beyond that to a part in 10^9."""
    seconds = Fraction(duration_ns, NS_PER_S)
    if seconds > 1:
        near = (1 / seconds).limit_denominator(_UINT32_MAX)
        return near.denominator, near.numerator
    near = seconds.limit_denominator(_UINT32_MAX)
    return near.numerator, near.denominator


def _comment(record: FrameRecord) -> str:
    return (
        f"camera={record.camera} sequence={record.sequence} timestamp_ns={record.timestamp_ns}"
        f" timestamp_clock={record.timestamp_clock} timestamp_source={record.timestamp_source}"
        f" uncertainty_ns={record.uncertainty_ns}"
    )


def _ascii(text: str) -> str:
    """EXIF's text is ASCII; anything else becomes a question mark."""
    return text.encode("ascii", "replace").decode("ascii")
