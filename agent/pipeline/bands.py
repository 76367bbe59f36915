"""One JPEG from bands that were compressed one by one, joined by restart markers (ITU-T T.81, B.2.4.4 and E.1.4).

A band's planes stay in the processor's cache from splitting to coding, which a whole picture's do not; the decoded
pixels are the same. Why, and what it brings: docs/decisions/0008-jpeg-by-planes.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.pipeline.mjpeg import EOI, SOI, Pieces

_SOF0, _SOS = 0xC0, 0xDA
_RESTART = tuple(bytes((0xFF, 0xD0 + number)) for number in range(8))
_BAND_PIXELS = 1 << 18
"""About what fits, with all its planes, into a second-level cache of 1 MiB."""
_STEP = 32
"""Bands begin where a block of any subsampling does."""


def band_lines(width_px: int, height_px: int) -> int:
    """How many lines a band should have: a multiple of 32, or the whole height when that is little or fits no better.

    A last band of one line is avoided: its planes would not tell 4:2:2 from 4:2:0.
    """
    most = max(_BAND_PIXELS // width_px // _STEP, 1) * _STEP
    if height_px <= most:
        return height_px
    return next((lines for lines in range(most, 0, -_STEP) if height_px % lines != 1), height_px)


def join_bands(bands: Sequence[bytes], height_px: int) -> Pieces:
    """The picture of `height_px` lines that complete baseline JPEGs with equal tables make from top to bottom.

    All but the last have equal height, a multiple of their blocks'. Nothing is copied but the headers.
    """
    if len(bands) == 1:
        return (bands[0],)
    head = bands[0]
    frame, scan = _find(head, _SOF0), _find(head, _SOS)
    start = scan + 2 + int.from_bytes(head[scan + 2 : scan + 4], "big")
    interval = _blocks(head[frame:scan])
    pieces: list[bytes | memoryview] = [
        b"".join((
            head[: frame + 5],
            height_px.to_bytes(2, "big"),
            head[frame + 7 : scan],
            b"\xff\xdd\0\x04",  # DRI
            interval.to_bytes(2, "big"),
            head[scan:start],
        ))
    ]  # fmt: skip
    for number, band in enumerate(bands):
        if number:
            pieces.append(_RESTART[(number - 1) % 8])
        pieces.append(memoryview(band)[start : -len(EOI)])
    return (*pieces, EOI)


def _find(picture: bytes, wanted: int) -> int:
    """Where a segment starts."""
    offset = len(SOI)
    while picture[offset + 1] != wanted:
        offset += 2 + int.from_bytes(picture[offset + 2 : offset + 4], "big")
    return offset


def _blocks(frame_header: bytes) -> int:
    """How many MCUs a picture has, from its SOF segment (T.81, B.2.2)."""
    height, width = int.from_bytes(frame_header[5:7], "big"), int.from_bytes(frame_header[7:9], "big")
    factors = frame_header[11 : 10 + 3 * frame_header[9] : 3]
    across, down = 8 * max(factor >> 4 for factor in factors), 8 * max(factor & 15 for factor in factors)
    return -(-width // across) * -(-height // down)
