"""Arguments of ioctls in words: what is asked by the structure before the call, what was answered by it after.

Names and fields are the kernel's (linux/videodev2.h). Controls are called as their driver calls them once it was asked
to describe them, before that by the kernel's constant.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

from agent.v4l2 import decode_controls as controls
from agent.v4l2 import uapi
from agent.v4l2.decode_controls import Facts, Names, enum_text, quoted_text
from agent.v4l2.uapi import BufferFlag, BufType, Frmsizetypes, Memory, SelectionTarget, fourcc_text

__all__ = ["Facts", "Names", "answered", "asked"]

_MULTIPLANAR = frozenset({int(BufType.VIDEO_CAPTURE_MPLANE), int(BufType.VIDEO_OUTPUT_MPLANE)})


def asked(request: int, argument: Any, names: Names) -> Facts:
    """The fields of the structure that the driver reads. To be called before the ioctl."""
    decoder = _ASKED.get(request)
    return decoder(argument, names) if decoder else _plain(argument)


def answered(request: int, argument: Any, names: Names) -> Facts:
    """The fields that the driver wrote. To be called after an ioctl that succeeded."""
    if request == uapi.VIDIOC_QUERY_EXT_CTRL.number:
        names.learn(argument)
    decoder = _ANSWERED.get(request)
    return decoder(argument, names) if decoder else ()


Decoder = Callable[[Any, Names], Facts]


def _type(argument: Any) -> tuple[str, str]:
    return ("type", enum_text(BufType, argument.type))


def _plain(argument: Any) -> Facts:
    if isinstance(argument, ctypes.c_int):
        return (("type", enum_text(BufType, argument.value)),)
    return ()


def _capability(argument: Any, _names: Names) -> Facts:
    return (
        ("driver", quoted_text(argument.driver)),
        ("card", quoted_text(argument.card)),
        ("bus_info", quoted_text(argument.bus_info)),
    )


def _index_and_type(argument: Any, _names: Names) -> Facts:
    return ("index", str(argument.index)), _type(argument)


def _description(argument: Any, _names: Names) -> Facts:
    return ("pixelformat", fourcc_text(argument.pixelformat)), ("description", quoted_text(argument.description))


def _size_asked(argument: Any, _names: Names) -> Facts:
    return ("index", str(argument.index)), ("pixel_format", fourcc_text(argument.pixel_format))


def _size_answered(argument: Any, _names: Names) -> Facts:
    if argument.type == Frmsizetypes.DISCRETE:
        return (("size", f"{argument.m1.discrete.width}x{argument.m1.discrete.height}"),)
    steps = argument.m1.stepwise
    return (
        ("min", f"{steps.min_width}x{steps.min_height}"),
        ("max", f"{steps.max_width}x{steps.max_height}"),
        ("step", f"{steps.step_width}x{steps.step_height}"),
    )


def _interval_asked(argument: Any, names: Names) -> Facts:
    return *_size_asked(argument, names), ("size", f"{argument.width}x{argument.height}")


def _interval_answered(argument: Any, _names: Names) -> Facts:
    if argument.type == Frmsizetypes.DISCRETE:  # the numbers are those of v4l2_frmivaltypes too
        return (("interval", _fraction(argument.m1.discrete)),)
    return ("min", _fraction(argument.m1.stepwise.min)), ("max", _fraction(argument.m1.stepwise.max))


def _fraction(value: Any) -> str:
    return f"{value.numerator}/{value.denominator}"


def _only_type(argument: Any, _names: Names) -> Facts:
    return (_type(argument),)


def _format(argument: Any, _names: Names) -> Facts:
    if argument.type in _MULTIPLANAR:
        pixels = argument.fmt.pix_mp
        return (
            ("pixelformat", fourcc_text(pixels.pixelformat)),
            ("size", f"{pixels.width}x{pixels.height}"),
            ("planes", str(pixels.num_planes)),
        )
    pixels = argument.fmt.pix
    return ("pixelformat", fourcc_text(pixels.pixelformat)), ("size", f"{pixels.width}x{pixels.height}")


def _format_asked(argument: Any, names: Names) -> Facts:
    return _type(argument), *_format(argument, names)


def _timeperframe(argument: Any, _names: Names) -> Facts:
    return (("timeperframe", _fraction(argument.parm.capture.timeperframe)),)


def _parm_asked(argument: Any, names: Names) -> Facts:
    return _type(argument), *_timeperframe(argument, names)


def _selection_asked(argument: Any, names: Names) -> Facts:
    return _target(argument, names)[0], *_rect(argument, names)


def _target(argument: Any, _names: Names) -> Facts:
    return (("target", enum_text(SelectionTarget, argument.target)),)


def _rect(argument: Any, _names: Names) -> Facts:
    rect = argument.r
    return (("rect", f"({rect.left},{rect.top})/{rect.width}x{rect.height}"),)


def _reqbufs(argument: Any, _names: Names) -> Facts:
    return ("count", str(argument.count)), _type(argument), ("memory", enum_text(Memory, argument.memory))


def _count(argument: Any, _names: Names) -> Facts:
    return (("count", str(argument.count)),)


def _create_asked(argument: Any, _names: Names) -> Facts:
    kind = enum_text(BufType, argument.format.type)
    return ("count", str(argument.count)), ("type", kind), ("memory", enum_text(Memory, argument.memory))


def _create_answered(argument: Any, _names: Names) -> Facts:
    return ("index", str(argument.index)), ("count", str(argument.count))


def _index(argument: Any, _names: Names) -> Facts:
    return (("index", str(argument.index)),)


def _queried(argument: Any, _names: Names) -> Facts:
    if argument.type in _MULTIPLANAR:
        planes = [argument.m.planes[place] for place in range(argument.length)]
        return tuple((f"plane{place}", f"{plane.length}@{plane.m.mem_offset}") for place, plane in enumerate(planes))
    return ("length", str(argument.length)), ("offset", str(argument.m.offset))


def _exported(argument: Any, _names: Names) -> Facts:
    return (("fd", str(argument.fd)),)


def _export_asked(argument: Any, _names: Names) -> Facts:
    return ("index", str(argument.index)), ("plane", str(argument.plane))


def _queued(argument: Any, _names: Names) -> Facts:
    facts = (("index", str(argument.index)), ("memory", enum_text(Memory, argument.memory)))
    if argument.memory == Memory.DMABUF and argument.type not in _MULTIPLANAR:
        return *facts, ("fd", str(argument.m.fd))
    return facts


def _dequeued(argument: Any, _names: Names) -> Facts:
    stamp = argument.timestamp
    used = argument.bytesused
    if argument.type in _MULTIPLANAR:
        used = sum(argument.m.planes[place].bytesused for place in range(argument.length))
    facts = (
        ("index", str(argument.index)),
        ("sequence", str(argument.sequence)),
        ("bytesused", str(used)),
        ("timestamp", f"{stamp.secs}.{stamp.usecs:06d}"),
    )
    return (*facts, ("flags", "ERROR")) if argument.flags & BufferFlag.ERROR else facts


def _sync(argument: Any, _names: Names) -> Facts:
    end = "END" if argument.flags & uapi.DMA_BUF_SYNC_END else "START"
    ways = ((uapi.DMA_BUF_SYNC_READ, "READ"), (uapi.DMA_BUF_SYNC_WRITE, "WRITE"))
    return (("flags", "|".join([end, *(name for bit, name in ways if argument.flags & bit)])),)


def _heap_asked(argument: Any, _names: Names) -> Facts:
    return (("len", str(argument.len)),)


def _udmabuf_asked(argument: Any, _names: Names) -> Facts:
    return (("size", str(argument.size)),)


_ASKED: Mapping[int, Decoder] = {
    uapi.VIDIOC_ENUM_FMT.number: _index_and_type,
    uapi.VIDIOC_ENUM_FRAMESIZES.number: _size_asked,
    uapi.VIDIOC_ENUM_FRAMEINTERVALS.number: _interval_asked,
    uapi.VIDIOC_G_FMT.number: _only_type,
    uapi.VIDIOC_S_FMT.number: _format_asked,
    uapi.VIDIOC_TRY_FMT.number: _format_asked,
    uapi.VIDIOC_G_PARM.number: _only_type,
    uapi.VIDIOC_S_PARM.number: _parm_asked,
    uapi.VIDIOC_G_SELECTION.number: _target,
    uapi.VIDIOC_S_SELECTION.number: _selection_asked,
    uapi.VIDIOC_QUERY_EXT_CTRL.number: controls.query_asked,
    uapi.VIDIOC_QUERYMENU.number: controls.menu_asked,
    uapi.VIDIOC_G_EXT_CTRLS.number: controls.control_names,
    uapi.VIDIOC_S_EXT_CTRLS.number: controls.control_values,
    uapi.VIDIOC_TRY_EXT_CTRLS.number: controls.control_values,
    uapi.VIDIOC_SUBSCRIBE_EVENT.number: controls.event_asked,
    uapi.VIDIOC_UNSUBSCRIBE_EVENT.number: controls.event_asked,
    uapi.VIDIOC_REQBUFS.number: _reqbufs,
    uapi.VIDIOC_CREATE_BUFS.number: _create_asked,
    uapi.VIDIOC_QUERYBUF.number: _index,
    uapi.VIDIOC_EXPBUF.number: _export_asked,
    uapi.VIDIOC_QBUF.number: _queued,
    uapi.DMA_BUF_IOCTL_SYNC.number: _sync,
    uapi.DMA_HEAP_IOCTL_ALLOC.number: _heap_asked,
    uapi.UDMABUF_CREATE.number: _udmabuf_asked,
}
_ANSWERED: Mapping[int, Decoder] = {
    uapi.VIDIOC_QUERYCAP.number: _capability,
    uapi.VIDIOC_ENUM_FMT.number: _description,
    uapi.VIDIOC_ENUM_FRAMESIZES.number: _size_answered,
    uapi.VIDIOC_ENUM_FRAMEINTERVALS.number: _interval_answered,
    uapi.VIDIOC_G_FMT.number: _format,
    uapi.VIDIOC_S_FMT.number: _format,
    uapi.VIDIOC_TRY_FMT.number: _format,
    uapi.VIDIOC_G_PARM.number: _timeperframe,
    uapi.VIDIOC_S_PARM.number: _timeperframe,
    uapi.VIDIOC_G_SELECTION.number: _rect,
    uapi.VIDIOC_S_SELECTION.number: _rect,
    uapi.VIDIOC_QUERY_EXT_CTRL.number: controls.query_answered,
    uapi.VIDIOC_QUERYMENU.number: controls.menu_answered,
    uapi.VIDIOC_G_EXT_CTRLS.number: controls.control_values,
    uapi.VIDIOC_S_EXT_CTRLS.number: controls.control_values,
    uapi.VIDIOC_DQEVENT.number: controls.event_asked,
    uapi.VIDIOC_REQBUFS.number: _count,
    uapi.VIDIOC_CREATE_BUFS.number: _create_answered,
    uapi.VIDIOC_QUERYBUF.number: _queried,
    uapi.VIDIOC_EXPBUF.number: _exported,
    uapi.VIDIOC_DQBUF.number: _dequeued,
    uapi.DMA_HEAP_IOCTL_ALLOC.number: _exported,
}
