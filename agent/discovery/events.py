"""What became of cameras between two moments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.discovery.camera import Camera


@dataclass(frozen=True, slots=True)
class Appeared:
    """A camera is there. `at_ns`: when its event was read, or the list begun that has it; CLOCK_MONOTONIC."""

    camera: Camera
    at_ns: int


@dataclass(frozen=True, slots=True)
class Changed:
    """The same camera, captured from the same node, with other facts or other nodes beside it."""

    camera: Camera
    before: Camera
    at_ns: int


@dataclass(frozen=True, slots=True)
class Gone:
    """A camera is not there any more: unplugged, or its driver unbound. `camera`: as it was last."""

    camera: Camera
    at_ns: int


Event = Appeared | Changed | Gone


def difference(before: Iterable[Camera], after: Iterable[Camera], at_ns: int) -> list[Event]:
    """From one set of cameras to another, those that are gone first.

    A camera is the same one while its capture node is: one that was made anew at the same path has gone and appeared.
    """
    old = {camera.node.key: camera for camera in before}
    new = {camera.node.key: camera for camera in after}
    events: list[Event] = [Gone(camera, at_ns) for key, camera in old.items() if key not in new]
    events += [Appeared(camera, at_ns) for key, camera in new.items() if key not in old]
    same = ((old[key], camera) for key, camera in new.items() if key in old)
    return events + [Changed(now, then, at_ns) for then, now in same if now != then]
