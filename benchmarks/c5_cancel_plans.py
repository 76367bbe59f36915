"""C5: how long cancelling 10,000 plans takes, beside cancelling 10,000 asyncio tasks."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from dataclasses import replace
from pathlib import Path
from time import monotonic_ns

from agent.capture.messages import AddPlans, Cancel
from agent.schedule.account import PLAN_WORDS
from agent.schedule.scheduler import Scheduler
from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.common import as_measured, finish, take_turns
from benchmarks.environment import describe
from benchmarks.lateness import Load
from benchmarks.result import Comparison, Measured
from benchmarks.sides.agent_loop import plan_orders, targets
from benchmarks.sides.supervised import Supervised
from benchmarks.stats import percentile

REPEATS = 3
"""In a block, whose figure is their median."""
LOAD = Load(10_000, NS_PER_S, 0, None)
_UNTIL_SOME_FIRED_NS = 100 * NS_PER_MS
_NS_PER_PLAN = 60_000


def main(folder: Path) -> None:
    """Measure and write C5.json and C5-scheduler.json."""
    with tempfile.TemporaryDirectory() as scratch, targets(LOAD, Path(scratch) / "notes.json") as process:
        taken = take_turns(
            {
                "process": lambda: _median([_ask_for_cancel(process) for _ in range(REPEATS)]),
                "scheduler": lambda: _median([_cancel_in_scheduler() for _ in range(REPEATS)]),
                "asyncio": lambda: _median([asyncio.run(_cancel_tasks()) for _ in range(REPEATS)]),
            }
        )
    comparison = Comparison(
        name="C5",
        row="C5",
        what=f"Cancelling {LOAD.plans:,} plans",
        measure="time until all are cancelled",
        unit="ns",
        ours="a cancel of all, from the client's send to its answer, through the command socket and the supervisor",
        peer="cancel() of each task, all of them asleep, until gather() returns",
        against="asyncio",
        gate=1 / 4,
        moonshot=1 / 50,
        where="host",
        repeat="make bench",
        notes=(
            f"{LOAD.words}; some have fired. A tick, a shot and an account belong to each; nothing streams.",
            "The client has the same processor as the process.",
            f"A block is the median of {REPEATS}.",
        ),
        environment=describe(),
    )
    finish(comparison, [each.figures(("process", as_measured), ("asyncio", as_measured)) for each in taken], folder)
    alone = replace(comparison, name="C5-scheduler", ours="Scheduler.cancel_all alone, accounts in the page closed")
    finish(alone, [each.figures(("scheduler", as_measured), ("asyncio", as_measured)) for each in taken], folder)


def _median(took_ns: list[int]) -> Measured:
    return Measured(percentile(took_ns, 50), len(took_ns), took_ns)


def _ask_for_cancel(process: Supervised) -> int:
    start_ns = monotonic_ns() + LOAD.plans * _NS_PER_PLAN
    orders = tuple(plan_orders(LOAD, start_ns))
    process.ask(AddPlans(id=process.number(), orders=orders))
    process.wait_until(start_ns + _UNTIL_SOME_FIRED_NS)
    answer = process.ask(Cancel(id=process.number(), kind="all", name="", by="C5"))
    if answer.facts.plans != LOAD.plans:
        raise ValueError(f"{answer.facts.plans} of {LOAD.plans} plans were cancelled")
    process.wait_until(monotonic_ns() + _UNTIL_SOME_FIRED_NS)  # events of the ends
    return answer.took_ns


def _cancel_in_scheduler() -> int:
    words = memoryview(bytearray(LOAD.plans * PLAN_WORDS * 8)).cast("q")
    scheduler = Scheduler(words, capacity=LOAD.plans, ageing_ns=NS_PER_S)
    for order in plan_orders(LOAD, NS_PER_S):
        scheduler.add(order.plan, 0)
    now_ns = NS_PER_S + _UNTIL_SOME_FIRED_NS
    for tick in scheduler.due(now_ns, LOAD.plans):
        scheduler.fired(tick, now_ns)
        scheduler.delivered(tick, now_ns, 1, 1)
    gc.collect()
    before_ns = monotonic_ns()
    count = scheduler.cancel_all(now_ns)
    took_ns = monotonic_ns() - before_ns
    if count != LOAD.plans:
        raise ValueError(f"{count} of {LOAD.plans} plans were cancelled")
    return took_ns


async def _cancel_tasks() -> int:
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(LOAD.plans)]
    await asyncio.sleep(0.01)  # all of them sleep now
    gc.collect()
    before_ns = monotonic_ns()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return monotonic_ns() - before_ns
