"""Cameras, groups and plans of a file, fitted together: the same for plan files and for the service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.capture.order import GroupOrder, PlanOrder
from agent.config import kinds
from agent.config.cameras import Camera, read_cameras
from agent.config.groups import Group, read_groups
from agent.config.plans import PlanEntry, Times, expand, read_plans
from agent.config.quotas import read_quotas
from agent.config.reader import Table, Value
from agent.config.stages import read_limits, read_realtime
from agent.config.trigger_modes import read_trigger_modes
from agent.config.triggered import fit
from agent.frames.ledger import FLOOR
from agent.schedule.quota import Limit

_USUAL = GroupOrder(name="", cameras=())
_SPARE_BUFFERS = 2
_MOST_BUFFERS = 32
"""VIDEO_MAX_FRAME of videodev2.h."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """`cameras` by name. `groups` in the order of the file. `plans`: by name of the group; every group has its line."""

    cameras: Mapping[str, Camera]
    groups: tuple[GroupOrder, ...]
    plans: Mapping[str, tuple[tuple[PlanEntry, PlanOrder], ...]]
    quotas: Mapping[str, Limit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a file is read for. `keeps`: there is a folder for what plans store.

    `complete`: nothing can be added later, so what names no camera and no client of this file is a mistake.
    `least_burst`: of stored frames, for which every camera has buffers, whatever its plans are. `for_clients`: buffers
    more than plans need, for those who look on.
    """

    times: Times
    keeps: bool
    complete: bool
    least_burst: int = 0
    for_clients: int = 0


def read_orders(table: Table, setting: Setting) -> Orders:
    """All that a file says of cameras, groups, plans and limits. What is wrong goes to the problems."""
    cameras_at, plans_at = table.take("cameras"), table.take("plans")
    cameras = read_cameras(cameras_at) if cameras_at else {}
    names = _names(cameras_at, setting)
    groups = _groups(table, cameras, names)
    entries = (
        read_plans(plans_at, cameras, names, times=setting.times, keeps=setting.keeps) if plans_at is not None else ()
    )
    clients = frozenset(entry.order.plan.client for entry in entries) - {""}
    quotas_at = table.take("quotas")
    quotas = read_quotas(quotas_at, names, clients if setting.complete else None) if quotas_at else {}
    limits, realtime = read_limits(table), read_realtime(table)
    ageing_ns = table.scalar("ageing", kinds.DURATION, _USUAL.ageing_ns)
    modes_at = table.take("trigger_modes")
    modes = () if modes_at is None else read_trigger_modes(modes_at)
    cameras = fit(cameras, groups, entries, modes_at, modes)
    plans = _by_group(cameras, expand(entries))
    cameras = {name: _with_room(camera, entries, setting) for name, camera in cameras.items()}
    orders = (
        GroupOrder(
            name=group,
            cameras=tuple(camera.order for camera in cameras.values() if camera.group == group),
            limits=limits,
            quotas=quotas,
            realtime=realtime,
            plan_capacity=max(_USUAL.plan_capacity, len(ours)),
            ageing_ns=ageing_ns,
            trigger=groups[group].trigger if group in groups else None,
            emergency_stop=groups[group].stop if group in groups else None,
        )
        for group, ours in plans.items()
    )
    return Orders(cameras=cameras, groups=tuple(orders), plans=plans, quotas=quotas)


def _names(cameras: Value | None, setting: Setting) -> frozenset[str] | None:
    """Of all cameras that are written; None when that is not known."""
    if cameras is None and not setting.complete:
        return frozenset()
    return (cameras.keys or None) if cameras else None


def _groups(table: Table, cameras: Mapping[str, Camera], names: frozenset[str] | None) -> dict[str, Group]:
    value = table.take("groups")
    if value is None:
        return {}
    known = names is not None and names <= cameras.keys()
    return read_groups(value, frozenset(camera.group for camera in cameras.values()) if known else None)


def _with_room(camera: Camera, entries: Sequence[PlanEntry], setting: Setting) -> Camera:
    """With enough buffers for the longest burst that is stored: its frames are all out before the first is back."""
    name = camera.order.name
    ours = [
        entry
        for entry in entries
        if entry.order.store and (entry.group == camera.group if entry.group else entry.order.plan.camera == name)
    ]
    longest = max((entry.order.plan.burst for entry in ours), default=setting.least_burst)
    needed = longest + FLOOR
    if camera.buffers is None:
        count = min(
            max(camera.order.settings.buffer_count, needed + _SPARE_BUFFERS + setting.for_clients), _MOST_BUFFERS
        )
        settings = replace(camera.order.settings, buffer_count=count)
        camera = replace(camera, order=replace(camera.order, settings=settings))
    for entry in ours:
        have = camera.order.settings.buffer_count
        if entry.order.plan.burst + FLOOR > have:
            entry.value.refuse(
                f"a burst of {entry.order.plan.burst} frames that are stored needs "
                f"{entry.order.plan.burst + FLOOR} buffers, and camera {camera.order.name} has {have}",
                f"write a shorter burst, or more buffers: at the camera (at most {_MOST_BUFFERS})",
            )
    return camera


def _by_group(
    cameras: Mapping[str, Camera], made: Iterable[tuple[PlanEntry, PlanOrder]]
) -> dict[str, tuple[tuple[PlanEntry, PlanOrder], ...]]:
    found: dict[str, list[tuple[PlanEntry, PlanOrder]]] = {camera.group: [] for camera in cameras.values()}
    for entry, order in made:
        camera = cameras.get(order.plan.camera)
        group = entry.group or (camera.group if camera is not None else "")
        if group in found:
            found[group].append((entry, order))
    return {group: tuple(plans) for group, plans in found.items()}
