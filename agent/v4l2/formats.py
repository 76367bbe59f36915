"""Formats, frame sizes and frame intervals; single-planar and multi-planar alike."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from agent.errors import FormatUnsupported
from agent.v4l2.format import Format, PlaneLayout
from agent.v4l2.ioctl import Node, typed_error
from agent.v4l2.uapi import (
    V4L2_CAP_TIMEPERFRAME,
    VIDIOC_ENUM_FMT,
    VIDIOC_ENUM_FRAMEINTERVALS,
    VIDIOC_ENUM_FRAMESIZES,
    VIDIOC_G_FMT,
    VIDIOC_G_PARM,
    VIDIOC_S_FMT,
    VIDIOC_S_PARM,
    BufType,
    Field,
    Frmivaltypes,
    Frmsizetypes,
    ImageFormatFlag,
    Request,
    fourcc,
    fourcc_text,
    v4l2_fmtdesc,
    v4l2_format,
    v4l2_fract,
    v4l2_frmivalenum,
    v4l2_frmsizeenum,
    v4l2_streamparm,
)


@dataclass(frozen=True, slots=True)
class PixelFormatOffer:
    """One entry of VIDIOC_ENUM_FMT."""

    pixel_format: str
    description: str
    compressed: bool
    emulated: bool


@dataclass(frozen=True, slots=True)
class SizeOffer:
    """Frame sizes a camera offers in one pixel format; discrete ones have minimum == maximum and step 0."""

    min_width_px: int
    max_width_px: int
    step_width_px: int
    min_height_px: int
    max_height_px: int
    step_height_px: int

    def contains(self, width_px: int, height_px: int) -> bool:
        """Whether this very size is offered."""
        return _on_grid(width_px, self.min_width_px, self.max_width_px, self.step_width_px) and _on_grid(
            height_px, self.min_height_px, self.max_height_px, self.step_height_px
        )

    def __str__(self) -> str:
        smallest = f"{self.min_width_px}x{self.min_height_px}"
        if (self.min_width_px, self.min_height_px) == (self.max_width_px, self.max_height_px):
            return smallest
        step = f"{self.step_width_px}x{self.step_height_px}"
        return f"{smallest} to {self.max_width_px}x{self.max_height_px} in steps of {step}"


@dataclass(frozen=True, slots=True)
class IntervalOffer:
    """Frame intervals in seconds; discrete ones have shortest == longest."""

    shortest_s: Fraction
    longest_s: Fraction
    step_s: Fraction


def enumerate_pixel_formats(node: Node, buffer_type: BufType) -> tuple[PixelFormatOffer, ...]:
    """The pixel formats the camera offers, in the driver's order."""
    offers = []
    description = v4l2_fmtdesc(type=buffer_type)
    for _ in _enumerate(node, VIDIOC_ENUM_FMT, description):
        flags = ImageFormatFlag(description.flags)
        offers.append(
            PixelFormatOffer(
                pixel_format=fourcc_text(description.pixelformat),
                description=description.description.decode("utf-8", "replace"),
                compressed=bool(flags & ImageFormatFlag.COMPRESSED),
                emulated=bool(flags & ImageFormatFlag.EMULATED),
            )
        )
    return tuple(offers)


def enumerate_sizes(node: Node, pixel_format: str) -> tuple[SizeOffer, ...]:
    """The frame sizes offered in one pixel format; empty when the driver does not enumerate them."""
    offers = []
    size = v4l2_frmsizeenum(pixel_format=fourcc(pixel_format))
    for _ in _enumerate(node, VIDIOC_ENUM_FRAMESIZES, size):
        if size.type == Frmsizetypes.DISCRETE:
            width, height = size.discrete.width, size.discrete.height
            offers.append(SizeOffer(width, width, 0, height, height, 0))
            continue
        s = size.stepwise
        offers.append(SizeOffer(s.min_width, s.max_width, s.step_width, s.min_height, s.max_height, s.step_height))
        break  # a stepwise or continuous answer is the only one
    return tuple(offers)


def enumerate_intervals(node: Node, pixel_format: str, width_px: int, height_px: int) -> tuple[IntervalOffer, ...]:
    """The frame intervals offered at one format and size; empty when the driver does not enumerate them."""
    offers = []
    interval = v4l2_frmivalenum(pixel_format=fourcc(pixel_format), width=width_px, height=height_px)
    for _ in _enumerate(node, VIDIOC_ENUM_FRAMEINTERVALS, interval):
        if interval.type == Frmivaltypes.DISCRETE:
            value = _fraction(interval.discrete)
            offers.append(IntervalOffer(value, value, Fraction(0)))
            continue
        s = interval.stepwise
        offers.append(IntervalOffer(_fraction(s.min), _fraction(s.max), _fraction(s.step)))
        break
    return tuple(offers)


def get_format(node: Node, buffer_type: BufType) -> Format:
    """The format in force. Raises DeviceError."""
    answer = v4l2_format(type=buffer_type)
    node.call(VIDIOC_G_FMT, answer)
    return _format_of(answer)


