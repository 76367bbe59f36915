"""What a finished run came to: every tick, every camera, how late, how it was stopped; for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import RenderableType

from agent.capture.group_watch import Accounts, CameraFigures, lateness_facts
from agent.capture.messages import CameraReport, EmergencyStopped
from agent.cli.figures import short_duration
from agent.cli.plan_live import camera_table, plan_table, state_text
from agent.cli.plan_records import Written
from agent.cli.plan_trigger_tables import group_texts, pressed_facts, pressed_text, trigger_facts, trigger_table
from agent.cli.plan_trigger_watch import GroupPulses
from agent.cli.show import heading, line, pairs, print_all, print_json
from agent.schedule.account import Account
from agent.schedule.histogram import Histogram
from agent.units import NS_PER_S

_ALL, _SHOWN = 100, 20
"""So many plans have a line each; of more, so many of the busiest."""
_CUT_OFF = "cut off"
"""A plan that was still running when its process was ended."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """A run that is over. `killed`: the processes were ended at once.

    `ended_by`: `finished`, `for`, `signal`, `error`, `emergency_stop`. `requests`, `ledger`: the files that were
    written, None without one. `lost`: requests that were not read in time. `pressed`: by group, its emergency stop.
    """

    file: str
    ended_by: str
    killed: bool
    ran_ns: int
    output: Path | None
    folders: Sequence[str]
    cameras: Sequence[CameraFigures]
    plans: Accounts
    lateness: Histogram
    stops: Sequence[CameraReport] = ()
    triggers: Sequence[GroupPulses] = ()
    pressed: Mapping[str, EmergencyStopped] = field(default_factory=dict)
    begin_ns: int | None = None
    requests: Written | None = None
    ledger: Written | None = None
    lost: int | None = None
    plot: str | None = None
    told: Sequence[str] = field(default_factory=tuple)


def print_summary(outcome: Outcome) -> None:
    """Tables on stdout."""
    total = outcome.plans.total()
    parts: list[RenderableType] = [heading(_title(outcome)), line("")]
    count = len(outcome.plans)
    if count:
        parts.append(plan_table(outcome.plans, _ALL if count <= _ALL else _SHOWN, _CUT_OFF))
        if count > _ALL:
            parts.append(line(f"The {_SHOWN} with the most ticks, and all together; --json has every plan's account."))
        parts.append(line(""))
    parts += [camera_table(outcome.cameras), line("")]
    ledger = trigger_table(outcome.triggers)
    if ledger is not None:
        parts += [ledger, line("")]
    print_all(*parts, pairs(_rows(outcome, total)))


def _rows(outcome: Outcome, total: Account) -> list[tuple[str, str]]:
    rows = [("every tick", sums_text(total)), ("lateness", _lateness_text(outcome.lateness))]
    rows += group_texts(outcome.triggers)
    rows.append(("pictures", _pictures_text(outcome)))
    pressed = outcome.pressed.items()
    rows += [(f"emergency stop of {group}", pressed_text(stop, outcome.begin_ns)) for group, stop in pressed]
    rows += [(f"stop of {stop.camera}", stop_text(stop)) for stop in outcome.stops]
    if outcome.requests is not None:
        rows.append(("requests", _file_text(outcome.requests) + _lost_text(outcome)))
    if outcome.ledger is not None:
        lost = f"; {outcome.ledger.lost:,} ends were not read in time and are missing" if outcome.ledger.lost else ""
        rows.append(("ledger", _file_text(outcome.ledger) + lost))
    if outcome.plot is not None:
        rows.append(("plot", outcome.plot + ("" if outcome.requests is not None else _lost_text(outcome))))
    return rows


def print_summary_json(outcome: Outcome) -> None:
    """One document. Times in nanoseconds; instants on CLOCK_MONOTONIC."""
    total = outcome.plans.total()
    document = {
        "file": outcome.file,
        "ended_by": outcome.ended_by,
        "killed": outcome.killed,
        "ran_ns": outcome.ran_ns,
        "plans": [
            {
                "name": figures.name,
                "camera": figures.camera,
                "state": state_text(figures.account.state, _CUT_OFF),
                **account_facts(figures.account),
            }
            for figures in outcome.plans.all()
        ],
        "total": account_facts(total),
        "lateness": lateness_facts(outcome.lateness),
        "cameras": [asdict(camera) for camera in outcome.cameras],
        "stops": [_stop_facts(stop) for stop in outcome.stops],
        "output": None if outcome.output is None else str(outcome.output),
        "folders": list(outcome.folders),
        "pictures": sum(camera.stored for camera in outcome.cameras),
        "triggers": [trigger_facts(group) for group in outcome.triggers],
        "emergency_stops": [pressed_facts(group, stop) for group, stop in outcome.pressed.items()],
        "requests_file": None if outcome.requests is None else outcome.requests.path,
        "requests_written": None if outcome.requests is None else outcome.requests.lines,
        "requests_lost": outcome.lost,
        "ledger_file": None if outcome.ledger is None else outcome.ledger.path,
        "ledger_written": None if outcome.ledger is None else outcome.ledger.lines,
        "ledger_lost": None if outcome.ledger is None else outcome.ledger.lost,
        "plot": outcome.plot,
        "told": list(outcome.told),
    }
    print_json(document)


def account_facts(account: Account) -> dict[str, object]:
    """Every count, what is still open, and whether the sums match."""
    open_ends = {"waiting": account.waiting, "under_way": account.under_way}
    return {**dict(account.counts()), **open_ends, "sums_match": sums_match(account)}


def sums_match(account: Account) -> bool:
    """Every tick and every shot has ended in one place: none twice, none missing."""
    ticks = account.fired + account.coalesced + account.skipped + account.refused + account.cancelled
    shots = account.delivered + account.failed + account.shots_cancelled
    return account.ticks == ticks and account.fired == shots


def sums_text(account: Account) -> str:
    """Ticks and shots added up, and whether they match."""
    ticks = {
        "fired": account.fired,
        "joined another": account.coalesced,
        "skipped": account.skipped,
        "refused": account.refused,
        "cancelled": account.cancelled,
        "waiting": account.waiting,
    }
    shots = {
        "delivered": account.delivered,
        "failed": account.failed,
        "cancelled": account.shots_cancelled,
        "under way": account.under_way,
    }
    told = f"{account.ticks:,} = {_added(ticks)}"
    if account.fired:
        told += f"; of the fired {account.fired:,} = {_added(shots)}"
    if sums_match(account):
        return f"{told}: the sums match"
    if account.waiting >= 0 and account.under_way >= 0:
        return f"{told}: the sums match, with {account.waiting + account.under_way:,} that had not ended"
    return f"{told}: the sums do NOT match"


def stop_text(stop: CameraReport) -> str:
    """How long it took from the cancel to the end of STREAMOFF, and what had to be tried."""
    if not stop.was_on:
        return "its stream was off already"
    after = "the cancel"
    if stop.entered_ns:
        entered = short_duration(stop.entered_ns - stop.asked_ns)
        told = f"STREAMOFF entered {entered} after {after}, returned {short_duration(stop.returned_ns - stop.asked_ns)}"
        told += f" after it: it took {short_duration(stop.returned_ns - stop.entered_ns)}"
    else:
        told = f"its stream ended with its process, {short_duration(stop.returned_ns - stop.asked_ns)} after {after}"
    if len(stop.steps) > 1:
        told += f"; tried: {', '.join(stop.steps)}"
    return f"{told} ({stop.error})" if stop.error else told


def _added(parts: dict[str, int]) -> str:
    return " + ".join(f"{count:,} {name}" for name, count in parts.items() if count) or "0"


def _title(outcome: Outcome) -> str:
    ways = {
        "finished": "all plans are finished",
        "for": "ended as --for says",
        "signal": "cancelled",
        "error": "ended by an error",
        "emergency_stop": "ended by the emergency stop",
    }
    plans = len(outcome.plans)
    told = f"{outcome.file}: {plans:,} plan{'' if plans == 1 else 's'}, {outcome.ran_ns / NS_PER_S:.1f} s, "
    return told + ways[outcome.ended_by] + (", the capture processes were killed" if outcome.killed else "")


def _lateness_text(lateness: Histogram) -> str:
    facts = lateness_facts(lateness)
    if not facts["count"]:
        return "no tick was fired"
    names = {"p50_ns": "P50", "p90_ns": "P90", "p99_ns": "P99", "p999_ns": "P99.9", "max_ns": "largest"}
    told = [f"{text} {short_duration(facts[name] or 0)}" for name, text in names.items()]
    return f"{', '.join(told)} of {facts['count']:,}, from due to fired"


def _pictures_text(outcome: Outcome) -> str:
    if outcome.output is None:
        return "none were to be stored"
    stored = sum(camera.stored for camera in outcome.cameras)
    not_stored = sum(camera.not_stored for camera in outcome.cameras)
    told = f"{stored:,} stored in {', '.join(outcome.folders)}"
    return told + (f"; {not_stored:,} frames were not stored" if not_stored else "")


def _file_text(file: Written) -> str:
    return f"{'1 line' if file.lines == 1 else f'{file.lines:,} lines'} in {file.path}"


def _lost_text(outcome: Outcome) -> str:
    return f"; {outcome.lost:,} requests were not read in time and are missing" if outcome.lost else ""


def _stop_facts(stop: CameraReport) -> dict[str, object]:
    on = stop.was_on
    return {
        **asdict(stop),
        "to_entry_ns": stop.entered_ns - stop.asked_ns if on and stop.entered_ns else None,
        "to_return_ns": stop.returned_ns - stop.asked_ns if on and stop.returned_ns else None,
    }
