# SPDX-License-Identifier: GPL-3.0-or-later
"""Video probe and commit: how host and camera agree on a stream (UVC 1.1, 4.3.1.1). Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .controls import GET_CUR, GET_DEF, GET_INFO, GET_LEN, GET_MAX, GET_MIN, GET_RES
from .errors import Stall
from .formats import DEFAULT_INTERVAL, PictureFormat, PictureSize, StreamMode

PROBE, COMMIT = 1, 2
BLOCK_BYTES = 34
"""Length of the block in UVC 1.1."""

_CHOICE = struct.Struct("<HBBI")  # bmHint, bFormatIndex, bFrameIndex, dwFrameInterval
_BLOCK = struct.Struct("<HBBIHHHHHIIIBBBB")
_CLOCK_HZ = 1_000_000
_FRAME_ID_AND_END = 3  # bmFramingInfo: the frame id and end-of-frame bits of the payload headers are meaningful


class Negotiation:
    """Holds the mode under discussion. A wish that cannot be met is answered with the nearest that can."""

    def __init__(self, formats: Sequence[PictureFormat], sizes: Sequence[PictureSize], payload_bytes: int) -> None:
        self._formats = tuple(formats)
        self._sizes = tuple(sizes)
        self._payload_bytes = payload_bytes
        self._probed = self._mode(1, 1, DEFAULT_INTERVAL)

    def put(self, data: bytes) -> StreamMode:
        """The host's wish; what the camera makes of it. Raises: Stall for a block of the wrong length."""
        if len(data) != BLOCK_BYTES:
            raise Stall(Stall.OUT_OF_RANGE)
        _, format_index, frame_index, interval = _CHOICE.unpack_from(data)
        self._probed = self._mode(format_index, frame_index, interval)
        return self._probed

    def get(self, request: int) -> bytes:
        """The answer to a GET request on probe or commit. Raises: Stall for an unknown one."""
        if request == GET_LEN:
            return BLOCK_BYTES.to_bytes(2, "little")
        if request == GET_INFO:
            return b"\x03"
        intervals = self._probed.size.intervals
        chosen = {GET_CUR: self._probed.interval, GET_MIN: intervals[0], GET_MAX: intervals[-1], GET_RES: 0,
                  GET_DEF: DEFAULT_INTERVAL}.get(request)  # fmt: skip
        if chosen is None:
            raise Stall(Stall.INVALID_REQUEST)
        return self._block(chosen)

    def _mode(self, format_index: int, frame_index: int, interval: int) -> StreamMode:
        picture = self._formats[format_index - 1 if 1 <= format_index <= len(self._formats) else 0]
        size = self._sizes[frame_index - 1 if 1 <= frame_index <= len(self._sizes) else 0]
        return StreamMode(picture, size, min(size.intervals, key=lambda each: abs(each - interval)))

    def _block(self, interval: int) -> bytes:
        mode = self._probed
        indexes = self._formats.index(mode.picture) + 1, self._sizes.index(mode.size) + 1
        return _BLOCK.pack(1, *indexes, interval, 0, 0, 0, 0, 0, mode.picture_bytes, self._payload_bytes,
                           _CLOCK_HZ, _FRAME_ID_AND_END, 1, 1, 1)  # fmt: skip
