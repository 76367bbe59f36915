"""Plans that are added while the service runs, read as if they stood in its file."""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent.config.document import Entry, MappingNode, compose_any
from agent.config.joined import join_files
from agent.config.planned import Planned
from agent.config.problems import Problems
from agent.config.reader import Value
from agent.config.service_file import ServiceFile, read_table
from agent.errors import InputError
from agent.frames.ledger import FLOOR

_KEY = "plans"


def read_more_plans(file: ServiceFile, asked: Mapping[str, object], name: str = "request") -> dict[str, Planned]:
    """Plans for the cameras of a file, by name: the keys of each as in a file, quantities with their units.

    `name` stands in errors in place of a file's. Raises ConfigError with all that is wrong, InputError: no JSON, or a
    burst that the cameras' buffers are too few for as they run now.
    """
    problems = Problems(name)
    node = compose_any(_text(asked), problems)
    root = join_files(file.texts, Problems(name))
    read = None
    if node is not None:
        entries = tuple(entry for entry in root.entries if entry.key != _KEY)
        whole = MappingNode(1, (*entries, Entry(_KEY, 1, node, name)))
        read = Value(problems, whole, "", 1).table(read_table)
    if read is None or problems:
        raise problems.error()
    _check_buffers(read, file)
    return dict(read.plans)


def _text(asked: Mapping[str, object]) -> str:
    try:
        return json.dumps(asked, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the plans are no JSON: {error}", hint="write strings, numbers, lists and objects") from error


def _check_buffers(read: ServiceFile, file: ServiceFile) -> None:
    """A new process would have more buffers for a longer burst; those of the one that runs are what they are."""
    for planned in read.plans.values():
        plan, cameras = planned.order.plan, file.groups[planned.group].cameras
        needed = plan.burst + FLOOR if planned.order.store else 0
        for camera in [each for each in cameras if each.name == plan.camera] or cameras:
            have = camera.settings.buffer_count
            if needed > have:
                raise InputError(
                    f"plan {plan.name}: a burst of {plan.burst} frames that are stored needs {needed} buffers, "
                    f"and camera {camera.name} has {have}",
                    hint=f"ask for a shorter burst, or write buffers: {needed} at the camera and reload",
                )
