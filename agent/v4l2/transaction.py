"""Several controls set as one: checked before anything is sent, sent in one call, read back, undone when it failed.

VIDIOC_S_EXT_CTRLS is atomic only in its validation. After a failure `error_idx == count` means that nothing was
written and the culprit is not named; a lower index names it, and the controls before it were written. uvcvideo moreover
writes in its own order. So after any failure all values are read, and what differs from before is put back.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.errors import DeviceError, DeviceGone, InputError
from agent.v4l2.controls import Control, enumerate_controls, query, query_optional, refresh
from agent.v4l2.ioctl import Node, typed_error
from agent.v4l2.partners import AUTOS, HOLDS, Hold, autos_of, lets_go, partners_of
from agent.v4l2.refusals import ReadBackMismatch, mismatch, not_allowed, refused_by_driver, refused_by_us
from agent.v4l2.snapshot import put_back
from agent.v4l2.uapi import VIDIOC_G_EXT_CTRLS, VIDIOC_S_EXT_CTRLS, VIDIOC_TRY_EXT_CTRLS, ControlFlag
from agent.v4l2.values import Batch, Value, check_value, format_value, read_each, read_values

__all__ = ["Change", "ReadBackMismatch", "SetReport", "set_controls", "set_manual"]

_GONE = (errno.ENODEV, errno.ENXIO)


@dataclass(frozen=True, slots=True)
class Change:
    """One control of a transaction; `before` and `after` are None where it cannot be read (buttons, write-only)."""

    control: Control
    before: Value | None
    asked: Value
    after: Value | None


@dataclass(frozen=True, slots=True)
class SetReport:
    """What a transaction did, in the order the controls were sent. Every readable value was read back as asked."""

    device: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class _Plan:
    """The controls in the order they are sent, their values, and the partners their modes may disturb."""

    controls: tuple[Control, ...]
    asked: Mapping[int, Value]
    bystanders: tuple[Control, ...]

    @property
    def moves_a_mode(self) -> bool:
        """Whether a mode in this transaction may be what makes another control of it inactive now."""
        return any(c.id in AUTOS or c.flags & ControlFlag.UPDATE for c in self.controls)


def set_controls(node: Node, values: Mapping[int | Control, Value]) -> SetReport:
    """Set all `values` (by id or Control) or none of them.

    Nothing is ever clamped or rounded. Automatic modes go before their manual partners; a partner alone is refused
    while its mode is on (`set_manual` switches it off). Not locked: one owner per camera.

    Raises before anything was sent: ControlUnknown, ControlValueError, ControlRefused.
    Raises after the driver refused: ControlRefused, ReadBackMismatch (`rolled_back` tells whether every control is
    as it was, `left` which are not), DeviceGone.
    """
    plan = _plan(node, values)
    before = {**read_values(node, plan.controls), **read_each(node, plan.bystanders).values}
    _try(node, plan)
    batch = Batch(plan.controls, plan.asked)
    code = batch.issue(node, VIDIOC_S_EXT_CTRLS)
    if code:
        raise _undo(node, plan, before, batch, code)
    after = _read_back(node, plan, before)
    return SetReport(
        node.path,
        tuple(Change(c, before.get(c.id), plan.asked[c.id], after.get(c.id)) for c in plan.controls),
    )


def set_manual(node: Node, values: Mapping[int | Control, Value]) -> SetReport:
    """`set_controls`, with the automatic modes that hold any of the values switched off in the same transaction.

    Raises what `set_controls` raises, and ControlRefused when the camera has no manual mode.
    """
    asked: dict[int | Control, Value] = dict(values)
    ids = {_id_of(key) for key in values}
    for hold in sorted({hold for number in ids for hold in HOLDS.get(number, ())}, key=lambda hold: hold.auto_id):
        auto = None if hold.auto_id in ids else query_optional(node, hold.auto_id)
        if auto is None or read_values(node, [auto]).get(auto.id) in hold.manual:
            continue
        manual = hold.choose_manual(auto)
        if manual is None:
            hint = "this camera sets it by itself, always"
            raise refused_by_us(node.path, auto, errno.EINVAL, "has no manual mode", hint)
        asked[auto.id] = manual
    return set_controls(node, asked)


def _plan(node: Node, values: Mapping[int | Control, Value]) -> _Plan:
    """Everything checked that can be checked on our side; flags are read fresh here."""
    controls: dict[int, Control] = {}
    asked: dict[int, Value] = {}
    for key, value in values.items():
        control = refresh(node, key) if isinstance(key, Control) else query(node, key)
        if control.id in controls:
            raise InputError(f"{control.slug} is given twice", hint="give it once", control=control.slug)
        controls[control.id] = control
        asked[control.id] = check_value(control, value)
    others = [query_optional(node, number) for number in sorted(partners_of(controls) - set(controls))]
    plan = _Plan(
        controls=tuple(sorted(controls.values(), key=lambda control: _rank(control, asked[control.id]))),
        asked=asked,
        bystanders=tuple(control for control in others if control is not None and control.readable),
    )
    _check_flags(node, plan)
    _check_holds(node, plan)
    return plan


def _rank(control: Control, value: Value) -> tuple[int, int]:
    """Modes that let go first, then values, modes that take hold, and last what cannot be undone."""
    if not control.readable:
        return 3, control.id
    if control.id in AUTOS:
        return (0 if lets_go(control.id, value) else 2), control.id
    return 1, control.id


def _check_flags(node: Node, plan: _Plan) -> None:
    for control in plan.controls:
        if control.read_only:
            hint = "leave it away: it can only be read"
            raise refused_by_us(node.path, control, errno.EACCES, "is read-only", hint)
        if control.grabbed:
            hint = "stop the stream first: the driver holds this control while it runs"
            raise refused_by_us(node.path, control, errno.EBUSY, "is held by the driver now", hint)


def _check_holds(node: Node, plan: _Plan) -> None:
    """No manual control without its automatic mode being off, now or by this very transaction."""
    modes = _modes(node, plan)
    for control in plan.controls:
        for hold in HOLDS.get(control.id, ()):
            auto = modes.get(hold.auto_id)
            if auto is not None and auto[1] not in hold.manual:
                raise _held(node, plan, control, hold, *auto)
    for control in plan.controls:
        if control.inactive and not plan.moves_a_mode:
            names = [c.slug for c in enumerate_controls(node) if c.flags & ControlFlag.UPDATE]
            hint = f"switch off what holds it, one of {', '.join(names)}" if names else "switch off its automatic mode"
            raise refused_by_us(node.path, control, errno.EACCES, "is inactive now", hint)


def _modes(node: Node, plan: _Plan) -> dict[int, tuple[Control, Value]]:
    """The modes that may hold a control of the plan, with the value they will have when it is applied."""
    ours = {control.id: control for control in plan.controls}
    wanted = autos_of(ours)
    found = [query_optional(node, number) for number in sorted(wanted - set(ours))]
    others = [control for control in found if control is not None]
    values = read_each(node, others).values
    modes = {control.id: (control, values[control.id]) for control in others if control.id in values}
    modes.update({number: (ours[number], plan.asked[number]) for number in wanted & set(ours)})
    return modes


def _held(node: Node, plan: _Plan, control: Control, hold: Hold, auto: Control, value: Value) -> Exception:
    manual = hold.choose_manual(auto)
    to = "a manual mode, which this camera lacks" if manual is None else format_value(auto, manual)
    hint = f"set {auto.slug} to {to} in the same call"
    state = f"{auto.slug} is {format_value(auto, value)}"
    if auto.id in plan.asked:
        return not_allowed(control, plan.asked[control.id], f" cannot be set by a call in which {state}", hint)
    return refused_by_us(node.path, control, errno.EACCES, f"cannot be set while {state}", hint)


def _try(node: Node, plan: _Plan) -> None:
    """Ask the driver without changing anything: it names the culprit here, which VIDIOC_S_EXT_CTRLS need not."""
    batch = Batch(plan.controls, plan.asked)
    code = batch.issue(node, VIDIOC_TRY_EXT_CTRLS)
    if code in _GONE:
        raise typed_error(code, VIDIOC_TRY_EXT_CTRLS.name, node.path)
    if code == errno.ENOTTY or (code == errno.EACCES and plan.moves_a_mode):
        return  # no TRY in this driver, or one that weighs a partner against the mode of now: the real call decides
    if code:
        raise refused_by_driver(
            node.path,
            plan.controls,
            batch.culprit,
            code=code,
            request=VIDIOC_TRY_EXT_CTRLS,
            error_idx=batch.error_idx,
            left={},
        )
    granted = batch.values()
    for control in plan.controls:
        asked, near = plan.asked[control.id], granted[control.id]
        if control.readable and near != asked:
            problem = f": the driver would make {format_value(control, near)} of {format_value(control, asked)}"
            raise not_allowed(control, asked, problem, f"ask for {format_value(control, near)}", near)


def _read_back(node: Node, plan: _Plan, before: Mapping[int, Value]) -> dict[int, Value]:
    """The values as the driver tells them now. Undoes the transaction and raises when they are not what was asked."""
    try:
        after = read_values(node, plan.controls)
    except DeviceGone:
        raise
    except DeviceError as error:
        left = _roll_back(node, plan, before)
        raise refused_by_driver(
            node.path,
            plan.controls,
            None,
            code=error.errno,
            request=VIDIOC_G_EXT_CTRLS,
            error_idx=None,
            left=left,
        ) from error
    wrong = [c for c in plan.controls if _proves(c) and after[c.id] != plan.asked[c.id]]
    if wrong:
        raise mismatch(node.path, wrong, plan.asked, after, _roll_back(node, plan, before))
    return after


def _proves(control: Control) -> bool:
    """Whether reading it back tells what was written: not for actions disguised as values."""
    action = control.flags & ControlFlag.EXECUTE_ON_WRITE and control.volatile
    return control.readable and not action


def _undo(node: Node, plan: _Plan, before: Mapping[int, Value], batch: Batch, code: int) -> DeviceError:
    """Put everything back after a refused VIDIOC_S_EXT_CTRLS; the error to raise."""
    if code in _GONE:
        return typed_error(code, VIDIOC_S_EXT_CTRLS.name, node.path)
    culprit = batch.culprit or _culprit_by_flags(node, plan.controls)
    return refused_by_driver(
        node.path,
        plan.controls,
        culprit,
        code=code,
        request=VIDIOC_S_EXT_CTRLS,
        error_idx=batch.error_idx,
        left=_roll_back(node, plan, before),
    )


def _roll_back(node: Node, plan: _Plan, before: Mapping[int, Value]) -> dict[str, Value | None]:
    """Values as before; those that could not be, by name, with what they are now."""
    leftovers = put_back(node, (*plan.controls, *plan.bystanders), before)
    return {leftover.control.slug: leftover.present for leftover in leftovers}


def _culprit_by_flags(node: Node, controls: Sequence[Control]) -> Control | None:
    """With `error_idx == count` the kernel names nobody; a flag that came up meanwhile does."""
    for control in controls:
        fresh = query_optional(node, control.id)
        if fresh is not None and (fresh.grabbed or fresh.read_only):
            return fresh
    return None


def _id_of(key: int | Control) -> int:
    return key.id if isinstance(key, Control) else key
