"""What ioctls on controls say, in words; controls have the names that their driver gives them.

Until a driver was asked to describe a control, it has the kernel's constant for a name.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any

from agent.v4l2.uapi import CTRL_ID_MASK, ControlFlag, ControlID, CtrlType, EventType

Facts = tuple[tuple[str, str], ...]
"""Fields by name, their values as text."""

_NEXT = int(ControlFlag.NEXT_CTRL | ControlFlag.NEXT_COMPOUND)
_IDS = {int(member): f"V4L2_CID_{member.name}" for member in ControlID}
_STRING_MOST = 64


@dataclass(slots=True)
class Names:
    """What one device has told of its controls: slug and type by id. One for each open node, or shared between them."""

    controls: dict[int, tuple[str, int]] = field(default_factory=dict)

    def of(self, control_id: int) -> str:
        """A control's name."""
        known = self.controls.get(control_id)
        return known[0] if known else _IDS.get(control_id, f"0x{control_id:08x}")

    def learn(self, argument: Any) -> None:
        """Remember an answered VIDIOC_QUERY_EXT_CTRL."""
        letters = argument.name.decode("utf-8", "replace")
        spaced = "".join(letter.lower() if letter.isascii() and letter.isalnum() else " " for letter in letters)
        self.controls[int(argument.id)] = ("_".join(spaced.split()) or f"0x{argument.id:08x}", int(argument.type))


def enum_text(kind: type[IntEnum], value: int) -> str:
    """The name of a value, or its number where it has none."""
    try:
        return kind(value).name
    except ValueError:
        return str(value)


def quoted_text(value: bytes) -> str:
    """Text of a structure, in quotes."""
    return repr(value.decode("utf-8", "replace"))


def query_asked(argument: Any, names: Names) -> Facts:
    """VIDIOC_QUERY_EXT_CTRL: one control, or the next one."""
    number = argument.id & CTRL_ID_MASK
    if argument.id & _NEXT:
        return (("next_after", names.of(number) if number else "0"),)
    return (("id", names.of(number)),)


def query_answered(argument: Any, names: Names) -> Facts:
    """What a control is: type, range as minimum..maximum/step, flags."""
    kind = enum_text(CtrlType, argument.type)
    facts = [("id", names.of(argument.id)), ("control_type", kind)]
    if argument.type not in (CtrlType.BUTTON, CtrlType.CTRL_CLASS):
        span = f"{argument.minimum}..{argument.maximum}/{argument.step}"
        facts += [("range", span), ("default", str(argument.default_value))]
    if argument.flags:
        facts.append(("flags", _bits(ControlFlag, argument.flags)))
    return tuple(facts)


def _bits(kind: type[IntFlag], value: int) -> str:
    names = [member.name or "" for member in kind if member.value and member.value & value == member.value]
    rest = value & ~sum(member.value for member in kind if member.value & value == member.value)
    return "|".join([*names, *([f"0x{rest:x}"] if rest else [])]) or "0"


def menu_asked(argument: Any, names: Names) -> Facts:
    """VIDIOC_QUERYMENU."""
    return ("id", names.of(argument.id)), ("index", str(argument.index))


def menu_answered(argument: Any, names: Names) -> Facts:
    """The label, or the number of an integer menu."""
    known = names.controls.get(argument.id)
    if known and known[1] == CtrlType.INTEGER_MENU:
        return (("value", str(argument.m1.value)),)
    return (("name", quoted_text(bytes(argument.m1.name).split(b"\0")[0])),)


def control_names(argument: Any, names: Names) -> Facts:
    """VIDIOC_G_EXT_CTRLS: which controls are read."""
    return (("controls", " ".join(names.of(entry.id) for entry in _entries(argument))),)


def control_values(argument: Any, names: Names) -> Facts:
    """Each control with its value."""
    return tuple((names.of(entry.id), _value(entry, names)) for entry in _entries(argument))


def _entries(argument: Any) -> list[Any]:
    return [argument.controls[index] for index in range(argument.count)]


def _value(entry: Any, names: Names) -> str:
    kind = names.controls.get(entry.id, ("", 0))[1]
    if kind == CtrlType.STRING or (not kind and entry.size):
        return quoted_text(ctypes.string_at(entry.m1.string, min(entry.size, _STRING_MOST)).split(b"\0")[0])
    if kind == CtrlType.INTEGER64:
        return str(entry.m1.value64)
    if kind == CtrlType.BITMASK:
        return f"0x{entry.m1.value & 0xFFFF_FFFF:08x}"
    return str(entry.m1.value)


def event_asked(argument: Any, names: Names) -> Facts:
    """An event, and the control it is about."""
    facts = [("type", enum_text(EventType, argument.type))]
    return tuple([*facts, ("id", names.of(argument.id))] if argument.id else facts)
