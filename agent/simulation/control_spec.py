"""What a simulated control is: its kernel type, range, flags and menu; and how automatic modes hold others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.v4l2.uapi import ControlFlag, CtrlType

Value = int | str
"""A control's value: text for V4L2_CTRL_TYPE_STRING, a number for all others."""


@dataclass(frozen=True)
class ControlSpec:
    """One control as VIDIOC_QUERY_EXT_CTRL describes it. For a string, minimum and maximum are its length."""

    id: int
    name: str
    type: CtrlType
    minimum: int = 0
    maximum: int = 0
    step: int = 1
    default: Value = 0
    flags: int = 0
    menu: Mapping[int, str | int] = field(default_factory=dict)

    def has(self, flag: ControlFlag) -> bool:
        """True if `flag` is set."""
        return bool(self.flags & flag)


@dataclass(frozen=True)
class AutoCluster:
    """An automatic mode and the controls it holds.

    While the master is not `manual_value`, the partners are INACTIVE. `refuses`: setting one is EACCES then, as in
    uvcvideo (`uvc_ctrl_is_accessible`); without it the value is only stored, as in the control framework.
    """

    master: int
    manual_value: int
    partners: frozenset[int]
    refuses: bool


def integer(
    control_id: int, name: str, minimum: int, maximum: int, default: int, *, step: int = 1, flags: int = 0
) -> ControlSpec:
    """A 32-bit integer."""
    return ControlSpec(control_id, name, CtrlType.INTEGER, minimum, maximum, step, default, flags)


def integer64(control_id: int, name: str, minimum: int, maximum: int, default: int, *, flags: int = 0) -> ControlSpec:
    """A 64-bit integer."""
    return ControlSpec(control_id, name, CtrlType.INTEGER64, minimum, maximum, 1, default, flags)


def boolean(control_id: int, name: str, default: int, *, flags: int = 0) -> ControlSpec:
    """A switch."""
    return ControlSpec(control_id, name, CtrlType.BOOLEAN, 0, 1, 1, default, flags)


def menu(control_id: int, name: str, items: Mapping[int, str], default: int, *, flags: int = 0) -> ControlSpec:
    """A menu; indices missing in `items` are holes."""
    return ControlSpec(control_id, name, CtrlType.MENU, min(items), max(items), 1, default, flags, items)


def integer_menu(control_id: int, name: str, items: Mapping[int, int], default: int, *, flags: int = 0) -> ControlSpec:
    """A menu of 64-bit numbers; indices missing in `items` are holes."""
    return ControlSpec(control_id, name, CtrlType.INTEGER_MENU, min(items), max(items), 1, default, flags, items)


def bitmask(control_id: int, name: str, mask: int, default: int, *, flags: int = 0) -> ControlSpec:
    """A set of bits out of `mask`."""
    return ControlSpec(control_id, name, CtrlType.BITMASK, 0, mask, 0, default, flags)


def button(control_id: int, name: str) -> ControlSpec:
    """An action; it cannot be read."""
    return ControlSpec(
        control_id, name, CtrlType.BUTTON, 0, 0, 0, 0, ControlFlag.WRITE_ONLY | ControlFlag.EXECUTE_ON_WRITE
    )


def string(control_id: int, name: str, maximum: int, default: str, *, flags: int = 0) -> ControlSpec:
    """A text of at most `maximum` bytes."""
    return ControlSpec(control_id, name, CtrlType.STRING, 0, maximum, 1, default, flags | ControlFlag.HAS_PAYLOAD)


def control_class(control_id: int, name: str) -> ControlSpec:
    """The heading of a class of controls."""
    return ControlSpec(
        control_id, name, CtrlType.CTRL_CLASS, 0, 0, 0, 0, ControlFlag.READ_ONLY | ControlFlag.WRITE_ONLY
    )
