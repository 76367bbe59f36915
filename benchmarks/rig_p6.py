# SPDX-License-Identifier: GPL-3.0-or-later
"""P6: how late ticks are while every frame becomes a JPEG, beside the same without pictures. In the rig, on vivid."""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic_ns

# started as a file, Python puts this folder first; the package is in the one above
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from agent.capture.board import Of  # noqa: E402
from agent.capture.messages import AddPlans  # noqa: E402
from agent.capture.tick_log import unpack  # noqa: E402
from agent.schedule.ring import RingReader  # noqa: E402
from agent.units import NS_PER_S  # noqa: E402
from benchmarks import vivid  # noqa: E402
from benchmarks.common import as_measured, finish, take_turns  # noqa: E402
from benchmarks.environment import describe  # noqa: E402
from benchmarks.result import Comparison, Measured  # noqa: E402
from benchmarks.sides.stage import Stage  # noqa: E402
from benchmarks.sides.supervised import Supervised  # noqa: E402
from benchmarks.stats import percentile  # noqa: E402

RATE = 2
PLANS = 100
PERIOD_NS = NS_PER_S
WARM_UP_NS = 1 * NS_PER_S
MEASURE_NS = 6 * NS_PER_S
ROUNDS = 10
SINK_STARTS_WITHIN_NS = 60 * NS_PER_S


def main(folder: Path) -> None:
    """Measure and write P6.json."""
    path = vivid.find_vivid()
    idle = Stage(paths=(path,), rate=RATE, others=PLANS, others_period_ns=PERIOD_NS)
    encoding = replace(idle, encode=True)
    vivid.set_up(path, idle.width_px, idle.height_px, RATE)
    taken = take_turns({"encoding": _turn(encoding), "idle": _turn(idle)}, ROUNDS)
    comparison = Comparison(
        name="P6",
        row="P6",
        what=f"{PLANS} plans at 1 Hz on a camera with {idle.width_px}x{idle.height_px} at {RATE} frames/s (vivid)",
        measure="lateness P99",
        unit="ns",
        ours="each frame becomes a JPEG in a file, in the sink's process",
        peer="the same plans and frames, no pictures",
        against="ours, idle",
        gate=2,
        moonshot=1.2,
        where="rig",
        repeat="make rig BENCH=1",
        notes=(
            "Due and fired as the records of the shared page tell them; each block is a capture process of its own.",
            f"The sink runs on the other one of {os.cpu_count()} processors, which vivid draws on as well.",
        ),
        environment=describe(),
    )
    finish(comparison, [each.figures(("encoding", as_measured), ("idle", as_measured)) for each in taken], folder)


def _turn(stage: Stage) -> Callable[[], Measured]:
    def turn() -> Measured:
        with tempfile.TemporaryDirectory() as pictures, Supervised(stage.order(Path(pictures))) as process:
            orders = (*stage.background(), stage.every_frame(stage.paths[0], "every frame"))
            process.ask(AddPlans(id=process.number(), orders=orders))
            _await_pictures(stage, process)
            process.wait_until(monotonic_ns() + WARM_UP_NS)
            reader = RingReader(process.board.ring)
            reader.read()  # what was before
            stored = process.board.camera(0)[Of.STORED]
            process.wait_until(monotonic_ns() + MEASURE_NS)
            records = [unpack(record, 0) for record in reader.read()[0]]
            stored = process.board.camera(0)[Of.STORED] - stored
        _check_stored(stage, stored)
        late_ns = [record.fired_ns - record.due_ns for record in records if record.fired_ns]
        return Measured(percentile(late_ns, 99), len(late_ns), late_ns)

    return turn


def _await_pictures(stage: Stage, process: Supervised) -> None:
    """The sink's program takes its time to start. Raises TimeoutError."""
    deadline_ns = monotonic_ns() + SINK_STARTS_WITHIN_NS
    while stage.encode and not process.board.camera(0)[Of.STORED]:
        if monotonic_ns() > deadline_ns:
            raise TimeoutError("the sink stores nothing")
        process.wait_until(monotonic_ns() + NS_PER_S // 2)


def _check_stored(stage: Stage, stored: int) -> None:
    """Half of the frames at least: else it was not encoding that was measured. Raises ValueError."""
    frames = RATE * MEASURE_NS // NS_PER_S
    if stage.encode and stored < frames // 2:
        raise ValueError(f"{stored} of some {frames} frames were stored within {MEASURE_NS // NS_PER_S} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
