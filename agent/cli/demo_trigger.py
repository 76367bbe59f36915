"""The second half of the demo: both simulated cameras on one trigger line, a pulse a tick, and their ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType

from agent.capture.group_watch import lateness_facts
from agent.cli.bench import SIMULATED
from agent.cli.figures import short_duration
from agent.cli.plan_live import Screen, lateness_text
from agent.cli.plan_run import PlanRun, Wishes
from agent.cli.plan_summary import Outcome, sums_text
from agent.cli.plan_trigger_tables import group_texts, residual_text, trigger_facts, trigger_table
from agent.cli.show import heading, line, pairs, table
from agent.errors import StorageError
from agent.pipeline.writer import next_number

_STEM = "triggered"
_SHOWN = 5
_CAMERAS = ("A", "B")
_PLAN = """\
# camera-agent plan run {name} --simulate
output: none
groups:
  bench:
    trigger: {{kind: pulse, output: bench:trigger, pulse: 1ms, settle: 50ms, cycle: 50ms}}
cameras:
  A: &triggered
    device: {first}
    group: bench
    size: 320x240
    exposure: 8ms
    trigger: {{delay: 12.8us, window: 10ms, wait: 1s}}
  B:
    <<: *triggered
    device: {second}
    trigger: {{delay: 12.8us, window: 10ms, wait: 1s, readout: 16ms}}  # its stamps are of the end of a frame
plans:
  sets: {{group: bench, every: 200ms, count: 15}}  # a frame of each camera, of one pulse
"""


@dataclass(frozen=True, slots=True)
class TriggeredDemo:
    """What came of it: the plan file that was run, the run, and the ledger's lines."""

    plan: Path
    outcome: Outcome
    ledger: Sequence[Mapping[str, object]]


def run_triggered(folder: Path, *, quiet: bool) -> TriggeredDemo:
    """Write the plan into `folder` under the next free number, run it, and read its ledger.

    Raises Interrupted after a signal, StorageError, and the first error of the run.
    """
    stem = folder / f"{_STEM}-{next_number(folder, _STEM):06d}"
    plan, ledger = stem.with_suffix(".yaml"), stem.with_suffix(".jsonl")
    first, second = SIMULATED
    try:
        with plan.open("x") as file:
            file.write(_PLAN.format(name=plan.name, first=first, second=second))
    except OSError as error:
        raise StorageError(f"{plan}: {error.strerror}", hint="name another folder", path=str(plan)) from error
    with Screen(quiet=quiet) as screen:
        run = PlanRun(Wishes(file=plan, simulate=True, ledger=ledger), screen)
        outcome = run.carry_out()
    run.raise_what_happened()
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return TriggeredDemo(plan, outcome, [json.loads(each) for each in lines])


def triggered_parts(demo: TriggeredDemo) -> list[RenderableType]:
    """For people: the first pulses one by one, then all of them in figures."""
    pulses = _by_pulse(demo.ledger)
    rows = [_row(number, pulses[number]) for number in sorted(pulses)[:_SHOWN]]
    columns = ("pulse", *(f"frame of {camera}" for camera in _CAMERAS), "apart")
    parts: list[RenderableType] = [heading("One trigger line, both cameras: a pulse a tick"), line("")]
    parts.append(table(columns, rows))
    if len(pulses) > _SHOWN:
        parts.append(
            line(f"and {len(pulses) - _SHOWN} more in {demo.outcome.ledger.path if demo.outcome.ledger else ''}")
        )
    parts.append(line(""))
    ledger = trigger_table(demo.outcome.triggers)
    if ledger is not None:
        parts += [ledger, line("")]
    figures = [("every tick", sums_text(demo.outcome.plans.total())), *group_texts(demo.outcome.triggers)]
    figures.append(("from due to fired", lateness_text(demo.outcome.lateness)))
    return [*parts, pairs(figures)]


def triggered_facts(demo: TriggeredDemo) -> dict[str, object]:
    """For programs. Times in nanoseconds."""
    return {
        "plan": str(demo.plan),
        "ledger": list(demo.ledger),
        "triggers": [trigger_facts(group) for group in demo.outcome.triggers],
        "lateness": lateness_facts(demo.outcome.lateness),
    }


def _by_pulse(ledger: Sequence[Mapping[str, object]]) -> dict[int, dict[str, Mapping[str, object]]]:
    """The end of each pulse for each camera."""
    found: dict[int, dict[str, Mapping[str, object]]] = {}
    for entry in ledger:
        number, camera = entry["pulse"], entry["camera"]
        if isinstance(number, int) and isinstance(camera, str) and not entry["explained"]:
            found.setdefault(number, {})[camera] = entry
    return found


def _row(number: int, ends: Mapping[str, Mapping[str, object]]) -> tuple[str, ...]:
    starts = [entry["start_ns"] for entry in ends.values()]
    known = [start_ns for start_ns in starts if isinstance(start_ns, int)]
    apart = short_duration(max(known) - min(known)) if len(known) == len(_CAMERAS) else ""
    return (str(number), *(_end_text(ends.get(camera)) for camera in _CAMERAS), apart)


def _end_text(entry: Mapping[str, object] | None) -> str:
    if entry is None:
        return "open"
    told, residual_ns = str(entry["end"]), entry["residual_ns"]
    if isinstance(residual_ns, int):
        told += f", {residual_text(residual_ns)}"
    return f"{told} ({entry['cause']})" if entry["cause"] else told
