"""Plan files: what `camera-agent plan run FILE` is told, checked as a whole (docs/plan-files.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.capture.order import GroupOrder, PlanOrder, Realtime, StageLimits
from agent.config import kinds
from agent.config.cameras import Camera, read_cameras
from agent.config.devices import Wanted, find_paths
from agent.config.document import compose
from agent.config.files import read_text
from agent.config.groups import Group, read_groups
from agent.config.plans import PlanEntry, Times, expand, read_plans
from agent.config.problems import Problems, quoted
from agent.config.reader import Table, Value
from agent.config.trigger_modes import read_trigger_modes
from agent.config.triggered import fit
from agent.discovery.camera import Camera as PresentCamera
from agent.frames.ledger import FLOOR
from agent.schedule.quota import Limit

_FILE_TYPE = kinds.choice("jpeg", "png", "tiff", "raw")
"""The values of `agent.pipeline.encode.PictureKind`, which this room does not import."""
_QUALITY = kinds.integer(1, 100)
_USUAL_OUTPUT = Path("photos")
_USUAL_FILE_TYPE = "jpeg"
_USUAL_QUALITY = 90
_USUAL = GroupOrder(name="", cameras=())
_CPU = kinds.integer(0, 1023)
_FIFO = kinds.integer(1, 99)
_NONE = "none"
_SPARE_BUFFERS = 2
_MOST_BUFFERS = 32
"""VIDEO_MAX_FRAME of videodev2.h."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """A plan file that holds together. `name`: the file's, as it was given.

    `output`: the folder for pictures, None when nothing is kept; then no plan stores anything. `file_type`: `jpeg`,
    `png`, `tiff` or `raw`. `groups` in the order of the file; a group without plans is there too. `plans`: by name of
    the group, and every group has its line. All groups are told all quotas, in one order. `run_id` stays 0: whoever
    runs it chooses. `wanted`: cameras that the file names by what they are, by name; until `located` their paths are
    empty.
    """

    name: str
    output: Path | None
    file_type: str
    quality: int
    groups: tuple[GroupOrder, ...]
    plans: Mapping[str, tuple[PlanOrder, ...]]
    wanted: Mapping[str, Wanted] = field(default_factory=dict)

    @property
    def devices(self) -> dict[str, str]:
        """What the file says of each camera's device, by name: its path, or what it is, in words."""
        paths = {camera.name: camera.path for group in self.groups for camera in group.cameras}
        return paths | {name: str(wanted.match) for name, wanted in self.wanted.items()}

    def with_paths(self, paths: Mapping[str, str]) -> PlanFile:
        """With other paths for the cameras that are named."""
        groups = (
            replace(
                group,
                cameras=tuple(replace(camera, path=paths.get(camera.name, camera.path)) for camera in group.cameras),
            )
            for group in self.groups
        )
        return replace(self, groups=tuple(groups))

    def located(self, present: Sequence[PresentCamera]) -> PlanFile:
        """With today's paths, found among the cameras that are there. Raises ConfigError with file, line and key."""
        if not self.wanted:
            return self
        given = {name: text for name, text in self.devices.items() if name not in self.wanted}
        return self.with_paths(find_paths(self.name, self.wanted, given, present))


def load_plan_file(path: Path, *, now_ns: int, realtime_now_ns: int) -> PlanFile:
    """Read and check a plan file. Raises ConfigError with all that is wrong in it.

    Now is given on CLOCK_MONOTONIC and CLOCK_REALTIME: plans start from the one, and dates are told by the other.
    """
    return parse_plan_file(read_text(path), str(path), now_ns=now_ns, realtime_now_ns=realtime_now_ns)


def parse_plan_file(text: str, name: str, *, now_ns: int, realtime_now_ns: int) -> PlanFile:
    """Check the text of a plan file; `name` stands in its errors. Raises ConfigError."""
    problems = Problems(name)
    root = compose(text, problems)
    result = None
    if root is not None:
        times = Times(now_ns, realtime_now_ns)
        result = Value(problems, root, "", root.line).table(lambda table: _read(table, name, times))
    if result is None or problems:
        raise problems.error()
    return result


