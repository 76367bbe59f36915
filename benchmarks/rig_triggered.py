# SPDX-License-Identifier: GPL-3.0-or-later
"""A UVC camera on a line of gpio-sim: arm time, lateness of pulses, residuals of their frames. In the rig."""

import sys
from pathlib import Path

# started as a file, Python puts this folder first; the packages are in the one above and in hw-tests
sys.path[:1] = [str(root := Path(__file__).resolve().parent.parent), str(root / "hw-tests")]

from fractions import Fraction  # noqa: E402

from uvc_camera import UvcCamera  # noqa: E402

from agent.capture.order import CameraOrder  # noqa: E402
from agent.capture.settings import Settings  # noqa: E402
from agent.capture.trigger_mode import TriggerWish  # noqa: E402
from agent.capture.trigger_order import CameraTrigger, TriggerKind, TriggerOrder  # noqa: E402
from agent.trigger.budget import Budget  # noqa: E402
from agent.trigger.lines import LineRef, OutputOrder  # noqa: E402
from agent.trigger.modes import TriggerMode  # noqa: E402
from agent.trigger.pulse import PulseOrder  # noqa: E402
from agent.units import NS_PER_MS, NS_PER_S  # noqa: E402
from benchmarks.common import take_turns  # noqa: E402
from benchmarks.environment import describe  # noqa: E402
from benchmarks.result import Comparison  # noqa: E402
from benchmarks.sides.pulsed import Bench, observe, write_all  # noqa: E402

LINE = LineRef("rig-lines", "trigger")
# an edge reaches the camera's program late, and uvcvideo's stamps, made of two clocks, may err by tens of milliseconds
BUDGET = Budget(delay_ns=150 * NS_PER_MS, jitter_ns=150 * NS_PER_MS, window_ns=280 * NS_PER_MS, wait_ns=4 * NS_PER_S)
ROUNDS = 10
_CONTROLLER = 30
"""Ports count through all controllers, thirty each."""


def main(folder: Path) -> None:
    """Measure and write T-arm-rig.json, T-lateness-rig.json, T-residual-rig.json and T-unpaired-rig.json."""
    small = {"formats": ["yuyv"], "sizes": ["320x240"], "port": _CONTROLLER + 2}
    with UvcCamera(serial="BENCH01", trigger_line=str(LINE), **small) as camera:
        bench = _bench(str(camera.node))
        taken = take_turns({"ours": lambda: observe(bench)}, ROUNDS)
    write_all(_row(bench), taken, folder)


def _bench(path: str) -> Bench:
    settings = Settings(
        pixel_format="YUYV",
        width_px=320,
        height_px=240,
        rate=Fraction(5),
        exposure_ns=5 * NS_PER_MS,
        settle_frames=0,
    )
    trigger = TriggerOrder(
        kind=TriggerKind.PULSE,
        output=OutputOrder(line=LINE, consumer="benchmark"),
        pulse=PulseOrder(width_ns=NS_PER_MS),
        cycle_ns=520 * NS_PER_MS,
    )
    wish = TriggerWish(mode=TriggerMode.EXTERNAL_EDGE)
    camera = CameraOrder(
        name="triggered", path=path, settings=settings, trigger=CameraTrigger(budget=BUDGET, wish=wish)
    )
    return Bench(camera=camera, trigger=trigger, period_ns=600 * NS_PER_MS, starts=3, pulses=10)


def _row(bench: Bench) -> Comparison:
    return Comparison(
        name="-rig",
        row="",
        what=f"A pulse every {bench.period_ns // NS_PER_MS} ms on a line of gpio-sim fires a UVC camera (USB/IP)",
        measure="",
        unit="ns",
        ours="a capture process with its loop, trigger and ledger as they are; uvcvideo; the camera is a program",
        gate=None,
        moonshot=None,
        where="rig",
        repeat="make rig BENCH=1",
        notes=(
            f"{bench.starts} starts and {bench.pulses} pulses a block, each block a capture process of its own.",
            "Each start is proven by a pulse that leaves at once and by its frame; no settle time is asked for.",
            "The camera hears of an edge by a tracepoint; its frame is stamped when the first packet comes.",
            "Residuals are distances from the pulse and 150 ms, the middle of what the budget allows.",
            "On an emulated processor they tell how long both programs take, not what a camera would.",
        ),
        environment=describe(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
