"""Controls of a camera: what each one is, what it allows, what state it is in.

A control is its id, never its name: kernel 5.16 renamed the UVC ones. Names, old and new, are only ways to ask for it.
Follows the kernel's VIDIOC_QUERY_EXT_CTRL and VIDIOC_QUERYMENU pages.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from agent.errors import ControlUnknown, DeviceError, DeviceGone
from agent.v4l2.ioctl import Node, typed_error
from agent.v4l2.uapi import (
    CTRL_ID_MASK,
    VIDIOC_QUERY_EXT_CTRL,
    VIDIOC_QUERYMENU,
    ControlClass,
    ControlFlag,
    ControlID,
    CtrlType,
    v4l2_query_ext_ctrl,
    v4l2_querymenu,
)


class Kind(StrEnum):
    """What values a control takes. COMPOUND: arrays and structures, listed but neither read nor set."""

    INTEGER = "integer"
    BOOLEAN = "boolean"
    MENU = "menu"
    INTEGER_MENU = "integer menu"
    BUTTON = "button"
    INTEGER64 = "integer64"
    STRING = "string"
    BITMASK = "bitmask"
    COMPOUND = "compound"


@dataclass(frozen=True, slots=True)
class MenuItem:
    """One entry of a menu; `number` is the control's value for it, menus may have holes."""

    number: int
    label: str


@dataclass(frozen=True, slots=True)
class Control:
    """One control as its driver described it at the moment of the query.

    `slug`: the name in lower snake case, as v4l2-ctl prints it. `flags` change while the camera runs: `refresh` them.
    `minimum`, `maximum`, `step` of a string are lengths in bytes; `maximum` of a bitmask is the mask of allowed bits.
    """

    id: int
    name: str
    slug: str
    kind: Kind
    minimum: int
    maximum: int
    step: int
    default: int
    flags: ControlFlag
    menu: tuple[MenuItem, ...] = ()

    @property
    def inactive(self) -> bool:
        """It has no effect now, mostly because an automatic mode is on."""
        return bool(self.flags & ControlFlag.INACTIVE)

    @property
    def grabbed(self) -> bool:
        """It cannot be changed now, mostly because the camera streams."""
        return bool(self.flags & ControlFlag.GRABBED)

    @property
    def read_only(self) -> bool:
        """It can only be read."""
        return bool(self.flags & ControlFlag.READ_ONLY)

    @property
    def volatile(self) -> bool:
        """The hardware changes it by itself."""
        return bool(self.flags & ControlFlag.VOLATILE)

    @property
    def readable(self) -> bool:
        """It has a value that VIDIOC_G_EXT_CTRLS gives and we understand."""
        return self.kind not in (Kind.BUTTON, Kind.COMPOUND) and not self.flags & ControlFlag.WRITE_ONLY

    @property
    def group(self) -> str:
        """The kernel's class of the control in lower case, such as `user` or `camera`."""
        number = self.id & CTRL_ID_MASK & 0xFFFF_0000
        return _GROUPS.get(number, f"0x{number:08x}")


_GROUPS: dict[int, str] = {member.value: member.name.lower().replace("_", " ") for member in ControlClass}

_KINDS = {
    CtrlType.INTEGER: Kind.INTEGER,
    CtrlType.BOOLEAN: Kind.BOOLEAN,
    CtrlType.MENU: Kind.MENU,
    CtrlType.INTEGER_MENU: Kind.INTEGER_MENU,
    CtrlType.BUTTON: Kind.BUTTON,
    CtrlType.INTEGER64: Kind.INTEGER64,
    CtrlType.STRING: Kind.STRING,
    CtrlType.BITMASK: Kind.BITMASK,
}


def slug_of(name: str) -> str:
    """The name as v4l2-ctl prints it: `Exposure Time, Absolute` -> `exposure_time_absolute`."""
    spaced = "".join(letter.lower() if letter.isascii() and letter.isalnum() else " " for letter in name)
    return "_".join(spaced.split())


def enumerate_controls(node: Node) -> tuple[Control, ...]:
    """Every control of the camera, by ascending id, without class headings and disabled ones; empty when it has none.

    A control whose description the camera fails to give (UVC cameras do) is left out; those after it are found.
    Raises DeviceGone, DeviceError.
    """
    found = (_describe(node, answer) for answer in _walk(node))
    return tuple(control for control in found if control is not None)


def query(node: Node, control_id: int) -> Control:
    """One control, asked afresh, menu included. Raises ControlUnknown, DeviceError."""
    control = query_optional(node, control_id)
    if control is None:
        raise unknown_control(node.path, f"0x{control_id:08x}", enumerate_controls(node))
    return control