def _read(table: Table, name: str, times: Times) -> PlanFile:
    output = _output(table)
    file_type = table.scalar("file_type", _FILE_TYPE, _USUAL_FILE_TYPE)
    cameras_at, plans_at = table.take("cameras"), table.take("plans")
    cameras = read_cameras(cameras_at) if cameras_at else {}
    names = (cameras_at.keys or None) if cameras_at else None
    groups = _groups(table, cameras, names)
    entries = read_plans(plans_at, cameras, names, times=times, keeps=output is not None) if plans_at else ()
    for key, value, what in (("cameras", cameras_at, "device: /dev/video0"), ("plans", plans_at, "camera: and every:")):
        if value is None:
            table.value.refuse(f"there are no {key}", f"write {key}: and below it a name, and below that {what}")
    quotas = _quotas(table, names, frozenset(entry.order.plan.client for entry in entries))
    limits, realtime = _limits(table), _realtime(table)
    ageing_ns = table.scalar("ageing", kinds.DURATION, _USUAL.ageing_ns)
    modes_at = table.take("trigger_modes")
    modes = () if modes_at is None else read_trigger_modes(modes_at)
    cameras = fit(cameras, groups, entries, modes_at, modes)
    plans = _by_group(cameras, expand(entries))
    cameras = {name: _with_room(camera, entries) for name, camera in cameras.items()}
    orders = (
        GroupOrder(
            name=group,
            cameras=tuple(camera.order for camera in cameras.values() if camera.group == group),
            limits=limits,
            quotas=quotas,
            realtime=realtime,
            plan_capacity=max(_USUAL.plan_capacity, len(ours)),
            ageing_ns=ageing_ns,
            trigger=groups[group].trigger if group in groups else None,
            emergency_stop=groups[group].stop if group in groups else None,
        )
        for group, ours in plans.items()
    )
    return PlanFile(
        name=name,
        output=output,
        file_type=file_type,
        quality=_quality(table, file_type),
        groups=tuple(orders),
        plans=plans,
        wanted={name: camera.wanted for name, camera in cameras.items() if camera.wanted is not None},
    )


def _groups(table: Table, cameras: Mapping[str, Camera], names: frozenset[str] | None) -> dict[str, Group]:
    value = table.take("groups")
    if value is None:
        return {}
    known = names is not None and names <= cameras.keys()
    return read_groups(value, frozenset(camera.group for camera in cameras.values()) if known else None)


def _output(table: Table) -> Path | None:
    value = table.take("output")
    if value is None:
        return _USUAL_OUTPUT
    if value.is_null:
        return None
    text = value.scalar(kinds.PATH)
    if text == "":
        value.refuse("a folder without a name", "write a folder, . for this one, or none to keep nothing")
    return None if text == _NONE or not text else Path(text)


def _with_room(camera: Camera, entries: Sequence[PlanEntry]) -> Camera:
    """With enough buffers for the longest burst that is stored: its frames are all out before the first is back."""
    name = camera.order.name
    ours = [
        entry
        for entry in entries
        if entry.order.store and (entry.group == camera.group if entry.group else entry.order.plan.camera == name)
    ]
    longest = max((entry.order.plan.burst for entry in ours), default=0)
    needed = longest + FLOOR
    if camera.buffers is None:
        count = min(max(camera.order.settings.buffer_count, needed + _SPARE_BUFFERS), _MOST_BUFFERS)
        settings = replace(camera.order.settings, buffer_count=count)
        camera = replace(camera, order=replace(camera.order, settings=settings))
    for entry in ours:
        have = camera.order.settings.buffer_count
        if entry.order.plan.burst + FLOOR > have:
            entry.value.refuse(
                f"a burst of {entry.order.plan.burst} frames that are stored needs "
                f"{entry.order.plan.burst + FLOOR} buffers, and camera {camera.order.name} has {have}",
                f"write a shorter burst, or more buffers: at the camera (at most {_MOST_BUFFERS})",
            )
    return camera


