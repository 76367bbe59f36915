"""What Prometheus is told: figures that are known anyway, in its text format (version 0.0.4, prometheus.io)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import agent
from agent.control.facade import Document
from agent.service import documents
from agent.service.parts import Parts
from agent.units import NS_PER_S

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "camera_agent_"
_GAUGES = frozenset({"lent"})
_CAMERA_HELP = {
    "frames": "Frames that came from the driver.",
    "taken": "Frames that were wanted.",
    "shared": "Frames that several plans got together.",
    "bytes": "Bytes of frames that were taken.",
    "faults": "Times the camera was in fault.",
    "restarts": "Times the stream was started.",
    "lent": "Frames that somebody has now.",
    "stored": "Pictures that were written.",
    "not_stored": "Pictures that could not be written.",
    "lost": "Frames that were lost.",
}
_QUANTILES = {"p50": "0.5", "p90": "0.9", "p99": "0.99", "p999": "0.999"}

Labelled = tuple[Mapping[str, str], int | float]


def metrics_text(parts: Parts) -> str:
    """All metrics. Reads shared pages and the books; asks nobody, and goes through no plan's account."""
    return "".join(line for family in _families(parts) for line in family)


def _families(parts: Parts) -> Iterator[Iterator[str]]:
    yield _family("info", "gauge", "The agent that answers.", [({"version": agent.__version__}, 1)])
    yield _family("problems", "gauge", "What is not as it should be.", [({}, len(documents.problems(parts)))])
    names = list(parts.fleet.file.matches)
    states = {name: str(documents.camera_document(parts, name)["state"]) for name in names}
    told: list[Labelled] = [({"camera": name, "state": state}, 1) for name, state in states.items()]
    yield _family("camera_state", "gauge", "How each camera stands.", told)
    stats = documents.figures_document(parts)
    yield from _cameras(stats["cameras"])
    standing = Counter(plan.standing.value for plan in parts.book)
    yield _family("plans", "gauge", "Plans by their state.", [({"state": key}, n) for key, n in standing.items()])
    yield from _groups(stats["groups"])
    yield _lateness(stats["lateness"])
    process = stats["process"]
    yield _family("cpu_seconds_total", "counter", "Of the agent's own process.", [({}, _seconds(process["cpu_ns"]))])
    memory: list[Labelled] = [({}, process["resident_bytes"])]
    yield _family("resident_memory_bytes", "gauge", "Of the agent's own process.", memory)


def _cameras(cameras: Mapping[str, Mapping[str, int]]) -> Iterator[Iterator[str]]:
    for key, help_ in _CAMERA_HELP.items():
        is_gauge = key in _GAUGES
        found: list[Labelled] = [({"camera": name}, words[key]) for name, words in cameras.items()]
        yield _family(f"camera_{key}{'' if is_gauge else '_total'}", "gauge" if is_gauge else "counter", help_, found)


def _groups(groups: Mapping[str, Mapping[str, Any]]) -> Iterator[Iterator[str]]:
    starts: list[Labelled] = [({"group": name}, one["starts"]) for name, one in groups.items()]
    yield _family("process_starts_total", "counter", "Starts of each group's capture process.", starts)
    turns: list[Labelled] = [({"group": name}, _seconds(one["longest_turn_ns"])) for name, one in groups.items()]
    yield _family("longest_turn_seconds", "gauge", "The longest turn of each capture loop.", turns)
    dropped: list[Labelled] = [({"group": name}, one["events_dropped"]) for name, one in groups.items()]
    yield _family("events_dropped_total", "counter", "Events that nobody read in time.", dropped)


def _lateness(told: Document) -> Iterator[str]:
    name = f"{_PREFIX}lateness_seconds"
    yield f"# HELP {name} From a tick's instant until it was fired.\n# TYPE {name} summary\n"
    for key, quantile in _QUANTILES.items():
        if told[f"{key}_ns"] is not None:
            yield f'{name}{{quantile="{quantile}"}} {_seconds(told[f"{key}_ns"])!r}\n'
    yield f"{name}_sum {_seconds((told['mean_ns'] or 0) * told['count'])!r}\n{name}_count {told['count']}\n"


def _family(name: str, kind: str, help_: str, found: Iterable[Labelled]) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {help_}\n# TYPE {_PREFIX}{name} {kind}\n"
    for labels, value in found:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{_PREFIX}{name}{{{inside}}} {value!r}\n" if inside else f"{_PREFIX}{name} {value!r}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _seconds(duration_ns: int) -> float:
    return duration_ns / NS_PER_S
