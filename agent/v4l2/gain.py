"""Gain by the camera's own number, or in decibels where the law between the two is known.

V4L2 gives gain no unit: a number means whatever the sensor makes of it. The laws below, by sensor, are those
libcamera uses (src/ipa/libipa/camera_sensor_helper.cpp, src/ipa/rpi/cam_helper/); they hold for V4L2_CID_ANALOGUE_GAIN.
UVC cameras publish no law. Gains in decibels are integers in thousandths (mdb).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from agent.errors import ControlUnknown, ControlValueError, InputError
from agent.units import parse_decibel_mdb
from agent.v4l2.controls import Control, enumerate_controls, query_optional
from agent.v4l2.device import query_capabilities
from agent.v4l2.ioctl import Node
from agent.v4l2.transaction import set_manual
from agent.v4l2.uapi import ControlID
from agent.v4l2.values import check_value, describe_allowed, read_values


@dataclass(frozen=True, slots=True)
class RatioLaw:
    """Gain = (m0 x + c0) / (m1 x + c1), the form of MIPI CCS section 9.3; x is the control's number."""

    m0: int
    c0: int
    m1: int
    c1: int

    def mdb(self, value: int) -> int | None:
        """The gain of a number, or None where the law gives none (a gain of zero, a pole)."""
        numerator, denominator = self.m0 * value + self.c0, self.m1 * value + self.c1
        if numerator * denominator <= 0:
            return None
        return round(20_000 * math.log10(numerator / denominator))


@dataclass(frozen=True, slots=True)
class StepLaw:
    """Each step of the control is so many thousandths of a decibel."""

    step_mdb: int

    def mdb(self, value: int) -> int | None:
        """The gain of a number."""
        return self.step_mdb * value


Law = RatioLaw | StepLaw
_TENTHS_3, _TENTHS_1 = StepLaw(300), StepLaw(100)
_SIXTEENTHS, _128THS, _256THS = RatioLaw(1, 0, 0, 16), RatioLaw(1, 0, 0, 128), RatioLaw(1, 0, 0, 256)
_FALLING_32, _FALLING_256 = RatioLaw(0, 32, -1, 32), RatioLaw(0, 256, -1, 256)
_FALLING_512, _FALLING_1024 = RatioLaw(0, 512, -1, 512), RatioLaw(0, 1024, -1, 1024)
LAWS: dict[str, Law] = {
    "gc05a2": RatioLaw(100, 0, 0, 1024),
    "gc08a3": RatioLaw(100, 0, 0, 1024),
    "hm1246": RatioLaw(1, 16, 0, 16),
    "imx214": _FALLING_512,
    "imx219": _FALLING_256,
    "imx258": _FALLING_512,
    "imx283": RatioLaw(0, 2048, -1, 2048),
    "imx290": _TENTHS_3,
    "imx296": _TENTHS_1,
    "imx327": _TENTHS_3,
    "imx335": _TENTHS_3,
    "imx415": _TENTHS_3,
    "imx462": _TENTHS_3,
    "imx477": _FALLING_1024,
    "imx708": _FALLING_1024,
    "ov01a10": _256THS,
    "ov2685": _128THS,
    "ov2740": _128THS,
    "ov4689": _128THS,
    "ov5647": _SIXTEENTHS,
    "ov5670": _128THS,
    "ov5675": _128THS,
    "ov5693": _SIXTEENTHS,
    "ov64a40": _128THS,
    "ov8858": _128THS,
    "ov8865": _128THS,
    "ov13858": _128THS,
    "vd55g1": _FALLING_32,
    "vd56g3": _FALLING_32,
}
"""The known laws by sensor; add a line with its source to teach another one."""


@dataclass(frozen=True, slots=True)
class GainRequest:
    """A gain asked for: the control's own number, or thousandths of a decibel; the other one is None."""

    value: int | None = None
    mdb: int | None = None


@dataclass(frozen=True, slots=True)
class GainReport:
    """A gain asked and granted. In decibels None where no law is known; `why` says what made granted differ."""

    control: Control
    value: int
    asked: GainRequest
    granted_mdb: int | None
    why: tuple[str, ...]


def parse_gain(text: str) -> GainRequest:
    """`16` is the control's number, `6dB` decibels. Raises QuantityError."""
    if re.fullmatch(r"\s*[+-]?\d{1,18}\s*", text):
        return GainRequest(value=int(text))
    return GainRequest(mdb=parse_decibel_mdb(text))


