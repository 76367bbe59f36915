"""What `plan check` prints when nothing is wrong with a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import RenderableType

from agent.cli.plan_reading import (
    CameraLoad,
    Now,
    Reading,
    busy_text,
    limit_per_s,
    limits_of,
    rate_text,
    read_cameras,
    read_plans,
)
from agent.cli.plan_triggers import edges_text, group_facts, group_rows
from agent.cli.show import heading, line, pairs, print_all, print_json, table
from agent.config.plan_file import PlanFile
from agent.config.quotas import limit_text
from agent.schedule.quota import Limit
from agent.units import format_duration

_SHOWN = 40
"""Kinds of plans that are told one by one."""


def print_check(file: PlanFile, now: Now) -> None:
    """Each plan in words, then the load."""
    readings = read_plans(file, now)
    cameras = read_cameras(file, readings)
    quotas = file.groups[0].quotas
    parts: list[RenderableType] = [line(f"{file.name}: nothing is wrong with it"), line("")]
    for reading in readings[:_SHOWN]:
        parts += [heading(_title(reading)), pairs(_lines(reading, quotas, now), indent=2)]
    if len(readings) > _SHOWN:
        parts.append(line(f"and {len(readings) - _SHOWN:,} more kinds of plans; --json has them all"))
    for group in file.groups:
        rows = list(group_rows(group))
        if rows:
            parts += [heading(f"group {group.name}"), pairs(rows, indent=2)]
    parts += [line(""), _load_table(cameras), line(""), line(_load_text(readings, cameras, quotas))]
    parts.append(line(_output_text(file)))
    print_all(*parts)


def print_check_json(file: PlanFile, now: Now) -> None:
    """The same for programs. Times in nanoseconds; instants count from now."""
    readings = read_plans(file, now)
    quotas = file.groups[0].quotas
    document = {
        "file": file.name,
        "problems": [],
        "output": None if file.output is None else str(file.output),
        "file_type": file.file_type,
        "plans": [_facts(reading, quotas, now) for reading in readings],
        "groups": [group_facts(group) for group in file.groups],
        "cameras": [_camera_facts(load) for load in read_cameras(file, readings)],
        "load": {
            "plans": sum(len(reading.orders) for reading in readings),
            "ticks_per_s": round(sum(reading.per_s for reading in readings), 6),
            "next_hour": sum(reading.hour.ticks for reading in readings),
            "next_day": sum(reading.day.ticks for reading in readings),
            "agent_quota": limit_text(quotas["agent"]) if "agent" in quotas else None,
        },
    }
    print_json(document)


def _title(reading: Reading) -> str:
    names = [order.plan.name for order in reading.orders]
    told = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}, {len(names):,} plans alike"
    plan = reading.plan
    often = "once" if plan.period_ns is None else f"every {format_duration(plan.period_ns)}"
    if plan.on_edge is not None:
        often = f"at {edges_text(plan.on_edge)}"
    if len(names) > 1 and plan.period_ns is not None:
        often += f" each, {rate_text(reading.per_s)} together"
    frames = "" if plan.burst == 1 else f", {plan.burst} frames a tick"
    of = f"on group {plan.camera}, a frame of each camera" if reading.of_group else f"on camera {plan.camera}"
    return f"{told}: {often} {of}{frames}"


def _lines(reading: Reading, quotas: Mapping[str, Limit], now: Now) -> list[tuple[str, str]]:
    plan, order = reading.plan, reading.orders[0]
    rows = [
        ("next", "as edges come" if plan.on_edge is not None else _instants_text(reading, now)),
        ("ticks", _ticks_text(reading)),
        ("limited by", "; ".join(limits_of(reading, quotas)) or "nothing"),
        ("while busy", f"a tick {busy_text(plan)}"),
    ]
    if plan.priority:
        rows.append(("priority", str(plan.priority)))
    if plan.client:
        rows.append(("client", plan.client))
    rows.append(("pictures", "stored" if order.store else "counted, not stored"))
    return rows


def _ticks_text(reading: Reading) -> str:
    if reading.plan.on_edge is not None:
        return "as many as edges come"
    return f"{reading.hour.text} in the next hour, {reading.day.text} in the next day"


def _instants_text(reading: Reading, now: Now) -> str:
    """In local time; the day is said where it is not today."""
    told = []
    today = now.local(now.monotonic_ns).date()
    for instant_ns in reading.next_ns:
        local = now.local(instant_ns)
        clock = local.strftime("%H:%M:%S.%f")[:-3]
        told.append(clock if local.date() == today else f"{local.date().isoformat()} {clock}")
    zone = now.local(reading.next_ns[0]).tzname() if reading.next_ns else ""
    ticks = sum(1 if order.plan.period_ns is None else order.plan.count or 4 for order in reading.orders)
    more = ", ..." if ticks > len(told) else ""
    return f"{', '.join(told)}{more} {zone} if it is run now" if told else "none"


def _load_table(cameras: Sequence[CameraLoad]) -> RenderableType:
    columns = ("camera", "device", "group", "plans", "ticks", "frames", "its rate", "its quota")
    rows = [
        (
            load.name,
            load.device,
            load.group,
            f"{load.plans:,}",
            rate_text(load.per_s),
            rate_text(load.frames_per_s),
            "" if load.rate is None else rate_text(load.rate),
            "" if load.quota is None else limit_text(load.quota),
        )
        for load in cameras
    ]
    return table(columns, rows)


def _load_text(readings: Sequence[Reading], cameras: Sequence[CameraLoad], quotas: Mapping[str, Limit]) -> str:
    plans = sum(len(reading.orders) for reading in readings)
    per_s = sum(reading.per_s for reading in readings)
    day = sum(reading.day.ticks for reading in readings)
    ticks = f"{rate_text(per_s)} ticks while all of them run, {day:,} ticks in the next day"
    told = [f"expected load: {plans:,} plan{'s' if plans > 1 else ''}, {ticks}"]
    agent = quotas.get("agent")
    if agent is not None and per_s > limit_per_s(agent):
        told.append(f"the quota of all plans, {limit_text(agent)}, refuses what is beyond it")
    for load in cameras:
        if load.quota is not None and load.per_s > limit_per_s(load.quota):
            told.append(f"the quota of {load.name}, {limit_text(load.quota)}, refuses what is beyond it")
        if load.rate is not None and load.frames_per_s > load.rate:
            told.append(f"{load.name} gives fewer frames than its plans want: those due within one frame share it")
    return "\n".join(told)


def _output_text(file: PlanFile) -> str:
    if file.output is None:
        return "pictures: none are kept"
    return f"pictures: {file.file_type} files in {file.output}"


def _facts(reading: Reading, quotas: Mapping[str, Limit], now: Now) -> dict[str, object]:
    plan, order = reading.plan, reading.orders[0]
    names = [each.plan.name for each in reading.orders]
    return {
        "names": names if len(names) <= _SHOWN else [names[0], names[-1]],
        "count": len(names),
        "camera": None if reading.of_group else plan.camera,
        "group": plan.camera if reading.of_group else None,
        "on_edge": None if plan.on_edge is None else asdict(plan.on_edge),
        "every_ns": plan.period_ns,
        "ticks": plan.count if plan.period_ns is not None or plan.on_edge is not None else 1,
        "burst": plan.burst,
        "next_ns": [instant_ns - now.monotonic_ns for instant_ns in reading.next_ns],
        "next": [now.local(instant_ns).isoformat() for instant_ns in reading.next_ns],
        "next_hour": reading.hour.ticks,
        "next_day": reading.day.ticks,
        "about": reading.day.about,
        "ticks_per_s": round(reading.per_s, 6),
        "limited_by": limits_of(reading, quotas),
        "when_busy": plan.when_busy.value,
        "catch_up": plan.catch_up,
        "priority": plan.priority,
        "client": plan.client,
        "quota": None if order.quota is None else limit_text(order.quota),
        "store": order.store,
    }


def _camera_facts(load: CameraLoad) -> dict[str, object]:
    return {
        "name": load.name,
        "device": load.device,
        "group": load.group,
        "plans": load.plans,
        "ticks_per_s": round(load.per_s, 6),
        "frames_per_s": round(load.frames_per_s, 6),
        "rate": load.rate,
        "quota": None if load.quota is None else limit_text(load.quota),
    }
