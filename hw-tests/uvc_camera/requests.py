# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests on endpoint 0: the standard ones (USB 2.0, chapter 9.4) and the way to the class's. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from . import descriptors
from .descriptors import Identity, Speed
from .errors import Stall
from .formats import PictureFormat, PictureSize

_SETUP = struct.Struct("<BBHHH")
_GET_STATUS, _CLEAR_FEATURE, _SET_FEATURE, _GET_DESCRIPTOR = 0, 1, 3, 6
_GET_CONFIGURATION, _SET_CONFIGURATION, _GET_INTERFACE, _SET_INTERFACE = 8, 9, 10, 11
_SET_SEL, _SET_ISOCH_DELAY = 48, 49
_TYPE_MASK, _TYPE_CLASS, _RECIPIENT_MASK, _TO_INTERFACE, _TO_ENDPOINT = 0x60, 0x20, 0x1F, 1, 2


@dataclass(frozen=True)
class Setup:
    """A setup packet."""

    request_type: int
    request: int
    value: int
    index: int
    length: int

    @classmethod
    def parse(cls, packet: bytes) -> Setup:
        """From the 8 bytes on the wire."""
        return cls(*_SETUP.unpack(packet))

    @property
    def is_class(self) -> bool:
        """A request of the video class to an interface."""
        return self.request_type & (_TYPE_MASK | _RECIPIENT_MASK) == _TYPE_CLASS | _TO_INTERFACE

    @property
    def clears_halt(self) -> bool:
        """CLEAR_FEATURE(ENDPOINT_HALT): the last thing uvcvideo does when it stops a bulk stream."""
        return self.request_type == _TO_ENDPOINT and self.request == _CLEAR_FEATURE

    @property
    def selector(self) -> int:
        """For class requests: the control selector."""
        return self.value >> 8

    @property
    def interface(self) -> int:
        """For class requests: the interface."""
        return self.index & 0xFF

    @property
    def entity(self) -> int:
        """For class requests: the terminal or unit; 0 is the interface itself."""
        return self.index >> 8


class StandardRequests:
    """Answers what every USB device is asked."""

    _ACCEPTED = (_CLEAR_FEATURE, _SET_FEATURE, _SET_CONFIGURATION, _SET_INTERFACE, _SET_SEL, _SET_ISOCH_DELAY)

    def __init__(
        self,
        identity: Identity,
        speed: Speed,
        formats: Sequence[PictureFormat],
        sizes: Sequence[PictureSize],
        trigger_switch: bool = False,
    ) -> None:
        self._identity = identity
        whole = descriptors.configuration(speed, formats, sizes, trigger_switch)
        self._blobs = {descriptors.DEVICE: descriptors.device(identity, speed), descriptors.CONFIGURATION: whole}
        if speed is Speed.SUPER:
            self._blobs[descriptors.BOS] = descriptors.bos()
        self._configured = 0

    def answer(self, setup: Setup) -> bytes:
        """The data for the host, cut to the length it asked for; empty for OUT requests. Raises: Stall."""
        if setup.request_type & _TYPE_MASK:
            raise Stall(Stall.INVALID_REQUEST)
        if setup.request == _SET_CONFIGURATION:
            self._configured = setup.value
        if setup.request in self._ACCEPTED:
            return b""
        answers = {_GET_STATUS: b"\0\0", _GET_CONFIGURATION: bytes((self._configured,)), _GET_INTERFACE: b"\0"}
        found = self._descriptor(setup) if setup.request == _GET_DESCRIPTOR else answers.get(setup.request)
        if found is None:
            raise Stall(Stall.INVALID_REQUEST)
        return found[: setup.length]

    def _descriptor(self, setup: Setup) -> bytes | None:
        kind, index = setup.value >> 8, setup.value & 0xFF
        return descriptors.string(self._identity, index) if kind == descriptors.STRING else self._blobs.get(kind)
