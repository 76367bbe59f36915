"""The controls of a camera as a person reads them: values with their units, and who holds whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import RenderableType

from agent.cli.show import heading, line, table
from agent.errors import InputError
from agent.units import format_duration
from agent.v4l2.controls import Control, Kind, enumerate_controls
from agent.v4l2.device import query_capabilities
from agent.v4l2.exposure_scale import Scale, find_scale
from agent.v4l2.gain import GainReport, read_gain, sensor_name
from agent.v4l2.ioctl import Node
from agent.v4l2.partners import HOLDS
from agent.v4l2.uapi import ControlFlag
from agent.v4l2.values import ControlValues, Value, describe_allowed, format_value, read_each

_COLUMNS = ("name", "value", "allowed", "default", "now")
_FLAGS = {
    ControlFlag.READ_ONLY: "read-only",
    ControlFlag.GRABBED: "held by the driver now",
    ControlFlag.VOLATILE: "changes by itself",
}


@dataclass(frozen=True, slots=True)
class ShownControl:
    """One control with its value, `physical` that value in a unit; `held_by`: the automatic mode that holds it now."""

    control: Control
    value: Value | None
    unreadable: str | None
    physical: str | None
    allowed: str
    held_by: str | None

    @property
    def flags(self) -> list[str]:
        """What is special about it now, in words."""
        words = [word for flag, word in _FLAGS.items() if self.control.flags & flag]
        if self.held_by:
            words.insert(0, f"held by {self.held_by}")
        elif self.control.inactive:
            words.insert(0, "inactive")
        return words

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        control = self.control
        return {
            "id": control.id,
            "name": control.slug,
            "label": control.name,
            "group": control.group,
            "kind": control.kind.value,
            "value": self.value,
            "physical": self.physical,
            "minimum": control.minimum,
            "maximum": control.maximum,
            "step": control.step,
            "default": control.default,
            "menu": {str(item.number): item.label for item in control.menu},
            "inactive": control.inactive,
            "grabbed": control.grabbed,
            "read_only": control.read_only,
            "volatile": control.volatile,
            "held_by": self.held_by,
            "unreadable": self.unreadable,
        }


def read_controls(node: Node) -> list[ShownControl]:
    """Every control of a camera with its value. Raises DeviceGone, DeviceError."""
    controls = enumerate_controls(node)
    found = read_each(node, controls)
    about = query_capabilities(node)
    sensor = sensor_name(about.driver, about.card)
    scale, gain = _scale(node, sensor), _gain(node, sensor)
    return [_shown(control, controls, found, scale, gain) for control in controls]


def as_tables(found: Sequence[ShownControl]) -> list[RenderableType]:
    """A table for each group of controls."""
    parts: list[RenderableType] = []
    for group, members in groupby(found, key=lambda shown: shown.control.group):
        parts += [*([line("")] if parts else []), heading(f"{group} controls")]
        parts.append(table(_COLUMNS, [_row(shown) for shown in members], whole=("name",)))
    return parts


def _row(shown: ShownControl) -> tuple[str, str, str, str, str]:
    control = shown.control
    value = "" if shown.value is None else format_value(control, shown.value)
    if shown.physical:
        value = f"{value} = {shown.physical}"
    has_default = control.kind not in (Kind.BUTTON, Kind.STRING, Kind.COMPOUND) and not control.read_only
    default = str(control.default) if control.menu else format_value(control, control.default)
    default = default if has_default else ""
    return control.slug, value, shown.allowed, default, ", ".join(shown.flags)


def _shown(
    control: Control, controls: Sequence[Control], found: ControlValues, scale: Scale | None, gain: GainReport | None
) -> ShownControl:
    value = found.values.get(control.id)
    allowed = "" if control.read_only else describe_allowed(control)
    physical = None
    if scale is not None and control.id == scale.control.id and isinstance(value, int):
        physical = format_duration(scale.to_ns(value))
        span = (format_duration(scale.to_ns(end)) for end in (control.minimum, control.maximum))
        allowed = f"{allowed} ({' to '.join(span)})"
    if gain is not None and control.id == gain.control.id and gain.granted_mdb is not None:
        physical = f"{gain.granted_mdb / 1000:g}dB"
    holder = _holder(control, controls, found)
    return ShownControl(control, value, found.skipped.get(control.id), physical, allowed, holder)


def _holder(control: Control, controls: Sequence[Control], found: ControlValues) -> str | None:
    """The automatic mode that holds a control now."""
    for hold in HOLDS.get(control.id, ()):
        for auto in controls:
            value = found.values.get(auto.id)
            if auto.id == hold.auto_id and value is not None and value not in hold.manual:
                return auto.slug
    return None


def _scale(node: Node, sensor: str | None) -> Scale | None:
    try:
        return find_scale(node, sensor)
    except InputError:
        return None


def _gain(node: Node, sensor: str | None) -> GainReport | None:
    try:
        return read_gain(node, sensor)
    except InputError:
        return None
