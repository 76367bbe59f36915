"""The match a person should write for a camera, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.discovery.camera import Camera
from agent.discovery.match import Match

_LONGEST_NAME = 40
_NO_CAMERAS = "cameras: {}\n"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`match`: the shortest that only this camera fits now. `stable`: it also holds after the next boot and replug."""

    camera: Camera
    match: Match
    reason: str
    stable: bool


def suggest(camera: Camera, present: Sequence[Camera]) -> Suggestion:
    """What to write for one of the cameras that are present.

    The serial number, which follows the camera; else the port, which stays with the socket; else what the bus, the
    product or the driver are called; and when nothing tells it from the others, today's path.
    """
    others = [other for other in present if other.node.key != camera.node.key]
    for match, reason, stable in _candidates(camera, others):
        if match.fits(camera) and not any(match.fits(other) for other in others):
            return Suggestion(camera, match, reason, stable)
    reason = "nothing tells it from the others: today's path, which the next boot or replug may change"
    return Suggestion(camera, Match(path=camera.path), reason, stable=False)


def suggest_all(present: Sequence[Camera]) -> dict[str, Suggestion]:
    """What to write for each of them, by a name that its model suggests."""
    found: dict[str, Suggestion] = {}
    for camera in present:
        base = _name(camera)
        name, number = base, 1
        while name in found:
            number += 1
            name = f"{base}-{number}"
        found[name] = suggest(camera, present)
    return found


def as_yaml(suggestions: Mapping[str, Suggestion]) -> str:
    """`cameras:` of a plan file or configuration, a comment over each with what it is and why it is matched so."""
    if not suggestions:
        return _NO_CAMERAS
    lines = ["cameras:"]
    for name, suggestion in suggestions.items():
        model = suggestion.camera.identity.model or "camera"
        lines += [f"  # {_printable(model)}, now {suggestion.camera.path}: {suggestion.reason}"]
        lines += [f"  {name}:", f"    device: {suggestion.match.as_yaml}"]
    return "\n".join(lines) + "\n"


def _candidates(camera: Camera, others: Sequence[Camera]) -> Iterator[tuple[Match, str, bool]]:
    identity = camera.identity
    if identity.serial:
        yield Match(serial=identity.serial), "its serial number follows it to any port", True
    why = _why_not_serial(camera, others)
    for port in identity.ports:
        stable = port != identity.usb_position
        reason = f"{why}, so the port tells it from others: leave it in this socket"
        if not stable:
            reason += "; the number of the bus may change at the next boot"
        yield Match(port=port), reason, stable
    if identity.bus_info:
        yield Match(bus_info=identity.bus_info), f"{why}, and the port is not its own; its bus info is", True
    if identity.vendor_id and identity.product_id:
        match = Match(vendor_id=identity.vendor_id, product_id=identity.product_id)
        yield match, "it is the only one of its product now", False
    if identity.model:
        yield Match(model=identity.model), "it is the only one of its model now", False


def _why_not_serial(camera: Camera, others: Sequence[Camera]) -> str:
    serial = camera.identity.serial
    if serial is None:
        return "it has no serial number"
    shared = any(other.identity.serial == serial for other in others)
    return "another one has the same serial number" if shared else "its serial number fits others too"


def _name(camera: Camera) -> str:
    """Letters, digits and `-`, as names of cameras are written."""
    words = re.sub(r"[^a-z0-9]+", "-", (camera.identity.model or "").lower()).strip("-")
    return words[:_LONGEST_NAME].strip("-") or "camera"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
