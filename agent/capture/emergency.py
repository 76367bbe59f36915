"""The emergency stop: an edge that stops every stream in the loop itself, and stays latched (mission row G3).

A line that cannot be read stops as well: what cannot be trusted is taken for pressed.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.capture.board import Head
from agent.clock import ReadClock
from agent.errors import StateError
from agent.trigger.errors import LineError
from agent.trigger.lines import InputLine, InputOrder, Lines
from agent.units import NS_PER_S


class EmergencyStopLatched(StateError):
    """The emergency stop was pressed and not released: no stream may be started."""

    code = "emergency_stop"
    exit_code = 8


class Pressed(NamedTuple):
    """Why everything stops: the edge's own time, or when a level or a fault was noticed."""

    at_ns: int
    why: str


class EmergencyStop:
    """One input line. The latch is in the shared page, so that it outlives the process. Owned by the loop."""

    def __init__(self, lines: Lines, order: InputOrder, words: memoryview, now_ns: ReadClock) -> None:
        """Nothing is opened before `check`."""
        self._lines, self._order, self._words, self._now_ns = lines, order, words, now_ns
        self._line: InputLine | None = None
        self._retry_ns = 0
        self.fault: LineError | None = None
        """Why the line cannot be read; None while it can."""

    @property
    def latched(self) -> bool:
        """Pressed, and not released since."""
        return bool(self._words[Head.STOPPED_NS])

    @property
    def fd(self) -> int | None:
        """What to poll; None while the line is not there."""
        return None if self._line is None else self._line.fileno()

    @property
    def next_ns(self) -> int | None:
        """When to try to open the line again."""
        return self._retry_ns if self._line is None else None

    def check(self, now_ns: int) -> Pressed | None:
        """Open the line when it is not open; active already, or not to be had: that is pressed too."""
        if self._line is not None or now_ns < self._retry_ns:
            return None
        self._retry_ns = now_ns + NS_PER_S
        try:
            self._line = self._lines.open_input(self._order)
            self.fault = None
            # the level after the line is watched: no edge falls between
            if self._line.is_active():
                return self._press(Pressed(now_ns, f"line {self._order.line} is active"))
        except LineError as error:
            return self._lost(error)
        return None

    def on_edges(self) -> Pressed | None:
        """Edges wait: the first active one is the stop.

        One to inactive says that it was active just before, even if the kernel merged the two: that counts too.
        """
        if self._line is None:
            return None
        try:
            edges = self._line.read()
            if edges.edges:
                first = next((edge for edge in edges.edges if edge.active), edges.edges[0])
                return self._press(Pressed(first.time_ns, f"line {self._order.line}"))
            if edges.lost or self._line.is_active():
                return self._press(Pressed(self._now_ns(), f"line {self._order.line}"))
        except LineError as error:
            return self._lost(error)
        return None

    def unlatch(self) -> None:
        """Streams may be started again. Raises EmergencyStopLatched while the line is active or not to be read.

        One that is not latched is left alone: the edges that wait may be a press that nobody acted on yet.
        """
        if not self.latched:
            return
        try:
            if self._line is not None:
                self._line.read()  # the edges of the press that is released: later ones are another press
            is_active = self._line is None or self._line.is_active()
        except LineError as error:
            self._lost(error)
            is_active = True
        if is_active:
            why = "is active" if self.fault is None else f"cannot be read: {self.fault.message}"
            raise EmergencyStopLatched(
                f"the emergency stop cannot be released: line {self._order.line} {why}",
                hint="release the switch, then ask again",
                state="latched",
                verb="release",
                allowed=[],
            )
        self._words[Head.STOPPED_NS] = 0

    def require_released(self, verb: str) -> None:
        """Raises EmergencyStopLatched while it is latched."""
        if self.latched:
            raise EmergencyStopLatched(
                f"cannot {verb}: the emergency stop on line {self._order.line} is latched",
                hint="release the switch, then the stop, and ask again",
                state="latched",
                verb=verb,
                allowed=["release"],
            )

    def release(self) -> None:
        """Let go of the line; idempotent. The latch stays."""
        line, self._line = self._line, None
        if line is not None:
            line.release()

    def _press(self, pressed: Pressed) -> Pressed | None:
        """None when it is latched already."""
        if self.latched:
            return None
        self._words[Head.STOPPED_NS] = pressed.at_ns
        return pressed

    def _lost(self, error: LineError) -> Pressed | None:
        self.fault = error
        line, self._line = self._line, None
        if line is not None:
            line.release()
        return self._press(Pressed(self._now_ns(), f"line {self._order.line} cannot be read: {error.message}"))
