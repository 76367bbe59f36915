"""What a reload would start, stop and change: the difference between two configurations, as a value.

What is carried out, in this order, makes the new configuration of the old one: plans are removed, groups stop (also
those that start anew), limits and settings change, groups start, plans change and are added. A device or a line that
moves from one group to another is thus let go before it is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent.capture.order import CameraOrder, GroupOrder
from agent.config.access import AccessWish, Address, SocketWish
from agent.config.differences import camera_differences, group_differences, plan_differences
from agent.config.pictures import Pictures
from agent.config.planned import Planned
from agent.config.recordings import RecordingWish
from agent.config.service_file import ServiceFile
from agent.discovery.match import Match
from agent.schedule.quota import Limit
from agent.v4l2.gain import GainRequest


@dataclass(frozen=True, slots=True)
class Anew:
    """A group whose process ends and is started again: the new order, and because of which keys."""

    order: GroupOrder
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replaced:
    """A plan that is removed, and added as it is now, and because of which keys."""

    planned: Planned
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exposure:
    """A camera whose stream goes on with another exposure, or gain, or both. `gain` None: it stays."""

    group: str
    camera: str
    exposure_ns: int
    gain: GainRequest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChange:
    """A plan that goes on with other figures; None: that one stays."""

    group: str
    name: str
    period_ns: int | None = None
    priority: int | None = None
    quota: Limit | None = None


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit that is another from now on. `old` None: there was none; `new` None: there is none."""

    bucket: str
    old: Limit | None
    new: Limit | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What concerns no camera. New values; in `changed` are the names of those that differ."""

    pictures: Pictures
    access: AccessWish
    socket: SocketWish
    metrics: Address | None
    recordings: Mapping[str, RecordingWish] = field(default_factory=dict)
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The difference. Groups by name in `stops` and `same`; a group in `same` keeps its process and its streams.

    `matches`: of all cameras of groups that start or start anew. Plans of such groups are told only where they differ
    themselves: the others go on in the new process.
    """

    stops: tuple[str, ...] = ()
    starts: tuple[GroupOrder, ...] = ()
    anew: tuple[Anew, ...] = ()
    same: tuple[str, ...] = ()
    exposures: tuple[Exposure, ...] = ()
    matches: Mapping[str, Match] = field(default_factory=dict)
    limits: tuple[LimitChange, ...] = ()
    plans_removed: tuple[str, ...] = ()
    plans_added: tuple[Planned, ...] = ()
    plans_replaced: tuple[Replaced, ...] = ()
    plans_changed: tuple[PlanChange, ...] = ()
    settings: Settings

    @property
    def is_empty(self) -> bool:
        """A reload would do nothing."""
        groups = self.stops or self.starts or self.anew or self.exposures or self.limits
        plans = self.plans_removed or self.plans_added or self.plans_replaced or self.plans_changed
        return not (groups or plans or self.settings.changed)


def diff(old: ServiceFile, new: ServiceFile) -> Changes:
    """What makes `new` of `old`."""
    kept = [name for name in new.groups if name in old.groups]
    why = {name: _why_anew(name, old, new) for name in kept}
    starts = tuple(order for name, order in new.groups.items() if name not in old.groups)
    anew = tuple(Anew(new.groups[name], why[name]) for name in kept if why[name])
    begun = [*starts, *(each.order for each in anew)]
    replaced, changed = _plans(old, new)
    return Changes(
        stops=tuple(name for name in old.groups if name not in new.groups),
        starts=starts,
        anew=anew,
        same=tuple(name for name in kept if not why[name]),
        exposures=tuple(_exposures(old, new, (name for name in kept if not why[name]))),
        matches={camera.name: new.matches[camera.name] for order in begun for camera in order.cameras},
        limits=_limits(old.limits, new.limits),
        plans_removed=tuple(name for name in old.plans if name not in new.plans),
        plans_added=tuple(planned for name, planned in new.plans.items() if name not in old.plans),
        plans_replaced=replaced,
        plans_changed=changed,
        settings=_settings(old, new),
    )


def applied(changes: Changes, old: ServiceFile) -> ServiceFile:
    """What is in force when the changes are carried out on `old`."""
    limits = dict(old.limits)
    for limit in changes.limits:
        if limit.new is None:
            limits.pop(limit.bucket, None)
        else:
            limits[limit.bucket] = limit.new
    groups = {name: old.groups[name] for name in changes.same}
    for each in changes.exposures:
        groups[each.group] = _exposed(groups[each.group], each)
    groups |= {order.name: order for order in (*changes.starts, *(each.order for each in changes.anew))}
    groups = {name: replace(order, quotas=limits) for name, order in groups.items()}
    cameras = {camera.name for order in groups.values() for camera in order.cameras}
    matches = {**old.matches, **changes.matches}
    gone = {*changes.plans_removed, *(each.planned.name for each in changes.plans_replaced)}
    plans = {name: planned for name, planned in old.plans.items() if name not in gone}
    for change in changes.plans_changed:
        plans[change.name] = _changed(plans[change.name], change)
    added = (*changes.plans_added, *(each.planned for each in changes.plans_replaced))
    return ServiceFile(
        groups=groups,
        plans=plans | {planned.name: planned for planned in added},
        matches={name: match for name, match in matches.items() if name in cameras},
        limits=limits,
        pictures=changes.settings.pictures,
        access=changes.settings.access,
        socket=changes.settings.socket,
        metrics=changes.settings.metrics,
        recordings=changes.settings.recordings,
    )


