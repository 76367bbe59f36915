"""The configuration in force, as the service needs it. The only module that knows what kind of file it comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from agent.capture.order import GroupOrder, PlanOrder
from agent.capture.sink_process import SinkOrder
from agent.config.files import read_text
from agent.config.plan_file import PlanFile, parse_plan_file
from agent.discovery.match import Match
from agent.errors import InputError
from agent.pipeline.writer import file_name
from agent.schedule.quota import Limit
from agent.units import NS_PER_S

_SHIFT_NS = 3600 * NS_PER_S
_DATED = re.compile(r"start:\s*[\"']?\d{4}-")
_CLOCKS_NS = NS_PER_S
"""CLOCK_REALTIME may have been set by so much between two readings of one date."""
_CAPTURES = "captures"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanWish:
    """A plan and the group it belongs to. Its start is `after_ns` after its cameras are there; None: it is a date."""

    order: PlanOrder
    group: str
    after_ns: int | None

    @property
    def name(self) -> str:
        """The plan's."""
        return self.order.plan.name

    def from_now(self, now_ns: int) -> PlanOrder:
        """As it is handed to a process at `now_ns`."""
        if self.after_ns is None:
            return self.order
        return replace(self.order, plan=replace(self.order.plan, start_ns=now_ns + self.after_ns))

    def is_same(self, other: PlanWish) -> bool:
        """Whether both ask for the same, whenever each was read."""
        if self.after_ns != other.after_ns or self.group != other.group:
            return False
        apart_ns = abs(self.order.plan.start_ns - other.order.plan.start_ns)
        if self.after_ns is None and apart_ns > _CLOCKS_NS:
            return False
        return self._unstarted == other._unstarted

    @property
    def _unstarted(self) -> PlanOrder:
        return replace(self.order, plan=replace(self.order.plan, start_ns=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A configuration that holds together. `document`: what it was read from, as text. `read_ns`: CLOCK_MONOTONIC.

    `groups`: without paths of cameras that are looked for, without run ids. `plans`: by name, in the file's order.
    `matches`: how each camera is found. `words`: the same for people. `quotas`: the named limits.
    """

    files: tuple[str, ...]
    document: str
    read_ns: int
    groups: Mapping[str, GroupOrder]
    plans: Mapping[str, PlanWish]
    matches: Mapping[str, Match]
    words: Mapping[str, str]
    quotas: Mapping[str, Limit]

    def group_of(self, camera: str) -> str | None:
        """The group that a camera belongs to."""
        return next((name for name, order in self.groups.items() if camera in names_of(order)), None)


def read_configuration(path: Path, state: Path, *, now_ns: int, realtime_now_ns: int) -> Configuration:
    """Read and check it as a whole. `state`: the folder for pictures that nothing else has a place for.

    Raises ConfigError with all that is wrong.
    """
    text = read_text(path)
    file = parse_plan_file(text, str(path), now_ns=now_ns, realtime_now_ns=realtime_now_ns)
    return Configuration(
        files=(str(path),),
        document=text,
        read_ns=now_ns,
        groups={order.name: _told(file, order, state) for order in file.groups},
        plans=_wishes(file, text, now_ns, realtime_now_ns),
        matches={name: _match(file, name) for name in file.devices},
        words=file.devices,
        quotas=file.groups[0].quotas if file.groups else {},
    )


def read_plans(
    configuration: Configuration, asked: Mapping[str, Any], client: str, *, now_ns: int, realtime_now_ns: int
) -> dict[str, PlanWish]:
    """More plans for the cameras of a configuration: name -> the keys of a plan file. Raises ConfigError, InputError.

    `client` owns them, whatever they say themselves; empty: what they say.
    """
    try:
        text = json.dumps({"plans": asked})
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the plans are no JSON: {error}", hint="write strings, numbers, lists and objects") from error
    whole = _with_plans(configuration.document, text)
    file = parse_plan_file(whole, "request", now_ns=now_ns, realtime_now_ns=realtime_now_ns)
    _check_buffers(file, configuration)
    wishes = _wishes(file, text, now_ns, realtime_now_ns, whole)
    if not client:
        return wishes
    return {name: replace(wish, order=_owned(wish.order, client)) for name, wish in wishes.items()}


def names_of(order: GroupOrder) -> tuple[str, ...]:
    """The cameras of a group."""
    return tuple(camera.name for camera in order.cameras)


def settings_of(order: GroupOrder) -> GroupOrder:
    """What of a group takes a new process when it is changed: neither where its cameras are, nor its limits' sizes."""
    cameras = tuple(replace(camera, path="") for camera in order.cameras)
    quotas = dict.fromkeys(order.quotas, Limit(1, 1))
    return replace(order, cameras=cameras, run_id=0, quotas=quotas)


def _match(file: PlanFile, name: str) -> Match:
    wanted = file.wanted.get(name)
    return Match(path=file.devices[name]) if wanted is None else wanted.match


def _wishes(
    file: PlanFile, plans: str, now_ns: int, realtime_now_ns: int, text: str | None = None
) -> dict[str, PlanWish]:
    dated: set[str] = set()
    if _DATED.search(plans.replace('"start":', "start:")):
        # a date is what moves when the wall clock is another
        earlier_ns = realtime_now_ns - _SHIFT_NS
        other = parse_plan_file(text or plans, file.name, now_ns=now_ns, realtime_now_ns=earlier_ns)
        starts = {order.plan.name: order.plan.start_ns for orders in other.plans.values() for order in orders}
        mine = {order.plan.name: order.plan.start_ns for orders in file.plans.values() for order in orders}
        dated = {name for name, start_ns in mine.items() if starts.get(name) != start_ns}
    return {
        order.plan.name: PlanWish(
            order=order,
            group=group,
            after_ns=None if order.plan.name in dated else order.plan.start_ns - now_ns,
        )
        for group, orders in file.plans.items()
        for order in orders
    }


def _told(file: PlanFile, order: GroupOrder, state: Path) -> GroupOrder:
    return replace(order, sink=_sink(file, order, state), quotas=_concerning(order))


def _sink(file: PlanFile, order: GroupOrder, state: Path) -> SinkOrder:
    """Each camera has a folder of its own, so that one more camera changes nothing for the others."""
    folder = state / _CAPTURES if file.output is None else state / file.output.expanduser()
    if len(order.cameras) == 1:
        folder /= file_name(order.cameras[0].name)
    cameras = {camera.name: camera.name for camera in order.cameras}
    return SinkOrder(folder=folder.absolute(), cameras=cameras, kind=file.file_type, quality=file.quality)


def _concerning(order: GroupOrder) -> dict[str, Limit]:
    """The limits that a group's plans can meet: those of other groups' cameras may change without it."""
    mine = {f"camera/{name}" for name in names_of(order)}
    return {name: limit for name, limit in order.quotas.items() if not name.startswith("camera/") or name in mine}


def _with_plans(document: str, plans: str) -> str:
    """The document with other plans. Limits of clients go with the plans they belong to."""
    root: Any = yaml.compose(document, yaml.SafeLoader)
    added: Any = yaml.compose(plans, yaml.SafeLoader)
    root.value = [pair for pair in root.value if pair[0].value not in ("plans", "quotas")] + added.value
    whole: str = yaml.serialize(root, Dumper=yaml.SafeDumper)
    return whole


def _owned(order: PlanOrder, client: str) -> PlanOrder:
    return replace(order, plan=replace(order.plan, client=client))


def _check_buffers(file: PlanFile, configuration: Configuration) -> None:
    """A longer burst would have more buffers in a new process; those of the one that runs are what they are."""
    for order in file.groups:
        here = configuration.groups[order.name]
        for now, wanted in zip(here.cameras, order.cameras, strict=True):
            if wanted.settings.buffer_count > now.settings.buffer_count:
                raise InputError(
                    f"camera {now.name} has {now.settings.buffer_count} buffers, and a burst that long needs "
                    f"{wanted.settings.buffer_count}",
                    hint=f"ask for a shorter burst, or write buffers: {wanted.settings.buffer_count} at the camera",
                )
