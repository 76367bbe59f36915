"""Plan files: what `camera-agent plan run FILE` is told, checked as a whole (docs/plan-files.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.capture.order import GroupOrder, PlanOrder
from agent.config.devices import Wanted, find_paths
from agent.config.document import compose
from agent.config.files import read_text
from agent.config.orders import Setting, read_orders
from agent.config.pictures import read_pictures
from agent.config.plans import Times
from agent.config.problems import Problems
from agent.config.reader import Table, Value
from agent.discovery.camera import Camera as PresentCamera

_USUAL_OUTPUT = Path("photos")


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
        return self.with_paths(find_paths(self.wanted, given, present))


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
    pictures = read_pictures(table, _USUAL_OUTPUT)
    for key, what in (("cameras", "device: /dev/video0"), ("plans", "camera: and every:")):
        if table.take(key) is None:
            table.value.refuse(f"there are no {key}", f"write {key}: and below it a name, and below that {what}")
    orders = read_orders(table, Setting(times=times, keeps=pictures.output is not None, complete=True))
    return PlanFile(
        name=name,
        output=pictures.output,
        file_type=pictures.file_type,
        quality=pictures.quality,
        groups=orders.groups,
        plans={group: tuple(order for _, order in made) for group, made in orders.plans.items()},
        wanted={name: camera.wanted for name, camera in orders.cameras.items() if camera.wanted is not None},
    )
