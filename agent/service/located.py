"""Which camera that is there each name of the configuration has (see `agent.discovery.resolve` for the policy)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.discovery.camera import Camera
from agent.discovery.match import Match
from agent.discovery.resolve import resolve
from agent.errors import AgentError

Key = tuple[str, int, int | None]


@dataclass(frozen=True, slots=True)
class Located:
    """Where cameras are. `cameras`: by name. `problems`: why each of the other names has none."""

    cameras: Mapping[str, Camera]
    problems: Mapping[str, AgentError]

    def key(self, name: str) -> Key | None:
        """What changes when a camera was unplugged in between, even if it is at the same path again."""
        camera = self.cameras.get(name)
        return None if camera is None else camera.node.key

    def path(self, name: str) -> str:
        """Today's node; empty where it is not there."""
        camera = self.cameras.get(name)
        return "" if camera is None else camera.path


NOWHERE = Located({}, {})


def locate(matches: Mapping[str, Match], present: Sequence[Camera], before: Located = NOWHERE) -> Located:
    """The camera of each name now.

    A name keeps the camera it has for as long as that stays plugged in and fits: a twin that is plugged in beside it
    takes nothing from anybody. Whoever comes back, or is new, is looked for by the policy among all that are there.
    """
    there = {camera.node.key: camera for camera in present}
    kept = {
        name: there[key]
        for name, match in matches.items()
        if (key := before.key(name)) is not None and key in there and match.fits(there[key])
    }
    found = resolve(matches, present)
    taken = {camera.node.key for camera in kept.values()}
    new = {name: camera for name, camera in found.cameras.items() if camera.node.key not in taken}
    cameras = {name: camera for name in matches if (camera := kept.get(name) or new.get(name)) is not None}
    problems = {name: error for name, error in found.problems.items() if name not in kept}
    return Located(cameras, problems)
