"""What the agent knows, as documents for the control API."""

from __future__ import annotations

import resource
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from agent.capture.board import Head, Of
from agent.capture.group import Group
from agent.config.quotas import limit_text
from agent.control.facade import Document
from agent.schedule.account import Account
from agent.schedule.histogram import Histogram
from agent.schedule.quota import Limit, QuotaError
from agent.service.configuration import names_of
from agent.service.parts import Parts
from agent.service.plan_book import KnownPlan

_COUNTS = ("frames", "taken", "shared", "bytes", "faults", "restarts", "lent", "stored", "not_stored", "lost")
_CLIENTS = ("clients", "client_frames", "client_skipped", "client_revoked", "client_copied")
_PULSES = ("pulses", "matched", "missed", "late", "ambiguous", "spurious", "relocks", "out_of_budget", "strobes")
_PERCENTILES = {"p50": Fraction(50), "p90": Fraction(90), "p99": Fraction(99), "p999": Fraction("99.9")}
_PAGE_BYTES = resource.getpagesize()


def camera_document(parts: Parts, name: str) -> Document:
    """One camera: where it is and how it stands."""
    file, located = parts.fleet.file, parts.fleet.located
    group = parts.group_of(name)
    found: Document = {
        "name": name,
        "group": group,
        "match": str(file.matches[name]),
        "device": located.path(name) or None,
        "state": "idle",
        "cause": "",
        "hint": "",
        "clients": 0,
    }
    problem = located.problems.get(name)
    if name not in located.cameras and problem is not None:
        state = "gone" if name in parts.fleet.seen else "absent"
        return {**found, "state": state, "cause": problem.message, "hint": problem.hint, "code": problem.code}
    phase = parts.pages.phase(group, name)
    if phase is not None:
        found["state"] = phase.name.lower()
    words = parts.pages.words(group, name)
    if words is not None:
        found["clients"] = words[Of.CLIENTS]
    change, trouble = parts.changes.get(name), parts.fleet.troubles.get(group)
    if group in parts.hanging:
        found |= {"state": "fault", "cause": parts.hanging[group], "hint": "unplug the camera: the driver then lets go"}
    elif trouble is not None:
        found |= {"state": "fault", "cause": trouble.message, "hint": trouble.hint, "code": trouble.code}
    elif change is not None and change.cause and phase is not None and phase.name == "FAULT":
        found |= {"cause": change.cause, "hint": change.hint, "code": change.code}
    return found


def plan_document(parts: Parts, plan: KnownPlan) -> Document:
    """One plan: what it is and how it stands."""
    order = plan.order
    account = parts.pages.account(plan.wish.group, plan.slot)
    return {
        "name": order.plan.name,
        "camera": order.plan.camera,
        "group": plan.wish.group,
        "state": plan.standing.value,
        "cause": plan.cause,
        "client": order.plan.client,
        "by": plan.by,
        "configured": plan.configured,
        "period_ns": order.plan.period_ns,
        "count": order.plan.count,
        "priority": order.plan.priority,
        "quota": None if order.quota is None else limit_text(order.quota),
        "account": dict((account or Account()).counts()),
    }


def group_document(parts: Parts, name: str) -> Document:
    """One group and its process."""
    order = parts.fleet.file.groups[name]
    group = parts.processes.supervisor.groups.get(name)
    stop = None
    if order.emergency_stop is not None:
        stop = "hit" if group is not None and group.board.words[Head.STOPPED_NS] else "armed"
    return {
        "name": name,
        "cameras": list(names_of(order)),
        "pid": None if group is None else group.pid,
        "state": _state(parts, name, group),
        "starts": 0 if group is None else group.starts,
        "cause": "" if group is None else group.first_cause,
        "emergency_stop": stop,
    }


def trigger_document(parts: Parts, name: str) -> Document | None:
    """A group's trigger and its ledger's counts; None where it has none."""
    order = parts.fleet.file.groups[name]
    if order.trigger is None:
        return None
    group = parts.processes.supervisor.groups.get(name)
    words = None if group is None else group.board.words
    output, seen = order.trigger.output, order.trigger.input
    line = output.line if output is not None else seen.line if seen is not None else None
    cameras: Document = {}
    for camera in order.cameras:
        if camera.trigger is not None:
            counts = parts.pages.words(name, camera.name)
            cameras[camera.name] = {key: 0 if counts is None else counts[Of[key.upper()]] for key in _PULSES}
    return {
        "group": name,
        "kind": None if order.trigger.kind is None else order.trigger.kind.value,
        "line": None if line is None else str(line),
        "pulses": 0 if words is None else words[Head.PULSES],
        "edges": 0 if words is None else words[Head.EDGES],
        "sets": 0 if words is None else words[Head.SETS],
        "sets_incomplete": 0 if words is None else words[Head.SETS_INCOMPLETE],
        "cameras": cameras,
    }


