# SPDX-License-Identifier: GPL-3.0-or-later
"""The descriptors of a UVC 1.1 camera with one bulk endpoint (USB 2.0 and 3.2, chapter 9; UVC 1.1, chapter 3)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from .formats import DEFAULT_INTERVAL, PictureFormat, PictureSize

DEVICE, CONFIGURATION, STRING, BOS = 1, 2, 3, 15
CONTROL_INTERFACE, STREAMING_INTERFACE = 0, 1
CAMERA_TERMINAL, PROCESSING_UNIT, _OUTPUT_TERMINAL = 1, 2, 3
STREAM_ENDPOINT = 1
MANUFACTURER, PRODUCT, SERIAL = 1, 2, 3
"""Indexes of the string descriptors."""

_CS_INTERFACE = 0x24
_MJPEG_FORMAT, _MJPEG_FRAME, _RAW_FORMAT, _RAW_FRAME, _COLORFORMAT = 6, 7, 4, 5, 13
_ENGLISH_US = 0x0409


class Speed(IntEnum):
    """USB speeds as the kernel's `enum usb_device_speed` counts them, which is what vhci_hcd's attach wants."""

    HIGH = 3
    SUPER = 5

    @property
    def payload_bytes(self) -> int:
        """The longest payload: 32 packets of the endpoint, which the driver puts into one URB."""
        return 32 * self.packet_bytes

    @property
    def packet_bytes(self) -> int:
        """Longest packet of the bulk endpoint (wMaxPacketSize)."""
        return 512 if self is Speed.HIGH else 1024


@dataclass(frozen=True)
class Identity:
    """Who the camera says it is. A `serial` of None leaves the serial number out altogether."""

    serial: str | None = None
    manufacturer: str = "camera-agent"
    product: str = "UVC test camera"
    vendor_id: int = 0x1D6B  # Linux Foundation, as the kernel's own gadgets use
    product_id: int = 0x0102  # webcam gadget

    def string(self, index: int) -> str | None:
        """The string with that index, if the camera has it."""
        return {MANUFACTURER: self.manufacturer, PRODUCT: self.product, SERIAL: self.serial}.get(index)


def device(identity: Identity, speed: Speed) -> bytes:
    """The device descriptor; class EF/02/01 announces an interface association."""
    release, packet = (0x0200, 64) if speed is Speed.HIGH else (0x0300, 9)
    serial = 0 if identity.serial is None else SERIAL
    ids = (identity.vendor_id, identity.product_id, 0x0100)
    strings = (MANUFACTURER, PRODUCT, serial, 1)
    return struct.pack("<BBHBBBBHHHBBBB", 18, DEVICE, release, 0xEF, 2, 1, packet, *ids, *strings)


def string(identity: Identity, index: int) -> bytes | None:
    """A string descriptor, or None where the camera has none of that index; index 0 lists the languages."""
    if index == 0:
        return struct.pack("<BBH", 4, STRING, _ENGLISH_US)
    text = identity.string(index)
    if text is None:
        return None
    encoded = text.encode("utf-16-le")
    return bytes((2 + len(encoded), STRING)) + encoded


def bos() -> bytes:
    """Binary object store: USB 2.0 extension and SuperSpeed capability, as USB 3 asks of every device."""
    extension = struct.pack("<BBBI", 7, 16, 2, 0)
    superspeed = struct.pack("<BBBBHBBH", 10, 16, 3, 0, 0x000C, 2, 0, 0)
    return struct.pack("<BBHB", 5, BOS, 5 + len(extension + superspeed), 2) + extension + superspeed


def configuration(
    speed: Speed, formats: Sequence[PictureFormat], sizes: Sequence[PictureSize], trigger_switch: bool = False
) -> bytes:
    """The configuration with all that belongs to it; with a `trigger_switch` there is a privacy control.

    The streaming interface has no alternate settings: with any, the driver would look for isochronous endpoints.
    """
    association = struct.pack("<8B", 8, 11, CONTROL_INTERFACE, 2, 14, 3, 0, PRODUCT)
    body = association + _control_interface(trigger_switch) + _streaming_interface(speed, formats, sizes)
    power = 250 if speed is Speed.HIGH else 62  # 500 mA, counted in 2 or in 8 mA
    return struct.pack("<BBHBBBBB", 9, CONFIGURATION, 9 + len(body), 2, 1, 0, 0x80, power) + body


def _interface(number: int, endpoints: int, subclass: int) -> bytes:
    return struct.pack("<9B", 9, 4, number, 0, endpoints, 14, subclass, 0, 0)


def _control_interface(trigger_switch: bool) -> bytes:
    # bmControls: auto exposure mode (D1), absolute exposure time (D3), privacy (D18); brightness (D0), gain (D9), power
    # line (D10).
    camera_controls, processing_controls = 1 << 1 | 1 << 3 | trigger_switch << 18, 1 << 0 | 1 << 9 | 1 << 10
    camera = struct.pack("<BBBBHBBHHHB", 18, _CS_INTERFACE, 2, CAMERA_TERMINAL, 0x0201, 0, 0, 0, 0, 0, 3)
    camera += camera_controls.to_bytes(3, "little")
    unit = struct.pack("<BBBBBHBHBB", 12, _CS_INTERFACE, 5, PROCESSING_UNIT, CAMERA_TERMINAL, 0, 2,
                       processing_controls, 0, 0)  # fmt: skip
    output = struct.pack("<BBBBHBBB", 9, _CS_INTERFACE, 3, _OUTPUT_TERMINAL, 0x0101, 0, PROCESSING_UNIT, 0)
    total = 13 + len(camera + unit + output)
    header = struct.pack("<BBBHHIBB", 13, _CS_INTERFACE, 1, 0x0110, total, 1_000_000, 1, STREAMING_INTERFACE)
    return _interface(CONTROL_INTERFACE, 0, 1) + header + camera + unit + output


def _streaming_interface(speed: Speed, formats: Sequence[PictureFormat], sizes: Sequence[PictureSize]) -> bytes:
    listed = b"".join(_format(index, each, sizes) for index, each in enumerate(formats, 1))
    size = 13 + len(formats)
    header = struct.pack("<BBBBHBBBBBBB", size, _CS_INTERFACE, 1, len(formats), size + len(listed),
                         0x80 | STREAM_ENDPOINT, 0, _OUTPUT_TERMINAL, 0, 0, 0, 1) + bytes(len(formats))  # fmt: skip
    endpoint = struct.pack("<BBBBHB", 7, 5, 0x80 | STREAM_ENDPOINT, 2, speed.packet_bytes, 0)
    if speed is Speed.SUPER:
        endpoint += struct.pack("<BBBBH", 6, 48, 0, 0, 0)  # SuperSpeed companion: no bursts, no streams
    return _interface(STREAMING_INTERFACE, 1, 2) + header + listed + endpoint


def _format(index: int, picture: PictureFormat, sizes: Sequence[PictureSize]) -> bytes:
    if picture.guid is None:
        head = struct.pack("<11B", 11, _CS_INTERFACE, _MJPEG_FORMAT, index, len(sizes), 1, 1, 0, 0, 0, 0)
    else:
        head = struct.pack("<5B16s6B", 27, _CS_INTERFACE, _RAW_FORMAT, index, len(sizes), picture.guid,
                           picture.bits_per_pixel, 1, 0, 0, 0, 0)  # fmt: skip
    frames = b"".join(_frame(number, picture, size) for number, size in enumerate(sizes, 1))
    colours = struct.pack("<6B", 6, _CS_INTERFACE, _COLORFORMAT, 1, 1, 4)  # BT.709, SMPTE 170M luma: sRGB cameras
    return head + frames + colours


def _frame(index: int, picture: PictureFormat, size: PictureSize) -> bytes:
    kind = _MJPEG_FRAME if picture.guid is None else _RAW_FRAME
    most_bytes = picture.bytes_for(size.width_px, size.height_px)
    slowest, fastest = (most_bytes * 8 * 10_000_000 // each for each in (size.intervals[-1], size.intervals[0]))
    head = struct.pack("<BBBBBHHIIIIB", 26 + 4 * len(size.intervals), _CS_INTERFACE, kind, index, 0, size.width_px,
                       size.height_px, slowest, min(fastest, 0xFFFFFFFF), most_bytes,
                       DEFAULT_INTERVAL, len(size.intervals))  # fmt: skip
    return head + struct.pack(f"<{len(size.intervals)}I", *size.intervals)
