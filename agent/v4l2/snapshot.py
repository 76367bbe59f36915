"""Controls put back as they were found, with automatic modes and their manual partners in the right order.

A manual partner can only be written while its automatic mode is off, and switching the mode may change the partner:
so first every mode that has to let go, then the values, then the modes that were on.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.errors import ControlUnknown, DeviceError, DeviceGone
from agent.v4l2.controls import Control, enumerate_controls, refresh
from agent.v4l2.ioctl import Node, typed_error
from agent.v4l2.partners import AUTOS, HOLDS, lets_go, partners_of
from agent.v4l2.uapi import VIDIOC_S_EXT_CTRLS
from agent.v4l2.values import Batch, ControlValues, Value, read_each


@dataclass(frozen=True, slots=True)
class Leftover:
    """A control that could not be put back: the value it should have, the one it has (None: unreadable)."""

    control: Control
    wanted: Value
    present: Value | None


def snapshot(node: Node) -> ControlValues:
    """The values of every control that can be put back later; what cannot is in `skipped` with the reason.

    Raises DeviceGone, DeviceError.
    """
    kept, skipped = [], {}
    for control in enumerate_controls(node):
        if control.read_only:
            skipped[control.id] = "read-only"
        elif control.volatile and control.inactive:
            skipped[control.id] = "an automatic mode changes it"
        else:
            kept.append(control)
    found = read_each(node, kept)
    return ControlValues(found.controls, found.values, {**skipped, **found.skipped})


def restore(node: Node, found: ControlValues) -> tuple[Leftover, ...]:
    """Put every control of a snapshot back; the controls that could not be, in order of id (empty: all are back).

    Only what differs is written. Goes on after a refusal. Raises DeviceGone.
    """
    return put_back(node, found.controls, found.values)


def put_back(node: Node, controls: Sequence[Control], wanted: Mapping[int, Value]) -> tuple[Leftover, ...]:
    """Give `controls` the values in `wanted` (by id) and return those that would not take them. Raises DeviceGone."""
    targets = {control.id: wanted[control.id] for control in controls if control.id in wanted}
    fresh = _refresh_all(node, [control for control in controls if control.id in targets])
    present = read_each(node, fresh).values
    released = _modes_to_release(targets, present)
    by_id = {control.id: control for control in fresh}
    _write(node, by_id, released)
    values = {number: value for number, value in targets.items() if number not in AUTOS}
    held = _held(targets)
    touchable = _differing(values, present, skip=held - partners_of(_manual_now(targets, present, released)))
    touchable.update({number: values[number] for number in partners_of(released) if number in values})
    _write(node, by_id, touchable)
    # one value may widen the range of another (blanking and exposure of a sensor): what still differs is tried again
    _write(node, by_id, _differing(touchable, read_each(node, fresh).values, skip=()))
    modes = {number: value for number, value in targets.items() if number in AUTOS}
    _write(node, by_id, _differing(modes, read_each(node, fresh).values, skip=()))
    return _leftovers(node, fresh, targets, held)


def _refresh_all(node: Node, controls: Sequence[Control]) -> list[Control]:
    """The controls as they are now; one that is gone or fails stays as it was described last."""
    fresh = []
    for control in controls:
        try:
            fresh.append(refresh(node, control))
        except DeviceGone:
            raise
        except (ControlUnknown, DeviceError):
            fresh.append(control)
    return fresh


def _held(values: Mapping[int, Value]) -> set[int]:
    """The manual controls that automatic modes hold when these values are in force."""
    return {
        partner
        for partner, holds in HOLDS.items()
        if any(hold.auto_id in values and values[hold.auto_id] not in hold.manual for hold in holds)
    }


def _modes_to_release(targets: Mapping[int, Value], present: Mapping[int, Value]) -> dict[int, Value]:
    """Automatic modes that are on and were not: by id, with the value they had."""
    return {
        number: value
        for number, value in targets.items()
        if number in AUTOS and lets_go(number, value) and present.get(number) != value
    }


def _manual_now(targets: Mapping[int, Value], present: Mapping[int, Value], released: Mapping[int, Value]) -> set[int]:
    """Automatic modes that are off at this moment, whatever they were: their partners can be written."""
    now = {**present, **released}
    return {number for number in targets if number in AUTOS and number in now and lets_go(number, now[number])}


def _differing(values: Mapping[int, Value], present: Mapping[int, Value], skip: Iterable[int]) -> dict[int, Value]:
    left_out = set(skip)
    return {n: value for n, value in values.items() if n not in left_out and present.get(n) != value}


def _write(node: Node, controls: Mapping[int, Control], values: Mapping[int, Value]) -> None:
    """Write in one call; what is refused so is written one by one. Success is for the caller to read back."""
    settable = [controls[number] for number in values if not controls[number].read_only]
    code = Batch(settable, values).issue(node, VIDIOC_S_EXT_CTRLS)
    if code and code not in (errno.ENODEV, errno.ENXIO):
        for control in settable:
            code = Batch([control], values).issue(node, VIDIOC_S_EXT_CTRLS)
    if code in (errno.ENODEV, errno.ENXIO):
        raise typed_error(code, VIDIOC_S_EXT_CTRLS.name, node.path)


def _leftovers(
    node: Node, controls: Sequence[Control], targets: Mapping[int, Value], held: set[int]
) -> tuple[Leftover, ...]:
    present = read_each(node, controls).values
    return tuple(
        Leftover(control, targets[control.id], present.get(control.id))
        for control in sorted(controls, key=lambda control: control.id)
        if control.id not in held and present.get(control.id) != targets[control.id]
    )