def sensor_name(driver: str, card: str, known: dict[str, Law] = LAWS) -> str | None:
    """The known sensor that a driver or card is named after (`vi-output, imx219 9-0010`), or None."""
    words = re.findall(r"[a-z]+\d+[a-z0-9]*", f"{driver} {card}".lower())
    return next((word for word in words if word in known), None)


def find_gain_control(node: Node) -> Control:
    """The analogue gain, else the general one. Raises ControlUnknown naming what the camera has."""
    for control_id in (ControlID.ANALOGUE_GAIN, ControlID.GAIN):
        control = query_optional(node, control_id)
        if control is not None:
            return control
    names = [control.slug for control in enumerate_controls(node)]
    raise ControlUnknown(
        f"{node.path} has no gain control",
        hint=f"leave the gain away; it has {', '.join(names) or 'no controls at all'}",
        device=node.path,
        asked="gain",
        near=[],
        available=names,
    )


def plan_gain(node: Node, asked: GainRequest, sensor: str | None = None) -> GainReport:
    """What asking for this gain would set; nothing is changed. `sensor` names the law where the driver does not.

    A gain between two steps becomes the nearest one, with the reason. Raises ControlUnknown, ControlValueError
    outside the range, InputError for decibels without a known law.
    """
    control = find_gain_control(node)
    law = _law(node, control, sensor)
    if asked.mdb is None:
        value = int(check_value(control, asked.value if asked.value is not None else control.default))
        return GainReport(control, value, asked, law.mdb(value) if law else None, ())
    if law is None:
        raise InputError(
            f"{control.slug} of {node.path} has no known law in decibels",
            hint=f"give the control's own number, {describe_allowed(control)}",
            device=node.path,
            control=control.slug,
            minimum=control.minimum,
            maximum=control.maximum,
            step=control.step,
        )
    value = _nearest(control, law, asked.mdb)
    granted = law.mdb(value)
    why = () if granted == asked.mdb else (f"the nearest step of the sensor is {_text(granted)}",)
    return GainReport(control, value, asked, granted, why)


def set_gain(node: Node, asked: GainRequest, sensor: str | None = None) -> GainReport:
    """Set the gain, its automatic mode switched off in the same transaction, and prove it by reading back.

    Raises what `plan_gain` and `set_manual` raise.
    """
    report = plan_gain(node, asked, sensor)
    set_manual(node, {report.control: report.value})
    return report


def read_gain(node: Node, sensor: str | None = None) -> GainReport:
    """The gain in force, as the camera tells it. Raises ControlUnknown, DeviceError."""
    control = find_gain_control(node)
    law = _law(node, control, sensor)
    value = int(read_values(node, [control])[control.id])
    return GainReport(control, value, GainRequest(), law.mdb(value) if law else None, ())


def _law(node: Node, control: Control, sensor: str | None) -> Law | None:
    if control.id != ControlID.ANALOGUE_GAIN:
        return None
    if sensor is None:
        capabilities = query_capabilities(node)
        sensor = sensor_name(capabilities.driver, capabilities.card)
    return LAWS.get(sensor) if sensor else None


def _nearest(control: Control, law: Law, asked_mdb: int) -> int:
    """The number whose gain is nearest, by bisection: every law rises with its number. Raises ControlValueError."""
    grid = range(control.minimum, control.maximum + 1, max(control.step, 1))
    low = next((value for value in grid if law.mdb(value) is not None), control.minimum)
    high = next((value for value in reversed(grid) if law.mdb(value) is not None), control.minimum)
    if not (law.mdb(low) or 0) <= asked_mdb <= (law.mdb(high) or 0):
        raise ControlValueError(
            f"{control.slug}: {_text(asked_mdb)} is out of range",
            hint=f"it allows {_text(law.mdb(low))} to {_text(law.mdb(high))}",
            control=control.slug,
            asked=asked_mdb,
            minimum=law.mdb(low),
            maximum=law.mdb(high),
            step=control.step,
            nearest=law.mdb(low if asked_mdb < (law.mdb(low) or 0) else high),
            choices=[],
        )
    while high - low > grid.step:
        middle = low + (high - low) // (2 * grid.step) * grid.step
        low, high = (middle, high) if (law.mdb(middle) or 0) <= asked_mdb else (low, middle)
    return min((low, high), key=lambda value: (abs((law.mdb(value) or 0) - asked_mdb), value))


def _text(mdb: int | None) -> str:
    return "no gain" if mdb is None else f"{mdb / 1000:g}dB"
