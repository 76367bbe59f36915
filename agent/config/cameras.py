"""`cameras:` of a file: each camera's device and what is asked of it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from agent.capture.order import CameraOrder
from agent.capture.settings import Settings
from agent.config import kinds
from agent.config.camera_triggers import CameraWish, read_camera_trigger
from agent.config.devices import Wanted, check_alike, read_device
from agent.config.reader import Table, Value
from agent.discovery.match import Match
from agent.units import NS_PER_S
from agent.v4l2.buffers import PREFERENCE, MemoryKind

_FRAMES = kinds.integer(0, 10_000)
_BUFFERS = kinds.integer(2, 32)
_ONCE = kinds.choice("once")
_MEMORY = kinds.choice(*(kind.value for kind in MemoryKind))


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera of the file, the group it is in, and where it stands. `buffers`: as written, None where not.

    `wanted`: what is to be found, where the file names no path; the path of `order` is empty then.
    `wish`: its `trigger` as written; None where it runs free. `sound`: nothing is wrong with what could be read.
    """

    order: CameraOrder
    group: str
    value: Value
    buffers: int | None = None
    wanted: Wanted | None = None
    wish: CameraWish | None = None
    sound: bool = True

    @property
    def frame_interval_ns(self) -> int | None:
        """From frame to frame at the rate that is asked for, rounded down; None when the file does not say."""
        rate = self.order.settings.rate
        return None if rate is None else NS_PER_S * rate.denominator // rate.numerator


def read_cameras(value: Value) -> dict[str, Camera]:
    """All cameras by name. Two names for one device are a problem."""
    cameras = value.mapping(kinds.NAME, lambda name, entry: entry.table(lambda table: _camera(name, table)))
    if value.is_empty:
        value.refuse("there is no camera", "write at least one: a name, and below it device: /dev/video0")
    _check_devices(cameras)
    return cameras


def _camera(name: str, table: Table) -> Camera:
    before = len(table.problems)
    buffers = table.scalar("buffers", _BUFFERS, None)
    path, wanted = read_device(table)
    order = CameraOrder(
        name=name,
        path=path,
        settings=_settings(table, buffers),
        focus_once=table.scalar("focus", _ONCE, "") == "once",
        usb_reset=table.scalar("usb_reset", kinds.BOOLEAN, default=False),
    )
    group, trigger = table.scalar("group", kinds.NAME, name), table.take("trigger")
    wish = None if trigger is None else read_camera_trigger(name, trigger)
    return Camera(order, group, table.value, buffers, wanted, wish, sound=len(table.problems) == before)


def _settings(table: Table, buffers: int | None) -> Settings:
    width_px, height_px = table.scalar("size", kinds.SIZE_PX, (None, None))
    return Settings(
        pixel_format=table.scalar("format", kinds.PIXEL_FORMAT, None),
        width_px=width_px,
        height_px=height_px,
        rate=table.scalar("rate", kinds.RATE, None),
        exposure_ns=table.scalar("exposure", kinds.DURATION, None),
        gain=table.scalar("gain", kinds.GAIN, None),
        controls=_controls(table),
        buffer_count=Settings().buffer_count if buffers is None else buffers,
        memory=_memory(table),
        granularity_bytes=table.scalar("granularity", kinds.SIZE_BYTES, None),
        settle_frames=table.scalar("settle", _FRAMES, None),
    )


def _controls(table: Table) -> dict[str, str]:
    value = table.take("controls")
    if value is None:
        return {}
    return value.mapping(kinds.TEXT, lambda _name, entry: entry.scalar(kinds.TEXT))


def _memory(table: Table) -> tuple[MemoryKind, ...]:
    value = table.take("memory")
    if value is None:
        return PREFERENCE
    names = value.items(lambda item: item.scalar(_MEMORY))
    if len(set(names)) != len(names):
        value.refuse("a kind of memory stands here twice", "keep one of them")
    elif value.is_empty:
        value.refuse("no kind of memory", f"write {_MEMORY.what}, or take the line out")
    return tuple(map(MemoryKind, names))


def _check_devices(cameras: Mapping[str, Camera]) -> None:
    owners: dict[str, Camera] = {}
    matches: dict[Match, tuple[str, Value]] = {}
    for camera in cameras.values():
        check_alike(camera.order.name, camera.value, camera.wanted, matches)
        path = posixpath.normpath(camera.order.path).replace("//", "/")
        owner = owners.setdefault(path, camera)
        if owner is not camera and camera.order.path:
            first = f"{owner.order.name} on {owner.value.seen_from(camera.value)}"
            message = f"{camera.order.path} is the device of {first} already"
            camera.value.refuse(message, "give each camera a device of its own; plans may share a camera")
