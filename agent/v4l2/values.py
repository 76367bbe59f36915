"""Values of controls: read, checked, written in one call, to and from text.

Follows the kernel's VIDIOC_G_EXT_CTRLS page: one structure per control, 32-bit, 64-bit or a string by its type.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.errors import ControlValueError, DeviceError, DeviceGone
from agent.v4l2.controls import Control, Kind
from agent.v4l2.ioctl import Node, typed_error
from agent.v4l2.uapi import (
    VIDIOC_G_EXT_CTRLS,
    ControlWhichValue,
    Request,
    v4l2_ext_control,
    v4l2_ext_controls,
)

Value = int | str
_TRUE = ("on", "true", "yes", "1")
_FALSE = ("off", "false", "no", "0")


@dataclass(frozen=True, slots=True)
class ControlValues:
    """Values by control id, with their controls as they were then; `skipped` says why a control has none."""

    controls: tuple[Control, ...]
    values: Mapping[int, Value]
    skipped: Mapping[int, str]


class Batch:
    """Several controls in one VIDIOC_*_EXT_CTRLS call (`which` = current values). Holds the memory the call needs."""

    def __init__(self, controls: Sequence[Control], values: Mapping[int, Value] | None = None) -> None:
        """For reading without `values`; for writing with a value of each control."""
        self.controls = tuple(controls)
        self._strings: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self._array = (v4l2_ext_control * len(self.controls))()
        self.fill(values)
        self._argument = v4l2_ext_controls()
        self._argument.which = ControlWhichValue.CUR_VAL
        self._argument.count = len(self.controls)
        self._argument.controls = ctypes.cast(self._array, ctypes.POINTER(v4l2_ext_control))

    def fill(self, values: Mapping[int, Value] | None) -> None:
        """Other values, or the same again: writing leaves what the driver made of them."""
        for entry, control in zip(self._array, self.controls, strict=True):
            self._fill(entry, control, None if values is None else values[control.id])

    @property
    def error_idx(self) -> int:
        """`error_idx` as the kernel left it. Equal to the count: nothing was written, the culprit is not named."""
        return int(self._argument.error_idx)

    @property
    def culprit(self) -> Control | None:
        """The control `error_idx` names after a failure, or None when it names none."""
        return self.controls[self.error_idx] if self.error_idx < len(self.controls) else None

    def issue(self, node: Node, request: Request) -> int:
        """Issue `request` with these controls; 0 or the kernel's errno. An empty batch is not sent."""
        if not self.controls:
            return 0
        return node.attempt(request, self._argument)

    def values(self) -> dict[int, Value]:
        """The values as the kernel left them, by control id."""
        return {
            control.id: self._value(entry, control) for entry, control in zip(self._array, self.controls, strict=True)
        }

    def _fill(self, entry: v4l2_ext_control, control: Control, value: Value | None) -> None:
        entry.id = control.id
        if control.kind is Kind.STRING:
            text = b"" if value is None else str(value).encode()
            buffer = ctypes.create_string_buffer(text, max(control.maximum, len(text)) + 1)
            self._strings[control.id] = buffer
            entry.size = len(buffer)
            entry.string = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_char))
        elif control.kind is Kind.INTEGER64:
            entry.value64 = int(value or 0)
        else:
            entry.value = int(value or 0)  # ctypes keeps the low 32 bits, as a bitmask needs

    def _value(self, entry: v4l2_ext_control, control: Control) -> Value:
        if control.kind is Kind.STRING:
            return self._strings[control.id].value.decode("utf-8", "replace")
        if control.kind is Kind.INTEGER64:
            return int(entry.value64)
        return int(entry.value) & 0xFFFF_FFFF if control.kind is Kind.BITMASK else int(entry.value)


def read_values(node: Node, controls: Sequence[Control]) -> dict[int, Value]:
    """Present values by control id, in one call; buttons, write-only and compound controls are left out.

    Raises DeviceGone, or DeviceError naming the control where the kernel does.
    """
    batch = Batch([control for control in controls if control.readable])
    code = batch.issue(node, VIDIOC_G_EXT_CTRLS)
    if code in (errno.ENODEV, errno.ENXIO):
        raise typed_error(code, VIDIOC_G_EXT_CTRLS.name, node.path)
    if code:
        culprit = batch.culprit.slug if batch.culprit else "the controls"
        raise DeviceError(
            f"{culprit} of {node.path} cannot be read: {os.strerror(code)}",
            hint="read the controls one by one; the kernel log may say more: journalctl -k",
            device=node.path,
            request=VIDIOC_G_EXT_CTRLS.name,
            errno=code,
            control=culprit,
        )
    return batch.values()


def read_each(node: Node, controls: Sequence[Control]) -> ControlValues:
    """Present values of all that can be read; a control that fails is skipped with its reason. Raises DeviceGone."""
    readable = [control for control in controls if control.readable]
    skipped = {control.id: _unreadable(control) for control in controls if not control.readable}
    with contextlib.suppress(DeviceError):  # one of them cannot be read: find out which
        return ControlValues(tuple(controls), read_values(node, readable), skipped)
    values: dict[int, Value] = {}
    for control in readable:
        try:
            values.update(read_values(node, [control]))
        except DeviceGone:
            raise
        except DeviceError as error:
            skipped[control.id] = os.strerror(error.errno)
    return ControlValues(tuple(controls), values, skipped)


