# SPDX-License-Identifier: GPL-3.0-or-later
"""P5: ticks while CLOCK_REALTIME is set back and forth by an hour. In the rig, whose clock may be set."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# started as a file, Python puts this folder first; the package is in the one above
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from agent.units import NS_PER_S  # noqa: E402
from benchmarks.common import finish  # noqa: E402
from benchmarks.environment import describe, is_emulated, load_average  # noqa: E402
from benchmarks.lateness import Load  # noqa: E402
from benchmarks.result import Block, Comparison, Condition, Measured  # noqa: E402
from benchmarks.sides.agent_loop import observe  # noqa: E402

BLOCKS = 10
LOAD = Load(100, NS_PER_S, 4 * NS_PER_S, None, warm_up_ns=2 * NS_PER_S)
STEP_NS = 3_600 * NS_PER_S
STEP_EVERY_S = 0.3


def main(folder: Path) -> None:
    """Measure and write P5-steps.json. Raises RuntimeError on a machine whose clock is somebody's."""
    if not is_emulated():
        raise RuntimeError("this sets the clock: only in the rig")
    before = load_average()
    with _clock_steps():
        blocks = tuple(Block.of(_observe(), ours=True) for _ in range(BLOCKS))
    condition = Condition("clock set", "CLOCK_REALTIME set by an hour, back and forth", before, load_average(), blocks)
    comparison = Comparison(
        name="P5-steps",
        row="P5",
        what=f"{LOAD.words}, while CLOCK_REALTIME is set by an hour every {STEP_EVERY_S} s",
        measure="ticks missing or off their grid",
        unit="ticks",
        ours="the capture loop with a target that takes every tick instead of a camera",
        gate=0,
        moonshot=0,
        where="rig",
        repeat="make rig BENCH=1",
        notes=("Off its grid is a tick due 1 ns from t0 + k * period; missing is an instant with no tick.",),
        environment=describe(),
    )
    finish(comparison, [condition], folder)


def _observe() -> Measured:
    found = observe(LOAD)
    within, wrong = found.window.check_grid(LOAD, found.start_ns, found.dues_ns)
    return Measured(wrong, within)


@contextmanager
def _clock_steps() -> Iterator[None]:
    """Sets the clock in a thread; at the end it is right again."""
    over = threading.Event()
    stepping = threading.Thread(target=_set_clock_until, args=(over,))
    stepping.start()
    try:
        yield
    finally:
        over.set()
        stepping.join()


def _set_clock_until(over: threading.Event) -> None:
    ahead = False
    while not over.wait(STEP_EVERY_S) or ahead:
        delta_ns = -STEP_NS if ahead else STEP_NS
        time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME) + delta_ns)
        ahead = not ahead


if __name__ == "__main__":
    main(Path(sys.argv[1]))
