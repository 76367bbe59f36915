"""A simulated chip under the verbs of `trigger`, and hands that act when the verb waits."""

import os
import signal
from contextlib import nullcontext

from cli.outcome import Result

from agent.cli.main import run
from agent.simulation.line_level import LineChip
from agent.simulation.lines import SimulatedLines
from agent.trigger.lines import LineRef, OutputOrder

NAMES = ("trigger", "edge", "stop", "")
TRIGGER, EDGE = (LineRef("bench", name) for name in ("trigger", "edge"))


class LinesBench:
    """Lines behind the command line. `on_set(number)`: called before a level; `on_read(number)`: after a read.

    Number 0 of the reads is that of the level, before the first wait. `stuck`: the output reads active.
    """

    def __init__(self, capsys):
        self.chip = SimulatedLines([LineChip(label="bench", names=NAMES)])
        self.chip.wire(TRIGGER, EDGE)
        self.levels = []
        self.chip.on_level(TRIGGER, lambda high, _at_ns: self.levels.append(high))
        self.on_set = self.on_read = lambda _number: None
        self.stuck = False
        self._capsys = capsys

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.chip.release()

    def call(self, *arguments):
        """Carry out one command line."""
        code = run(["trigger", *map(str, arguments)], lines=lambda _simulate: nullcontext(self))
        captured = self._capsys.readouterr()
        return Result(code, captured.out, captured.err)

    def hold(self, consumer="somebody"):
        """Somebody else has the trigger line."""
        return self.chip.open_output(OutputOrder(line=TRIGGER, consumer=consumer))

    def is_free(self, ref=TRIGGER):
        info = next(info for info in self.chip.lines("bench") if info.name == ref.line)
        return not info.used

    # -- agent.trigger.lines.Lines

    def chips(self):
        return self.chip.chips()

    def lines(self, chip):
        return self.chip.lines(chip)

    def open_output(self, order):
        return _Output(self, self.chip.open_output(order))

    def open_input(self, order):
        return _Input(self, self.chip.open_input(order))


class _Output:
    def __init__(self, bench, line):
        self._bench, self._line, self._sets = bench, line, 0

    def __getattr__(self, name):
        return getattr(self._line, name)

    def is_active(self):
        return self._bench.stuck or self._line.is_active()

    def set(self, active):
        self._sets += 1
        self._bench.on_set(self._sets)
        return self._line.set(active)


class _Input:
    def __init__(self, bench, line):
        self._bench, self._line, self._reads = bench, line, 0

    def __getattr__(self, name):
        return getattr(self._line, name)

    def is_active(self):
        """Read once, before the first wait."""
        self._bench.on_read(0)
        return self._line.is_active()

    def read(self):
        self._reads += 1
        edges = self._line.read()
        self._bench.on_read(self._reads)
        return edges


def interrupt():
    """Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
