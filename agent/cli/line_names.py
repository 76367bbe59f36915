"""The lines of a plan file on a simulated chip, under the names that the file has for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from agent.trigger.lines import ChipInfo, InputLine, InputOrder, LineInfo, LineRef, Lines, OutputLine, OutputOrder

if TYPE_CHECKING:
    from agent.capture.order import GroupOrder


class Wired(NamedTuple):
    """A simulated line by its name, the cameras at its other end by their places, and whether low is active."""

    line: str
    cameras: tuple[int, ...]
    inverted: bool


class LineNames:
    """Each line of the file has a simulated line of its own; `paths`: the cameras by their places."""

    def __init__(self, groups: Sequence[GroupOrder], paths: Sequence[str]) -> None:
        self._groups, self._paths = groups, paths
        self._names: dict[LineRef, str] = {}
        inputs = (order for order, _ in (*self._inputs(), *self._strobes()))
        for line in (*(order.line for order, _ in self._outputs()), *(order.line for order in inputs)):
            self._names.setdefault(line, f"line-{len(self._names)}")

    @property
    def outputs(self) -> list[Wired]:
        """Those that fire cameras."""
        return [self._wired(*each) for each in self._outputs()]

    @property
    def inputs(self) -> list[Wired]:
        """Those that nobody is wired to."""
        return [self._wired(*each) for each in self._inputs()]

    @property
    def strobes(self) -> list[Wired]:
        """Those that cameras drive."""
        return [self._wired(*each) for each in self._strobes()]

    def simulated(self, line: LineRef) -> str:
        """The name of the simulated line that stands for one of the file."""
        return self._names[line]

    def _outputs(self) -> Iterator[tuple[OutputOrder, tuple[int, ...]]]:
        for group in self._groups:
            if group.trigger is not None and group.trigger.output is not None:
                yield group.trigger.output, places_of(group, self._paths)

    def _inputs(self) -> Iterator[tuple[InputOrder, tuple[int, ...]]]:
        for group in self._groups:
            if group.trigger is not None and group.trigger.input is not None:
                yield group.trigger.input, ()
            if group.emergency_stop is not None:
                yield group.emergency_stop.input, ()

    def _strobes(self) -> Iterator[tuple[InputOrder, tuple[int, ...]]]:
        for group in self._groups:
            for camera in group.cameras:
                if camera.trigger is not None and camera.trigger.strobe is not None:
                    yield camera.trigger.strobe, (self._paths.index(camera.path),)

    def _wired(self, order: InputOrder | OutputOrder, cameras: tuple[int, ...]) -> Wired:
        return Wired(self._names[order.line], cameras, order.active_low)


class RenamedLines:
    """`Lines` of the simulated chip `chip` under the names of the file."""

    def __init__(self, lines: Lines, names: LineNames, chip: str) -> None:
        self._lines, self._names, self._chip = lines, names, chip

    def chips(self) -> Sequence[ChipInfo]:
        """Those of the simulation."""
        return self._lines.chips()

    def lines(self, chip: str) -> Sequence[LineInfo]:
        """Those of the simulation."""
        return self._lines.lines(chip)

    def open_output(self, order: OutputOrder) -> OutputLine:
        """The simulated line that stands for it."""
        return self._lines.open_output(replace(order, line=self._simulated(order.line)))

    def open_input(self, order: InputOrder) -> InputLine:
        """The simulated line that stands for it; without its bias, since whoever is wired to it holds it inactive."""
        return self._lines.open_input(replace(order, line=self._simulated(order.line), bias=None))

    def _simulated(self, line: LineRef) -> LineRef:
        return LineRef(self._chip, self._names.simulated(line))


def places_of(group: GroupOrder, paths: Sequence[str]) -> tuple[int, ...]:
    """The triggered cameras of a group among `paths`."""
    return tuple(paths.index(camera.path) for camera in group.cameras if camera.trigger and camera.path in paths)
