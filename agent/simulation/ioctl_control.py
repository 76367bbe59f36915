"""Controls and events: QUERY_EXT_CTRL, QUERYMENU, G/TRY/S_EXT_CTRLS, SUBSCRIBE/UNSUBSCRIBE/DQEVENT.

`error_idx` as in v4l2-ctrls-api.c: TRY names the culprit, S says `count` when validation failed and nothing was
written and names the culprit when writing failed, G says `count` when a control cannot be read at all.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Sequence
from typing import Any

from agent.simulation.camera import SimulatedCamera
from agent.simulation.control_spec import ControlSpec, Value
from agent.simulation.controls import ControlRefused, class_of
from agent.simulation.events import initial_changes
from agent.simulation.open_file import OpenFile
from agent.simulation.refusal import refusal
from agent.v4l2.uapi import (
    CTRL_ID_MASK,
    ControlFlag,
    ControlWhichValue,
    CtrlType,
    EventControlChange,
    EventSubscriptionFlag,
    EventType,
)

_MAX_CONTROLS = 1024  # V4L2_CID_MAX_CTRLS


def query_ext_ctrl(camera: SimulatedCamera, _file: OpenFile, argument: Any) -> None:
    """VIDIOC_QUERY_EXT_CTRL, with V4L2_CTRL_FLAG_NEXT_CTRL the control after the given id."""
    control_id = argument.id & CTRL_ID_MASK
    if argument.id & ControlFlag.NEXT_CTRL:
        spec = camera.controls.following(control_id)
    elif argument.id & ControlFlag.NEXT_COMPOUND:
        spec = None  # there are no compound controls here
    else:
        spec = camera.controls.spec(control_id)
    if spec is None:
        raise refusal(errno.EINVAL)
    _describe(spec, argument)


def querymenu(camera: SimulatedCamera, _file: OpenFile, argument: Any) -> None:
    """VIDIOC_QUERYMENU: EINVAL outside the menu and for its holes."""
    spec = camera.controls.spec(argument.id)
    if spec is None or argument.index not in spec.menu:
        raise refusal(errno.EINVAL)
    item = spec.menu[argument.index]
    argument.reserved = 0
    if isinstance(item, str):
        argument.m1.name = item.encode()[:31]
    else:
        argument.m1.value = item


def g_ext_ctrls(camera: SimulatedCamera, _file: OpenFile, argument: Any) -> None:
    """VIDIOC_G_EXT_CTRLS: current values, or defaults with V4L2_CTRL_WHICH_DEF_VAL."""
    which = _begin(camera, argument)
    controls = _controls(argument)
    try:
        specs = camera.controls.locate([control.id for control in controls], _class_filter(which))
    except ControlRefused as refused:
        raise refusal(refused.code) from refused
    if any(spec.has(ControlFlag.WRITE_ONLY) for spec in specs):
        raise refusal(errno.EACCES)
    for index, (spec, control) in enumerate(zip(specs, controls, strict=True)):
        argument.error_idx = index
        default = which == ControlWhichValue.DEF_VAL
        _put(spec, control, spec.default if default else camera.controls.read(spec.id))


def try_ext_ctrls(camera: SimulatedCamera, _file: OpenFile, argument: Any) -> None:
    """VIDIOC_TRY_EXT_CTRLS: what S_EXT_CTRLS would store."""
    which = _begin_write(camera, argument)
    controls = _controls(argument)
    try:
        specs, values = _validated(camera, which, controls, setting=False)
        for index, (spec, value) in enumerate(zip(specs, values, strict=True)):
            if isinstance(value, str) and not spec.minimum <= len(value) <= spec.maximum:
                raise ControlRefused(index, errno.ERANGE)
    except ControlRefused as refused:
        argument.error_idx = refused.index
        raise refusal(refused.code) from refused
    _give_back(argument, specs, values)


def s_ext_ctrls(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_S_EXT_CTRLS."""
    which = _begin_write(camera, argument)
    controls = _controls(argument)
    faults = camera.faults
    try:
        specs, values = _validated(camera, which, controls, setting=True)
        items = [(spec.id, value) for spec, value in zip(specs, values, strict=True)]
        written = camera.controls.write(items, file, ignored=faults.ignored_controls, broken_at=faults.broken_write_at)
    except ControlRefused as refused:
        if refused.writing:
            argument.error_idx = refused.index
            camera.follow_controls(control.id & CTRL_ID_MASK for control in controls[: refused.index])
        camera.refresh()
        raise refusal(refused.code) from refused
    camera.follow_controls(written)
    camera.refresh()
    _give_back(argument, specs, values)


