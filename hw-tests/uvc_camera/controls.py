# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera's controls and the answers to the requests about them (UVC 1.1, 4.2.2). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .descriptors import CAMERA_TERMINAL, PROCESSING_UNIT
from .errors import Stall

SET_CUR = 0x01
GET_CUR, GET_MIN, GET_MAX, GET_RES, GET_LEN, GET_INFO, GET_DEF = 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87
REQUEST_NAMES = {SET_CUR: "SET_CUR", GET_CUR: "GET_CUR", GET_MIN: "GET_MIN", GET_MAX: "GET_MAX", GET_RES: "GET_RES",
                 GET_LEN: "GET_LEN", GET_INFO: "GET_INFO", GET_DEF: "GET_DEF"}  # fmt: skip

MODE_MANUAL, MODE_APERTURE_PRIORITY = 1, 8
EXPOSURE_UNIT_NS = 100_000
GAIN_UNITY = 16
"""The gain control counts in sixteenths: this value leaves the picture as bright as the exposure made it."""

_CAN_GET, _CAN_SET, _DISABLED_BY_AUTO, _AUTOUPDATE = 1, 2, 4, 8  # UVC 1.1, table 4-3


@dataclass(frozen=True)
class Control:
    """One control: where it lives, how wide it is, what it may be. `resolution` of a bitmap is the bits allowed."""

    name: str
    entity: int
    selector: int
    size_bytes: int
    minimum: int
    maximum: int
    resolution: int
    default: int
    bitmap: bool = False

    def encode(self, value: int) -> bytes:
        """`value` as it travels: little-endian, signed where the range is."""
        return value.to_bytes(self.size_bytes, "little", signed=self.minimum < 0)

    def decode(self, data: bytes) -> int:
        """The value in `data`. Raises: Stall when it is of the wrong length or not allowed."""
        value = int.from_bytes(data, "little", signed=self.minimum < 0)
        single_bit = value > 0 and value & (value - 1) == 0 and value & self.resolution
        in_range = single_bit if self.bitmap else self.minimum <= value <= self.maximum
        if len(data) != self.size_bytes or not in_range:
            raise Stall(Stall.OUT_OF_RANGE)
        return value


_MODES = MODE_MANUAL | MODE_APERTURE_PRIORITY
AUTO_EXPOSURE = Control("auto_exposure", CAMERA_TERMINAL, 2, 1, 0, 255, _MODES, MODE_APERTURE_PRIORITY, bitmap=True)
EXPOSURE = Control("exposure_time_absolute", CAMERA_TERMINAL, 4, 4, 1, 5000, 1, 166)
BRIGHTNESS = Control("brightness", PROCESSING_UNIT, 2, 2, -64, 64, 1, 0)
GAIN = Control("gain", PROCESSING_UNIT, 4, 2, 1, 255, 1, GAIN_UNITY)
POWER_LINE = Control("power_line_frequency", PROCESSING_UNIT, 5, 1, 0, 2, 1, 1)
PRIVACY = Control("privacy", CAMERA_TERMINAL, 17, 1, 0, 1, 1, 0)
"""Trigger mode on and off, on cameras that have a trigger input: no control of UVC's is meant for that, and this one is
known to every driver. At least one vendor does the same."""
CONTROLS = (AUTO_EXPOSURE, EXPOSURE, BRIGHTNESS, GAIN, POWER_LINE)
"""Named as v4l2-ctl names them since kernel 5.16."""


class ControlSet:
    """The present value of every control of one camera, and the rules between them."""

    def __init__(self, trigger_switch: bool = False) -> None:
        self._controls = (*CONTROLS, PRIVACY) if trigger_switch else CONTROLS
        self._values = {control.name: control.default for control in (*CONTROLS, PRIVACY)}

    def value(self, control: Control) -> int:
        """What the control is now."""
        return self._values[control.name]

    @property
    def manual(self) -> bool:
        """True when the exposure is the host's to set."""
        return self.value(AUTO_EXPOSURE) == MODE_MANUAL

    def find(self, entity: int, selector: int) -> Control:
        """The control at that address. Raises: Stall when the camera has none there."""
        found = [control for control in self._controls if (control.entity, control.selector) == (entity, selector)]
        if not found:
            known = entity in (CAMERA_TERMINAL, PROCESSING_UNIT)
            raise Stall(Stall.INVALID_CONTROL if known else Stall.INVALID_UNIT)
        return found[0]

    def put(self, control: Control, value: int) -> None:
        """Store a value. Raises: Stall for the exposure while the camera sets it by itself."""
        if control is EXPOSURE and not self.manual:
            raise Stall(Stall.WRONG_STATE)
        self._values[control.name] = value

    def drift(self, exposure_units: int) -> None:
        """The camera's own automatic moved the exposure."""
        self._values[EXPOSURE.name] = exposure_units

    def get(self, control: Control, request: int) -> bytes:
        """The answer to one of the GET requests. Raises: Stall for a request that UVC does not know."""
        if request == GET_LEN:
            return control.size_bytes.to_bytes(2, "little")
        if request == GET_INFO:
            return bytes((self._info(control),))
        answers = {GET_CUR: self.value(control), GET_DEF: control.default, GET_RES: control.resolution}
        if not control.bitmap:
            answers |= {GET_MIN: control.minimum, GET_MAX: control.maximum}
        if request not in answers:
            raise Stall(Stall.INVALID_REQUEST)
        return control.encode(answers[request])

    def _info(self, control: Control) -> int:
        # Autoupdate makes the driver ask the camera at every read (kernel: uvc_ctrl_get in uvc_ctrl.c), so that a
        # setting the camera ignored is seen; without it the driver answers from its cache.
        disabled = _DISABLED_BY_AUTO if control is EXPOSURE and not self.manual else 0
        return _CAN_GET | _CAN_SET | _AUTOUPDATE | disabled
