"""A simulated camera on a simulated trigger line: arm time, lateness of pulses, residuals of their frames."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from agent.capture.order import CameraOrder, Realtime
from agent.capture.settings import Settings
from agent.capture.trigger_mode import TriggerWish
from agent.capture.trigger_order import CameraTrigger, TriggerKind, TriggerOrder
from agent.trigger.budget import Budget
from agent.trigger.lines import LineRef, OutputOrder
from agent.trigger.modes import TriggerMode
from agent.trigger.pulse import PulseOrder
from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.common import take_turns
from benchmarks.environment import describe
from benchmarks.lateness import permitted_priority
from benchmarks.result import Comparison
from benchmarks.sides.pulsed import Bench, observe, write_all

BUDGET = Budget(delay_ns=12_800, jitter_ns=300, window_ns=10 * NS_PER_MS, wait_ns=NS_PER_S)
"""Delay and jitter are those of the simulated camera."""
EXPOSURE_NS = 8 * NS_PER_MS
BENCH = Bench(
    camera=CameraOrder(
        name="simulated",
        path="/dev/video0",
        settings=Settings(pixel_format="YUYV", width_px=320, height_px=240, rate=Fraction(30), exposure_ns=EXPOSURE_NS),
        trigger=CameraTrigger(budget=BUDGET, wish=TriggerWish(mode=TriggerMode.EXTERNAL_EDGE)),
    ),
    trigger=TriggerOrder(
        kind=TriggerKind.PULSE,
        output=OutputOrder(line=LineRef("bench", "trigger"), consumer="benchmark"),
        pulse=PulseOrder(width_ns=NS_PER_MS),
        cycle_ns=60 * NS_PER_MS,
    ),
    period_ns=100 * NS_PER_MS,
    starts=10,
    pulses=40,
    program=(sys.executable, "-m", "agent.cli.process", "--simulate"),
)


def main(folder: Path) -> None:
    """Measure and write T-arm.json, T-lateness.json, T-residual.json and T-unpaired.json."""
    priority = permitted_priority()
    taken = take_turns({"ours": lambda: observe(_in_real_time(priority))})
    policy = "SCHED_OTHER" if priority is None else f"SCHED_FIFO, priority {priority}"
    row = Comparison(
        name="",
        row="",
        what=f"A pulse every {BENCH.period_ns // NS_PER_MS} ms on a simulated line fires a simulated camera",
        measure="",
        unit="ns",
        ours="a capture process with its loop, trigger and ledger as they are; lines and cameras in the same process",
        gate=None,
        moonshot=None,
        where="host",
        repeat="make bench",
        notes=(
            f"{BENCH.starts} starts and {BENCH.pulses} pulses a block, each a process of its own.",
            f"Under {policy} on one CPU. Without SCHED_FIFO, what else a busy machine runs is most of the lateness.",
            "Each start is proven by a pulse that leaves at once and by its frame; no settle time is asked for.",
            "The camera's threads draw their pictures beside the loop, in one interpreter, which real ones do not.",
            "The expected start: the pulse and 12.8 µs; the camera's own jitter is 0.3 µs, its stamps whole µs.",
        ),
        environment=describe(),
    )
    write_all(row, taken, folder)


def _in_real_time(priority: int | None) -> Bench:
    """On the processor that this one has, as P1 does."""
    wishes = Realtime(cpus=tuple(os.sched_getaffinity(0)), fifo_priority=priority, lock_memory=True, timer_slack_ns=1)
    return replace(BENCH, realtime=wishes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