def quota_documents(parts: Parts) -> list[Document]:
    """All token buckets: named limits, then those of plans."""
    page, now_ns = parts.processes.supervisor.quotas, parts.now_ns()
    found = []
    for bucket, configured in parts.fleet.file.limits.items():
        limit = parts.limits.get(bucket, configured)
        found.append(_bucket(parts, bucket, limit, page.places.get(bucket), now_ns))
    for plan in parts.book:
        limit_of, base = plan.order.quota, page.bases.get(plan.wish.group)
        if limit_of is not None and not plan.over:
            place = None if base is None or plan.slot is None else base + plan.slot
            found.append(_bucket(parts, f"plan/{plan.wish.name}", limit_of, place, now_ns))
    return found


def stats_document(parts: Parts) -> Document:
    """Figures of everything at this moment."""
    groups = parts.processes.supervisor.groups
    cameras = {}
    for name in parts.fleet.file.matches:
        words = parts.pages.words(parts.group_of(name), name)
        if words is not None:
            cameras[name] = {key: words[Of[key.upper()]] for key in (*_COUNTS, *_CLIENTS)}
    return {
        "now_ns": parts.now_ns(),
        "cameras": cameras,
        "plans": {plan.wish.name: _account(parts, plan) for plan in parts.book if not plan.over},
        "groups": {name: _process(group) for name, group in groups.items()},
        "lateness": _lateness([group.board.lateness for group in groups.values()]),
        "process": _own_process(),
    }


def _account(parts: Parts, plan: KnownPlan) -> Mapping[str, Any]:
    return dict((parts.pages.account(plan.wish.group, plan.slot) or Account()).counts())


def _lateness(histograms: Iterable[Histogram]) -> Document:
    """Of all groups together, nanoseconds; None where nothing was fired."""
    words = array("q", bytes(8 * Histogram.WORDS))
    largest_ns = 0
    for histogram in histograms:
        for place, count in enumerate(histogram.words.tolist()):
            words[place] += count
        largest_ns = max(largest_ns, histogram.max_ns)
    words[1] = largest_ns  # the sum of maxima stands where the largest belongs
    together = Histogram(memoryview(words))
    count = together.count
    found: Document = {"count": count, "mean_ns": together.sum_ns // count if count else None}
    found |= {f"{name}_ns": together.percentile(percent) for name, percent in _PERCENTILES.items()}
    return {**found, "max_ns": largest_ns if count else None}


def _process(group: Group) -> Document:
    words = group.board.words
    names = (Head.BEATS, Head.BEAT_NS, Head.EVENTS_DROPPED, Head.LONGEST_TURN_NS, Head.SETS, Head.SETS_INCOMPLETE)
    return {"pid": group.pid, "starts": group.starts, **{name.name.lower(): words[name] for name in names}}


def _own_process() -> Document:
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    return {"cpu_ns": round((used.ru_utime + used.ru_stime) * 1e9), "resident_bytes": resident}


def _bucket(parts: Parts, bucket: str, limit: Limit, place: int | None, now_ns: int) -> Document:
    available = limit.burst
    if place is not None:
        try:
            available = int(parts.processes.supervisor.quotas.available(place, now_ns))
        except QuotaError:  # nobody has defined it yet
            available = limit.burst
    return {"bucket": bucket, "limit": limit_text(limit), **asdict(limit), "available": available}


def _state(parts: Parts, name: str, group: Group | None) -> str:
    if group is None:
        return "failed" if name in parts.fleet.troubles else "absent"
    if name in parts.hanging:
        return "hangs"
    if name not in parts.fleet.groups:
        return "ending"
    if group.pid is None:
        return "over" if group.over else "down"
    return "ready" if name in parts.fleet.ready else "starting"


def problems(parts: Parts) -> list[str]:
    """What is not as it should be, in words."""
    found = [f"group {name}: {error.message}" for name, error in parts.fleet.troubles.items()]
    found += [f"group {name} hangs: {told}" for name, told in parts.hanging.items()]
    for order in parts.fleet.file.groups.values():
        for camera in order.cameras:
            document = camera_document(parts, camera.name)
            if document["cause"] and order.name not in parts.hanging:
                found.append(f"camera {camera.name} is {document['state']}: {document['cause']}")
    return found
