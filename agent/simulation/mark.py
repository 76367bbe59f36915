"""The mark a test camera draws into each picture: its own number, exposure and gain.

A test reads it back from the pixels and so proves that a picture and its metadata belong together, whatever lay
between them: a driver, a colour conversion, a JPEG. Both the simulated cameras and the rig's UVC camera draw it.

The mark is a field of black and white blocks of 8x8 pixels (one JPEG block each, so that JPEG keeps it), written
row by row from the top left corner: magic, sequence, exposure, gain, CRC-16/CCITT; most significant bit first.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_PX = 8
BLACK, WHITE, THRESHOLD = 32, 224, 128
_MAGIC = 0xCA
_LAYOUT = struct.Struct(">BIQH")  # magic, sequence, exposure_ns, gain
_BITS = (_LAYOUT.size + 2) * 8


@dataclass(frozen=True)
class FrameMark:
    """What a picture says of itself: its number, its exposure in nanoseconds, the raw value of its gain control."""

    sequence: int
    exposure_ns: int
    gain: int


def mark_height_px(width_px: int) -> int:
    """Rows of pixels the mark covers in a picture `width_px` wide."""
    columns = width_px // BLOCK_PX
    return -(-_BITS // columns) * BLOCK_PX


def draw_mark(luma: NDArray[np.uint8], mark: FrameMark) -> None:
    """Draw `mark` into the top of `luma` (height x width, any strides), in place.

    Raises: ValueError when the picture is too small to hold it, struct.error when a value is out of range
    (sequence 32 bits, exposure 64 bits, gain 16 bits).
    """
    height, width = luma.shape
    rows, columns = mark_height_px(width) // BLOCK_PX, width // BLOCK_PX
    if rows * BLOCK_PX > height:
        raise ValueError(f"a picture of {width}x{height} cannot hold a mark of {_BITS} blocks")
    payload = _LAYOUT.pack(_MAGIC, mark.sequence, mark.exposure_ns, mark.gain)
    payload += binascii.crc_hqx(payload, 0xFFFF).to_bytes(2, "big")
    bits = np.zeros(rows * columns, np.uint8)
    bits[:_BITS] = np.unpackbits(np.frombuffer(payload, np.uint8))
    blocks = np.where(bits.reshape(rows, columns) == 1, WHITE, BLACK).astype(np.uint8)
    pixels = np.repeat(np.repeat(blocks, BLOCK_PX, axis=0), BLOCK_PX, axis=1)
    luma[: pixels.shape[0], : pixels.shape[1]] = pixels


def read_mark(luma: NDArray[np.uint8]) -> FrameMark | None:
    """The mark in the top of `luma` (height x width, 0 to 255), or None where there is none or it is damaged."""
    height, width = luma.shape
    if width < BLOCK_PX or mark_height_px(width) > height:
        return None
    rows, columns = mark_height_px(width) // BLOCK_PX, width // BLOCK_PX
    field = luma[: rows * BLOCK_PX, : columns * BLOCK_PX]
    means = field.reshape(rows, BLOCK_PX, columns, BLOCK_PX).mean(axis=(1, 3))
    payload = np.packbits((means.reshape(-1)[:_BITS] > THRESHOLD).astype(np.uint8)).tobytes()
    body, check = payload[: _LAYOUT.size], int.from_bytes(payload[_LAYOUT.size :], "big")
    magic, sequence, exposure_ns, gain = _LAYOUT.unpack(body)
    if magic != _MAGIC or binascii.crc_hqx(body, 0xFFFF) != check:
        return None
    return FrameMark(sequence, exposure_ns, gain)
