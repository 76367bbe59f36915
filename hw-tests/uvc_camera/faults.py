# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults a test can order: one table of what exists, and which are in force now. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import OrderError

IGNORE_SETTING = "ignore_setting"
STALL_CONTROL = "stall_control"
SLOW_CONTROL = "slow_control"
SHORT_FRAME = "short_frame"
ERROR_BIT = "error_bit"
DROP_FRAME = "drop_frame"
URB_ERROR = "urb_error"
HOLD_PICTURES = "hold_pictures"
DROP_TRIGGER = "drop_trigger"
DOUBLE_TRIGGER = "double_trigger"
LATE_TRIGGER = "late_trigger"
GHOST_FRAME = "ghost_frame"
FREEZE = "freeze"
GONE = "gone"

_CONTROL, _COUNT, _KEEP, _DELAY = "control", "count", "keep_bytes", "delay_ms"
_TAKES: Mapping[str, frozenset[str]] = {
    IGNORE_SETTING: frozenset({_CONTROL}),
    STALL_CONTROL: frozenset({_CONTROL, _COUNT}),
    SLOW_CONTROL: frozenset({_CONTROL, _COUNT, _DELAY}),
    SHORT_FRAME: frozenset({_COUNT, _KEEP}),
    ERROR_BIT: frozenset({_COUNT}),
    DROP_FRAME: frozenset({_COUNT}),
    URB_ERROR: frozenset({_COUNT}),
    HOLD_PICTURES: frozenset(),
    DROP_TRIGGER: frozenset({_COUNT}),
    DOUBLE_TRIGGER: frozenset({_COUNT}),
    LATE_TRIGGER: frozenset({_COUNT, _DELAY}),
    GHOST_FRAME: frozenset({_COUNT}),
    FREEZE: frozenset(),
    GONE: frozenset(),
}
NAMES = tuple(_TAKES)
_DEFAULT_DELAY_MS = 2000


@dataclass(frozen=True)
class Fault:
    """One fault in force. A `control` of None is any control; a `count` of None is until cleared."""

    name: str
    control: str | None = None
    count: int | None = None
    keep_bytes: int | None = None
    delay_ms: int = _DEFAULT_DELAY_MS


def parse(name: str, arguments: Mapping[str, object]) -> Fault:
    """A fault from an order's words. Raises: OrderError for an unknown fault, argument, or a value of a wrong kind."""
    if name not in _TAKES:
        raise OrderError(f"there is no fault {name!r}", hint=f"one of {', '.join(NAMES)}")
    unknown = set(arguments) - _TAKES[name]
    if unknown:
        raise OrderError(f"{name} does not take {', '.join(sorted(unknown))}",
                         hint=f"it takes {', '.join(sorted(_TAKES[name])) or 'nothing'}")  # fmt: skip
    control = arguments.get(_CONTROL)
    if control is not None and not isinstance(control, str):
        raise OrderError("control must be the name of a control")
    delay_ms = _natural(arguments, _DELAY)
    return Fault(name, control, _natural(arguments, _COUNT), _natural(arguments, _KEEP),
                 _DEFAULT_DELAY_MS if delay_ms is None else delay_ms)  # fmt: skip


def _natural(arguments: Mapping[str, object], name: str) -> int | None:
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise OrderError(f"{name} must be a whole number, not {value!r}")
    return value


class Faults:
    """The faults in force, at most one of each name; a later order replaces an earlier one."""

    def __init__(self) -> None:
        self._active: dict[str, Fault] = {}
        self._left: dict[str, int] = {}

    def order(self, fault: Fault) -> None:
        """Bring `fault` into force."""
        self.clear(fault.name)
        if fault.count != 0:
            self._active[fault.name] = fault
        if fault.count:
            self._left[fault.name] = fault.count

    def clear(self, name: str | None = None) -> None:
        """Lift one fault, or with None every one."""
        for each in tuple(self._active) if name is None else (name,):
            self._active.pop(each, None)
            self._left.pop(each, None)

    def active(self, name: str, control: str | None = None) -> Fault | None:
        """The fault of that name if it is in force (for that control); it is not used up."""
        fault = self._active.get(name)
        if fault is None or fault.control not in (None, control):
            return None
        return fault

    def take(self, name: str, control: str | None = None) -> Fault | None:
        """Like `active`, but counts one use of it."""
        fault = self.active(name, control)
        if fault is not None and name in self._left:
            self._left[name] -= 1
            if not self._left[name]:
                self.clear(name)
        return fault
