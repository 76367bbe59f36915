"""P1, P2, P3, P7: 10,000 plans at 1 Hz: how late, how dear and how complete, beside cyclictest, asyncio, APScheduler.

The sides take turns in one run, and each block of ours gives a figure to each of the rows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.common import Taken, finish, take_turns
from benchmarks.environment import describe
from benchmarks.lateness import Lateness, Load, permitted_priority, policy_words, run_side
from benchmarks.result import Comparison
from benchmarks.sides.cyclictest import run_cyclictest
from benchmarks.stats import median_interval

PLANS = 10_000
FEW_PLANS = 1_000
"""What APScheduler bears on one processor."""
MEASURE_NS = 2 * NS_PER_S
OURS = "agent"
JOINED = "agent, joined"
JOIN_NS = NS_PER_MS
"""asyncio's own granularity: at the same lateness, what does a tick cost?"""
OURS_WORDS = "the capture loop with a target that takes every tick instead of a camera: timerfd, epoll, accounts kept"
_COLLECTED = "asyncio's objects are frozen (gc.freeze), so that the garbage collector does not look through them."


def main(folder: Path) -> None:
    """Measure and write P1.json, P2.json, P3.json, P7.json, P2-apscheduler.json and P3-apscheduler.json."""
    _at_full_load(folder)
    _at_what_apscheduler_bears(folder)


def _at_full_load(folder: Path) -> None:
    load = Load(PLANS, NS_PER_S, MEASURE_NS, permitted_priority())
    taken = take_turns(
        {
            OURS: run_side("agent_loop", load),
            JOINED: run_side("agent_loop", replace(load, join_ns=JOIN_NS)),
            "asyncio": run_side("asyncio_call_at", load),
            "cyclictest": run_cyclictest(load, min(os.sched_getaffinity(0))),
        }
    )
    late = replace(_row("P1", load), measure="lateness P99", gate=5, moonshot=2, against="cyclictest")
    late = replace(late, peer="cyclictest --mlockall, one thread, a wake-up every 100 us, in nanoseconds")
    finish(late, [each.figures((OURS, Lateness.p99), ("cyclictest", Lateness.p99)) for each in taken], folder)

    usual = replace(_row("P2", load), measure="lateness P50", gate=1 / 10, moonshot=1 / 25, against="asyncio")
    usual = replace(usual, peer="asyncio's call_at, each plan arms its next instant itself and notes when it was due")
    usual = replace(usual, notes=(*usual.notes, _COLLECTED, *_drops(taken, "asyncio")))
    finish(usual, [each.figures((OURS, Lateness.p50), ("asyncio", Lateness.p50)) for each in taken], folder)
    dear = replace(usual, name="P3", row="P3", measure="CPU per tick", gate=2.5, moonshot=1)
    finish(dear, [each.figures((OURS, Lateness.cpu), ("asyncio", Lateness.cpu)) for each in taken], folder)

    for row, figure in ((usual, Lateness.p50), (dear, Lateness.cpu)):
        joined = replace(row, name=f"{row.row}-joined", ours=f"{OURS_WORDS}; ticks due within 1 ms share a wake")
        finish(joined, [each.figures(figure, JOINED, "asyncio") for each in taken], folder)

    dropped = replace(_row("P7", load), measure="ticks dropped", unit="share", gate=0.0018, moonshot=0)
    finish(dropped, [each.figures((OURS, Lateness.dropped)) for each in taken], folder)


def _at_what_apscheduler_bears(folder: Path) -> None:
    load = Load(FEW_PLANS, NS_PER_S, MEASURE_NS, permitted_priority())
    taken = take_turns({OURS: run_side("agent_loop", load), "APScheduler": run_side("apscheduler_jobs", load)}, 10)
    usual = replace(_row("P2", load), name="P2-apscheduler", measure="lateness P50", gate=1 / 10, moonshot=1 / 25)
    usual = replace(
        usual,
        against="APScheduler",
        peer="AsyncIOScheduler, IntervalTrigger, memory store: a coroutine for each job, which notes when it was due",
        notes=(*usual.notes, "The 10,000 plans of P2 are beyond it.", *_drops(taken, "APScheduler")),
    )
    finish(usual, [each.figures((OURS, Lateness.p50), ("APScheduler", Lateness.p50)) for each in taken], folder)
    dear = replace(usual, name="P3-apscheduler", row="P3", measure="CPU per tick", gate=2.5, moonshot=1)
    finish(dear, [each.figures((OURS, Lateness.cpu), ("APScheduler", Lateness.cpu)) for each in taken], folder)


def _row(row: str, load: Load) -> Comparison:
    """What all rows have in common."""
    return Comparison(
        name=row,
        row=row,
        what=load.words,
        measure="",
        unit="ns",
        ours=OURS_WORDS,
        gate=0,
        moonshot=0,
        where="host",
        repeat="make bench",
        notes=(policy_words(load), "Each block is a process of its own."),
        environment=describe(),
    )


def _drops(taken: Sequence[Taken[Lateness]], peer: str) -> list[str]:
    """What the peer dropped, in words; it is no row of the table."""
    notes = []
    for each in taken:
        found = median_interval(each.figures((peer, Lateness.dropped)).ours)
        notes.append(
            f"{peer} dropped {found.median:.3%} of its ticks {each.condition.name}, {found.high:.3%} at worst."
        )
    return notes