def query_optional(node: Node, control_id: int) -> Control | None:
    """One control, asked afresh, or None when the camera has no such control. Raises DeviceError."""
    answer = _ask(node, control_id)
    return None if answer is None else _describe(node, answer)


def refresh(node: Node, control: Control) -> Control:
    """The same control with flags and range as they are now; its menu is kept. Raises ControlUnknown, DeviceError."""
    answer = _ask(node, control.id)
    if answer is None:
        raise unknown_control(node.path, control.slug, enumerate_controls(node))
    return _with_state(control, answer)


def unknown_control(device: str, wanted: str, controls: Sequence[Control]) -> ControlUnknown:
    """The error for a control the camera does not have, with the nearest names among those it has."""
    names = [control.slug for control in controls]
    near = difflib.get_close_matches(slug_of(wanted), names, n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"it has {', '.join(names)}"
    else:
        hint = "this camera has no controls at all"
    return ControlUnknown(
        f"{device} has no control {wanted}", hint=hint, device=device, asked=wanted, near=near, available=names
    )


def _ask(node: Node, control_id: int) -> v4l2_query_ext_ctrl | None:
    """The description of one control, or None when there is none. Raises DeviceError."""
    answer = v4l2_query_ext_ctrl(id=control_id)
    code = node.attempt(VIDIOC_QUERY_EXT_CTRL, answer)
    if code in (errno.EINVAL, errno.ENOTTY):
        return None
    if code:
        raise typed_error(code, VIDIOC_QUERY_EXT_CTRL.name, node.path)
    return answer


def _walk(node: Node) -> Iterator[v4l2_query_ext_ctrl]:
    """Descriptions in ascending order of id, as VIDIOC_QUERY_EXT_CTRL enumerates them."""
    last = 0
    while True:
        try:
            answer = _ask(node, last | ControlFlag.NEXT_CTRL | ControlFlag.NEXT_COMPOUND)
        except DeviceGone:
            raise
        except DeviceError:  # a control that cannot be described
            yield from _walk_known(node, last)
            return
        if answer is None:
            return
        if answer.id <= last:  # a driver that does not advance
            yield from _walk_known(node, last)
            return
        last = answer.id
        yield answer


def _walk_known(node: Node, after: int) -> Iterator[v4l2_query_ext_ctrl]:
    """Descriptions of the kernel's own controls above `after`, asked for one by one, skipping what fails.

    uvcvideo ends an enumeration with the first control whose limits the camera refuses to tell.
    """
    for number in sorted({member.value for member in ControlID if member.value > after}):
        try:
            answer = _ask(node, number)
        except DeviceGone:
            raise
        except DeviceError:
            continue
        if answer is not None:
            yield answer


def _describe(node: Node, answer: v4l2_query_ext_ctrl) -> Control | None:
    """The description as a value; None for class headings and disabled controls."""
    if answer.type == CtrlType.CTRL_CLASS or answer.flags & ControlFlag.DISABLED:
        return None
    name = answer.name.decode("utf-8", "replace")
    kind = Kind.COMPOUND if answer.nr_of_dims else _KINDS.get(answer.type, Kind.COMPOUND)
    described = Control(answer.id, name, slug_of(name), kind, 0, 0, 0, 0, ControlFlag(0), _menu(node, answer, kind))
    return _with_state(described, answer)


def _with_state(control: Control, answer: v4l2_query_ext_ctrl) -> Control:
    """The control with the range and flags of `answer`."""
    # a bitmask is 32 bits wide, whatever sign it got on the way
    mask = 0xFFFF_FFFF if control.kind is Kind.BITMASK else -1
    return replace(
        control,
        minimum=answer.minimum,
        maximum=answer.maximum & mask,
        step=answer.step,
        default=answer.default_value & mask,
        flags=ControlFlag(answer.flags),
    )


def _menu(node: Node, answer: v4l2_query_ext_ctrl, kind: Kind) -> tuple[MenuItem, ...]:
    """The items of a menu; numbers the driver answers EINVAL for are its holes."""
    if kind not in (Kind.MENU, Kind.INTEGER_MENU):
        return ()
    items = []
    for number in range(answer.minimum, answer.maximum + 1):
        item = v4l2_querymenu(id=answer.id, index=number)
        code = node.attempt(VIDIOC_QUERYMENU, item)
        if code == errno.EINVAL:
            continue
        if code:
            raise typed_error(code, VIDIOC_QUERYMENU.name, node.path)
        label = str(item.value) if kind is Kind.INTEGER_MENU else item.name.decode("utf-8", "replace")
        items.append(MenuItem(number, label))
    return tuple(items)
