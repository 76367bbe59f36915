"""`plans:` of a file: each plan's instants, what it wants, and its copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from agent.capture.order import PlanOrder
from agent.config import kinds, patterns
from agent.config.cameras import Camera
from agent.config.dates import EPOCH, check_date, is_date, realtime_ns_of
from agent.config.problems import quoted
from agent.config.reader import Kind, Table, Value
from agent.errors import InputError
from agent.schedule.instants import CATCH_UP_MAX, PRIORITY_MAX, PlanError, check_plan
from agent.schedule.plan import OnEdge, Plan, WhenBusy, Window
from agent.units import NS_PER_US

MOST_PLANS = 200_000
"""As many plans a file may make, copies included."""
_COUNT = kinds.integer(1, 10**15)
_BURST = kinds.integer(1, 10_000)
_PRIORITY = kinds.integer(-PRIORITY_MAX, PRIORITY_MAX)
_CATCH_UP = kinds.integer(1, CATCH_UP_MAX)
_DIVIDER = kinds.integer(1, 10**9)
_COPIES = kinds.integer(1, MOST_PLANS)
_WHEN_BUSY = kinds.choice(WhenBusy.SKIP.value, WhenBusy.COALESCE.value)
_FILE_KEYS = {"period_ns": "every", "start_ns": "start", "catch_up": "when_busy"}
_FOREIGN = {
    "rate": "write the time from tick to tick, such as every: 500ms; a camera's own rate stands in cameras",
    "period": "write every: 500ms",
    "repeat": "count: ends a plan after so many ticks; copies: makes so many plans of one",
}


@dataclass(frozen=True, slots=True)
class Times:
    """Now, on the two clocks a plan's start may be told by.

    `realtime_now_ns` None: the plans do not begin now. A start that is a date stays on CLOCK_REALTIME, and the others
    count from `now_ns`, whenever that will be.
    """

    now_ns: int
    realtime_now_ns: int | None


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """A plan of the file before its copies are made, and where it stands.

    `group`: of whose cameras it takes sets; empty for a plan of one camera. `dated`: its start is on CLOCK_REALTIME.
    """

    order: PlanOrder
    copies: int
    value: Value
    group: str = ""
    dated: bool = False


def read_plans(
    value: Value, cameras: Mapping[str, Camera], names: frozenset[str] | None, *, times: Times, keeps: bool
) -> tuple[PlanEntry, ...]:
    """All plans, in the order of the file.

    `names`: of all cameras that are written there, None when that is not known; `cameras` are those that could be
    read. `keeps`: whether there is a folder for what the plans store.
    """
    reader = _PlanReader(cameras, names, times, keeps)
    plans = value.mapping(kinds.NAME, lambda name, entry: entry.table(lambda table: reader.read(name, table)))
    if value.is_empty:
        value.refuse("there is no plan", "write at least one: a name, and below it camera: and every:")
    return tuple(plans.values())


def expand(entries: tuple[PlanEntry, ...]) -> tuple[tuple[PlanEntry, PlanOrder], ...]:
    """Every plan with its copies: `lapse-0` to `lapse-9`, each a tenth of the period after the one before.

    With the entry that made it.
    """
    total = sum(entry.copies for entry in entries)
    if total > MOST_PLANS:
        largest = max(entries, key=lambda entry: entry.copies)
        largest.value.refuse(f"the file makes {total:,} plans", f"make at most {MOST_PLANS:,}")
        return ()
    places: dict[str, PlanEntry] = {}
    orders = []
    for entry in entries:
        for order in _copies(entry):
            owner = places.setdefault(order.plan.name, entry)
            if owner is not entry:
                message = f"{order.plan.name} is made here and on {owner.value.seen_from(entry.value)}"
                entry.value.refuse(message, "give one of them another name")
            orders.append((entry, order))
    return tuple(orders)


def _copies(entry: PlanEntry) -> list[PlanOrder]:
    plan, count = entry.order.plan, entry.copies
    if count == 1 or plan.period_ns is None:
        return [entry.order]
    digits = len(str(count - 1))
    plans = (
        replace(plan, name=f"{plan.name}-{index:0{digits}d}", start_ns=plan.start_ns + index * plan.period_ns // count)
        for index in range(count)
    )
    return [replace(entry.order, plan=each) for each in plans]


class _PlanReader:
    """Reads plans that share cameras and a now."""

    def __init__(self, cameras: Mapping[str, Camera], names: frozenset[str] | None, times: Times, keeps: bool) -> None:
        self._cameras = cameras
        self._names = names
        known = names is not None and names <= cameras.keys()
        self._groups = frozenset(camera.group for camera in cameras.values()) if known else None
        self._times = times
        self._keeps = keeps

    def read(self, name: str, table: Table) -> PlanEntry:
        """One plan; its rules are asked only when each of its values could be read."""
        before = len(table.problems)
        group = self._group_name(table)
        camera = group or self._camera_name(table)
        when_busy, catch_up = _when_busy(table)
        plan = Plan(
            name=name,
            camera=camera,
            start_ns=table.scalar("start", self._start_kind(), self._times.now_ns),
            period_ns=table.scalar("every", kinds.DURATION, None),
            count=table.scalar("count", _COUNT, None),
            burst=table.scalar("burst", _BURST, 1),
            windows=_windows(table),
            when_busy=when_busy,
            catch_up=catch_up,
            priority=table.scalar("priority", _PRIORITY, 0),
            client=table.scalar("client", kinds.NAME, ""),
            on_edge=_on_edge(table),
        )
        order = PlanOrder(plan=plan, quota=table.scalar("quota", kinds.LIMIT, None), store=self._store(table))
        entry = PlanEntry(order, _copies_wanted(table, plan), table.value, group, self._is_dated(table))
        table.foreign(_FOREIGN)
        if len(table.problems) == before:
            self._check(plan, group, table)
        return entry

    def _group_name(self, table: Table) -> str:
        """The group whose cameras it takes sets of; empty for a plan of one camera."""
        camera, value = table.take("camera"), table.take("group")
        if value is None:
            return ""
        name = value.scalar(kinds.NAME)
        if camera is not None:
            value.refuse("a camera and a group", "a group's plan takes a frame of each of its cameras: keep one line")
        elif name is not None and self._groups is not None and name not in self._groups:
            value.refuse(f"no camera is in group {quoted(name)}", value.problems.suggest(name, sorted(self._groups)))
        return name or "-"

    def _camera_name(self, table: Table) -> str:
        name = table.required("camera", kinds.NAME)
        if name is not None and self._names is not None and name not in self._names:
            hint = table.problems.suggest(name, sorted(self._names))
            table.refuse("camera", f"no camera is named {quoted(name)}", hint)
        return name or ""

    def _store(self, table: Table) -> bool:
        wanted = table.scalar("store", kinds.BOOLEAN, None)
        if wanted and not self._keeps:
            table.refuse("store", "nothing can be stored without an output", "write output: photos, or store: false")
        return self._keeps if wanted is None else wanted

    def _is_dated(self, table: Table) -> bool:
        start = table.take("start")
        return self._times.realtime_now_ns is None and start is not None and is_date(start.text or "")

    def _start_kind(self) -> Kind[int]:
        return Kind("a time", "2s or 2027-01-31T08:00:00+01:00", self._start_ns, schema=patterns.START)

    def _start_ns(self, text: str) -> int:
        """After the run begins, or a date and time, converted to CLOCK_MONOTONIC once where now is known."""
        if is_date(text):
            start_ns = realtime_ns_of(text.strip())
            if self._times.realtime_now_ns is None:
                return check_date(start_ns, text)
            wait_ns = start_ns - self._times.realtime_now_ns
            if wait_ns > kinds.LONGEST_NS:
                raise InputError(f"{quoted(text)} is too far away", hint="write a time within ten thousand days")
            if wait_ns < 0:
                now = EPOCH + timedelta(microseconds=self._times.realtime_now_ns // NS_PER_US)
                message = f"{quoted(text)} is past: it is {now.isoformat(' ', 'seconds')}"
                raise InputError(message, hint="write a time to come, or leave it away")
        else:
            wait_ns = kinds.OFFSET.parse(text)
        return self._times.now_ns + wait_ns

    def _check(self, plan: Plan, group: str, table: Table) -> None:
        """The rules that join several values are those of the scheduler."""
        of_group = [camera for camera in self._cameras.values() if camera.group == group]
        cameras = of_group if group else filter(None, [self._cameras.get(plan.camera)])
        intervals_ns = (camera.frame_interval_ns for camera in cameras)
        slowest_ns = max((each for each in intervals_ns if each is not None), default=None)
        try:
            check_plan(plan, self._times.now_ns, slowest_ns)
        except PlanError as error:
            if error.key == "name":  # told already, by whoever read the key: ours are stricter
                return
            message = error.message.removeprefix(f"plan {plan.name}: ")
            _place_of(error.key, table).refuse(message, error.hint)


def _place_of(key: str, table: Table) -> Value:
    """Where the file says what the scheduler calls `key`: `period_ns`, `windows[1]`."""
    name, _, rest = key.partition("[")
    value = table.take(_FILE_KEYS.get(name, name))
    if value is None:
        return table.value
    return value.item(int(rest.rstrip("]"))) if rest else value


def _when_busy(table: Table) -> tuple[WhenBusy, int]:
    value = table.take("when_busy")
    if value is None:
        return WhenBusy.SKIP, 0
    if value.text is not None:
        if value.text == WhenBusy.CATCH_UP.value:
            value.refuse("how many ticks may wait is not said", "write when_busy: {catch_up: 5}")
            return WhenBusy.SKIP, 0
        word = value.scalar(_WHEN_BUSY)
        return (WhenBusy.SKIP if word is None else WhenBusy(word)), 0
    most = value.table(lambda inner: inner.required("catch_up", _CATCH_UP))
    return WhenBusy.CATCH_UP, most or 1


def _on_edge(table: Table) -> OnEdge | None:
    value = table.take("on_edge")
    if value is None:
        return None
    for name in ("start", "every", "windows"):
        if table.take(name) is not None:
            table.refuse(name, f"a plan that starts on edges has no {name}", "take this line out, or on_edge")
    if value.text is None:
        return value.table(_edges)
    if value.scalar(kinds.BOOLEAN) is False:
        value.refuse("a plan that does not start on edges", "take the line out")
    return OnEdge()


def _edges(table: Table) -> OnEdge:
    return OnEdge(table.scalar("divider", _DIVIDER, 1), table.scalar("distance", kinds.OFFSET, 0))


def _windows(table: Table) -> tuple[Window, ...]:
    value = table.take("windows")
    if value is None:
        return ()
    windows = value.items(lambda item: item.table(_window))
    if value.is_empty:
        value.refuse("no window, so the plan would never run", "write one, or take the line out to let it always run")
    return windows


def _window(table: Table) -> Window:
    open_ns = table.scalar("from", kinds.OFFSET, 0)
    close_ns = table.required("to", kinds.DURATION)
    return Window(open_ns, open_ns + 1 if close_ns is None else close_ns, table.scalar("every", kinds.DURATION, None))


def _copies_wanted(table: Table, plan: Plan) -> int:
    copies = table.scalar("copies", _COPIES, 1)
    if copies > 1 and table.take("every") is None:
        table.refuse("copies", "copies are spread over one period, and the plan has none", "write every: 500ms as well")
    elif plan.period_ns is not None and copies > plan.period_ns:
        table.refuse("copies", "there are more copies than nanoseconds in the period", "make fewer, or a longer period")
    return copies
