"""What each group of a plan file is told beside the file: a run of its own, and where its pictures go."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from agent.capture.order import GroupOrder
from agent.capture.sink_process import SinkOrder
from agent.config.plan_file import PlanFile
from agent.pipeline.names import file_name

_RUN_BITS = 64


def group_orders(file: PlanFile) -> list[GroupOrder]:
    """The groups of the file. Each has a run id of its own, so that no trace id comes twice."""
    several = sum(len(order.cameras) for order in file.groups) > 1
    return [
        replace(order, run_id=secrets.randbits(_RUN_BITS), sink=_sink(file, order, several=several))
        for order in file.groups
    ]


def folders_of(orders: Sequence[GroupOrder]) -> list[str]:
    """Where each camera's pictures are, of those that are stored."""
    found = []
    for order in orders:
        if order.sink is not None:
            folder, several = order.sink.folder, len(order.cameras) > 1
            found += [str(folder / file_name(camera.name) if several else folder) for camera in order.cameras]
    return found


def _sink(file: PlanFile, order: GroupOrder, *, several: bool) -> SinkOrder | None:
    """Cameras side by side have a folder each, whatever groups they are in; a sink of several makes them itself."""
    if file.output is None or not any(plan.store for plan in file.plans[order.name]):
        return None
    folder = file.output.expanduser().absolute()
    if several and len(order.cameras) == 1:
        folder /= file_name(order.cameras[0].name)
    cameras = {camera.name: camera.name for camera in order.cameras}
    return SinkOrder(folder=folder, cameras=cameras, kind=file.file_type, quality=file.quality)
