"""P4: how late the ticks of 100,000 plans are beside those of 1,000, at the same ticks per second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.common import finish, take_turns
from benchmarks.environment import describe
from benchmarks.lateness import Lateness, Load, permitted_priority, policy_words, run_side
from benchmarks.p1_lateness import OURS_WORDS
from benchmarks.result import Comparison

FEW = Load(1_000, 100 * NS_PER_MS, 2 * NS_PER_S, None)
MANY = Load(100_000, 10 * NS_PER_S, 2 * NS_PER_S, None)


def main(folder: Path) -> None:
    """Measure and write P4.json."""
    priority = permitted_priority()
    few, many = (replace(load, fifo_priority=priority) for load in (FEW, MANY))
    taken = take_turns({"many": run_side("agent_loop", many), "few": run_side("agent_loop", few)})
    comparison = Comparison(
        name="P4",
        row="P4",
        what=f"{many.words}, beside {few.words}: {many.ticks_per_s:,.0f} ticks/s both",
        measure="lateness P99",
        unit="ns",
        ours=f"{MANY.plans:,} plans: {OURS_WORDS}",
        peer=f"{FEW.plans:,} plans, else the same",
        against=f"ours, {FEW.plans:,} plans",
        gate=2,
        moonshot=1.1,
        where="host",
        repeat="make bench",
        notes=(
            policy_words(many),
            "Each block is a process of its own. With 10 s, a fifth of the plans has its tick within a block.",
        ),
        environment=describe(),
    )
    finish(comparison, [each.figures(("many", Lateness.p99), ("few", Lateness.p99)) for each in taken], folder)
