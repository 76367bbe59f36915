"""What video nodes there are, and which one a verb means."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from agent.discovery.node import Answer, Ask
from agent.errors import AgentError, DeviceError, DeviceNotFound, InputError
from agent.kernel import Kernel
from agent.v4l2.device import Capabilities, query_capabilities
from agent.v4l2.format import Format
from agent.v4l2.formats import (
    IntervalOffer,
    PixelFormatOffer,
    SizeOffer,
    enumerate_intervals,
    enumerate_pixel_formats,
    enumerate_sizes,
    get_format,
    get_interval,
)
from agent.v4l2.ioctl import Node


@dataclass(frozen=True, slots=True)
class OfferedSize:
    """A frame size (or a range of them) with its frame intervals; those of a range are its largest size's."""

    size: SizeOffer
    intervals: tuple[IntervalOffer, ...]


@dataclass(frozen=True, slots=True)
class OfferedFormat:
    """A pixel format with its frame sizes."""

    pixel_format: PixelFormatOffer
    sizes: tuple[OfferedSize, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """One video node. `problem` says why more is not known; a node without `capabilities` could not be opened."""

    path: str
    capabilities: Capabilities | None = None
    format: Format | None = None
    interval_s: Fraction | None = None
    offers: tuple[OfferedFormat, ...] = ()
    problem: AgentError | None = None

    @property
    def captures(self) -> bool:
        """Whether video can be captured from it."""
        return self.capabilities is not None and self.capabilities.buffer_type is not None


def take_inventory(kernel: Kernel, *, offers: bool = False) -> list[Listed]:
    """Every video node, in numeric order; one that fails is listed with its problem. `offers`: also what they offer."""
    return [_look_at(kernel, path, offers) for path in kernel.video_nodes()]


def asking(kernel: Kernel) -> Ask:
    """What discovery asks nodes with: opens each, and closes it."""

    def ask(path: str) -> Answer | None:
        try:
            with Node(kernel, path) as node:
                about = query_capabilities(node)
        except DeviceError:
            return None
        captures = about.buffer_type is not None
        return Answer(captures=captures, driver=about.driver, model=about.card, bus_info=about.bus_info)

    return ask


def choose_device(kernel: Kernel, device: str | None, *, simulate: bool) -> str:
    """The path asked for; else the only camera, or the first simulated one.

    Raises DeviceNotFound when there is none, InputError naming them when there are several.
    """
    if device is not None:
        return device
    found = take_inventory(kernel)
    cameras = [listed for listed in found if listed.captures]
    if len(cameras) == 1 or (cameras and simulate):
        return cameras[0].path
    if not cameras:
        raise _no_camera(found)
    names = [f"{camera.path} ({camera.capabilities.card})" for camera in cameras if camera.capabilities]
    raise InputError(
        f"there are {len(cameras)} cameras: {', '.join(names)}",
        hint=f"choose one, such as --device {cameras[0].path}",
        allowed=[camera.path for camera in cameras],
    )


def _no_camera(found: Sequence[Listed]) -> AgentError:
    for listed in found:
        if listed.problem is not None:
            return listed.problem
    return DeviceNotFound(
        "there is no camera on this machine",
        hint="plug one in, or add --simulate to see it work without one",
        device="/dev/video*",
        request="open",
        errno=errno.ENOENT,
    )


def _look_at(kernel: Kernel, path: str, offers: bool) -> Listed:
    capabilities, present, interval_s = None, None, None
    try:
        with Node(kernel, path) as node:
            capabilities = query_capabilities(node)
            buffer_type = capabilities.buffer_type
            if buffer_type is None:
                return Listed(path, capabilities)
            present, interval_s = get_format(node, buffer_type), get_interval(node, buffer_type)
            formats = enumerate_pixel_formats(node, buffer_type) if offers else ()
            offered = tuple(OfferedFormat(entry, _sizes(node, entry.pixel_format)) for entry in formats)
            return Listed(path, capabilities, present, interval_s, offered)
    except DeviceError as error:
        return Listed(path, capabilities, present, interval_s, problem=error)


def _sizes(node: Node, pixel_format: str) -> tuple[OfferedSize, ...]:
    return tuple(
        OfferedSize(size, enumerate_intervals(node, pixel_format, size.max_width_px, size.max_height_px))
        for size in enumerate_sizes(node, pixel_format)
    )
