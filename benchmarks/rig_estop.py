# SPDX-License-Identifier: GPL-3.0-or-later
"""From an emergency-stop edge to STREAMOFF: our capture loop beside a loop in C, on vivid and gpio-sim. In the rig."""

import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic_ns

# started as a file, Python puts this folder first; the packages are in the one above and in hw-tests
sys.path[:1] = [str(root := Path(__file__).resolve().parent.parent), str(root / "hw-tests")]

from uvc_camera.lines import Pull, SimLine, find_line  # noqa: E402

from agent.capture.board import Of  # noqa: E402
from agent.capture.messages import EmergencyStopped, ReleaseStop, StartCamera  # noqa: E402
from agent.capture.trigger_order import StopOrder  # noqa: E402
from agent.trigger.gpio import GpioLines  # noqa: E402
from agent.trigger.lines import InputOrder, LineRef  # noqa: E402
from agent.units import NS_PER_MS, NS_PER_S  # noqa: E402
from benchmarks import vivid  # noqa: E402
from benchmarks.common import MissingTool, finish, take_turns  # noqa: E402
from benchmarks.environment import describe  # noqa: E402
from benchmarks.result import Comparison, Measured  # noqa: E402
from benchmarks.sides.stage import Stage  # noqa: E402
from benchmarks.sides.supervised import Supervised  # noqa: E402
from benchmarks.stats import percentile  # noqa: E402

PROGRAM = Path(__file__).resolve().parent / "c" / "estop"
LINE = LineRef("rig-lines", "stop")
RATE = 30
STOPS = 30
ROUNDS = 10
FRAMES_BEFORE = 2
_LOOK_NS = NS_PER_MS
_OUT_OF_THE_WAY_S = 0.05
"""Whoever pulled the line sleeps at once: the processor is for those who were waiting for the edge."""


@dataclass(frozen=True, slots=True)
class Stops:
    """One block, in nanoseconds: from the kernel's stamp of the edge to right before STREAMOFF was called."""

    took_ns: list[int]

    def p99(self) -> Measured:
        """The slowest, with so few."""
        return self._at(99)

    def p50(self) -> Measured:
        """The usual one."""
        return self._at(50)

    def _at(self, per_cent: int) -> Measured:
        return Measured(percentile(self.took_ns, per_cent), len(self.took_ns), self.took_ns)


def main(folder: Path) -> None:
    """Measure and write T-stop.json and T-stop-p50.json."""
    stage = Stage(paths=(vivid.find_vivid(),), rate=RATE)
    vivid.set_up(stage.paths[0], stage.width_px, stage.height_px, RATE)
    wire = find_line(str(LINE))
    with closing(Pull(wire)) as pull:
        pull.set(False)
        taken = take_turns({"ours": lambda: ours(stage, pull), "peer": lambda: bare(stage, wire, pull)}, ROUNDS)
    row = _row(stage)
    finish(row, [each.figures(("ours", Stops.p99), ("peer", Stops.p99)) for each in taken], folder)
    usual = replace(row, name="T-stop-p50", measure="edge to STREAMOFF entry, P50")
    finish(usual, [each.figures(("ours", Stops.p50), ("peer", Stops.p50)) for each in taken], folder)


def ours(stage: Stage, pull: Pull) -> Stops:
    """A capture process, pressed, released and started again."""
    found = Stops([])
    with tempfile.TemporaryDirectory() as folder:
        order = replace(
            stage.order(Path(folder)), emergency_stop=StopOrder(input=InputOrder(line=LINE, consumer="benchmark"))
        )
        with Supervised(order) as process:
            for _ in range(STOPS):
                _stop_once(process, stage, pull, found)
    return found


def _stop_once(process: Supervised, stage: Stage, pull: Pull, found: Stops) -> None:
    words = process.board.camera(0)
    before = words[Of.FRAMES]
    while words[Of.FRAMES] < before + FRAMES_BEFORE:
        process.wait_until(monotonic_ns() + _LOOK_NS)
    process.wait_until(monotonic_ns() + random.randrange(stage.interval_ns))
    _press(pull)
    told = process.until(lambda message: isinstance(message, EmergencyStopped))
    pull.set(False)
    (report,) = told.facts.cameras
    if not report.was_on or report.error:
        raise ValueError(f"an emergency stop stopped no stream: {report}")
    found.took_ns.append(report.entered_ns - told.pressed_ns)
    process.ask(ReleaseStop(id=process.number()))
    process.ask(StartCamera(id=process.number(), camera=report.camera))


def bare(stage: Stage, wire: SimLine, pull: Pull) -> Stops:
    """The program in C on the same node and line. Raises MissingTool."""
    if not PROGRAM.exists():
        raise MissingTool(f"{PROGRAM.name} is not built: apt-get install gcc libc6-dev where the rig is started")
    (chip,) = (chip for chip in GpioLines().chips() if chip.label == LINE.chip)
    command = [PROGRAM, stage.paths[0], str(STOPS), chip.path, str(wire.offset)]
    found = Stops([])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(STOPS):
            said = process.stderr.readline() if process.stderr else ""
            if said != "ready\n":
                raise ValueError(f"{PROGRAM.name} says {said!r}")
            time.sleep(random.randrange(stage.interval_ns) / NS_PER_S)
            _press(pull)
            edge_ns, entered_ns, _ = map(int, process.stdout.readline().split() if process.stdout else ())
            pull.set(False)
            found.took_ns.append(entered_ns - edge_ns)
    return found


def _press(pull: Pull) -> None:
    pull.set(True)
    time.sleep(_OUT_OF_THE_WAY_S)


def _row(stage: Stage) -> Comparison:
    return Comparison(
        name="T-stop",
        row="G3",
        what=f"An emergency stop while a camera streams {stage.width_px}x{stage.height_px} at {RATE} frames/s (vivid)",
        measure="edge to STREAMOFF entry, P99",
        unit="ns",
        ours="the capture loop: epoll, edges read, STREAMOFF in a thread of its own, as it may hang",
        peer="estop.c: poll, read of one gpio_v2_line_event, STREAMOFF in the same thread; frames taken and given back",
        against="C, bare ioctls",
        gate=3,
        moonshot=1.2,
        where="rig",
        repeat="make rig BENCH=1",
        notes=(
            "From the kernel's stamp of the edge (CLOCK_MONOTONIC) to a stamp right before the ioctl, on both sides.",
            f"After {FRAMES_BEFORE} frames the input is pulled at a random moment, through gpio-sim's `pull`.",
            f"{STOPS} stops a block, so that its P99 is its worst; each block is a process of its own.",
            "No bound of its own is given for this: those of T1 stand in.",
        ),
        environment=describe(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
