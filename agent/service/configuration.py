"""What the service makes of its configuration: where its pictures go, and the orders of its groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.capture.order import GroupOrder
from agent.capture.sink_process import SinkOrder
from agent.config.service_file import ServiceFile
from agent.pipeline.names import file_name

_CAPTURES = "captures"
"""Where pictures of captures go that nothing else has a place for."""


def names_of(order: GroupOrder) -> tuple[str, ...]:
    """The cameras of a group."""
    return tuple(camera.name for camera in order.cameras)


def group_of(file: ServiceFile, camera: str) -> str | None:
    """The group that a camera belongs to."""
    return next((name for name, order in file.groups.items() if camera in names_of(order)), None)


def started(file: ServiceFile, group: str, paths: Mapping[str, str], *, state: Path, run_id: int) -> GroupOrder:
    """What a new process of a group is told. `paths`: of all of its cameras, empty for those that are not there.

    `state`: the folder that relative ones are below. Each camera has a folder of its own, so that one more camera
    changes nothing for the others; captures are stored also where plans are told to keep nothing.
    """
    order, pictures = file.group(group, paths), file.pictures
    folder = state / (_CAPTURES if pictures.output is None else pictures.output.expanduser())
    names = names_of(order)
    if len(names) == 1:
        folder /= file_name(names[0])
    sink = SinkOrder(
        folder=folder.absolute(),
        cameras={name: name for name in names},
        kind=pictures.file_type,
        quality=pictures.quality,
    )
    return replace(order, sink=sink, run_id=run_id)
