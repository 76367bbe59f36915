"""In which keys of a file two groups, cameras or plans differ."""

from __future__ import annotations

from agent.capture.order import CameraOrder, GroupOrder
from agent.config.planned import Planned

_SETTINGS = {
    "pixel_format": "format",
    "width_px": "size",
    "height_px": "size",
    "rate": "rate",
    "exposure_ns": "exposure",
    "gain": "gain",
    "controls": "controls",
    "buffer_count": "buffers",
    "memory": "memory",
    "granularity_bytes": "granularity",
    "settle_frames": "settle",
}
_CAMERA = {"focus_once": "focus", "usb_reset": "usb_reset", "trigger": "trigger"}
_GROUP = {
    "limits": "limits",
    "realtime": "realtime",
    "ageing_ns": "ageing",
    "trigger": "groups.{}.trigger",
    "emergency_stop": "groups.{}.emergency_stop",
    "plan_capacity": "room for so many plans",
}
_PLAN = {
    "start_ns": "start",
    "period_ns": "every",
    "count": "count",
    "burst": "burst",
    "windows": "windows",
    "when_busy": "when_busy",
    "catch_up": "when_busy",
    "priority": "priority",
    "client": "client",
    "on_edge": "on_edge",
    "camera": "camera",
}


def group_differences(old: GroupOrder, new: GroupOrder) -> list[str]:
    """Keys of a group itself, and cameras that come or go; its limits can be changed while it streams."""
    found = [key.format(new.name) for name, key in _GROUP.items() if getattr(old, name) != getattr(new, name)]
    before, after = ({camera.name for camera in order.cameras} for order in (old, new))
    return found + [f"cameras.{name}" for name in sorted(before ^ after)]


def camera_differences(old: CameraOrder, new: CameraOrder) -> tuple[str, ...]:
    """Keys of a camera, without its device."""
    found = [key for name, key in _SETTINGS.items() if getattr(old.settings, name) != getattr(new.settings, name)]
    found += [key for name, key in _CAMERA.items() if getattr(old, name) != getattr(new, name)]
    return tuple(dict.fromkeys(found))


def plan_differences(old: Planned, new: Planned) -> tuple[str, ...]:
    """Keys of a plan; `group` also where its camera is in another one now."""
    found = [key for name, key in _PLAN.items() if getattr(old.order.plan, name) != getattr(new.order.plan, name)]
    if old.dated != new.dated:
        found.append("start")
    if old.group != new.group:
        found.append("group")
    found += [key for key in ("quota", "store") if getattr(old.order, key) != getattr(new.order, key)]
    return tuple(dict.fromkeys(found))