def set_format(
    node: Node,
    buffer_type: BufType,
    *,
    pixel_format: str | None = None,
    width_px: int | None = None,
    height_px: int | None = None,
) -> Format:
    """Set the capture format; None leaves a field as it is.

    Raises FormatUnsupported when the camera does not offer exactly what was asked: the driver would replace it by
    something near in silence. Refusals found in the enumerations come before anything is changed; where a driver
    does not enumerate, its answer decides and the former format is put back. Raises DeviceBusy, DeviceError.
    """
    before = v4l2_format(type=buffer_type)
    node.call(VIDIOC_G_FMT, before)
    present = _format_of(before)
    wanted = (pixel_format or present.pixel_format, width_px or present.width_px, height_px or present.height_px)
    _check_offered(node, buffer_type, *wanted)
    asked = v4l2_format(type=buffer_type)
    target = asked.fmt.pix_mp if buffer_type == BufType.VIDEO_CAPTURE_MPLANE else asked.fmt.pix
    target.pixelformat, target.width, target.height = fourcc(wanted[0]), wanted[1], wanted[2]
    target.field = Field.ANY
    node.call(VIDIOC_S_FMT, asked)
    granted = _format_of(asked)
    if (granted.pixel_format, granted.width_px, granted.height_px) != wanted:
        node.call(VIDIOC_S_FMT, before)
        raise FormatUnsupported(
            f"{node.path} answers {granted} when asked for {wanted[0]} {wanted[1]}x{wanted[2]}",
            hint=f"ask for {granted}, or see `camera-agent devices --formats`",
            device=node.path,
            asked=f"{wanted[0]} {wanted[1]}x{wanted[2]}",
            allowed=[str(granted)],
        )
    return granted


def get_interval(node: Node, buffer_type: BufType) -> Fraction | None:
    """Seconds from frame to frame as the driver states them, or None when it does not."""
    parameters = v4l2_streamparm(type=buffer_type)
    code = node.attempt(VIDIOC_G_PARM, parameters)
    if code in (errno.ENOTTY, errno.EINVAL):
        return None
    if code:
        raise typed_error(code, VIDIOC_G_PARM.name, node.path)
    return _fraction(parameters.parm.capture.timeperframe) or None


def set_interval(node: Node, buffer_type: BufType, interval_s: Fraction) -> Fraction:
    """Set seconds from frame to frame and return what was granted: the caller compares and reports.

    Raises FormatUnsupported when the driver has no settable interval, else DeviceError.
    """
    parameters = v4l2_streamparm(type=buffer_type)
    code = node.attempt(VIDIOC_G_PARM, parameters)
    if code or not parameters.parm.capture.capability & V4L2_CAP_TIMEPERFRAME:
        raise FormatUnsupported(
            f"{node.path} has no frame rate that can be set",
            hint="leave the rate away: sensors without it set it by their blanking controls",
            device=node.path,
        )
    parameters.parm.capture.timeperframe = v4l2_fract(interval_s.numerator, interval_s.denominator)
    node.call(VIDIOC_S_PARM, parameters)
    return _fraction(parameters.parm.capture.timeperframe)


def _check_offered(node: Node, buffer_type: BufType, pixel_format: str, width_px: int, height_px: int) -> None:
    offered = [offer.pixel_format for offer in enumerate_pixel_formats(node, buffer_type)]
    if offered and pixel_format not in offered:
        raise FormatUnsupported(
            f"{node.path} has no pixel format {pixel_format}",
            hint=f"it offers {', '.join(offered)}",
            device=node.path,
            asked=pixel_format,
            allowed=offered,
        )
    sizes = enumerate_sizes(node, pixel_format)
    if sizes and not any(size.contains(width_px, height_px) for size in sizes):
        allowed = [str(size) for size in sizes]
        raise FormatUnsupported(
            f"{node.path} has no size {width_px}x{height_px} in {pixel_format}",
            hint=f"it offers {', '.join(allowed)}",
            device=node.path,
            asked=f"{width_px}x{height_px}",
            allowed=allowed,
        )


def _enumerate(node: Node, request: Request, argument: object) -> Iterator[None]:
    """Issue an enumerating request for index 0, 1, ... until the driver says EINVAL (the end) or has none (ENOTTY)."""
    index = 0
    while True:
        argument.index = index  # type: ignore[attr-defined]
        code = node.attempt(request, argument)
        if code in (errno.EINVAL, errno.ENOTTY):
            return
        if code:
            raise typed_error(code, request.name, node.path)
        yield
        index += 1


def _format_of(answer: v4l2_format) -> Format:
    if answer.type == BufType.VIDEO_CAPTURE_MPLANE:
        pix = answer.fmt.pix_mp
        planes = tuple(
            PlaneLayout(plane.bytesperline, plane.sizeimage) for plane in list(pix.plane_fmt)[: pix.num_planes]
        )
    else:
        pix = answer.fmt.pix
        planes = (PlaneLayout(pix.bytesperline, pix.sizeimage),)
    return Format(
        pixel_format=fourcc_text(pix.pixelformat),
        width_px=pix.width,
        height_px=pix.height,
        planes=planes,
        interlaced=pix.field not in (Field.NONE, Field.ANY),
    )


def _fraction(value: v4l2_fract) -> Fraction:
    return Fraction(value.numerator, value.denominator) if value.denominator else Fraction(0)


def _on_grid(value: int, minimum: int, maximum: int, step: int) -> bool:
    return minimum <= value <= maximum and (step == 0 or (value - minimum) % step == 0)
