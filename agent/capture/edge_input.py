"""Edges of a group's input line, with what the kernel dropped counted (mission row E1)."""

from __future__ import annotations

from collections.abc import Callable

from agent.capture.board import Head
from agent.clock import ReadClock
from agent.errors import AgentError
from agent.trigger.errors import LineError
from agent.trigger.lines import InputLine, InputOrder, Lines
from agent.units import NS_PER_S


class EdgeInput:
    """One input line; its active edges are told one by one. Opened again when it was lost. Owned by the loop."""

    def __init__(
        self,
        lines: Lines,
        order: InputOrder,
        words: memoryview | None,
        on_edge: Callable[[int], None],
        tell: Callable[[AgentError | None], None],
        now_ns: ReadClock,
    ) -> None:
        """Nothing is opened before `check`. `words`: the page's header, to count in; None: not counted."""
        self._lines, self._order, self._words = lines, order, words
        self._on_edge, self._tell, self._now_ns = on_edge, tell, now_ns
        self._line: InputLine | None = None
        self._retry_ns = 0
        self._fault = ""

    @property
    def fd(self) -> int | None:
        """What to poll; None while the line is not there."""
        return None if self._line is None else self._line.fileno()

    @property
    def next_ns(self) -> int | None:
        """When to try to open the line."""
        return self._retry_ns if self._line is None else None

    def check(self, now_ns: int) -> None:
        """Open the line when it is not open."""
        if self._line is not None or now_ns < self._retry_ns:
            return
        try:
            self._line = self._lines.open_input(self._order)
        except LineError as error:
            self._lost(error)
            return
        if self._fault:
            self._fault = ""
            self._tell(None)

    def on_edges(self) -> None:
        """Edges wait: tell the active ones."""
        if self._line is None:
            return
        try:
            edges, lost = self._line.read()
        except LineError as error:
            self._lost(error)
            return
        active = [edge.time_ns for edge in edges if edge.active]
        if self._words is not None:
            self._words[Head.EDGES] += len(active)
            self._words[Head.EDGES_LOST] += lost
        for at_ns in active:
            self._on_edge(at_ns)

    def release(self) -> None:
        """Let go of the line; idempotent."""
        line, self._line = self._line, None
        if line is not None:
            line.release()

    def _lost(self, error: LineError) -> None:
        self.release()
        self._retry_ns = self._now_ns() + NS_PER_S
        if self._fault != error.code:
            self._fault = error.code
            self._tell(error)
