"""How long a reload takes over the control API: a good file in which the period of each plan is another one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.common import as_measured, finish, take_turns
from benchmarks.environment import describe
from benchmarks.result import Comparison, Measured
from benchmarks.sides.running import HERE, Running
from benchmarks.stats import percentile

RELOADS = 5
"""In a block, whose figure is the slowest."""
ROUNDS = 10
MANY = 16
GATE_NS = 800_000_000
_SECOND = "device: {port: platform-*}"
_PERIODS = ("1s", "2s")


def main(folder: Path) -> None:
    """Measure and write RELOAD-1.json and RELOAD-16.json."""
    with ExitStack() as stack:
        sides = {}
        for count in (1, MANY):
            there = [f"camera-{place}" for place in range(min(count, 2))]
            sides[f"{count}"] = block(stack.enter_context(Running(configuration(count, _PERIODS[0]), there)), count)
        taken = take_turns(sides, ROUNDS)
    for count in (1, MANY):
        row = replace(row_of_reloads(), name=f"RELOAD-{count}", ours=_words(count))
        finish(row, [each.figures((f"{count}", as_measured)) for each in taken], folder)


def configuration(count: int, every: str, first: str = HERE) -> str:
    """So many cameras with a plan each. `first`: how the first one is found."""
    matches = [first, _SECOND, *(f"device: {{serial: NONE{place}}}" for place in range(2, count))]
    cameras = [f"  camera-{place}: {{{match}}}" for place, match in enumerate(matches[:count])]
    plans = [f"  plan-{place}: {{camera: camera-{place}, every: {every}, store: false}}" for place in range(count)]
    return "\n".join(["cameras:", *cameras, "plans:", *plans, ""])


def _words(count: int) -> str:
    absent = f", of which {count - 2} are not plugged in" if count > 2 else ""
    return f"{count} camera{'s' if count > 1 else ''} with a plan each{absent}; POST /v1/config/reload until its answer"


def row_of_reloads() -> Comparison:
    """What all rows have in common."""
    return Comparison(
        name="",
        row="issue 5",
        what="A reload after which each plan has another period, and every stream goes on",
        measure="request to answer, the slowest of a block",
        unit="ns",
        ours="",
        gate=GATE_NS,
        moonshot=None,
        where="host",
        repeat="make bench",
        notes=(
            f"{RELOADS} reloads a block. What is answered is in force: each process has told that it took its change.",
        ),
        environment=describe(),
    )


def block(running: Running, count: int, first: str = HERE) -> Callable[[], Measured]:
    """Reloads of an agent with so many cameras; each plan gets another period every time."""
    state = {"turn": 0}

    def take() -> Measured:
        took_ns = []
        for _ in range(RELOADS):
            state["turn"] += 1
            running.file.write_text(configuration(count, _PERIODS[state["turn"] % 2], first))
            began_ns = time.monotonic_ns()
            told = running.client.ask("POST", "/v1/config/reload")
            took_ns.append(time.monotonic_ns() - began_ns)
            if len(told["changes"]) != count or told["problems"]:
                raise ValueError(f"not what was to be changed: {told}")
        return Measured(percentile(took_ns, 100), len(took_ns), took_ns)

    return take
