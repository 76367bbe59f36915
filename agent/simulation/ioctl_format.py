"""Identity, formats, sizes, intervals and cropping: the ioctls that ask what a camera is and shape its pictures."""

from __future__ import annotations

import errno
from fractions import Fraction
from typing import Any

from agent.simulation.camera import Rect, SimulatedCamera
from agent.simulation.formats import LAYOUTS, Picture, nearest_interval, nearest_size
from agent.simulation.open_file import NodeKind, OpenFile
from agent.simulation.refusal import refusal
from agent.v4l2 import uapi
from agent.v4l2.uapi import BufType, Capability, Field, Frmivaltypes, Frmsizetypes, ImageFormatFlag, SelectionTarget

_COLORSPACE_SRGB, _COLORSPACE_JPEG = 8, 7
_SEL_FLAG_GE, _SEL_FLAG_LE = 1, 2
_KERNEL_VERSION = 6 << 16 | 12 << 8
_METADATA_FORMAT = uapi.fourcc("UVCH")


def buffer_type(camera: SimulatedCamera) -> BufType:
    """The buffer type of the camera's capture node."""
    return BufType.VIDEO_CAPTURE_MPLANE if camera.profile.multiplanar else BufType.VIDEO_CAPTURE


def check_type(camera: SimulatedCamera, given: int) -> None:
    """Raises OSError EINVAL for a buffer type the camera does not have."""
    if given != buffer_type(camera):
        raise refusal(errno.EINVAL)


