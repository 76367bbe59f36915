"""P5: instants after ten million ticks against `t0 + k * period`. Pure arithmetic: time is an argument."""

from __future__ import annotations

import random
from pathlib import Path

from agent.schedule.account import PLAN_WORDS
from agent.schedule.plan import Plan
from agent.schedule.scheduler import Scheduler
from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.common import finish
from benchmarks.environment import describe, load_average
from benchmarks.result import Block, Comparison, Condition, Measured

TICKS = 10_000_000
BLOCKS = 10
PLANS = 1_000
_BOUND = 128
_WAKES_BETWEEN_JUMPS = 5_000
_JUMP_NS = 3_600 * NS_PER_S


def main(folder: Path) -> None:
    """Measure and write P5.json."""
    before = load_average()
    blocks = tuple(Block.of(measure(seed, TICKS // BLOCKS), ours=True) for seed in range(BLOCKS))
    condition = Condition("fake time", "none", before, load_average(), blocks)
    comparison = Comparison(
        name="P5",
        row="P5",
        what=f"Distance of the instants of {PLANS:,} plans from t0 + k * period, {TICKS:,} ticks in all",
        measure="largest distance",
        unit="ns",
        ours="Scheduler.due, fired, delivered, with periods that are no round numbers",
        gate=0,
        moonshot=0,
        where="host",
        repeat="make bench",
        notes=(
            "The loop wakes up to 20 ms late, and now and then an hour, as after a suspend: what it missed is skipped.",
            "Distances are whole numbers and all are 0: so is the slope.",
            "Steps of CLOCK_REALTIME are in P5-steps: no clock but CLOCK_MONOTONIC enters here.",
        ),
        environment=describe(),
    )
    finish(comparison, [condition], folder)


def measure(seed: int, ticks: int) -> Measured:
    """The largest distance of any of so many ticks from its plan's grid."""
    chance = random.Random(seed)
    scheduler = Scheduler(memoryview(bytearray(PLANS * PLAN_WORDS * 8)).cast("q"), capacity=PLANS, ageing_ns=NS_PER_S)
    for number in range(PLANS):
        start_ns, period_ns = chance.randrange(NS_PER_S), chance.randrange(NS_PER_S // 2, 2 * NS_PER_S)
        scheduler.add(Plan(name=str(number), camera="c", start_ns=start_ns, period_ns=period_ns), 0)
    largest_ns = seen = wakes = 0
    while seen < ticks:
        next_ns = scheduler.next_ns
        if next_ns is None:
            raise ValueError("plans without an end have ended")
        wakes += 1
        now_ns = next_ns + (_JUMP_NS if wakes % _WAKES_BETWEEN_JUMPS == 0 else chance.randrange(20 * NS_PER_MS))
        for tick in scheduler.due(now_ns, _BOUND):
            plan = tick.run.plan
            period_ns = plan.period_ns or 0
            largest_ns = max(largest_ns, abs(tick.due_ns - plan.start_ns - tick.number * period_ns))
            scheduler.fired(tick, now_ns)
            scheduler.delivered(tick, now_ns, 1, 0)
            seen += 1
    return Measured(largest_ns, seen)
