"""The chip of `--simulate`: lines wired to the simulated cameras, as on a bench."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from agent.simulation.kernel import SimulatedKernel
from agent.simulation.line_level import LineChip, OnLevel
from agent.simulation.lines import SimulatedLines
from agent.trigger.errors import LineError
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


class Wire(Protocol):
    """A line and the cameras at its other end, by their places. `inverted`: low is active."""

    @property
    def line(self) -> str:
        """Its name on the chip."""
        ...

    @property
    def cameras(self) -> Sequence[int]:
        """None for a line that nobody is wired to."""
        ...

    @property
    def inverted(self) -> bool:
        """Low is active."""
        ...


def lines_as(
    kernel: SimulatedKernel, *, outputs: Iterable[Wire], strobes: Iterable[Wire], inputs: Iterable[Wire]
) -> SimulatedLines:
    """One chip with just these lines: outputs fire cameras, cameras drive strobes, inputs stay inactive.

    The caller releases it.
    """
    outputs, strobes, inputs = tuple(outputs), tuple(strobes), tuple(inputs)
    names = tuple(wire.line for wire in (*outputs, *strobes, *inputs))
    lines = SimulatedLines([LineChip(label=CHIP, names=names)], clock=kernel.clock, deadlines=kernel.deadlines)
    for wire in outputs:
        lines.on_level(LineRef(CHIP, wire.line), firing(kernel, wire.cameras, inverted=wire.inverted))
    for wire in (*strobes, *inputs):
        lines.pull(LineRef(CHIP, wire.line), wire.inverted)
    for wire in strobes:
        for place in wire.cameras:
            strobe = _pulling(lines, LineRef(CHIP, wire.line), inverted=wire.inverted)
            kernel.cameras[place].trigger.strobe.subscribe(strobe)
    return lines


def firing(kernel: SimulatedKernel, cameras: Sequence[int], *, inverted: bool = False) -> OnLevel:
    """What tells a level to the trigger inputs of these cameras."""

    def tell(high: bool, at_ns: int) -> None:
        for place in cameras:
            kernel.cameras[place].level(high != inverted, at_ns)

    return tell


def _pulling(lines: SimulatedLines, line: LineRef, *, inverted: bool = False) -> Callable[[bool, int], None]:
    """What gives `line` the level of a strobe."""

    def pull(high: bool, _at_ns: int) -> None:
        with suppress(LineError):  # its chip is unplugged: nobody is at the other end
            lines.pull(line, high != inverted)

    return pull