def querycap(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_QUERYCAP."""
    profile = camera.profile
    shared = Capability.STREAMING | Capability.EXT_PIX_FORMAT
    video = Capability.VIDEO_CAPTURE_MPLANE if profile.multiplanar else Capability.VIDEO_CAPTURE
    metadata = Capability.META_CAPTURE if profile.metadata_node else 0
    argument.driver = profile.driver.encode()[:15]
    argument.card = profile.card.encode()[:31]
    argument.bus_info = profile.bus_info.encode()[:31]
    argument.version = _KERNEL_VERSION
    argument.device_caps = shared | (video if file.kind is NodeKind.CAPTURE else metadata)
    argument.capabilities = shared | video | metadata | Capability.DEVICE_CAPS


def enum_fmt(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_ENUM_FMT."""
    if file.kind is NodeKind.METADATA:
        if argument.type != BufType.META_CAPTURE or argument.index:
            raise refusal(errno.EINVAL)
        argument.pixelformat, argument.description = _METADATA_FORMAT, b"UVC Payload Header Metadata"
        return
    check_type(camera, argument.type)
    if argument.index >= len(camera.profile.formats):
        raise refusal(errno.EINVAL)
    layout = LAYOUTS[camera.profile.formats[argument.index]]
    argument.pixelformat, argument.description = layout.number, layout.description.encode()
    argument.flags = ImageFormatFlag.COMPRESSED if layout.compressed else 0


def enum_framesizes(camera: SimulatedCamera, _file: OpenFile, argument: Any) -> None:
    """VIDIOC_ENUM_FRAMESIZES."""
    _check_format(camera, argument.pixel_format)
    stepwise = camera.profile.stepwise
    if stepwise is not None:
        if argument.index:
            raise refusal(errno.EINVAL)
        argument.type = Frmsizetypes.STEPWISE
        limits = argument.m1.stepwise
        limits.min_width, limits.min_height = stepwise.minimum_px
        limits.max_width, limits.max_height = stepwise.maximum_px
        limits.step_width, limits.step_height = stepwise.step_px
        return
    if argument.index >= len(camera.profile.sizes_px):
        raise refusal(errno.EINVAL)
    argument.type = Frmsizetypes.DISCRETE
    argument.m1.discrete.width, argument.m1.discrete.height = camera.profile.sizes_px[argument.index]


def enum_frameintervals(camera: SimulatedCamera, _file: OpenFile, argument: Any) -> None:
    """VIDIOC_ENUM_FRAMEINTERVALS: only for a size that exists."""
    _check_format(camera, argument.pixel_format)
    asked = (argument.width, argument.height)
    if _fit_size(camera, *asked) != asked or argument.index >= len(camera.profile.intervals_s):
        raise refusal(errno.EINVAL)
    argument.type = Frmivaltypes.DISCRETE
    interval = camera.profile.intervals_s[argument.index]
    argument.m1.discrete.numerator, argument.m1.discrete.denominator = interval.numerator, interval.denominator


def g_fmt(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_G_FMT."""
    if file.kind is NodeKind.METADATA:
        _metadata_format(argument)
        return
    check_type(camera, argument.type)
    _fill_format(argument, camera.picture)


def try_fmt(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_TRY_FMT: the nearest format and size; never refused."""
    if file.kind is NodeKind.METADATA:
        _metadata_format(argument)
        return
    check_type(camera, argument.type)
    _fill_format(argument, _asked_picture(camera, argument))


def s_fmt(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_S_FMT: EBUSY while buffers exist (`vb2_is_busy`)."""
    if file.kind is NodeKind.METADATA:
        _metadata_format(argument)
        return
    check_type(camera, argument.type)
    camera.check_queue_free(file)
    if camera.queue.buffers:
        raise refusal(errno.EBUSY)
    camera.picture = _asked_picture(camera, argument)
    _fill_format(argument, camera.picture)


def g_parm(camera: SimulatedCamera, _file: OpenFile, argument: Any) -> None:
    """VIDIOC_G_PARM."""
    check_type(camera, argument.type)
    _fill_parm(camera, argument)


def s_parm(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_S_PARM: the nearest interval; 0/0 means the nominal one. EBUSY while streaming, as uvcvideo."""
    check_type(camera, argument.type)
    camera.check_queue_free(file)
    if camera.queue.streaming:
        raise refusal(errno.EBUSY)
    wanted = argument.parm.capture.timeperframe
    intervals = camera.profile.intervals_s
    whole = wanted.numerator and wanted.denominator
    asked = Fraction(wanted.numerator, wanted.denominator) if whole else intervals[0]
    camera.set_interval(nearest_interval(intervals, asked))
    _fill_parm(camera, argument)


def g_selection(camera: SimulatedCamera, _file: OpenFile, argument: Any) -> None:
    """VIDIOC_G_SELECTION: the crop rectangle, its bounds and its default."""
    bounds = _crop_bounds(camera, argument)
    known = {
        SelectionTarget.CROP: camera.crop,
        SelectionTarget.CROP_BOUNDS: (0, 0, *bounds),
        SelectionTarget.CROP_DEFAULT: (0, 0, *bounds),
        SelectionTarget.NATIVE_SIZE: (0, 0, *bounds),
    }
    if argument.target not in known:
        raise refusal(errno.EINVAL)
    _fill_rect(argument, known[argument.target])


def s_selection(camera: SimulatedCamera, _file: OpenFile, argument: Any) -> None:
    """VIDIOC_S_SELECTION: the nearest even rectangle within the bounds. ERANGE where the flags forbid that."""
    bounds = _crop_bounds(camera, argument)
    if argument.target != SelectionTarget.CROP:
        raise refusal(errno.EINVAL)
    if camera.queue.buffers:
        raise refusal(errno.EBUSY)
    rect = argument.r
    width, height = (
        min(max(asked & ~1, 16), limit) for asked, limit in zip((rect.width, rect.height), bounds, strict=True)
    )
    left = min(max(rect.left & ~1, 0), bounds[0] - width)
    top = min(max(rect.top & ~1, 0), bounds[1] - height)
    smaller = width < rect.width or height < rect.height
    larger = width > rect.width or height > rect.height
    if (smaller and argument.flags & _SEL_FLAG_GE) or (larger and argument.flags & _SEL_FLAG_LE):
        raise refusal(errno.ERANGE)
    camera.crop = (left, top, width, height)
    _fill_rect(argument, camera.crop)


def _check_format(camera: SimulatedCamera, number: int) -> None:
    if all(LAYOUTS[code].number != number for code in camera.profile.formats):
        raise refusal(errno.EINVAL)


def _fit_size(camera: SimulatedCamera, width_px: int, height_px: int) -> tuple[int, int]:
    if camera.profile.stepwise is not None:
        return camera.profile.stepwise.nearest(width_px, height_px)
    return nearest_size(camera.profile.sizes_px, width_px, height_px)


def _asked_picture(camera: SimulatedCamera, argument: Any) -> Picture:
    asked = argument.fmt.pix_mp if camera.profile.multiplanar else argument.fmt.pix
    layouts = [LAYOUTS[code] for code in camera.profile.formats]
    layout = next((layout for layout in layouts if layout.number == asked.pixelformat), layouts[0])
    return Picture(layout, *_fit_size(camera, asked.width, asked.height))


def _fill_format(argument: Any, picture: Picture) -> None:
    layout = picture.layout
    sizes = layout.plane_sizes(picture.width_px, picture.height_px)
    lines = layout.bytes_per_line(picture.width_px)
    multiplanar = argument.type == BufType.VIDEO_CAPTURE_MPLANE
    into = argument.fmt.pix_mp if multiplanar else argument.fmt.pix
    into.width, into.height, into.pixelformat = picture.width_px, picture.height_px, layout.number
    into.field = Field.NONE
    into.colorspace = _COLORSPACE_JPEG if layout.compressed else _COLORSPACE_SRGB
    into.flags = into.m1.ycbcr_enc = into.quantization = into.xfer_func = 0
    if multiplanar:
        into.num_planes = len(sizes)
        for plane, size, line in zip(into.plane_fmt, sizes, lines, strict=False):
            plane.sizeimage, plane.bytesperline = size, line
    else:
        into.sizeimage, into.bytesperline = sizes[0], lines[0]


def _metadata_format(argument: Any) -> None:
    if argument.type != BufType.META_CAPTURE:
        raise refusal(errno.EINVAL)
    argument.fmt.meta.dataformat, argument.fmt.meta.buffersize = _METADATA_FORMAT, 10240


def _fill_parm(camera: SimulatedCamera, argument: Any) -> None:
    capture = argument.parm.capture
    capture.capability = uapi.V4L2_CAP_TIMEPERFRAME
    capture.capturemode = capture.extendedmode = 0
    capture.readbuffers = camera.profile.minimum_buffers
    interval = camera.interval_s.limit_denominator(0x7FFF_FFFF)
    capture.timeperframe.numerator, capture.timeperframe.denominator = interval.numerator, interval.denominator


def _crop_bounds(camera: SimulatedCamera, argument: Any) -> tuple[int, int]:
    if camera.profile.crop_bounds_px is None:
        raise refusal(errno.ENOTTY)
    # v4l2-ioctl.c maps the MPLANE types of selections to the plain ones, so both are fine
    if argument.type not in (BufType.VIDEO_CAPTURE, BufType.VIDEO_CAPTURE_MPLANE):
        raise refusal(errno.EINVAL)
    return camera.profile.crop_bounds_px


def _fill_rect(argument: Any, rect: Rect) -> None:
    argument.r.left, argument.r.top, argument.r.width, argument.r.height = rect