def _why_anew(name: str, old: ServiceFile, new: ServiceFile) -> tuple[str, ...]:
    """The keys because of which a group cannot go on as it is; none when it can."""
    before, after = old.groups[name], new.groups[name]
    why = group_differences(before, after)
    cameras = {camera.name: camera for camera in before.cameras}
    for camera in after.cameras:
        was = cameras.get(camera.name)
        if was is not None:
            keys = camera_differences(was, camera)
            if old.matches[camera.name] != new.matches[camera.name]:
                keys = ("device", *keys)
            if not _can_go_on(was, camera, keys):
                why += [f"cameras.{camera.name}.{key}" for key in keys]
    if old.pictures != new.pictures:
        why += ["output, file_type or quality"]
    return tuple(why)


def _can_go_on(before: CameraOrder, after: CameraOrder, keys: Iterable[str]) -> bool:
    """Whether an exposure that can be changed while it streams makes the one of the other."""
    asked, found = after.settings, before.settings
    if not set(keys) <= {"exposure", "gain"}:
        return False
    if asked.exposure_ns is None:
        return not keys
    return asked.gain is not None or found.gain is None


def _exposures(old: ServiceFile, new: ServiceFile, groups: Iterable[str]) -> Iterable[Exposure]:
    for name in groups:
        for before, after in zip(old.groups[name].cameras, new.groups[name].cameras, strict=True):
            asked, found = after.settings, before.settings
            if before != after and asked.exposure_ns is not None:
                gain = asked.gain if asked.gain != found.gain else None
                yield Exposure(name, after.name, asked.exposure_ns, gain)


def _exposed(order: GroupOrder, change: Exposure) -> GroupOrder:
    cameras = (
        replace(camera, settings=camera.settings.exposed(change.exposure_ns, change.gain))
        if camera.name == change.camera
        else camera
        for camera in order.cameras
    )
    return replace(order, cameras=tuple(cameras))


def _limits(old: Mapping[str, Limit], new: Mapping[str, Limit]) -> tuple[LimitChange, ...]:
    found = (LimitChange(bucket, old.get(bucket), new.get(bucket)) for bucket in dict.fromkeys((*old, *new)))
    return tuple(change for change in found if change.old != change.new)


def _plans(old: ServiceFile, new: ServiceFile) -> tuple[tuple[Replaced, ...], tuple[PlanChange, ...]]:
    """Those that have to begin again, and those that go on with other figures."""
    replaced, changed = [], []
    for name, after in new.plans.items():
        before = old.plans.get(name)
        if before is None or before == after:
            continue
        change = _change(before, after)
        if _changed(before, change) == after:
            changed.append(change)
        else:
            replaced.append(Replaced(after, plan_differences(before, after)))
    return tuple(replaced), tuple(changed)


def _change(before: Planned, after: Planned) -> PlanChange:
    """As far as figures can make the one of the other."""
    was, plan = before.order.plan, after.order.plan
    both_tick = was.period_ns is not None and was.period_ns != plan.period_ns
    both_limited = before.order.quota is not None and before.order.quota != after.order.quota
    return PlanChange(
        group=after.group,
        name=after.name,
        period_ns=plan.period_ns if both_tick else None,
        priority=plan.priority if was.priority != plan.priority else None,
        quota=after.order.quota if both_limited else None,
    )


def _changed(planned: Planned, change: PlanChange) -> Planned:
    order, plan = planned.order, planned.order.plan
    if change.period_ns is not None:
        plan = replace(plan, period_ns=change.period_ns)
    if change.priority is not None:
        plan = replace(plan, priority=change.priority)
    quota = order.quota if change.quota is None else change.quota
    return replace(planned, order=replace(order, plan=plan, quota=quota))


def _settings(old: ServiceFile, new: ServiceFile) -> Settings:
    names = ("pictures", "access", "socket", "metrics", "recordings")
    changed = tuple(name for name in names if getattr(old, name) != getattr(new, name))
    return Settings(
        pictures=new.pictures,
        access=new.access,
        socket=new.socket,
        metrics=new.metrics,
        recordings=new.recordings,
        changed=changed,
    )
