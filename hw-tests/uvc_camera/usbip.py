# SPDX-License-Identifier: GPL-3.0-or-later
"""The USB/IP wire protocol, from the device's side: bytes to commands, answers to bytes. Does no I/O.

Follows Documentation/usb/usbip_protocol.rst of the kernel: headers of 48 bytes, big-endian, the setup packet as it
would be on the bus; endpoints come without their direction bit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import ProtocolError

HEADER_BYTES = 48
CMD_SUBMIT, CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4
DIRECTION_OUT, DIRECTION_IN = 0, 1

# Negative errno values, as an URB's status carries them (Documentation/driver-api/usb/error-codes.rst).
STATUS_OK = 0
STATUS_STALL = -32
STATUS_PROTOCOL = -71
STATUS_UNLINKED = -104

_BASIC = struct.Struct(">5I")  # command, seqnum, devid, direction, ep
_SUBMIT = struct.Struct(">Iiiii8s")  # transfer_flags, length, start_frame, number_of_packets, interval, setup
_VICTIM = struct.Struct(">I")
_RET_SUBMIT = struct.Struct(">5I5i8x")  # basic header, status, actual_length, start_frame, packets, error_count
_RET_UNLINK = struct.Struct(">5Ii24x")
_LONGEST_OUT_BYTES = 1 << 20
_NOT_ISOCHRONOUS = (0, -1)


@dataclass(frozen=True)
class Submit:
    """CMD_SUBMIT: an URB of the host. `data` is what an OUT transfer carries."""

    seqnum: int
    endpoint: int
    inwards: bool
    length: int
    setup: bytes
    data: bytes = b""


@dataclass(frozen=True)
class Unlink:
    """CMD_UNLINK: the host takes the URB `victim` back."""

    seqnum: int
    victim: int


Command = Submit | Unlink


class Parser:
    """Turns a stream of bytes, cut anywhere, into commands. For one thread."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Command]:
        """The commands completed by `data`. Raises: ProtocolError where the stream makes no sense."""
        self._pending += data
        while (command := self._take()) is not None:
            yield command

    def _take(self) -> Command | None:
        if len(self._pending) < HEADER_BYTES:
            return None
        command, seqnum, _, direction, endpoint = _BASIC.unpack_from(self._pending)
        if command == CMD_UNLINK:
            (victim,) = _VICTIM.unpack_from(self._pending, _BASIC.size)
            del self._pending[:HEADER_BYTES]
            return Unlink(seqnum, victim)
        if command != CMD_SUBMIT or direction not in (DIRECTION_OUT, DIRECTION_IN):
            raise ProtocolError(f"no USB/IP command: {bytes(self._pending[:HEADER_BYTES]).hex()}")
        return self._take_submit(seqnum, endpoint, direction == DIRECTION_IN)

    def _take_submit(self, seqnum: int, endpoint: int, inwards: bool) -> Submit | None:
        _, length, _, packets, _, setup = _SUBMIT.unpack_from(self._pending, _BASIC.size)
        if packets not in _NOT_ISOCHRONOUS:
            raise ProtocolError(f"URB {seqnum} is isochronous; this camera has no such endpoint")
        if length < 0 or (not inwards and length > _LONGEST_OUT_BYTES):
            raise ProtocolError(f"URB {seqnum} has an impossible length: {length}")
        end = HEADER_BYTES + (0 if inwards else length)
        if len(self._pending) < end:
            return None
        data = bytes(self._pending[HEADER_BYTES:end])
        del self._pending[:end]
        return Submit(seqnum, endpoint, inwards, length, setup, data)


def ret_submit(seqnum: int, status: int, actual_bytes: int) -> bytes:
    """The header of RET_SUBMIT; for IN transfers `actual_bytes` of data follow it on the wire."""
    return _RET_SUBMIT.pack(RET_SUBMIT, seqnum, 0, 0, 0, status, actual_bytes, 0, 0, 0)


def ret_unlink(seqnum: int, status: int) -> bytes:
    """RET_UNLINK: STATUS_UNLINKED when the victim was still queued, STATUS_OK when it had been answered before."""
    return _RET_UNLINK.pack(RET_UNLINK, seqnum, 0, 0, 0, status)
