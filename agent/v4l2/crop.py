"""The crop rectangle: which part of the sensor a frame shows."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from agent.v4l2.ioctl import Node, typed_error
from agent.v4l2.uapi import (
    VIDIOC_G_SELECTION,
    VIDIOC_S_SELECTION,
    BufType,
    SelectionTarget,
    v4l2_selection,
)


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A crop rectangle in pixels of the sensor."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int


def get_crop(node: Node, target: SelectionTarget = SelectionTarget.CROP) -> Rectangle | None:
    """The crop rectangle (or its bounds or default), or None when the camera does not crop."""
    selection = v4l2_selection(type=BufType.VIDEO_CAPTURE, target=target)
    code = node.attempt(VIDIOC_G_SELECTION, selection)
    if code in (errno.ENOTTY, errno.EINVAL, errno.ENODATA):
        return None
    if code:
        raise typed_error(code, VIDIOC_G_SELECTION.name, node.path)
    return Rectangle(selection.r.left, selection.r.top, selection.r.width, selection.r.height)


def set_crop(node: Node, rectangle: Rectangle) -> Rectangle:
    """Set the crop rectangle and return what was granted: the caller compares and reports. Raises DeviceError.

    The buffer type is the single-planar one for multi-planar queues as well (V4L2 selection API).
    """
    selection = v4l2_selection(type=BufType.VIDEO_CAPTURE, target=SelectionTarget.CROP)
    selection.r.left, selection.r.top = rectangle.left_px, rectangle.top_px
    selection.r.width, selection.r.height = rectangle.width_px, rectangle.height_px
    node.call(VIDIOC_S_SELECTION, selection)
    return Rectangle(selection.r.left, selection.r.top, selection.r.width, selection.r.height)
