"""EXIF 2.32 of one picture: when it was taken, for how long, by which camera.

Nothing is invented: what is not known is left out. ISO always is, for a raw gain does not tell it.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from fractions import Fraction

from PIL import ExifTags, Image, TiffImagePlugin

import agent
from agent.pipeline.record import FrameRecord
from agent.units import NS_PER_S

_ASCII_COMMENT = b"ASCII\0\0\0"


def exif_of(record: FrameRecord, *, make: str = "", model: str = "", zone: tzinfo | None = None) -> bytes:
    """EXIF as JPEG's APP1 carries it: `Exif`, two zeros, a TIFF header.

    `make` and `model` as the driver names the camera. The time is written in `zone` (None: the system's) with its
    offset, to the nanosecond. The comment holds the sequence number and the monotonic timestamp.
    """
    exif = Image.Exif()
    texts = {ExifTags.Base.Make: make, ExifTags.Base.Model: model}
    for tag, text in texts.items():
        if text:
            exif[tag] = _ascii(text)
    exif[ExifTags.Base.Software] = f"camera-agent {agent.__version__}"
    seconds, nanoseconds = divmod(record.realtime_ns, NS_PER_S)
    taken = datetime.fromtimestamp(seconds, UTC).astimezone(zone)
    offset = taken.strftime("%z")
    exif[ExifTags.Base.DateTime] = taken.strftime("%Y:%m:%d %H:%M:%S")
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
    details[ExifTags.Base.SubsecTimeOriginal] = f"{nanoseconds:09d}"
    details[ExifTags.Base.OffsetTimeOriginal] = f"{offset[:3]}:{offset[3:5]}"
    if record.exposure_ns is not None:
        details[ExifTags.Base.ExposureTime] = _rational(record.exposure_ns)
    details[ExifTags.Base.UserComment] = _ASCII_COMMENT + _comment(record).encode("ascii", "replace")
    return exif.tobytes()


def _rational(duration_ns: int) -> TiffImagePlugin.IFDRational:
    """Seconds; Pillow brings them into two 32-bit numbers: exact up to 4.29 s, beyond that to a part in 10^9."""
    return TiffImagePlugin.IFDRational(Fraction(duration_ns, NS_PER_S))


def _comment(record: FrameRecord) -> str:
    return (
        f"camera={record.camera} sequence={record.sequence} timestamp_ns={record.timestamp_ns}"
        f" timestamp_clock={record.timestamp_clock} timestamp_source={record.timestamp_source}"
        f" uncertainty_ns={record.uncertainty_ns}"
    )


def _ascii(text: str) -> str:
    """EXIF's text is ASCII; anything else becomes a question mark."""
    return text.encode("ascii", "replace").decode("ascii")
