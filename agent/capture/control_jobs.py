"""A camera's controls as plain values, for those who ask over the command socket; run in the camera's slow thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.capture.session import Session
from agent.v4l2.controls import Control, enumerate_controls, unknown_control
from agent.v4l2.transaction import set_controls
from agent.v4l2.uapi import ControlFlag
from agent.v4l2.values import Value, parse_value, read_each

Document = dict[str, Any]


def controls_of(session: Session) -> list[Document]:
    """Every control, read fresh: name, id, kind, value (None: it cannot be read), range, flags, and its menu."""
    node = session.camera.node
    controls = enumerate_controls(node)
    values = read_each(node, [control for control in controls if control.readable]).values
    return [_document(control, values.get(control.id)) for control in controls]


def set_by_name(session: Session, values: Mapping[str, int | bool | str]) -> Document:
    """Set all or none; what was read back, by name. Raises what `agent.v4l2.transaction.set_controls` raises."""
    node = session.camera.node
    known = {control.slug: control for control in enumerate_controls(node)}
    asked: dict[int | Control, Value] = {}
    for name, value in values.items():
        control = known.get(name)
        if control is None:
            raise unknown_control(node.path, name, list(known.values()))
        asked[control] = _parsed(control, value)
    report = set_controls(node, asked)
    return {change.control.slug: change.after for change in report.changes}


def _parsed(control: Control, value: int | bool | str) -> Value:
    if isinstance(value, bool):
        return int(value)
    return parse_value(control, str(value))


def _document(control: Control, value: Value | None) -> Document:
    found: Document = {
        "name": control.slug,
        "id": control.id,
        "kind": control.kind.value,
        "value": value,
        "minimum": control.minimum,
        "maximum": control.maximum,
        "step": control.step,
        "default": control.default,
        "flags": [flag.name.lower() for flag in ControlFlag if control.flags & flag and flag.name],
    }
    if control.menu:
        found["menu"] = [item.label for item in control.menu]
    return found
