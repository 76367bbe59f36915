# SPDX-License-Identifier: GPL-3.0-or-later
"""T1: from a line that is set to its edge in our hands, beside a loop in C. In the rig, on gpio-sim."""

import gc
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

# started as a file, Python puts this folder first; the packages are in the one above and in hw-tests
sys.path[:1] = [str(root := Path(__file__).resolve().parent.parent), str(root / "hw-tests")]

from uvc_camera.lines import Pull, SimLine, find_line  # noqa: E402

from agent.clock import monotonic_ns  # noqa: E402
from agent.trigger.gpio import GpioLines  # noqa: E402
from agent.trigger.lines import InputOrder, LineRef  # noqa: E402
from benchmarks.common import MissingTool, finish, take_turns  # noqa: E402
from benchmarks.environment import describe  # noqa: E402
from benchmarks.result import Comparison, Measured  # noqa: E402
from benchmarks.stats import percentile  # noqa: E402

PROGRAM = Path(__file__).resolve().parent / "c" / "gpio_loop"
LINE = LineRef("rig-lines", "edge")
EDGES = 1_000
WARM_UP = 50
ROUNDS = 20
_LIMIT_MS = 10_000
_PAUSE_S = 0.001
"""As in the program in C. Without it whoever takes longer is more often interrupted by the other guests of the host."""


@dataclass(frozen=True, slots=True)
class Edges:
    """One block, in nanoseconds: from right before the line was set until the read that fetched its edge returned."""

    took_ns: list[int]

    def p99(self) -> Measured:
        """The slowest but one in a hundred."""
        return self._at(99)

    def p50(self) -> Measured:
        """The usual one."""
        return self._at(50)

    def _at(self, per_cent: int) -> Measured:
        return Measured(percentile(self.took_ns, per_cent), len(self.took_ns), self.took_ns)


def main(folder: Path) -> None:
    """Measure and write T1.json and T1-p50.json."""
    wire = find_line(str(LINE))
    taken = take_turns({"ours": lambda: ours(wire), "peer": lambda: bare(wire)}, ROUNDS)
    row = _row()
    finish(row, [each.figures(("ours", Edges.p99), ("peer", Edges.p99)) for each in taken], folder)
    usual = replace(row, name="T1-p50", measure="pull set to event read, P50")
    finish(usual, [each.figures(("ours", Edges.p50), ("peer", Edges.p50)) for each in taken], folder)


def ours(wire: SimLine) -> Edges:
    """Our lines: poll, then read, as the capture loop does."""
    order = InputOrder(line=LINE, consumer="benchmark", falling=False)
    took_ns = []
    with closing(Pull(wire)) as pull, GpioLines().open_input(order) as line, _without_collections():
        pull.set(False)
        poller = select.poll()
        poller.register(line.fileno(), select.POLLIN)
        for _ in range(WARM_UP + EDGES):
            before_ns = monotonic_ns()
            pull.set(True)
            if not poller.poll(_LIMIT_MS):
                raise TimeoutError(f"no edge within {_LIMIT_MS} ms")
            found = line.read()
            took_ns.append(monotonic_ns() - before_ns)
            if len(found.edges) != 1 or found.lost:
                raise ValueError(f"{len(found.edges)} edges instead of 1, {found.lost} lost")
            pull.set(False)
            time.sleep(_PAUSE_S)
    return Edges(took_ns[WARM_UP:])


def bare(wire: SimLine) -> Edges:
    """The program in C, on the same line. Raises MissingTool."""
    if not PROGRAM.exists():
        raise MissingTool(f"{PROGRAM.name} is not built: apt-get install gcc libc6-dev where the rig is started")
    (chip,) = (chip for chip in GpioLines().chips() if chip.label == LINE.chip)
    command = [PROGRAM, str(WARM_UP + EDGES), chip.path, str(wire.offset), "pull", str(wire.folder / "pull")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Edges([int(line.split()[1]) for line in done.stdout.splitlines()[WARM_UP:]])


@contextmanager
def _without_collections() -> Iterator[None]:
    """As in the capture loop, which looks for garbage when nothing is due."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _row() -> Comparison:
    return Comparison(
        name="T1",
        row="T1",
        what="A line of gpio-sim is set, and its rising edge waited for and read",
        measure="pull set to event read, P99",
        unit="ns",
        ours="pwrite to the line's `pull`, poll, read of GpioLines' input: edges made, their numbers checked",
        peer="gpio_loop.c: pwrite to the same file, poll, read of one gpio_v2_line_event; no library",
        against="C, bare ioctls",
        gate=3,
        moonshot=1.2,
        where="rig",
        repeat="make rig BENCH=1",
        notes=(
            "Both set the line through the `pull` of the input itself: no wire in software is between.",
            f"{EDGES:,} edges a block, after {WARM_UP} that do not count; the bare loop is a process of its own.",
            "Both pause for 1 ms after each edge.",
            "A loop without libgpiod is a lower floor than one with it.",
        ),
        environment=describe(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
