"""Edges of a line in the foreground: each with its time, what the kernel dropped counted, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.cli.spread import Spread
from agent.clock import ReadClock, monotonic_ns
from agent.errors import AgentError
from agent.schedule.histogram import Histogram
from agent.trigger.lines import Edge, InputOrder, Lines

_WRAP = 2**32
"""Numbers of edges are 32 bits wide."""

WaitFor = Callable[[int | None, int], bool]
"""Waits until an instant, None for ever, or until a descriptor has something to read: then True."""


class EdgesMissing(AgentError):
    """Fewer edges came than were asked for, within the time that was given. Details: wanted, came, lost."""

    code = "edges_missing"


class SeenEdge(NamedTuple):
    """`since_ns`: since the edge before; None of the first one, and where edges between were lost. `lost`: those."""

    edge: Edge
    since_ns: int | None
    lost: int


TellSeen = Callable[[Sequence[SeenEdge]], None]


class EdgeWatch:
    """Watches one line; what it came to stays readable, however `run` ended. One thread.

    `edges`, `rising`: how many were read, and how many of them led to the active level. `lost`: dropped by the kernel,
    which keeps the last 1024 that were not read.
    """

    def __init__(self, order: InputOrder, *, read_ns: ReadClock = monotonic_ns) -> None:
        """Nothing is opened before `run`."""
        self.order = order
        self.edges = self.rising = self.lost = 0
        self.level: bool | None = None
        """At the beginning."""
        self._read_ns = read_ns
        self._intervals = Histogram(memoryview(bytearray(8 * Histogram.WORDS)).cast("q"))
        self._shortest_ns: int | None = None
        self._last: Edge | None = None

    @property
    def intervals(self) -> Spread | None:
        """From edge to edge, where none was lost between; the median up to a sixteenth too long."""
        median_ns = self._intervals.percentile(50)
        if median_ns is None or self._shortest_ns is None:
            return None
        return Spread(
            self._intervals.count, self._shortest_ns, max(median_ns, self._shortest_ns), self._intervals.max_ns
        )

    @property
    def told(self) -> str:
        """How far it came, for people."""
        return f"{self.edges} edges of {self.order.line}" + (f", {self.lost} lost" if self.lost else "")

    def run(self, lines: Lines, wait: WaitFor, tell: TellSeen, *, count: int | None, for_ns: int | None) -> None:
        """Until `count` edges came, or `for_ns` have passed since the line was taken; None for no end.

        `tell` gets the edges of one read at a time. Raises LineError, and what `wait` raises. A failure after the line
        was taken carries a note on how many there were.
        """
        line = lines.open_input(self.order)
        try:
            until_ns = None if for_ns is None else self._read_ns() + for_ns
            self.level = line.is_active()
            while (count is None or self.edges < count) and (until_ns is None or self._read_ns() < until_ns):
                if not wait(until_ns, line.fileno()):
                    continue
                wanted = None if count is None else count - self.edges
                seen = self._take(line.read().edges[:wanted])
                if seen:
                    tell(seen)
        except AgentError as error:
            error.add_note(self.told)
            raise
        finally:
            line.release()

    def raise_missing(self, count: int | None) -> None:
        """Raises EdgesMissing when fewer than `count` came."""
        if count is not None and self.edges < count:
            raise EdgesMissing(
                f"{self.edges} of {count} edges came in time on {self.order.line}",
                hint="look at the wire, at its source, and at the bias; `camera-agent trigger lines` shows the line",
                wanted=count,
                came=self.edges,
                lost=self.lost,
            )

    def _take(self, edges: Sequence[Edge]) -> list[SeenEdge]:
        seen = []
        for edge in edges:
            last = self._last
            lost = (edge.line_seqno - (0 if last is None else last.line_seqno) - 1) % _WRAP
            since_ns = None if last is None or lost else edge.time_ns - last.time_ns
            self._count(edge, since_ns, lost)
            seen.append(SeenEdge(edge, since_ns, lost))
        return seen

    def _count(self, edge: Edge, since_ns: int | None, lost: int) -> None:
        self.edges += 1
        self.rising += edge.active
        self.lost += lost
        self._last = edge
        if since_ns is not None:
            self._intervals.add(since_ns)
            if self._shortest_ns is None or since_ns < self._shortest_ns:
                self._shortest_ns = since_ns
