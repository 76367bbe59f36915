"""APScheduler's AsyncIOScheduler as it comes: a job with an IntervalTrigger for each plan, in memory."""

from __future__ import annotations

import asyncio
import gc
from array import array
from datetime import UTC, datetime
from time import monotonic_ns, time_ns

from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped]

from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.common import own_cpu_ns
from benchmarks.lateness import Lateness, Load, Window, serve_side

_SETTLE_NS = 500 * NS_PER_MS
_NS_PER_JOB = 500_000
"""Adding a job takes no longer."""


def measure(load: Load) -> Lateness:
    """One block."""
    return asyncio.run(_measure(load))


async def _measure(load: Load) -> Lateness:
    dues_ns, fired_ns = array("q"), array("q")
    period_ns = load.period_ns

    async def fire(first_ns: int) -> None:
        # a job is not told for when it was planned: the last instant of its grid; misfire_grace_time bounds the error
        now_ns = monotonic_ns()
        fired_ns.append(now_ns)
        dues_ns.append(now_ns - (now_ns - first_ns) % period_ns)

    scheduler = AsyncIOScheduler(timezone=UTC)
    start_ns = monotonic_ns() + NS_PER_S // 2 + load.plans * _NS_PER_JOB
    offset_ns = time_ns() - monotonic_ns()
    for phase_ns in load.phases_ns():
        first_us = (start_ns + phase_ns + offset_ns) // 1000  # datetime knows no nanoseconds
        first = datetime.fromtimestamp(first_us / 1e6, UTC)
        due_ns = first_us * 1000 - offset_ns
        scheduler.add_job(fire, "interval", seconds=period_ns / NS_PER_S, start_date=first, args=[due_ns])
    scheduler.start()
    gc.collect()
    gc.freeze()
    window = Window.of(load, start_ns)
    await _sleep_until(window.begin_ns)
    before_ns = own_cpu_ns()
    await _sleep_until(window.end_ns)
    cpu_ns = own_cpu_ns() - before_ns
    await _sleep_until(window.end_ns + _SETTLE_NS)
    scheduler.shutdown()
    return Lateness(window.lateness_ns(dues_ns, fired_ns), window.planned(load, start_ns), cpu_ns)


async def _sleep_until(at_ns: int) -> None:
    await asyncio.sleep((at_ns - monotonic_ns()) / NS_PER_S)


if __name__ == "__main__":
    serve_side(measure)
