"""Names to cameras: which camera each match means, or what is wrong with it.

The policy. A name gets a camera only if its match fits exactly one, and no other name's fits that one too. Nothing is
given by order, by elimination or by who came first: that is how twins swap names. A serial number follows its camera
to any port; a port keeps its name whatever camera of the kind is plugged in. Twins without serial numbers of their own
can be matched by port only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.discovery.camera import Camera
from agent.discovery.match import Match
from agent.discovery.suggest import suggest
from agent.errors import AgentError, InputError

_SHOWN = 8


class CameraMissing(AgentError):
    """No camera that is there fits. Details: camera (the name), match."""

    code = "camera_missing"
    exit_code = 3


class MatchAmbiguous(InputError):
    """Several cameras fit one match. Details: camera (the name), match, fitting (paths), write (one match for each)."""

    code = "match_ambiguous"


class CameraShared(InputError):
    """Several names mean one camera. Details: camera (the name), match, path, shared_with (the other names)."""

    code = "camera_shared"


@dataclass(frozen=True, slots=True)
class Resolution:
    """`cameras`: those names that mean one camera each. `problems`: what is wrong with each of the other names."""

    cameras: Mapping[str, Camera]
    problems: Mapping[str, AgentError]


def resolve(wanted: Mapping[str, Match], present: Sequence[Camera]) -> Resolution:
    """The camera that each name means, of those present. Every name ends in exactly one of the two mappings."""
    chosen: dict[str, Camera] = {}
    problems: dict[str, AgentError] = {}
    for name, match in wanted.items():
        fitting = [camera for camera in present if match.fits(camera)]
        if len(fitting) == 1:
            chosen[name] = fitting[0]
        elif fitting:
            problems[name] = _ambiguous(name, match, fitting, present)
        else:
            problems[name] = _missing(name, match, present)
    problems |= _shared(wanted, chosen)
    cameras = {name: camera for name, camera in chosen.items() if name not in problems}
    return Resolution(cameras, {name: problems[name] for name in wanted if name in problems})


def _missing(name: str, match: Match, present: Sequence[Camera]) -> AgentError:
    message = f"no camera has {match}"
    if not present:
        return CameraMissing(message, hint="there is none: plug it in", camera=name, match=match.given)
    there = [f"{_told(camera)} is {suggest(camera, present).match.as_yaml}" for camera in present[:_SHOWN]]
    hint = f"plug it in, or write what is there: {'; '.join(there)}"
    return CameraMissing(message, hint=hint, camera=name, match=match.given)


def _ambiguous(name: str, match: Match, fitting: Sequence[Camera], present: Sequence[Camera]) -> AgentError:
    told = ", ".join(_told(camera) for camera in fitting[:_SHOWN])
    matches = [suggest(camera, present).match for camera in fitting]
    write = " or ".join(f"device: {each.as_yaml}" for each in matches[:_SHOWN])
    twins = any("port" in each.given for each in matches)
    why = "they have no serial numbers of their own, so the port must tell them apart: " if twins else ""
    return MatchAmbiguous(
        f"{len(fitting)} cameras have {match}: {told}",
        hint=f"{why}write {write}",
        camera=name,
        match=match.given,
        fitting=[camera.path for camera in fitting],
        write=[each.given for each in matches],
    )


def _shared(wanted: Mapping[str, Match], chosen: Mapping[str, Camera]) -> dict[str, AgentError]:
    """Nobody gets a camera that several names mean: by whom it should be had, only a person knows."""
    names: dict[tuple[object, ...], list[str]] = {}
    for name, camera in chosen.items():
        names.setdefault(camera.node.key, []).append(name)
    found: dict[str, AgentError] = {}
    for group in names.values():
        for name in group if len(group) > 1 else ():
            others = [other for other in group if other != name]
            camera = chosen[name]
            found[name] = CameraShared(
                f"{_told(camera)} is the camera of {', '.join(others)} too",
                hint="give each name a camera of its own: `camera-agent devices --suggest` prints what to write",
                camera=name,
                match=wanted[name].given,
                path=camera.path,
                shared_with=others,
            )
    return found


def _told(camera: Camera) -> str:
    model = camera.identity.model
    return f"{camera.path} ({model})" if model else camera.path
