"""Trigger modes of simulated cameras: set by their own controls, never by a module parameter of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from agent.capture.order import CameraOrder, GroupOrder
from agent.capture.trigger_order import CameraTrigger
from agent.trigger.modes import TriggerEntry
from agent.trigger.registry import KNOWN


def without_modules(group: GroupOrder) -> GroupOrder:
    """The group with cameras that no entry puts into a mode by a parameter of a kernel module."""
    return replace(group, cameras=tuple(_without(camera) for camera in group.cameras))


def sensors_without_modules(groups: Sequence[GroupOrder]) -> Iterator[tuple[str, str]]:
    """Cameras whose sensor's module would be set on a real machine, with the sensor."""
    for group in groups:
        for camera in group.cameras:
            trigger = camera.trigger
            if trigger is not None and trigger.wish.sensor in _sensors(trigger):
                yield camera.name, trigger.wish.sensor


def _without(camera: CameraOrder) -> CameraOrder:
    trigger = camera.trigger
    if trigger is None:
        return camera
    wish = trigger.wish
    if wish.sensor in _sensors(trigger):
        wish = replace(wish, sensor="")
    entries = tuple(entry for entry in trigger.entries if not _has_module(entry))
    return replace(camera, trigger=replace(trigger, wish=wish, entries=entries))


def _sensors(trigger: CameraTrigger) -> set[str]:
    """Sensors that an entry with a module parameter is for."""
    return {entry.sensor for entry in (*trigger.entries, *KNOWN.entries) if entry.sensor and _has_module(entry)}


def _has_module(entry: TriggerEntry) -> bool:
    return any(switch.module is not None for switch in entry.switches)
