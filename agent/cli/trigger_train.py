"""A train of pulses in the foreground: on absolute instants, each edge looked at, the line safe at every end."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence

from agent.capture.outputs import TriggerNotIdle
from agent.cli.spread import Spread
from agent.clock import ReadClock, monotonic_ns
from agent.errors import AgentError
from agent.trigger.lines import Lines, OutputLine, OutputOrder, Written
from agent.trigger.pulse import SPIN_BELOW_NS, PulseEdge, PulseOrder, PulseOut
from agent.units import NS_PER_MS

KEPT_EDGES = 20_000
"""Edges that are remembered, the last ones; the figures are of all."""
_LEISURE_NS = 2 * NS_PER_MS
"""Edges are told only while the next one is farther away than this, so that telling them makes none late."""
_UNTOLD = 4096

WaitUntil = Callable[[int], object]
TellEdges = Callable[[Sequence[PulseEdge]], None]


class PulsesLeftOut(AgentError):
    """Some pulses of a train were not sent: the next was due already. Details: left_out, sent."""

    code = "pulses_left_out"


class Train:
    """Carries out one order; what it came to stays readable, however `run` ended. One thread.

    An edge was at some instant between the clock before and after it was written; figures take the middle of the two.
    """

    def __init__(self, output: OutputOrder, pulse: PulseOrder, *, read_ns: ReadClock = monotonic_ns) -> None:
        """Nothing is opened before `run`."""
        self.output, self.pulse = output, pulse
        self.sent = self.left_out = 0
        self.edges: deque[PulseEdge] = deque(maxlen=KEPT_EDGES)
        self.uncertainty_ns = 0
        """The largest half of a bracket: no instant is farther off than this."""
        self._read_ns = read_ns
        self._lateness, self._widths = array("q"), array("q")
        self._begin_ns = 0
        self._untold: list[PulseEdge] = []

    @property
    def lateness(self) -> Spread | None:
        """Of the active edges, after the instants that were asked for."""
        return Spread.of(self._lateness)

    @property
    def widths(self) -> Spread | None:
        """Of the pulses that ended."""
        return Spread.of(self._widths)

    @property
    def first_ns(self) -> int | None:
        """The instant the first edge that is remembered was asked for."""
        return self.edges[0].wanted_ns if self.edges else None

    @property
    def told(self) -> str:
        """How far it came, for people."""
        safe = "active" if self.output.safe_active else "inactive"
        return f"{self.sent} of {self.pulse.count} pulses sent; {self.output.line} was left {safe}, its safe level"

    def run(self, lines: Lines, wait: WaitUntil, tell: TellEdges) -> None:
        """Send the pulses. Raises LineError, TriggerNotIdle, and what `wait` raises: the line is safe then as well.

        `tell` gets all edges, some at a time, when there is leisure. A failure after the line was taken carries a note
        on how many pulses there were.
        """
        line = lines.open_output(self.output)
        # a clock that stands still until it is moved cannot be spun on
        spin_below_ns = SPIN_BELOW_NS if self._read_ns is monotonic_ns else 0
        try:
            with PulseOut(line, self.pulse, read_ns=self._read_ns, spin_below_ns=spin_below_ns) as out:
                self._prove_idle(line)
                self._send(out, wait, tell)
        except AgentError as error:
            error.add_note(f"{self.sent} of {self.pulse.count} pulses were sent")
            raise
        finally:
            self._flush(tell)

    def raise_left_out(self) -> None:
        """Raises PulsesLeftOut if it is due."""
        if self.left_out:
            raise PulsesLeftOut(
                f"{self.left_out} of {self.pulse.count} pulses were left out: this machine was late by a whole period",
                hint="ask for a longer period, or for less load on this machine",
                left_out=self.left_out,
                sent=self.sent,
            )

    def _prove_idle(self, line: OutputLine) -> None:
        if line.is_active():
            raise TriggerNotIdle(
                f"line {self.output.line} is active, though it is driven to its idle level",
                hint="look for a short, or for somebody else who drives this wire",
                line=str(self.output.line),
            )

    def _send(self, out: PulseOut, wait: WaitUntil, tell: TellEdges) -> None:
        self._take(out.fire(self._read_ns()))
        while (next_ns := out.next_ns) is not None:
            if next_ns - self._read_ns() > _LEISURE_NS or len(self._untold) >= _UNTOLD:
                self._flush(tell)
            wait(next_ns)
            self._take(out.due(self._read_ns()))

    def _take(self, edges: Sequence[PulseEdge]) -> None:
        for edge in edges:
            self.edges.append(edge)
            self._untold.append(edge)
            if edge.written is None:
                self.left_out += 1
                continue
            at_ns = middle_ns(edge.written)
            self.uncertainty_ns = max(self.uncertainty_ns, -(-(edge.written.after_ns - edge.written.before_ns) // 2))
            if edge.active:
                self.sent += 1
                self._begin_ns = at_ns
                self._lateness.append(at_ns - edge.wanted_ns)
            else:
                self._widths.append(at_ns - self._begin_ns)

    def _flush(self, tell: TellEdges) -> None:
        untold, self._untold = self._untold, []
        if untold:
            tell(untold)


def middle_ns(written: Written) -> int:
    """Half way between the clock before and after."""
    return (written.before_ns + written.after_ns) // 2
