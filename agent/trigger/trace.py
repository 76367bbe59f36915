"""Lines that tell everything done with them: for dry runs on simulated lines, beside `agent.v4l2.trace`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from agent.clock import ReadClock
from agent.errors import AgentError
from agent.trigger.lines import (
    ChipInfo,
    Edges,
    InputLine,
    InputOrder,
    LineInfo,
    Lines,
    OutputLine,
    OutputOrder,
    Written,
)

Facts = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class LineCall:
    """Something done with a line, or an edge of it.

    `name`: `open output`, `open input`, `set`, `read`, `edge`, `close`. `line`: as it was ordered. `asked`,
    `answered`: names and values in words. `error`: the code of the error it raised. Instants on CLOCK_MONOTONIC, in
    nanoseconds; of an edge its own.
    """

    at_ns: int
    line: str
    name: str
    asked: Facts = ()
    answered: Facts = ()
    error: str = ""

    @property
    def text(self) -> str:
        """One line: `line bench:trigger set active`."""
        told = " ".join(("line", self.line, self.name, *map(_fact, self.asked)))
        if self.error:
            return f"{told} -> {self.error}"
        answer = " ".join(map(_fact, self.answered))
        return f"{told} -> {answer}" if answer else told


Sink = Callable[[LineCall], None]
"""Takes calls as they return, in the thread that made them."""


class TracingLines:
    """`Lines` in front of others. Shared between threads as far as those and the sink may be."""

    def __init__(self, lines: Lines, sink: Sink, now_ns: ReadClock) -> None:
        self._lines = lines
        self._teller = _Teller(sink, now_ns)

    def chips(self) -> Sequence[ChipInfo]:
        """Those of the others; not told."""
        return self._lines.chips()

    def lines(self, chip: str) -> Sequence[LineInfo]:
        """Those of the others; not told."""
        return self._lines.lines(chip)

    def open_output(self, order: OutputOrder) -> OutputLine:
        """Take a line, and tell how."""
        facts = ("active", "low" if order.active_low else "high"), ("safe", _level(active=order.safe_active))
        with self._teller.told(str(order.line), "open output", facts):
            line = self._lines.open_output(order)
        return _Output(line, str(order.line), self._teller)

    def open_input(self, order: InputOrder) -> InputLine:
        """Take a line, and tell how."""
        facts: Facts = (("active", "low" if order.active_low else "high"),)
        if order.bias is not None:
            facts += (("bias", order.bias.value),)
        if order.debounce_ns is not None:
            facts += (("debounce_us", str(order.debounce_ns // 1000)),)
        with self._teller.told(str(order.line), "open input", facts):
            line = self._lines.open_input(order)
        return _Input(line, str(order.line), self._teller)


class _Teller:
    def __init__(self, sink: Sink, now_ns: ReadClock) -> None:
        self.sink, self.now_ns = sink, now_ns

    def told(self, line: str, name: str, asked: Facts = ()) -> AbstractContextManager[LineCall]:
        """Around what is done; the answer is put into what it gives."""
        return self._told(LineCall(self.now_ns(), line, name, asked))

    @contextmanager
    def _told(self, call: LineCall) -> Iterator[LineCall]:
        try:
            yield call
        except AgentError as error:
            call.error = error.code
            raise
        finally:
            self.sink(call)


class _Output:
    def __init__(self, line: OutputLine, name: str, teller: _Teller) -> None:
        self._line, self._name, self._teller = line, name, teller
        self._is_open = True

    def set(self, active: bool) -> Written:
        with self._teller.told(self._name, "set", ((_level(active=active), ""),)):
            return self._line.set(active)

    def is_active(self) -> bool:
        with self._teller.told(self._name, "read") as call:
            active = self._line.is_active()
            call.answered = ((_level(active=active), ""),)
        return active

    def release(self) -> None:
        if self._is_open:
            self._is_open = False
            with self._teller.told(self._name, "close"):
                self._line.release()


class _Input:
    def __init__(self, line: InputLine, name: str, teller: _Teller) -> None:
        self._line, self._name, self._teller = line, name, teller
        self._is_open = True

    def fileno(self) -> int:
        return self._line.fileno()

    def read(self) -> Edges:
        """Each edge is told at its own instant."""
        try:
            found = self._line.read()
        except AgentError as error:
            self._teller.sink(LineCall(self._teller.now_ns(), self._name, "read", error=error.code))
            raise
        for edge in found.edges:
            self._teller.sink(LineCall(edge.time_ns, self._name, "edge", ((f"to {_level(active=edge.active)}", ""),)))
        return found

    def is_active(self) -> bool:
        with self._teller.told(self._name, "read") as call:
            active = self._line.is_active()
            call.answered = ((_level(active=active), ""),)
        return active

    def release(self) -> None:
        if self._is_open:
            self._is_open = False
            with self._teller.told(self._name, "close"):
                self._line.release()


def _level(*, active: bool) -> str:
    return "active" if active else "inactive"


def _fact(fact: tuple[str, str]) -> str:
    name, value = fact
    return f"{name}={value}" if value else name
