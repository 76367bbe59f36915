"""What an exposure control's number means: nanoseconds per unit, by control, driver and sensor.

V4L2_CID_EXPOSURE_ABSOLUTE counts 100 us by its specification. V4L2_CID_EXPOSURE has no unit: sensor drivers count
lines, whose time follows from V4L2_CID_HBLANK and V4L2_CID_PIXEL_RATE (the kernel's page "Writing camera sensor
drivers"); others are in the tables below. A unit that is not known is an error, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from agent.errors import ControlUnknown, ControlValueError, InputError
from agent.units import NS_PER_S, format_duration
from agent.v4l2.controls import Control, enumerate_controls, query_optional
from agent.v4l2.crop import get_crop
from agent.v4l2.device import Capabilities, query_capabilities, require_capture
from agent.v4l2.formats import get_format, get_interval
from agent.v4l2.gain import sensor_name
from agent.v4l2.ioctl import Node
from agent.v4l2.uapi import ControlID, SelectionTarget
from agent.v4l2.values import describe_allowed, nearest_value, read_values

_ABSOLUTE_NS = Fraction(100_000)

UNITS_NS: dict[tuple[str, int], Fraction] = {
    # Jetson: TEGRA_CAMERA_CID_EXPOSURE (media/tegra-v4l2-camera.h) in microseconds, device tree exposure_factor 10^6
    ("tegra-video", 0x009A_200A): Fraction(1_000),
}
"""Nanoseconds per unit of an exposure control, by driver and control id; a line here teaches another driver."""

SENSOR_LINES_NS: dict[str, tuple[Fraction, Fraction]] = {
    # 550 clocks of 37.125 MHz and 14.26 us on top: libcamera src/ipa/rpi/cam_helper/cam_helper_imx296.cpp
    "imx296": (Fraction(550 * NS_PER_S, 37_125_000), Fraction(14_260)),
}
"""Line time and fixed addition in nanoseconds of sensors whose exposure is not lines alone, by sensor."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How an exposure control's number means time: number x `unit_ns` + `offset_ns`, exactly."""

    control: Control
    unit_ns: Fraction
    offset_ns: Fraction
    in_lines: bool

    def exact_ns(self, value: int) -> Fraction:
        """The exposure a number stands for."""
        return value * self.unit_ns + self.offset_ns

    def to_ns(self, value: int) -> int:
        """The exposure a number stands for, to the nearest nanosecond."""
        return round(self.exact_ns(value))

    def to_value(self, exposure_ns: int) -> int:
        """The allowed number nearest to an exposure; the shorter one of two as near. The range is not checked."""
        raw = (exposure_ns - self.offset_ns) / self.unit_ns
        around = {nearest_value(self.control, int(raw) + offset * max(self.control.step, 1)) for offset in (-1, 0, 1)}
        return min(around, key=lambda value: (abs(self.exact_ns(value) - exposure_ns), value))

    @property
    def step_ns(self) -> int:
        """From one exposure to the next, to the nearest nanosecond."""
        return round(self.unit_ns * max(self.control.step, 1))


def find_scale(node: Node, sensor: str | None = None) -> Scale:
    """The camera's exposure control and its unit. `sensor` names the sensor where driver and card do not.

    Raises ControlUnknown (naming what there is) without an exposure control, InputError when its unit is not known.
    """
    capabilities = query_capabilities(node)
    for driver, control_id in ((None, ControlID.EXPOSURE_ABSOLUTE.value), *UNITS_NS):
        if driver in (None, capabilities.driver):
            control = query_optional(node, control_id)
            if control is not None:
                unit = _ABSOLUTE_NS if driver is None else UNITS_NS[driver, control_id]
                return Scale(control, unit, Fraction(0), in_lines=False)
    control = query_optional(node, ControlID.EXPOSURE)
    if control is None:
        raise _no_exposure(node)
    unit_ns, offset_ns = _line_ns(node, capabilities, control, sensor)
    return Scale(control, unit_ns, offset_ns, in_lines=True)


