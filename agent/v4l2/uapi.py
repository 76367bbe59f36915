"""The kernel's structures, constants and request numbers that we use, under the kernel's own names.

Structures and constants come from `linuxpy.video.raw`, which is generated from the kernel's headers; what that lacks
(dma-buf, dma-heap, udmabuf) is written here. `tests/v4l2/test_uapi.py` compiles C against the system's headers and
compares every size, offset and number in `STRUCTURES` and `REQUESTS`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from linuxpy.video.raw import (
    IOC,
    BufferFlag,
    BufType,
    Capability,
    ControlClass,
    ControlFlag,
    ControlID,
    ControlWhichValue,
    CtrlType,
    EventControlChange,
    EventSubscriptionFlag,
    EventType,
    ExposureAutoType,
    Field,
    Frmivaltypes,
    Frmsizetypes,
    ImageFormatFlag,
    Memory,
    PixelFormat,
    SelectionTarget,
    v4l2_buffer,
    v4l2_capability,
    v4l2_create_buffers,
    v4l2_event,
    v4l2_event_subscription,
    v4l2_exportbuffer,
    v4l2_ext_control,
    v4l2_ext_controls,
    v4l2_fmtdesc,
    v4l2_format,
    v4l2_fract,
    v4l2_frmivalenum,
    v4l2_frmsizeenum,
    v4l2_pix_format,
    v4l2_pix_format_mplane,
    v4l2_plane,
    v4l2_plane_pix_format,
    v4l2_query_ext_ctrl,
    v4l2_querymenu,
    v4l2_rect,
    v4l2_requestbuffers,
    v4l2_selection,
    v4l2_streamparm,
)

__all__ = [
    "BufType",
    "BufferFlag",
    "Capability",
    "ControlClass",
    "ControlFlag",
    "ControlID",
    "ControlWhichValue",
    "CtrlType",
    "EventControlChange",
    "EventSubscriptionFlag",
    "EventType",
    "ExposureAutoType",
    "Field",
    "Frmivaltypes",
    "Frmsizetypes",
    "ImageFormatFlag",
    "Memory",
    "PixelFormat",
    "Request",
    "SelectionTarget",
    "dma_buf_sync",
    "dma_heap_allocation_data",
    "fourcc",
    "fourcc_text",
    "udmabuf_create",
    "v4l2_buffer",
    "v4l2_capability",
    "v4l2_create_buffers",
    "v4l2_event",
    "v4l2_event_subscription",
    "v4l2_exportbuffer",
    "v4l2_ext_control",
    "v4l2_ext_controls",
    "v4l2_fmtdesc",
    "v4l2_format",
    "v4l2_fract",
    "v4l2_frmivalenum",
    "v4l2_frmsizeenum",
    "v4l2_pix_format",
    "v4l2_pix_format_mplane",
    "v4l2_plane",
    "v4l2_plane_pix_format",
    "v4l2_query_ext_ctrl",
    "v4l2_querymenu",
    "v4l2_rect",
    "v4l2_requestbuffers",
    "v4l2_selection",
    "v4l2_streamparm",
]

VIDEO_MAX_PLANES = 8
CTRL_ID_MASK = 0x0FFF_FFFF
"""V4L2_CTRL_ID_MASK: a control id without the NEXT flags."""
V4L2_CAP_TIMEPERFRAME = 0x1000
V4L2_BUF_CAP_SUPPORTS_MMAP = 1 << 0
V4L2_BUF_CAP_SUPPORTS_USERPTR = 1 << 1
V4L2_BUF_CAP_SUPPORTS_DMABUF = 1 << 2
V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS = 1 << 4


class dma_buf_sync(ctypes.Structure):
    """From linux/dma-buf.h."""

    _fields_ = (("flags", ctypes.c_uint64),)


DMA_BUF_SYNC_READ = 1 << 0
DMA_BUF_SYNC_WRITE = 2 << 0
DMA_BUF_SYNC_START = 0 << 2
DMA_BUF_SYNC_END = 1 << 2


class dma_heap_allocation_data(ctypes.Structure):
    """From linux/dma-heap.h."""

    _fields_ = (
        ("len", ctypes.c_uint64),
        ("fd", ctypes.c_uint32),
        ("fd_flags", ctypes.c_uint32),
        ("heap_flags", ctypes.c_uint64),
    )


class udmabuf_create(ctypes.Structure):
    """From linux/udmabuf.h."""

    _fields_ = (
        ("memfd", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
    )


UDMABUF_FLAGS_CLOEXEC = 0x01


@dataclass(frozen=True, slots=True)
class Request:
    """One ioctl: its kernel name, its number (unsigned), the structure it takes (None: an int)."""

    name: str
    number: int
    structure: type[ctypes.Structure] | None


def _video(name: str, structure: type[ctypes.Structure] | None) -> Request:
    return Request(f"VIDIOC_{name}", IOC[name].value & 0xFFFF_FFFF, structure)


def _ioc(direction: int, kind: str, number: int, structure: type[ctypes.Structure]) -> int:
    # include/uapi/asm-generic/ioctl.h: 8 bits number, 8 bits type, 14 bits size, 2 bits direction
    return direction << 30 | ctypes.sizeof(structure) << 16 | ord(kind) << 8 | number


VIDIOC_QUERYCAP = _video("QUERYCAP", v4l2_capability)
VIDIOC_ENUM_FMT = _video("ENUM_FMT", v4l2_fmtdesc)
VIDIOC_ENUM_FRAMESIZES = _video("ENUM_FRAMESIZES", v4l2_frmsizeenum)
VIDIOC_ENUM_FRAMEINTERVALS = _video("ENUM_FRAMEINTERVALS", v4l2_frmivalenum)
VIDIOC_G_FMT = _video("G_FMT", v4l2_format)
VIDIOC_S_FMT = _video("S_FMT", v4l2_format)
VIDIOC_TRY_FMT = _video("TRY_FMT", v4l2_format)
VIDIOC_G_PARM = _video("G_PARM", v4l2_streamparm)
VIDIOC_S_PARM = _video("S_PARM", v4l2_streamparm)
VIDIOC_G_SELECTION = _video("G_SELECTION", v4l2_selection)
VIDIOC_S_SELECTION = _video("S_SELECTION", v4l2_selection)
VIDIOC_QUERY_EXT_CTRL = _video("QUERY_EXT_CTRL", v4l2_query_ext_ctrl)
VIDIOC_QUERYMENU = _video("QUERYMENU", v4l2_querymenu)
VIDIOC_G_EXT_CTRLS = _video("G_EXT_CTRLS", v4l2_ext_controls)
VIDIOC_S_EXT_CTRLS = _video("S_EXT_CTRLS", v4l2_ext_controls)
VIDIOC_TRY_EXT_CTRLS = _video("TRY_EXT_CTRLS", v4l2_ext_controls)
VIDIOC_SUBSCRIBE_EVENT = _video("SUBSCRIBE_EVENT", v4l2_event_subscription)
VIDIOC_UNSUBSCRIBE_EVENT = _video("UNSUBSCRIBE_EVENT", v4l2_event_subscription)
VIDIOC_DQEVENT = _video("DQEVENT", v4l2_event)
VIDIOC_REQBUFS = _video("REQBUFS", v4l2_requestbuffers)
VIDIOC_CREATE_BUFS = _video("CREATE_BUFS", v4l2_create_buffers)
VIDIOC_QUERYBUF = _video("QUERYBUF", v4l2_buffer)
VIDIOC_EXPBUF = _video("EXPBUF", v4l2_exportbuffer)
VIDIOC_QBUF = _video("QBUF", v4l2_buffer)
VIDIOC_DQBUF = _video("DQBUF", v4l2_buffer)
VIDIOC_STREAMON = _video("STREAMON", None)
VIDIOC_STREAMOFF = _video("STREAMOFF", None)
DMA_BUF_IOCTL_SYNC = Request("DMA_BUF_IOCTL_SYNC", _ioc(1, "b", 0, dma_buf_sync), dma_buf_sync)
DMA_HEAP_IOCTL_ALLOC = Request(
    "DMA_HEAP_IOCTL_ALLOC", _ioc(3, "H", 0, dma_heap_allocation_data), dma_heap_allocation_data
)
UDMABUF_CREATE = Request("UDMABUF_CREATE", _ioc(1, "u", 0x42, udmabuf_create), udmabuf_create)

REQUESTS: dict[int, Request] = {value.number: value for value in list(globals().values()) if isinstance(value, Request)}
"""Every request we issue, by number."""

STRUCTURES: tuple[Any, ...] = (
    *sorted({r.structure for r in REQUESTS.values() if r.structure is not None}, key=lambda s: s.__name__),
    v4l2_ext_control,
    v4l2_fract,
    v4l2_pix_format,
    v4l2_pix_format_mplane,
    v4l2_plane,
    v4l2_plane_pix_format,
    v4l2_rect,
)
"""Every structure we exchange with the kernel."""


def fourcc(text: str) -> int:
    """The number of a four-character code: `YUYV` -> 0x56595559. Shorter codes are padded with spaces."""
    return int.from_bytes(text.ljust(4)[:4].encode("ascii"), "little")


def fourcc_text(number: int) -> str:
    """The characters of a four-character code; a big-endian one (bit 31) ends in `-BE` as in the kernel's logs."""
    text = (number & 0x7FFF_FFFF).to_bytes(4, "little").decode("ascii", "replace").rstrip()
    return f"{text}-BE" if number >> 31 else text
