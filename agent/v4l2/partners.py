"""Automatic modes and the manual controls they hold: which control must say what before another one counts.

By id, from the kernel's user and camera control pages; uvcvideo enforces the same pairs (uvc_ctrl.c: master_id).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.v4l2.controls import Control, Kind
from agent.v4l2.uapi import ControlID, ExposureAutoType


@dataclass(frozen=True, slots=True)
class Hold:
    """An automatic mode `auto_id` that holds a partner unless its value is one of `manual`, the best one first."""

    auto_id: int
    manual: tuple[int, ...]

    def choose_manual(self, auto: Control) -> int | None:
        """The best manual value this camera's control offers, or None. UVC cameras differ in the modes they know."""
        offered = {item.number for item in auto.menu} if auto.kind is Kind.MENU else {*range(auto.minimum, 2)}
        return next((value for value in self.manual if value in offered), None)


_OFF = (0,)
# V4L2_CID_EXPOSURE_AUTO: "shutter priority" is manual time with automatic iris, "aperture priority" the reverse
_TIME_IS_MANUAL = (ExposureAutoType.MANUAL.value, ExposureAutoType.SHUTTER_PRIORITY.value)
_IRIS_IS_MANUAL = (ExposureAutoType.MANUAL.value, ExposureAutoType.APERTURE_PRIORITY.value)
_WHITE = (
    Hold(ControlID.AUTO_WHITE_BALANCE, _OFF),
    Hold(ControlID.AUTO_N_PRESET_WHITE_BALANCE, _OFF),
)
HOLDS: dict[int, tuple[Hold, ...]] = {
    ControlID.EXPOSURE_ABSOLUTE: (Hold(ControlID.EXPOSURE_AUTO, _TIME_IS_MANUAL),),
    ControlID.EXPOSURE: (Hold(ControlID.EXPOSURE_AUTO, _TIME_IS_MANUAL),),
    ControlID.IRIS_ABSOLUTE: (Hold(ControlID.EXPOSURE_AUTO, _IRIS_IS_MANUAL),),
    ControlID.IRIS_RELATIVE: (Hold(ControlID.EXPOSURE_AUTO, _IRIS_IS_MANUAL),),
    ControlID.GAIN: (Hold(ControlID.AUTOGAIN, _OFF),),
    ControlID.ANALOGUE_GAIN: (Hold(ControlID.AUTOGAIN, _OFF),),
    ControlID.WHITE_BALANCE_TEMPERATURE: _WHITE,
    ControlID.RED_BALANCE: _WHITE,
    ControlID.BLUE_BALANCE: _WHITE,
    ControlID.FOCUS_ABSOLUTE: (Hold(ControlID.FOCUS_AUTO, _OFF),),
    ControlID.FOCUS_RELATIVE: (Hold(ControlID.FOCUS_AUTO, _OFF),),
    ControlID.HUE: (Hold(ControlID.HUE_AUTO, _OFF),),
    ControlID.BRIGHTNESS: (Hold(ControlID.AUTOBRIGHTNESS, _OFF),),
    ControlID.CHROMA_GAIN: (Hold(ControlID.CHROMA_AGC, _OFF),),
    ControlID.ISO_SENSITIVITY: (Hold(ControlID.ISO_SENSITIVITY_AUTO, _OFF),),
}
"""The automatic modes that may hold a control, by the control's id."""

AUTOS: frozenset[int] = frozenset(hold.auto_id for holds in HOLDS.values() for hold in holds)
"""Ids of all automatic modes in `HOLDS`."""


def autos_of(control_ids: Iterable[int]) -> set[int]:
    """The automatic modes that may hold any of these controls."""
    return {hold.auto_id for control_id in control_ids for hold in HOLDS.get(control_id, ())}


def partners_of(control_ids: Iterable[int]) -> set[int]:
    """The manual controls any of these automatic modes may hold."""
    autos = set(control_ids)
    return {partner for partner, holds in HOLDS.items() if any(hold.auto_id in autos for hold in holds)}


def lets_go(auto_id: int, value: object) -> bool:
    """Whether the automatic mode at this value leaves every partner it has to the hand."""
    holds = [hold for partner_holds in HOLDS.values() for hold in partner_holds if hold.auto_id == auto_id]
    return all(value in hold.manual for hold in holds)
