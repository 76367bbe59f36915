# SPDX-License-Identifier: GPL-3.0-or-later
"""What the camera can send: picture formats, sizes, frame intervals."""

from __future__ import annotations

from dataclasses import dataclass

INTERVAL_UNIT_NS = 100
"""UVC counts frame intervals in units of 100 ns (UVC 1.1, 4.3.1.1, dwFrameInterval)."""

# Payload formats are named by a GUID whose first four bytes are the fourcc (UVC 1.1 Uncompressed Payload, table 2-1).
_GUID_TAIL = bytes.fromhex("00001000800000aa00389b71")


@dataclass(frozen=True)
class PictureFormat:
    """One way to write a picture down. `guid` is None for Motion-JPEG, which has a descriptor type of its own."""

    name: str
    guid: bytes | None
    bits_per_pixel: int

    def bytes_for(self, width_px: int, height_px: int) -> int:
        """The size of one picture; for MJPEG the most it may take."""
        return width_px * height_px * self.bits_per_pixel // 8


YUYV = PictureFormat("yuyv", b"YUY2" + _GUID_TAIL, 16)
NV12 = PictureFormat("nv12", b"NV12" + _GUID_TAIL, 12)
GREY = PictureFormat("grey", b"Y800" + _GUID_TAIL, 8)
MJPEG = PictureFormat("mjpeg", None, 16)
FORMATS = {each.name: each for each in (YUYV, MJPEG, NV12, GREY)}


@dataclass(frozen=True)
class PictureSize:
    """A size and the frame intervals offered for it, shortest first, in units of 100 ns."""

    width_px: int
    height_px: int
    intervals: tuple[int, ...]


def _intervals(*rates_hz: int) -> tuple[int, ...]:
    return tuple(sorted(10_000_000 // rate for rate in rates_hz))


SIZES = (
    PictureSize(640, 480, _intervals(5, 10, 15, 30)),
    PictureSize(320, 240, _intervals(5, 10, 15, 30, 60, 100)),
    PictureSize(1280, 720, _intervals(5, 10, 15, 30)),
    PictureSize(1920, 1080, _intervals(5, 10, 15, 30)),
)
DEFAULT_INTERVAL = 333_333


@dataclass(frozen=True)
class StreamMode:
    """What host and camera agreed on: one format, one size, one frame interval."""

    picture: PictureFormat
    size: PictureSize
    interval: int

    @property
    def interval_ns(self) -> int:
        """The frame interval in nanoseconds."""
        return self.interval * INTERVAL_UNIT_NS

    @property
    def picture_bytes(self) -> int:
        """The most bytes one picture takes."""
        return self.picture.bytes_for(self.size.width_px, self.size.height_px)
