"""The chip of `--simulate`: lines wired to the simulated cameras, as on a bench."""

from __future__ import annotations

from collections.abc import Callable

from agent.simulation.kernel import SimulatedKernel
from agent.simulation.line_level import LineChip
from agent.simulation.lines import SimulatedLines
from agent.trigger.lines import LineRef

CHIP = "bench"
TRIGGER, EDGE, STOP, STROBE = "trigger", "edge", "stop", "strobe"
"""`trigger` goes to every camera and back to `edge`; `stop` is a switch nobody presses; each camera has a strobe."""


def wired_lines(kernel: SimulatedKernel) -> SimulatedLines:
    """One chip, in the time of the kernel's cameras. The caller releases it."""
    strobes = [f"{STROBE}-{place}" for place in range(len(kernel.cameras))]
    chip = LineChip(label=CHIP, names=(TRIGGER, EDGE, STOP, *strobes))
    lines = SimulatedLines([chip], clock=kernel.clock, deadlines=kernel.deadlines)
    trigger = LineRef(CHIP, TRIGGER)
    lines.wire(trigger, LineRef(CHIP, EDGE))
    for camera, name in zip(kernel.cameras, strobes, strict=True):
        lines.on_level(trigger, camera.level)
        camera.trigger.strobe.subscribe(_pulling(lines, LineRef(CHIP, name)))
    return lines


def _pulling(lines: SimulatedLines, line: LineRef) -> Callable[[bool, int], None]:
    """What gives `line` the level of a strobe."""
    return lambda high, _at_ns: lines.pull(line, high)
