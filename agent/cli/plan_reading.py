"""What a plan file comes to, as facts and in words: when its plans tick, how often, what limits them, the load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agent.capture.order import PlanOrder
from agent.config.plan_file import PlanFile
from agent.config.quotas import limit_text
from agent.schedule.instants import NO_END, Instants
from agent.schedule.plan import Plan, WhenBusy, Window
from agent.schedule.quota import Limit
from agent.units import NS_PER_S, format_duration

HOUR_NS = 3600 * NS_PER_S
DAY_NS = 24 * HOUR_NS
_NEXT = 3
_MOST_OPENINGS = 50_000
"""Windows that open more often within an hour or a day are counted over a shorter time, and scaled up."""


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on both clocks."""

    monotonic_ns: int
    realtime_ns: int

    def local(self, instant_ns: int) -> datetime:
        """An instant in local time, to the microsecond."""
        at_ns = self.realtime_ns + instant_ns - self.monotonic_ns
        return datetime.fromtimestamp(at_ns // NS_PER_S).astimezone().replace(microsecond=at_ns % NS_PER_S // 1000)


@dataclass(frozen=True, slots=True)
class Count:
    """How many ticks fall into a time; `about`: worked out over a part of it."""

    ticks: int
    about: bool = False

    def __add__(self, other: Count) -> Count:
        """Both together."""
        return Count(self.ticks + other.ticks, self.about or other.about)

    @property
    def text(self) -> str:
        """For people."""
        return f"{'about ' if self.about else ''}{self.ticks:,}"


@dataclass(frozen=True, slots=True)
class Reading:
    """Plans that differ in their names and starts only. `per_s`: ticks a second of all of them while they run.

    `of_group`: of the cameras of a group, one frame each; then `plan.camera` is the group's name.
    """

    orders: tuple[PlanOrder, ...]
    next_ns: tuple[int, ...]
    hour: Count
    day: Count
    per_s: float
    of_group: bool = False

    @property
    def plan(self) -> Plan:
        """The first of them."""
        return self.orders[0].plan


@dataclass(frozen=True, slots=True)
class CameraLoad:
    """What the plans of one camera ask of it while all of them run. `rate`: its frames a second, None: not said."""

    name: str
    device: str
    group: str
    plans: int
    per_s: float
    frames_per_s: float
    rate: float | None
    quota: Limit | None


def read_plans(file: PlanFile, now: Now) -> list[Reading]:
    """The plans, those alike together, in the order of the file."""
    alike: dict[tuple[str, PlanOrder], list[PlanOrder]] = {}
    for group, orders in file.plans.items():
        for order in orders:
            key = replace(order, plan=replace(order.plan, name="", start_ns=0))
            alike.setdefault((group, key), []).append(order)
    names = {group.name: {camera.name for camera in group.cameras} for group in file.groups}
    return [
        _read(orders, now, of_group=orders[0].plan.camera not in names[group]) for (group, _), orders in alike.items()
    ]


def read_cameras(file: PlanFile, readings: Sequence[Reading]) -> list[CameraLoad]:
    """The load of each camera."""
    found = []
    devices = file.devices
    for group in file.groups:
        for camera in group.cameras:
            ours = [
                reading
                for reading in readings
                if reading.plan.camera == (group.name if reading.of_group else camera.name)
            ]
            rate = camera.settings.rate
            load = CameraLoad(
                name=camera.name,
                device=devices[camera.name],
                group=group.name,
                plans=sum(len(reading.orders) for reading in ours),
                per_s=sum(reading.per_s for reading in ours),
                frames_per_s=sum(reading.per_s * reading.plan.burst for reading in ours),
                rate=None if rate is None else float(rate),
                quota=group.quotas.get(f"camera/{camera.name}"),
            )
            found.append(load)
    return found


def count_ticks(plan: Plan, from_ns: int, span_ns: int) -> Count:
    """How many instants of a plan lie within `span_ns` from an instant on."""
    most = 1 if plan.period_ns is None else plan.count or NO_END
    first_ns = Instants.of(plan).first_at_or_after(max(from_ns, plan.start_ns))
    shortest_ns = min((window.every_ns for window in plan.windows if window.every_ns is not None), default=span_ns)
    looked_ns = min(span_ns, shortest_ns * _MOST_OPENINGS)
    if first_ns is None or first_ns >= from_ns + looked_ns:
        return Count(0, about=looked_ns < span_ns)
    count, _, _ = Instants.of(plan).passed(first_ns, from_ns + looked_ns - 1, most)
    return Count(min(count * span_ns // looked_ns, most), about=looked_ns < span_ns)


def limit_per_s(limit: Limit) -> float:
    """Tokens a second."""
    return limit.amount * NS_PER_S / limit.period_ns


def limits_of(reading: Reading, quotas: Mapping[str, Limit]) -> list[str]:
    """What keeps these plans from firing every one of their instants for ever, in words."""
    order, plan = reading.orders[0], reading.plan
    told = []
    if plan.count is not None:
        told.append(f"ends after {plan.count:,} ticks")
    told += [_window_text(window) for window in plan.windows]
    if order.quota is not None:
        told.append(_quota_text("its own quota", order.quota, reading.per_s / len(reading.orders)))
    names = (f"camera/{plan.camera}", f"the quota of camera {plan.camera}"), ("agent", "the quota of all plans")
    client = ((f"client/{plan.client}", f"the quota of client {plan.client}"),) if plan.client else ()
    told += [f"{name}, {limit_text(quotas[key])}" for key, name in (*client, *names) if key in quotas]
    return told


def busy_text(plan: Plan) -> str:
    """What becomes of a tick that comes while the last one is under way."""
    if plan.when_busy is WhenBusy.SKIP:
        return "is skipped"
    if plan.when_busy is WhenBusy.COALESCE:
        return "joins the next one"
    return f"waits, up to {plan.catch_up} of them"


def rate_text(per_s: float) -> str:
    """Ticks a second, or in a longer time where that is less than one."""
    for factor, unit in ((1, "s"), (60, "min"), (3600, "h"), (24 * 3600, "d")):
        if per_s * factor >= 1 or unit == "d":
            value = per_s * factor
            return f"{value:,.0f}/{unit}" if value >= 100 else f"{value:.3g}/{unit}"
    return ""


def _read(orders: Sequence[PlanOrder], now: Now, *, of_group: bool) -> Reading:
    plan = orders[0].plan
    if plan.on_edge is not None:
        return Reading(tuple(orders), (), Count(0), Count(0), 0.0, of_group)
    per_s = len(orders) * NS_PER_S / plan.period_ns if plan.period_ns else 0.0
    hour, day = (_count_all(orders, now, span_ns) for span_ns in (HOUR_NS, DAY_NS))
    return Reading(tuple(orders), _next_instants(orders, now), hour, day, per_s, of_group)


def _count_all(orders: Sequence[PlanOrder], now: Now, span_ns: int) -> Count:
    if len(orders) > 1 and orders[0].plan.windows:
        one = count_ticks(orders[0].plan, now.monotonic_ns, span_ns)
        return Count(one.ticks * len(orders), about=True)
    return sum((count_ticks(order.plan, now.monotonic_ns, span_ns) for order in orders), Count(0))


def _next_instants(orders: Sequence[PlanOrder], now: Now) -> tuple[int, ...]:
    """The first few of all of them together."""
    found: list[int] = []
    for order in orders:
        instants = Instants.of(order.plan)
        most = min(_NEXT, 1 if order.plan.period_ns is None else order.plan.count or _NEXT)
        at_ns = instants.first_at_or_after(max(now.monotonic_ns, order.plan.start_ns))
        while at_ns is not None and most:
            found.append(at_ns)
            at_ns, most = instants.first_at_or_after(at_ns + 1), most - 1
    return tuple(sorted(found)[:_NEXT])


def _window_text(window: Window) -> str:
    span = f"only from {format_duration(window.open_ns)} to {format_duration(window.close_ns)} after its start"
    return span if window.every_ns is None else f"{span}, again every {format_duration(window.every_ns)}"


def _quota_text(name: str, limit: Limit, per_s: float) -> str:
    told = f"{name}, {limit_text(limit)}"
    allowed = limit_per_s(limit)
    if per_s > allowed:
        told += f": of {rate_text(per_s)} it lets {rate_text(allowed)} through, the others are refused"
    return told
