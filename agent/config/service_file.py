"""What the agent's service is told: /etc/camera-agent/config.yaml and config.d (docs/configuration.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.capture.order import GroupOrder, PlanOrder
from agent.config.access import AccessWish, Address, SocketWish, read_access, read_metrics, read_socket
from agent.config.document import MappingNode
from agent.config.folder import USUAL_FILE, read_texts
from agent.config.joined import Text, join_files
from agent.config.orders import Orders, Setting, read_orders
from agent.config.pictures import Pictures, read_pictures
from agent.config.planned import Planned
from agent.config.plans import Times
from agent.config.problems import Problems
from agent.config.reader import Table, Value
from agent.config.recordings import RecordingWish, check_folders, check_targets, read_recordings
from agent.config.written import Written, written
from agent.discovery.match import Match
from agent.schedule.quota import Limit

USUAL_OUTPUT = Path("photos")
"""As every relative one in the folder where the service keeps its state, /var/lib/camera-agent."""
_LEAST_ROOM, _STEP, _SPARE = 1024, 4, 512
_TIMES = Times(0, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile:
    """A configuration that holds together; without cameras and plans too. Two are equal when they ask for the same.

    `groups`: by name; a group's cameras stand in the order of their names, `run_id` and `sink` are for whoever runs
    it, and all are told all `limits`. `plans`: by name. `matches`: what each camera is looked for by, also those with
    a path, which is empty in `groups` for all others. `limits`: by bucket. `metrics` None: none are given out.
    `recordings`: by name.
    `texts`: of the files, in the order they were read. `document`: all of them as one, as it is written there.
    """

    groups: Mapping[str, GroupOrder] = field(default_factory=dict)
    plans: Mapping[str, Planned] = field(default_factory=dict)
    matches: Mapping[str, Match] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    pictures: Pictures = field(default_factory=lambda: Pictures(USUAL_OUTPUT))
    access: AccessWish = field(default_factory=AccessWish)
    socket: SocketWish = field(default_factory=SocketWish)
    metrics: Address | None = None
    recordings: Mapping[str, RecordingWish] = field(default_factory=dict)
    texts: tuple[Text, ...] = field(default=(), compare=False, repr=False)
    document: Mapping[str, Written] = field(default_factory=dict, compare=False)

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files that were read."""
        return tuple(text.name for text in self.texts)

    def group(self, name: str, paths: Mapping[str, str]) -> GroupOrder:
        """A group with today's paths of its cameras, by name; a camera that is not among them keeps its own."""
        order = self.groups[name]
        cameras = (replace(camera, path=paths.get(camera.name, camera.path)) for camera in order.cameras)
        return replace(order, cameras=tuple(cameras))

    def plans_of(self, group: str, now_ns: int, realtime_now_ns: int) -> tuple[PlanOrder, ...]:
        """The plans of a group when they begin now; without those whose dates are all past."""
        begun = (each.begun(now_ns, realtime_now_ns) for each in self.plans.values() if each.group == group)
        return tuple(order for order in begun if order is not None)


def load_service_file(path: Path = USUAL_FILE) -> ServiceFile:
    """Read and check the file and its folder. Raises ConfigError with all that is wrong."""
    return parse_service_file(read_texts(path))


def parse_service_file(texts: Sequence[Text]) -> ServiceFile:
    """Check the texts of all files, read as one. Raises ConfigError with all that is wrong."""
    problems = Problems(texts[0].name if texts else "")
    result = read_service(texts, problems)
    if result is None or problems:
        raise problems.error()
    return result


def read_service(texts: Sequence[Text], problems: Problems) -> ServiceFile | None:
    """The same with the problems of somebody's; what is returned is of no use when there are any."""
    root = join_files(texts, problems)
    read = Value(problems, root, "", root.line).table(read_table)
    return None if read is None else replace(read, texts=tuple(texts), document=_document(root))


def read_table(table: Table) -> ServiceFile:
    """All keys of a service's file. What is wrong goes to the problems."""
    before = len(table.problems)
    pictures = read_pictures(table, USUAL_OUTPUT)
    keeps = pictures.output is not None
    orders = read_orders(table, Setting(times=_TIMES, keeps=keeps, complete=False, least_burst=1, for_clients=1))
    recordings = read_recordings(table)
    names = {
        "camera": frozenset(orders.cameras),
        "group": frozenset(order.name for order in orders.groups),
        "plan": frozenset(order.plan.name for made in orders.plans.values() for _, order in made),
    }
    check_targets(table, recordings, names, sound=len(table.problems) == before)
    check_folders(table, recordings, pictures.output, orders.cameras)
    return ServiceFile(
        groups={order.name: _canonical(order, len(orders.plans[order.name])) for order in orders.groups},
        plans=_plans(orders),
        matches={
            name: camera.wanted.match if camera.wanted else Match(path=camera.order.path)
            for name, camera in orders.cameras.items()
            if camera.wanted or camera.order.path
        },
        limits=orders.quotas,
        pictures=pictures,
        access=read_access(table),
        socket=read_socket(table),
        metrics=read_metrics(table),
        recordings=recordings,
    )


def _plans(orders: Orders) -> dict[str, Planned]:
    return {
        order.plan.name: Planned(order, group, entry.dated)
        for group, made in orders.plans.items()
        for entry, order in made
    }


def _canonical(order: GroupOrder, plans: int) -> GroupOrder:
    """The same whatever the files' order is, with room for plans that come later."""
    room = _LEAST_ROOM
    while room < plans + _SPARE:
        room *= _STEP
    return replace(order, cameras=tuple(sorted(order.cameras, key=lambda camera: camera.name)), plan_capacity=room)


def _document(root: MappingNode) -> dict[str, Written]:
    return {entry.key: written(entry.node) for entry in root.entries}