def value_in_range(scale: Scale, exposure_ns: int) -> int:
    """The control's number nearest to an exposure. Raises ControlValueError, with the range, outside of it."""
    control = scale.control
    last = nearest_value(control, control.maximum)
    shortest, longest = scale.exact_ns(control.minimum), scale.exact_ns(last)
    # the range as a person reads it, in whole nanoseconds, is allowed
    if exposure_ns > 0 and round(shortest) <= exposure_ns <= round(longest):
        return scale.to_value(exposure_ns)
    allowed = f"{format_duration(round(shortest))} to {format_duration(round(longest))}"
    raise ControlValueError(
        f"an exposure of {format_duration(exposure_ns)} is out of range",
        hint=f"it allows {allowed}; {_wider(scale)}",
        control=control.slug,
        asked=exposure_ns,
        minimum=round(shortest),
        maximum=round(longest),
        step=scale.step_ns,
        nearest=round(shortest if exposure_ns < shortest else longest),
        choices=[],
    )


def _wider(scale: Scale) -> str:
    if scale.in_lines:
        return "a larger vertical blanking makes longer ones possible"
    return "gain or light does the rest"


def frame_interval_ns(node: Node, scale: Scale) -> int | None:
    """From frame to frame: by the sensor's blanking where it counts lines, else as the driver states it."""
    capabilities = query_capabilities(node)
    blanking = query_optional(node, ControlID.VBLANK) if scale.in_lines else None
    if blanking is not None:
        _, height_px = _sensor_size_px(node, capabilities)
        return round((height_px + int(read_values(node, [blanking])[blanking.id])) * scale.unit_ns)
    interval_s = get_interval(node, require_capture(node, capabilities))
    return None if interval_s is None else round(interval_s * NS_PER_S)


def _line_ns(node: Node, capabilities: Capabilities, control: Control, sensor: str | None) -> tuple[Fraction, Fraction]:
    """Line time and fixed addition of a sensor that counts its exposure in lines."""
    known = sensor or sensor_name(capabilities.driver, capabilities.card)
    if known in SENSOR_LINES_NS:
        return SENSOR_LINES_NS[known]
    blanking = query_optional(node, ControlID.HBLANK)
    rate = query_optional(node, ControlID.PIXEL_RATE)
    values = read_values(node, [found for found in (blanking, rate) if found is not None])
    pixel_rate = int(values.get(ControlID.PIXEL_RATE, 0))
    if blanking is None or pixel_rate <= 0:
        raise InputError(
            f"the unit of {control.slug} of {node.path} (driver {capabilities.driver}) is not known",
            hint=f"set the control by its own number, {describe_allowed(control)}, and measure what it does",
            device=node.path,
            control=control.slug,
            driver=capabilities.driver,
            minimum=control.minimum,
            maximum=control.maximum,
            step=control.step,
        )
    width_px, _ = _sensor_size_px(node, capabilities)
    return Fraction((width_px + int(values[ControlID.HBLANK])) * NS_PER_S, pixel_rate), Fraction(0)


def _sensor_size_px(node: Node, capabilities: Capabilities) -> tuple[int, int]:
    """What the sensor sends: the bounds of the crop where there is one (scaling comes after), else the format."""
    bounds = get_crop(node, SelectionTarget.CROP_BOUNDS)
    if bounds is not None:
        return bounds.width_px, bounds.height_px
    present = get_format(node, require_capture(node, capabilities))
    return present.width_px, present.height_px


def _no_exposure(node: Node) -> ControlUnknown:
    names = [control.slug for control in enumerate_controls(node)]
    return ControlUnknown(
        f"{node.path} has no exposure control",
        hint=f"leave the exposure away; it has {', '.join(names) or 'no controls at all'}",
        device=node.path,
        asked="exposure",
        near=[],
        available=names,
    )
