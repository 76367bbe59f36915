"""What is seen while plans run: a table on a terminal that changes in place; what happens is told in lines anyway."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from agent.capture.group_watch import Accounts, CameraFigures
from agent.cli.figures import short_duration
from agent.cli.options import printable
from agent.cli.plan_trigger_tables import group_texts, trigger_table
from agent.cli.plan_trigger_watch import GroupPulses
from agent.cli.show import table
from agent.schedule.account import Account, State
from agent.schedule.histogram import Histogram
from agent.units import NS_PER_S

_ROOM = 12
"""Lines of a terminal for everything but the plans."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One look at a run. `phase`: what goes on, in words; `ran_ns`: since the plans' start, below zero before it."""

    phase: str
    ran_ns: int
    cameras: Sequence[CameraFigures]
    plans: Accounts
    lateness: Histogram
    triggers: Sequence[GroupPulses] = ()


class Screen:
    """Shows moments, and tells what happens. A context manager; nothing but lines when stderr is no terminal.

    `quiet`: not even those.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live: Live | None = None
        self._resources = ExitStack()

    def __enter__(self) -> Screen:
        if not self._quiet and sys.stderr.isatty():
            live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live = self._resources.enter_context(live)
        return self

    def __exit__(self, *_: object) -> None:
        self._live = None
        self._resources.close()

    @property
    def shows(self) -> bool:
        """Whether moments are seen by anybody."""
        return self._live is not None

    def show(self, moment: Moment) -> None:
        """The table as it is now."""
        if self._live is not None:
            ledger = sum(len(group.cameras) + 3 for group in moment.triggers)
            rows = max(self._live.console.size.height - _ROOM - len(moment.cameras) - ledger, 3)
            self._live.update(_render(moment, rows), refresh=True)

    def tell(self, words: str, hint: str = "") -> None:
        """Something that happened, on stderr."""
        if self._quiet:
            return
        lines = [printable(words)] + ([f"  {printable(hint)}"] if hint else [])
        for line in lines:
            if self._live is not None:
                self._live.console.print(Text(line))
            else:
                click.echo(line, err=True)


def camera_table(cameras: Sequence[CameraFigures]) -> RenderableType:
    """State and counts of each camera."""
    columns = ("camera", "state", "frames", "taken", "lost", "stored", "not stored")
    rows = [
        (
            camera.name,
            camera.state,
            f"{camera.frames:,}",
            f"{camera.taken:,}",
            f"{camera.lost:,}",
            f"{camera.stored:,}",
            f"{camera.not_stored:,}" if camera.not_stored else "",
        )
        for camera in cameras
    ]
    return table(columns, rows, whole=("camera",))


def state_text(state: State, running: str = "running") -> str:
    """How a plan stands; `running`: the word for one that has not ended."""
    return running if state is State.RUNNING else state.name.lower()


def plan_table(plans: Accounts, most: int, running: str = "running") -> RenderableType:
    """A line for each plan if they fit, else for the busiest, and one for all together."""
    chosen = plans.busiest(most)
    rows = [_row(figures.name, state_text(figures.account.state, running), figures.account) for figures in chosen]
    if len(plans) > 1:
        name = f"all {len(plans):,}" if len(plans) > len(chosen) else "all"
        rows.append(_row(name, _states_text(plans, running), plans.total()))
    columns = ("plan", "state", "ticks", "delivered", "skipped", "refused", "cancelled", "failed", "latest")
    return table(columns, rows, whole=("plan",))


def skipped_text(account: Account) -> str:
    """How many ticks were left out, and why; those that joined another one too."""
    reasons = {
        "busy": account.skipped_busy,
        "late": account.skipped_late,
        "camera not ready": account.skipped_not_ready,
        "no process": account.skipped_down,
    }
    joined = f"{account.coalesced:,} joined another" if account.coalesced else ""
    return ", ".join(filter(None, (_reasons_text(account.skipped, reasons), joined)))


def refused_text(account: Account) -> str:
    """How many ticks quotas refused, and which."""
    reasons = {
        "agent": account.refused_agent,
        "camera": account.refused_camera,
        "plan": account.refused_plan,
        "client": account.refused_client,
    }
    return _reasons_text(account.refused, reasons)


def lateness_text(lateness: Histogram) -> str:
    """The middle and the end of it, in words."""
    p50, p99 = lateness.percentile(50), lateness.percentile(99)
    if p50 is None or p99 is None:
        return "no tick was fired yet"
    told = f"P50 {short_duration(p50)}, P99 {short_duration(p99)}, largest {short_duration(lateness.max_ns)}"
    return f"lateness {told}"


def _render(moment: Moment, rows: int) -> RenderableType:
    told = printable(moment.phase)
    if moment.ran_ns > 0:
        told += f", {moment.ran_ns / NS_PER_S:.1f} s"
    elif moment.ran_ns < 0:
        told = f"the plans start in {-moment.ran_ns / NS_PER_S:.1f} s"
    parts: list[RenderableType] = [Text(told, style="bold"), camera_table(moment.cameras)]
    ledger = trigger_table(moment.triggers)
    if ledger is not None:
        parts += [Text(""), ledger]
    parts += [Text(f"{name}: {text}") for name, text in group_texts(moment.triggers)]
    if len(moment.plans):
        parts += [Text(""), plan_table(moment.plans, rows), Text(""), Text(lateness_text(moment.lateness))]
    return Group(*parts)


def _row(name: str, state: str, account: Account) -> tuple[str, ...]:
    # a shot that a cancel dropped is a cancelled tick to whoever looks
    cancelled = account.cancelled + account.shots_cancelled
    return (
        name,
        state,
        f"{account.ticks:,}",
        f"{account.delivered:,}",
        skipped_text(account),
        refused_text(account),
        f"{cancelled:,}" if cancelled else "",
        f"{account.failed:,}" if account.failed else "",
        short_duration(account.late_max_ns) if account.fired else "",
    )


def _states_text(plans: Accounts, running: str) -> str:
    return ", ".join(f"{count:,} {state_text(state, running)}" for state, count in plans.states().items())


def _reasons_text(total: int, reasons: dict[str, int]) -> str:
    told = [f"{count:,} {name}" for name, count in reasons.items() if count]
    if not told:
        return ""
    return (
        f"{total:,} ({', '.join(told)})" if len(told) > 1 else f"{total:,} ({next(n for n, c in reasons.items() if c)})"
    )
