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

from agent.errors import ControlUnknown
from agent.v4l2.ioctl import Node
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
    """What values a control takes. Arrays and kernel structures of any sort are COMPOUND: listed, neither read nor set."""

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


_GROUPS = {member.value: member.name.lower().replace("_", " ") for member in ControlClass}

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

_NAMES = {
    # uvcvideo's own before kernel 5.16, the framework's since ("media: uvcvideo: Use control names from framework")
    ControlID.EXPOSURE_AUTO: ("exposure_auto", "auto_exposure"),
    ControlID.EXPOSURE_ABSOLUTE: ("exposure_absolute", "exposure_time_absolute"),
    ControlID.EXPOSURE_AUTO_PRIORITY: ("exposure_auto_priority", "exposure_dynamic_framerate"),
    ControlID.AUTO_WHITE_BALANCE: ("white_balance_temperature_auto", "white_balance_automatic"),
    ControlID.RED_BALANCE: ("white_balance_red_component", "red_balance"),
    ControlID.BLUE_BALANCE: ("white_balance_blue_component", "blue_balance"),
    ControlID.FOCUS_AUTO: ("focus_auto", "focus_automatic_continuous"),
    ControlID.HUE_AUTO: ("hue_auto", "hue_automatic"),
    ControlID.AUTOGAIN: ("gain_automatic", "autogain"),
    ControlID.AUTOBRIGHTNESS: ("brightness_automatic", "autobrightness"),
}
_ALIASES = {name: number.value for number, names in _NAMES.items() for name in names}


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
    answer = v4l2_query_ext_ctrl(id=control_id)
    code = node.attempt(VIDIOC_QUERY_EXT_CTRL, answer)
    if code not in (0, errno.EINVAL, errno.ENOTTY):
        node.call(VIDIOC_QUERY_EXT_CTRL, answer)
    control = None if code else _describe(node, answer)
    if control is None:
        raise _unknown(node.path, f"0x{control_id:08x}", enumerate_controls(node))
    return control


def query_optional(node: Node, control_id: int) -> Control | None:
    """One control, asked afresh, or None when the camera has no such control. Raises DeviceError."""
    answer = v4l2_query_ext_ctrl(id=control_id)
    code = node.attempt(VIDIOC_QUERY_EXT_CTRL, answer)
    if code in (errno.EINVAL, errno.ENOTTY):
        return None
    if code:
        node.call(VIDIOC_QUERY_EXT_CTRL, answer)
    return _describe(node, answer)


def refresh(node: Node, control: Control) -> Control:
    """The same control with flags and range as they are now; its menu is kept. Raises DeviceError."""
    answer = v4l2_query_ext_ctrl(id=control.id)
    node.call(VIDIOC_QUERY_EXT_CTRL, answer)
    return replace(
        control,
        minimum=answer.minimum,
        maximum=answer.maximum,
        step=answer.step,
        default=answer.default_value,
        flags=ControlFlag(answer.flags),
    )


def find_control(device: str, controls: Sequence[Control], wanted: str | int) -> Control:
    """The control of this id, slug, name, kernel constant (`exposure_auto`), or name before or after kernel 5.16.

    Raises ControlUnknown, suggesting the nearest names the camera has.
    """
    control_id = wanted if isinstance(wanted, int) else _number(wanted)
    if isinstance(wanted, str):
        named = [control for control in controls if slug_of(wanted) == control.slug]
        if len(named) == 1:
            return named[0]
        if len(named) > 1:
            raise _ambiguous(device, wanted, named)
    for control in controls:
        if control.id == control_id:
            return control
    text = wanted if isinstance(wanted, str) else f"0x{wanted:08x}"
    raise _unknown(device, text, controls)


def _number(wanted: str) -> int | None:
    """The control id a text stands for: a number, a name of any kernel, a V4L2_CID constant."""
    try:
        return int(wanted, 0)
    except ValueError:
        pass
    slug = slug_of(wanted)
    if slug in _ALIASES:
        return _ALIASES[slug]
    constant = slug.removeprefix("v4l2_cid_").upper()
    if constant.endswith(("BASE", "CLASS", "LASTP1")):
        return None
    member = ControlID.__members__.get(constant)
    return None if member is None else member.value


def _unknown(device: str, wanted: str, controls: Sequence[Control]) -> ControlUnknown:
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


def _ambiguous(device: str, wanted: str, named: Sequence[Control]) -> ControlUnknown:
    ids = [f"0x{control.id:08x}" for control in named]
    return ControlUnknown(
        f"{device} has {len(named)} controls named {wanted}",
        hint=f"ask for one of them by its id: {', '.join(ids)}",
        device=device,
        asked=wanted,
        near=ids,
        available=ids,
    )


def _walk(node: Node) -> Iterator[v4l2_query_ext_ctrl]:
    """Descriptions in ascending order of id, as VIDIOC_QUERY_EXT_CTRL enumerates them."""
    last = 0
    while True:
        answer = v4l2_query_ext_ctrl(id=last | ControlFlag.NEXT_CTRL | ControlFlag.NEXT_COMPOUND)
        code = node.attempt(VIDIOC_QUERY_EXT_CTRL, answer)
        if code in (errno.EINVAL, errno.ENOTTY):
            return
        if code in (errno.ENODEV, errno.ENXIO):
            node.call(VIDIOC_QUERY_EXT_CTRL, answer)
        if code or answer.id <= last:  # a control that cannot be described, or a driver that does not advance
            yield from _walk_known(node, last)
            return
        last = answer.id
        yield answer


def _walk_known(node: Node, after: int) -> Iterator[v4l2_query_ext_ctrl]:
    """Descriptions of the kernel's own controls above `after`, asked for one by one, skipping what fails.

    uvcvideo ends an enumeration with the first control whose limits the camera refuses to tell.
    """
    for number in sorted({member.value for member in ControlID}):
        if number <= after:
            continue
        answer = v4l2_query_ext_ctrl(id=number)
        code = node.attempt(VIDIOC_QUERY_EXT_CTRL, answer)
        if code in (errno.ENODEV, errno.ENXIO):
            node.call(VIDIOC_QUERY_EXT_CTRL, answer)
        if not code:
            yield answer


def _describe(node: Node, answer: v4l2_query_ext_ctrl) -> Control | None:
    """The description as a value; None for class headings and disabled controls."""
    if answer.type == CtrlType.CTRL_CLASS or answer.flags & ControlFlag.DISABLED:
        return None
    name = answer.name.decode("utf-8", "replace")
    kind = Kind.COMPOUND if answer.nr_of_dims else _KINDS.get(answer.type, Kind.COMPOUND)
    return Control(
        id=answer.id,
        name=name,
        slug=slug_of(name),
        kind=kind,
        minimum=answer.minimum,
        # a bitmask comes as a sign-extended 32-bit number
        maximum=answer.maximum & 0xFFFF_FFFF if kind is Kind.BITMASK else answer.maximum,
        step=answer.step,
        default=answer.default_value & 0xFFFF_FFFF if kind is Kind.BITMASK else answer.default_value,
        flags=ControlFlag(answer.flags),
        menu=_menu(node, answer, kind),
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
            node.call(VIDIOC_QUERYMENU, item)
        label = str(item.value) if kind is Kind.INTEGER_MENU else item.name.decode("utf-8", "replace")
        items.append(MenuItem(number, label))
    return tuple(items)
