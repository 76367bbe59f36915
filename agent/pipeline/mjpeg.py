"""JPEG as cameras send it: checked for completeness and mended, never decoded.

USB cameras leave out the Huffman tables (as AVI does: they are always those of ITU-T T.81, Annex K.3) and fill the
frame with zeros behind the end; both are mended here, so that any program reads the file.
"""

from __future__ import annotations

from typing import TypeAlias

from agent.pipeline.pixels import PictureDamaged
from agent.v4l2.frame import Frame

Piece: TypeAlias = bytes | memoryview
Pieces: TypeAlias = tuple[Piece, ...]
"""A picture as buffers to be written one after another (`writev`); `b"".join(pieces)` makes one of them.

Pieces may lie in the driver's buffer: use them before the frame is given back.
"""

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_DHT, _SOS = 0xC4, 0xDA
_APP1 = b"\xff\xe1"
_EXIF_MAX = 0xFFFF - 2
_TAIL = 4096

STANDARD_TABLES = bytes.fromhex(
    "ffc401a2"
    "0000010501010101010100000000000000"  # DC luma: class and number, codes of each length; the values
    "000102030405060708090a0b"
    "100002010303020403050504040000017d"  # AC luma: class and number, codes of each length; the values
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a34353637"
    "38393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3"
    "a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"
    "0100030101010101010101010000000000"  # DC chroma: class and number, codes of each length; the values
    "000102030405060708090a0b"
    "1100020102040403040705040400010277"  # AC chroma: class and number, codes of each length; the values
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a3536"
    "3738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999a"
    "a2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)
"""One DHT segment with the four tables of ITU-T T.81, K.3.3.1 and K.3.3.2."""


def complete_jpeg(frame: Frame) -> Pieces:
    """The picture of an MJPG or JPEG frame, with Huffman tables, cut behind its end. Nothing is copied.

    Raises: PictureDamaged when the start, the end, or a segment between them is missing or broken off. Damage inside
    the coded pixels cannot be seen without decoding.
    """
    memory = frame.planes[0].data.cast("B")
    end = _find_end(memory)
    if bytes(memory[:2]) != SOI or end is None:
        missing = "start" if bytes(memory[:2]) != SOI else "end"
        raise _damaged(frame, f"its {missing} is missing")
    scan, has_tables = _find_scan(frame, memory[:end])
    if has_tables:
        return SOI, memory[2:end]
    return SOI, memory[2:scan], STANDARD_TABLES, memory[scan:end]


def with_exif(pieces: Pieces, exif: bytes) -> Pieces:
    """A JPEG with `exif` (as `agent.pipeline.exif` makes it) as its first segment, where EXIF 2.3 wants it.

    The first piece must be longer than its SOI marker or be exactly that. Raises ValueError when `exif` is too long
    for one segment (65,533 bytes).
    """
    if not exif:
        return pieces
    if len(exif) > _EXIF_MAX:
        raise ValueError(f"{len(exif)} bytes of EXIF do not fit into one JPEG segment")
    segment = _APP1 + (len(exif) + 2).to_bytes(2, "big") + exif
    return SOI, segment, memoryview(pieces[0])[len(SOI) :], *pieces[1:]


def _find_end(memory: memoryview) -> int | None:
    """Where the picture ends: behind its last EOI, which lies near the end but for padding."""
    for start in (max(0, len(memory) - _TAIL), 0):
        found = bytes(memory[start:]).rfind(EOI)
        if found >= 0:
            return start + found + len(EOI)
    return None


def _find_scan(frame: Frame, picture: memoryview) -> tuple[int, bool]:
    """Walk the segments up to the coded pixels: offset of their SOS marker, and whether Huffman tables came before."""
    offset, has_tables = len(SOI), False
    while offset + 4 <= len(picture):
        if picture[offset] != 0xFF:
            raise _damaged(frame, f"byte {offset} is not the start of a segment")
        marker = picture[offset + 1]
        if marker == 0xFF:  # a fill byte, T.81 B.1.1.2
            offset += 1
            continue
        if marker == _SOS:
            return offset, has_tables
        has_tables |= marker == _DHT
        offset += 2 + int.from_bytes(picture[offset + 2 : offset + 4], "big")
    raise _damaged(frame, "it ends before its pixels begin")


def _damaged(frame: Frame, problem: str) -> PictureDamaged:
    return PictureDamaged(
        f"the JPEG of frame {frame.sequence} is not whole: {problem}",
        hint="the camera sent a short frame: look at the cable and the USB bandwidth, or write it raw",
        sequence=frame.sequence,
        bytes_found=int(frame.planes[0].size),
    )
