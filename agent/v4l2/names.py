"""Controls by name: the camera's own, those of kernels before and after 5.16, the kernel's constants, or a number."""

from __future__ import annotations

from collections.abc import Sequence

from agent.errors import ControlUnknown
from agent.v4l2.controls import Control, slug_of, unknown_control
from agent.v4l2.uapi import ControlID

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
_ALIASES: dict[str, int] = {name: number.value for number, names in _NAMES.items() for name in names}


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
    raise unknown_control(device, text, controls)


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
    return None if member is None else int(member)


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