def _unreadable(control: Control) -> str:
    return f"a {control.kind} has no value to read" if control.kind in (Kind.BUTTON, Kind.COMPOUND) else "write-only"


def check_value(control: Control, value: Value) -> Value:
    """`value` itself, if the control allows exactly it. Raises ControlValueError with range, step and the nearest."""
    if control.kind is Kind.COMPOUND:
        raise _bad(control, value, "arrays and structures cannot be set here", None)
    if control.kind is Kind.STRING:
        return _check_string(control, value)
    if isinstance(value, str):
        raise _bad(control, value, "is not a number", None)
    if control.kind is Kind.BUTTON:
        return value
    nearest = nearest_value(control, value)
    if nearest == value:
        return value
    if control.kind is Kind.BITMASK:
        raise _bad(control, value, "has bits the control does not know", nearest)
    if control.minimum <= value <= control.maximum:
        problem = "is a hole of the menu" if control.menu else f"is not on its step of {control.step}"
        raise _bad(control, value, problem, nearest)
    raise _bad(control, value, "is out of range", nearest)


def nearest_value(control: Control, value: int) -> int:
    """The allowed number nearest to `value`, the lower one of two as near."""
    if control.kind is Kind.BITMASK:
        return value & control.maximum
    if control.menu:
        return min((item.number for item in control.menu), key=lambda number: (abs(number - value), number))
    step = max(control.step, 1)
    last = control.minimum + (control.maximum - control.minimum) // step * step
    below = control.minimum + (min(max(value, control.minimum), last) - control.minimum) // step * step
    return min((below, min(below + step, last)), key=lambda number: (abs(number - value), number))


def parse_value(control: Control, text: str) -> Value:
    """A value from text: a number, on/off, a menu's label or number, a bitmask in hexadecimal, a string as it is.

    Raises ControlValueError naming what is allowed.
    """
    text = text if control.kind is Kind.STRING else text.strip()
    if control.kind is Kind.STRING:
        return check_value(control, text)
    if control.kind is Kind.BUTTON:
        if text in ("", "1", "press"):
            return 1
        raise _bad(control, text, "is not a way to press a button", None)
    if control.kind is Kind.BOOLEAN and text.lower() in _TRUE + _FALSE:
        return int(text.lower() in _TRUE)
    try:
        number = int(text, 0)
    except ValueError:
        return _by_label(control, text)
    return check_value(control, number)


def _by_label(control: Control, text: str) -> Value:
    for item in control.menu:
        if text.casefold() == item.label.casefold():
            return item.number
    raise _bad(control, text, "is none of its values", None)


def format_value(control: Control, value: Value) -> str:
    """The value for people: `on`, `1 (Manual Mode)`, `0x0000000f`, `128`."""
    if control.kind is Kind.BOOLEAN:
        return "on" if value else "off"
    if control.kind is Kind.BITMASK and isinstance(value, int):
        return f"0x{value:08x}"
    label = next((item.label for item in control.menu if item.number == value), None)
    return str(value) if label is None else f"{value} ({label})"


def describe_allowed(control: Control) -> str:
    """What the control allows, for people: `0 to 255 in steps of 5`, `0 (Auto Mode), 1 (Manual Mode)`, `on or off`."""
    if control.kind is Kind.BOOLEAN:
        return "on or off"
    if control.menu:
        return ", ".join(format_value(control, item.number) for item in control.menu)
    if control.kind is Kind.BITMASK:
        return f"any bits of 0x{control.maximum:08x}"
    if control.kind is Kind.BUTTON:
        return "press"
    if control.kind is Kind.COMPOUND:
        return "nothing"
    steps = f" in steps of {control.step}" if control.step > 1 else ""
    span = f"{control.minimum} to {control.maximum}{steps}"
    return f"text of {span} bytes" if control.kind is Kind.STRING else span


def _check_string(control: Control, value: Value) -> Value:
    if not isinstance(value, str):
        raise _bad(control, value, "is not a text", None)
    length = len(value.encode())
    on_step = (length - control.minimum) % max(control.step, 1) == 0
    if "\0" in value or not control.minimum <= length <= control.maximum or not on_step:
        raise _bad(control, value, f"has {length} bytes", None)
    return value


def _bad(control: Control, asked: Value, problem: str, nearest: int | None) -> ControlValueError:
    near = "" if nearest is None else f"; the nearest is {format_value(control, nearest)}"
    return ControlValueError(
        f"{control.slug}: {asked} {problem}",
        hint=f"it allows {describe_allowed(control)}{near}",
        control=control.slug,
        asked=asked,
        minimum=control.minimum,
        maximum=control.maximum,
        step=control.step,
        nearest=nearest,
        choices=[format_value(control, item.number) for item in control.menu],
    )
