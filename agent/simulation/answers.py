"""The requests a simulated node answers, by number; and how a call passes through the camera's faults to its answer."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable
from typing import Any

from agent.simulation import ioctl_buffer, ioctl_control, ioctl_format
from agent.simulation.camera import SimulatedCamera
from agent.simulation.open_file import NodeKind, OpenFile
from agent.simulation.refusal import refusal
from agent.v4l2 import uapi

Answer = Callable[[SimulatedCamera, OpenFile, Any], None]

_FORMAT: dict[int, Answer] = {
    uapi.VIDIOC_QUERYCAP.number: ioctl_format.querycap,
    uapi.VIDIOC_ENUM_FMT.number: ioctl_format.enum_fmt,
    uapi.VIDIOC_G_FMT.number: ioctl_format.g_fmt,
    uapi.VIDIOC_S_FMT.number: ioctl_format.s_fmt,
    uapi.VIDIOC_TRY_FMT.number: ioctl_format.try_fmt,
}
_CAPTURE: dict[int, Answer] = {
    **_FORMAT,
    uapi.VIDIOC_ENUM_FRAMESIZES.number: ioctl_format.enum_framesizes,
    uapi.VIDIOC_ENUM_FRAMEINTERVALS.number: ioctl_format.enum_frameintervals,
    uapi.VIDIOC_G_PARM.number: ioctl_format.g_parm,
    uapi.VIDIOC_S_PARM.number: ioctl_format.s_parm,
    uapi.VIDIOC_G_SELECTION.number: ioctl_format.g_selection,
    uapi.VIDIOC_S_SELECTION.number: ioctl_format.s_selection,
    uapi.VIDIOC_QUERY_EXT_CTRL.number: ioctl_control.query_ext_ctrl,
    uapi.VIDIOC_QUERYMENU.number: ioctl_control.querymenu,
    uapi.VIDIOC_G_EXT_CTRLS.number: ioctl_control.g_ext_ctrls,
    uapi.VIDIOC_S_EXT_CTRLS.number: ioctl_control.s_ext_ctrls,
    uapi.VIDIOC_TRY_EXT_CTRLS.number: ioctl_control.try_ext_ctrls,
    uapi.VIDIOC_SUBSCRIBE_EVENT.number: ioctl_control.subscribe_event,
    uapi.VIDIOC_UNSUBSCRIBE_EVENT.number: ioctl_control.unsubscribe_event,
    uapi.VIDIOC_DQEVENT.number: ioctl_control.dqevent,
    uapi.VIDIOC_REQBUFS.number: ioctl_buffer.reqbufs,
    uapi.VIDIOC_CREATE_BUFS.number: ioctl_buffer.create_bufs,
    uapi.VIDIOC_QUERYBUF.number: ioctl_buffer.querybuf,
    uapi.VIDIOC_EXPBUF.number: ioctl_buffer.expbuf,
    uapi.VIDIOC_QBUF.number: ioctl_buffer.qbuf,
    uapi.VIDIOC_DQBUF.number: ioctl_buffer.dqbuf,
    uapi.VIDIOC_STREAMON.number: ioctl_buffer.streamon,
    uapi.VIDIOC_STREAMOFF.number: ioctl_buffer.streamoff,
}
_BY_KIND = {NodeKind.CAPTURE: _CAPTURE, NodeKind.METADATA: _FORMAT}


def answer(camera: SimulatedCamera, file: OpenFile, number: int, argument: Any) -> None:
    """One ioctl on an open node. Raises OSError as the driver would: ENOTTY for a request it does not know."""
    request = uapi.REQUESTS.get(number)
    function = _BY_KIND[file.kind].get(number)
    if request is not None:
        _pass_gate(camera, request)
    with camera.lock:
        camera.check_present(file)
        if request is None or function is None:
            raise refusal(errno.ENOTTY)
        if not isinstance(argument, request.structure or ctypes.c_int):
            raise refusal(errno.EFAULT)
        _misbehave(camera, request.name)
        camera.check_present(file)
        function(camera, file, argument)
    if request is uapi.VIDIOC_STREAMOFF:
        camera.settle()


def _pass_gate(camera: SimulatedCamera, request: uapi.Request) -> None:
    gate = camera.faults.gate(request.name)
    if gate is not None:
        if request is uapi.VIDIOC_STREAMOFF:
            camera.halt()
        gate.wait()


def _misbehave(camera: SimulatedCamera, name: str) -> None:
    if camera.faults.unplug_at_call == name:
        camera.faults.unplug_at_call = None
        camera.unplug_locked()
    code = camera.faults.refusal_of(name)
    if code:
        raise refusal(code)
