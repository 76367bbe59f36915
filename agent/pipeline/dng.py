"""Bayer frames to DNG 1.4: the sensor's own numbers, what they mean, and when they were taken. Nothing is converted.

One uncompressed strip; 8 bits a sample as they are, 10 to 16 bits in 16, not shifted: WhiteLevel says how far they go.
What a camera's colours are nobody tells over V4L2: ColorMatrix1 is that of sRGB primaries, so programs show colours,
not measured ones.

The EXIF block is a TIFF file itself and comes first, so that its offsets hold; a directory behind it has its entries
and ours (TIFF 6.0, section 2; DNG 1.4.0.0, chapter 4).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from agent.pipeline.layouts import LAYOUTS, Mosaic, layout_of, unsupported
from agent.pipeline.mjpeg import Pieces
from agent.pipeline.pixels import samples
from agent.v4l2.frame import Frame

MOSAICS = tuple(code for code, layout in LAYOUTS.items() if isinstance(layout, Mosaic))
"""The pixel formats that can be written so."""
_EXIF_PREFIX = b"Exif\0\0"
_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL = 1, 2, 3, 4, 5, 10
_INLINE_BYTES = 4
_STRIP_OFFSETS, _SOFTWARE, _CAMERA_MODEL = 273, 305, 50708
_PLANE = {"R": 0, "G": 1, "B": 2}
_XYZ_TO_SRGB = (32405, -15371, -4985, -9693, 18760, 416, 556, -2040, 10572)
"""In ten thousandths, for D65 (IEC 61966-2-1)."""
_D65 = 21
_MODEL = b"V4L2 camera\0"


class _Entry(NamedTuple):
    """One tag of a directory: `values`: how many of that type, packed in `content`."""

    tag: int
    kind: int
    values: int
    content: bytes


def encode_dng(frame: Frame, exif: bytes = b"") -> Pieces:
    """The frame as DNG. Raises FormatUnsupported for what is no Bayer format, PictureDamaged."""
    code = frame.format.pixel_format
    layout = layout_of(code)
    if not isinstance(layout, Mosaic):
        raise unsupported(f"{code} cannot be written as dng: it is no Bayer format", code, MOSAICS)
    pixels = np.ascontiguousarray(samples(frame))
    block = exif.removeprefix(_EXIF_PREFIX) or struct.pack("<2sHIHI", b"II", 42, 8, 0, 0)
    order = "<" if block[:2] == b"II" else ">"
    if order == ">" and pixels.dtype.itemsize > 1:
        pixels = pixels.byteswap()
    head = _directory(block, _entries(frame, layout, pixels.nbytes, order), order)
    return head, pixels.data.cast("B")


def _entries(frame: Frame, layout: Mosaic, size: int, order: str) -> list[_Entry]:
    """All that is not EXIF. The strip's offset is filled in when the directory is laid out."""
    width, height = frame.format.width_px, frame.format.height_px
    short, long = f"{order}H", f"{order}I"
    matrix = [part for value in _XYZ_TO_SRGB for part in (value, 10_000)]
    return [
        _Entry(254, _LONG, 1, struct.pack(long, 0)),  # NewSubFileType
        _Entry(256, _LONG, 1, struct.pack(long, width)),
        _Entry(257, _LONG, 1, struct.pack(long, height)),
        _Entry(258, _SHORT, 1, struct.pack(short, 8 if layout.bits == 8 else 16)),  # BitsPerSample
        _Entry(259, _SHORT, 1, struct.pack(short, 1)),  # Compression: none
        _Entry(262, _SHORT, 1, struct.pack(short, 32803)),  # PhotometricInterpretation: CFA
        _Entry(_STRIP_OFFSETS, _LONG, 1, bytes(4)),
        _Entry(274, _SHORT, 1, struct.pack(short, 1)),  # Orientation
        _Entry(277, _SHORT, 1, struct.pack(short, 1)),  # SamplesPerPixel
        _Entry(278, _LONG, 1, struct.pack(long, height)),  # RowsPerStrip
        _Entry(279, _LONG, 1, struct.pack(long, size)),  # StripByteCounts
        _Entry(284, _SHORT, 1, struct.pack(short, 1)),  # PlanarConfiguration
        _Entry(33421, _SHORT, 2, struct.pack(f"{order}HH", 2, 2)),  # CFARepeatPatternDim
        _Entry(33422, _BYTE, 4, bytes(_PLANE[letter] for letter in layout.pattern)),  # CFAPattern
        _Entry(50706, _BYTE, 4, bytes((1, 4, 0, 0))),  # DNGVersion
        _Entry(50707, _BYTE, 4, bytes((1, 1, 0, 0))),  # DNGBackwardVersion
        _Entry(_CAMERA_MODEL, _ASCII, len(_MODEL), _MODEL),  # UniqueCameraModel
        _Entry(50710, _BYTE, 3, bytes((0, 1, 2))),  # CFAPlaneColor
        _Entry(50711, _SHORT, 1, struct.pack(short, 1)),  # CFALayout: rectangular
        _Entry(50714, _SHORT, 1, struct.pack(short, 0)),  # BlackLevel
        _Entry(50717, _LONG, 1, struct.pack(long, (1 << layout.bits) - 1)),  # WhiteLevel
        _Entry(50721, _SRATIONAL, 9, struct.pack(f"{order}18i", *matrix)),  # ColorMatrix1
        _Entry(50728, _RATIONAL, 3, struct.pack(f"{order}6I", 1, 1, 1, 1, 1, 1)),  # AsShotNeutral
        _Entry(50778, _SHORT, 1, struct.pack(short, _D65)),  # CalibrationIlluminant1
    ]


def _directory(block: bytes, ours: list[_Entry], order: str) -> bytes:
    """The EXIF block, the values of both that are longer than an entry, and a directory in the order of the tags."""
    start = -(-len(block) // 2) * 2
    taken = {entry.tag for entry in ours}
    theirs = {tag: raw for tag, raw in _raw_entries(block, order) if tag not in taken}
    values = bytearray()
    raws = dict(theirs)
    offsets: dict[int, bytes] = {}
    for entry in ours:
        offsets[entry.tag] = entry.content.ljust(_INLINE_BYTES, b"\0")
        if len(entry.content) > _INLINE_BYTES:
            offsets[entry.tag] = struct.pack(f"{order}I", start + len(values))
            values += entry.content + bytes(len(entry.content) % 2)
    place = start + len(values)
    end = place + 2 + 12 * (len(raws) + len(ours)) + 4
    strip = -(-end // 16) * 16
    offsets[_STRIP_OFFSETS] = struct.pack(f"{order}I", strip)
    for entry in ours:
        raws[entry.tag] = struct.pack(f"{order}HHI", entry.tag, entry.kind, entry.values) + offsets[entry.tag]
    head = struct.pack(f"{order}2sHI", block[:2], 42, place)
    table = struct.pack(f"{order}H", len(raws)) + b"".join(raws[tag] for tag in sorted(raws)) + bytes(4)
    return b"".join((head, block[8:].ljust(start - 8, b"\0"), values, table)).ljust(strip, b"\0")


def _raw_entries(block: bytes, order: str) -> list[tuple[int, bytes]]:
    """The entries of a TIFF block's first directory, as they stand there, by tag."""
    (place,) = struct.unpack_from(f"{order}I", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, place)
    raws = (block[place + 2 + 12 * number : place + 14 + 12 * number] for number in range(count))
    return [(struct.unpack_from(f"{order}H", raw)[0], raw) for raw in raws]