def subscribe_event(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_SUBSCRIBE_EVENT: V4L2_EVENT_CTRL only."""
    spec = camera.controls.spec(argument.id)
    if argument.type != EventType.CTRL or spec is None:
        raise refusal(errno.EINVAL)
    fresh = file.events.subscribe(spec.id, argument.flags)
    if fresh and argument.flags & EventSubscriptionFlag.SEND_INITIAL and spec.type != CtrlType.CTRL_CLASS:
        changes = initial_changes(spec)
        value = camera.controls.read(spec.id) if changes & EventControlChange.VALUE else 0
        file.events.post(spec, value, changes, camera.clock.now_ns())
        camera.refresh()


def unsubscribe_event(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_UNSUBSCRIBE_EVENT: no error when there was no subscription."""
    file.events.unsubscribe(argument.type, argument.id)
    camera.refresh()


def dqevent(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_DQEVENT: ENOENT without a pending event and with O_NONBLOCK; without, wait for one."""
    if file.descriptor.blocking:
        camera.lock.wait_for(lambda: len(file.events) > 0 or file.gone)
        camera.check_present(file)
    file.events.dequeue(argument)
    camera.refresh()


def _describe(spec: ControlSpec, argument: Any) -> None:
    ctypes.memset(ctypes.byref(argument), 0, ctypes.sizeof(argument))
    argument.id, argument.type, argument.name = spec.id, spec.type, spec.name.encode()[:31]
    argument.minimum, argument.maximum, argument.step = spec.minimum, spec.maximum, spec.step
    argument.default_value = spec.default if isinstance(spec.default, int) else 0
    argument.flags, argument.elems = spec.flags, 1
    sizes = {CtrlType.INTEGER64: 8, CtrlType.STRING: spec.maximum + 1}
    argument.elem_size = sizes.get(spec.type, 4)


def _controls(argument: Any) -> list[Any]:
    return [argument.controls[index] for index in range(argument.count)]


def _class_filter(which: int) -> int:
    return 0 if which == ControlWhichValue.DEF_VAL else class_of(which)


def _begin(camera: SimulatedCamera, argument: Any) -> int:
    """The checks before any control is looked at; the `which` of the call."""
    which = int(argument.m1.which)
    argument.error_idx = argument.count
    if argument.count > _MAX_CONTROLS or which == ControlWhichValue.REQUEST_VAL:
        raise refusal(errno.EINVAL)
    if argument.count == 0 and _class_filter(which) and not camera.controls.has_class(class_of(which)):
        raise refusal(errno.EINVAL)
    return which


def _begin_write(camera: SimulatedCamera, argument: Any) -> int:
    which = _begin(camera, argument)
    if which == ControlWhichValue.DEF_VAL:
        raise refusal(errno.EINVAL)
    return which


def _validated(
    camera: SimulatedCamera, which: int, controls: Sequence[Any], *, setting: bool
) -> tuple[list[ControlSpec], list[Value]]:
    specs = camera.controls.locate([control.id for control in controls], _class_filter(which))
    values = [_take(spec, control) for spec, control in zip(specs, controls, strict=True)]
    return specs, camera.controls.validate(specs, values, setting=setting)


def _take(spec: ControlSpec, control: Any) -> Value:
    """The value in the structure; of a text one byte too many, where there is one, so that it is refused later."""
    if spec.type == CtrlType.STRING:
        given = min(control.size, spec.maximum + 1)
        text = ctypes.string_at(ctypes.cast(control.m1.string, ctypes.c_void_p).value or 0, given) if given else b""
        return text.split(b"\0")[0].decode("latin-1")
    return int(control.m1.value64 if spec.type == CtrlType.INTEGER64 else control.m1.value)


def _give_back(argument: Any, specs: Sequence[ControlSpec], values: Sequence[Value]) -> None:
    for index, (spec, value) in enumerate(zip(specs, values, strict=True)):
        argument.error_idx = index
        _put(spec, argument.controls[index], value)


def _put(spec: ControlSpec, control: Any, value: Value) -> None:
    """The value into the structure. Raises OSError ENOSPC when a text does not fit; `size` then says how much would."""
    if not isinstance(value, str):
        if spec.type == CtrlType.INTEGER64:
            control.m1.value64 = value
        else:
            control.m1.value = value
        return
    text = value.encode("latin-1") + b"\0"
    if control.size < len(text):
        control.size = spec.maximum + 1
        raise refusal(errno.ENOSPC)
    ctypes.memmove(ctypes.cast(control.m1.string, ctypes.c_void_p), text, len(text))
