"""`device:` of a camera: a path, or what the camera is; and the paths of today for those that are to be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.config import kinds
from agent.config.problems import ConfigError, Problem
from agent.config.reader import Table, Value
from agent.discovery.camera import Camera
from agent.discovery.match import KEYS, USB_IDS, Match, match_from
from agent.discovery.resolve import CameraMissing, resolve
from agent.errors import AgentError, InputError

_KEY = "device"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A camera that is to be found, and where its match stands in the file."""

    match: Match
    line: int
    key: str
    file: str = field(default="", compare=False)


class CamerasMissing(ConfigError):
    """All that is wrong with the file is that cameras of it are not there."""

    code = "camera_missing"
    exit_code = 3


def read_device(table: Table) -> tuple[str, Wanted | None]:
    """The path that a camera's `device:` names, or with an empty path what is to be found; neither after a problem."""
    value = table.take(_KEY)
    if value is None or value.keys is None:
        return table.required(_KEY, kinds.DEVICE) or "", None
    before = len(value.problems)
    facts = value.table(_read_facts) or {}
    if len(value.problems) != before:
        return "", None
    try:
        return "", Wanted(match_from(facts), value.line, value.key, value.problems.file)
    except InputError as error:
        value.refuse(error.message, error.hint)
        return "", None


def find_paths(wanted: Mapping[str, Wanted], given: Mapping[str, str], present: Sequence[Camera]) -> dict[str, str]:
    """Today's path of each camera that is wanted, by name. `given`: paths the file names itself.

    Raises ConfigError with all that is wrong, CamerasMissing when it is only that cameras are not there.
    """
    matches = {name: each.match for name, each in wanted.items()} | {
        name: Match(path=path) for name, path in given.items()
    }
    found = resolve(matches, present)
    wrong = {name: error for name, error in found.problems.items() if name in wanted}
    if wrong:
        kind = CamerasMissing if all(isinstance(error, CameraMissing) for error in wrong.values()) else ConfigError
        raise kind([_problem(wanted[camera], error) for camera, error in wrong.items()])
    return {camera: found.cameras[camera].path for camera in wanted}


def check_alike(name: str, value: Value, wanted: Wanted | None, owners: dict[Match, tuple[str, Value]]) -> None:
    """Two names with one match are a problem, whatever is plugged in. `owners`: the names so far, added to."""
    if wanted is None:
        return
    owner, place = owners.setdefault(wanted.match, (name, value))
    if owner != name:
        message = f"{wanted.match} is the device of {owner} on {place.seen_from(value)} already"
        value.refuse(message, "give each camera a device of its own; plans may share a camera")


def _read_facts(table: Table) -> dict[str, str]:
    read = {key: table.scalar(key, kinds.USB_ID if key in USB_IDS else kinds.TEXT, None) for key in KEYS}
    return {key: text for key, text in read.items() if text is not None}


def _problem(wanted: Wanted, error: AgentError) -> Problem:
    return Problem(wanted.file, wanted.line, wanted.key, error.message, error.hint)