def _quality(table: Table, file_type: str) -> int:
    if table.take("quality") and file_type != "jpeg":
        table.refuse("quality", f"{file_type} has no quality", "take the line out, or write file_type: jpeg")
    return table.scalar("quality", _QUALITY, _USUAL_QUALITY)


def _by_group(
    cameras: Mapping[str, Camera], made: Iterable[tuple[PlanEntry, PlanOrder]]
) -> dict[str, tuple[PlanOrder, ...]]:
    found: dict[str, list[PlanOrder]] = {camera.group: [] for camera in cameras.values()}
    for entry, order in made:
        camera = cameras.get(order.plan.camera)
        group = entry.group or (camera.group if camera is not None else "")
        if group in found:
            found[group].append(order)
    return {group: tuple(plans) for group, plans in found.items()}


def _quotas(table: Table, cameras: frozenset[str] | None, clients: frozenset[str]) -> dict[str, Limit]:
    value = table.take("quotas")
    if value is None:
        return {}
    found: dict[str, Limit] = {}

    def read(inner: Table) -> None:
        agent = inner.scalar("agent", kinds.LIMIT, None)
        if agent is not None:
            found["agent"] = agent
        found.update(_named_quotas(inner, "camera", cameras))
        found.update(_named_quotas(inner, "client", clients - {""}))

    value.table(read)
    return found


def _named_quotas(table: Table, one: str, known: frozenset[str] | None) -> dict[str, Limit]:
    """`cameras: {top: 30/s}` as `camera/top`. A name that nothing has would be a limit that nobody feels."""
    value = table.take(f"{one}s")
    if value is None:
        return {}
    missing = "no plan has the client" if one == "client" else "no camera is named"

    def read(name: str, entry: Value) -> Limit | None:
        if known is not None and name not in known:
            entry.refuse(f"{missing} {quoted(name)}", table.problems.suggest(name, sorted(known)))
        return entry.scalar(kinds.LIMIT)

    return {f"{one}/{name}": limit for name, limit in value.mapping(kinds.NAME, read).items()}


def _limits(table: Table) -> StageLimits:
    usual = StageLimits()
    value = table.take("limits")
    read = None if value is None else value.table(_stages)
    return usual if read is None else read


def _stages(table: Table) -> StageLimits:
    usual = StageLimits()
    return StageLimits(
        session_ns=table.scalar("session", kinds.DURATION, usual.session_ns),
        focus_ns=table.scalar("focus", kinds.DURATION, usual.focus_ns),
        frame_ns=table.scalar("frame", kinds.DURATION, usual.frame_ns),
        encode_ns=table.scalar("encode", kinds.DURATION, usual.encode_ns),
        develop_ns=table.scalar("develop", kinds.DURATION, usual.develop_ns),
        stop_ns=table.scalar("stop", kinds.DURATION, usual.stop_ns),
        step_ns=table.scalar("step", kinds.DURATION, usual.step_ns),
    )


def _realtime(table: Table) -> Realtime:
    value = table.take("realtime")
    read = None if value is None else value.table(_realtime_wishes)
    return Realtime() if read is None else read


def _realtime_wishes(table: Table) -> Realtime:
    return Realtime(
        cpus=_cpus(table),
        fifo_priority=table.scalar("fifo", _FIFO, None),
        lock_memory=table.scalar("lock_memory", kinds.BOOLEAN, default=False),
        timer_slack_ns=table.scalar("timer_slack", kinds.DURATION, None),
        join_ns=table.scalar("join", kinds.DURATION, Realtime().join_ns),
    )


def _cpus(table: Table) -> tuple[int, ...] | None:
    value = table.take("cpus")
    if value is None:
        return None
    before = len(value.problems)
    cpus = value.items(lambda item: item.scalar(_CPU))
    if len(value.problems) == before and (not cpus or len(set(cpus)) != len(cpus)):
        value.refuse("a processor is named twice" if cpus else "no processor", "write each once, such as [1]")
    return cpus
