"""`name=value` texts to values of controls: `exposure=8ms` and `gain=6dB` in physical units, others as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.errors import ControlUnknown, InputError, QuantityError
from agent.units import format_duration, parse_duration_ns
from agent.v4l2.controls import Control, enumerate_controls
from agent.v4l2.device import query_capabilities
from agent.v4l2.exposure_scale import find_scale, value_in_range
from agent.v4l2.gain import parse_gain, plan_gain, sensor_name
from agent.v4l2.ioctl import Node
from agent.v4l2.names import find_control
from agent.v4l2.values import Value, describe_allowed, parse_value

_PLAIN_NUMBER = re.compile(r"\s*[+-]?(0[xX][0-9a-fA-F]+|\d+)\s*")


@dataclass
class Assigned:
    """What the texts come to: a value for each control; `notes` on what was rounded to the camera's own steps."""

    values: dict[int | Control, Value] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, control: Control, value: Value, note: str | None = None) -> None:
        """Raises InputError when another text meant the same control."""
        if control in self.values:
            raise InputError(f"{name} is {control.slug}, which is given too", hint="give it once", control=control.slug)
        self.values[control] = value
        if note:
            self.notes.append(note)


def assign(node: Node, texts: Mapping[str, str]) -> Assigned:
    """Nothing is set. Raises ControlUnknown, ControlValueError, QuantityError, InputError."""
    about = query_capabilities(node)
    sensor = sensor_name(about.driver, about.card)
    controls = enumerate_controls(node)
    assigned = Assigned()
    for name, text in texts.items():
        physical = not _PLAIN_NUMBER.fullmatch(text)
        if name == "exposure" and (physical or not _has(node, controls, name)):
            _assign_exposure(node, sensor, text, assigned)
        elif name == "gain" and (physical or not _has(node, controls, name)):
            _assign_gain(node, sensor, text, assigned)
        else:
            control = find_control(node.path, controls, name)
            assigned.add(name, control, parse_value(control, text))
    return assigned


def _has(node: Node, controls: tuple[Control, ...], name: str) -> bool:
    try:
        find_control(node.path, controls, name)
    except ControlUnknown:
        return False
    return True


def _assign_exposure(node: Node, sensor: str | None, text: str, assigned: Assigned) -> None:
    scale = find_scale(node, sensor)
    try:
        asked_ns = parse_duration_ns(text)
    except QuantityError as error:
        own = f"{scale.control.slug}={text.strip()}" if _PLAIN_NUMBER.fullmatch(text) else scale.control.slug
        hint = f"{error.hint}; {own} sets the camera's own number ({describe_allowed(scale.control)})"
        raise QuantityError(f"exposure: {error.message}", hint=hint, **error.details) from error
    value = value_in_range(scale, asked_ns)
    granted_ns = scale.to_ns(value)
    note = None
    if granted_ns != asked_ns:
        step = format_duration(scale.step_ns)
        note = f"exposure: {format_duration(asked_ns)} asked, {format_duration(granted_ns)} set: the step is {step}"
    assigned.add("exposure", scale.control, value, note)


def _assign_gain(node: Node, sensor: str | None, text: str, assigned: Assigned) -> None:
    report = plan_gain(node, parse_gain(text), sensor)
    note = f"gain: {text.strip()} asked, {'; '.join(report.why)}" if report.why else None
    assigned.add("gain", report.control, report.value, note)
