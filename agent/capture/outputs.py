"""What makes a group's pulses: a GPIO line of ours, or each camera's own software trigger (mission row E1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from agent.clock import ReadClock, monotonic_ns
from agent.errors import AgentError
from agent.trigger.errors import LineError
from agent.trigger.lines import Lines, OutputLine, OutputOrder, Written
from agent.trigger.pulse import SPIN_BELOW_NS, PulseEdge, PulseOrder, PulseOut


class TriggerNotIdle(AgentError):
    """The trigger's line is not at its idle level, though we drive it there: a short, or another driver on the wire."""

    code = "trigger_not_idle"


class Fired(NamedTuple):
    """A pulse left: the middle of the bracket its own time lies in, and half of it."""

    number: int
    at_ns: int
    uncertainty_ns: int

    @classmethod
    def of(cls, number: int, written: Written) -> Fired:
        """By the clock before and after."""
        half_ns = (written.after_ns - written.before_ns + 1) // 2
        return cls(number, written.before_ns + half_ns, half_ns)


TellFired = Callable[[Fired], None]


class LineOutput:
    """A GPIO line. The line is open, at its safe level, from the beginning to `release`."""

    def __init__(self, lines: Lines, order: OutputOrder, pulse: PulseOrder, tell: TellFired, now_ns: ReadClock) -> None:
        """Take the line. Raises LineError."""
        self._order, self._tell, self._now_ns = order, tell, now_ns
        self._line: OutputLine = lines.open_output(order)
        # a clock that stands still until it is moved cannot be spun on
        spin_below_ns = SPIN_BELOW_NS if now_ns is monotonic_ns else 0
        self._pulses = PulseOut(self._line, pulse, read_ns=now_ns, spin_below_ns=spin_below_ns)

    @property
    def next_ns(self) -> int | None:
        """When the pulse ends."""
        return self._pulses.next_ns

    @property
    def free(self) -> bool:
        """No pulse is on the line."""
        return self._pulses.next_ns is None

    def fire(self, number: int, now_ns: int) -> None:
        """Begin a pulse. Raises LineError; one that left before that is told all the same."""
        try:
            edges = self._pulses.fire(now_ns)
        except LineError:
            self._told(number, self._pulses.edges)
            raise
        self._told(number, edges)

    def due(self, now_ns: int) -> None:
        """End it when it is time. Raises LineError."""
        self._pulses.due(now_ns)

    def stop(self) -> None:
        """Cut a pulse short. Raises LineError."""
        self._pulses.stop()

    def prove_idle(self) -> None:
        """The level as the kernel reads it. Raises TriggerNotIdle, LineError."""
        if self._line.is_active():
            raise TriggerNotIdle(
                f"line {self._order.line} is active, though it is driven to its idle level",
                hint="look for a short, or for somebody else who drives this wire",
                line=str(self._order.line),
            )

    def release(self) -> None:
        """Safe level, let go."""
        self._pulses.release()

    def _told(self, number: int, edges: Sequence[PulseEdge]) -> None:
        for edge in edges:
            if edge.active and edge.written is not None:
                self._tell(Fired.of(number, edge.written))


class SoftwareTriggered(Protocol):
    """A camera with a trigger of its own."""

    name: str

    @property
    def free(self) -> bool:
        """Whether it can be told now."""
        ...

    def trigger(self, number: int, then: Callable[[Written | AgentError], None]) -> None:
        """Tell the camera; `then` gets the clock before and after, or why it could not be told."""
        ...


class SoftwareOutput:
    """Each camera is told one after the other by a helper thread of its own, so their pulses differ a little."""

    next_ns = None

    def __init__(
        self,
        cameras: Iterable[SoftwareTriggered],
        tell: Callable[[str, Fired], None],
        broke: Callable[[str, int, AgentError], None],
    ) -> None:
        """`tell` gets the camera and its pulse; `broke` the camera that got none, the pulse's number and why."""
        self._cameras, self._tell, self._broke = tuple(cameras), tell, broke

    @property
    def free(self) -> bool:
        """No camera is being told, or set."""
        return all(camera.free for camera in self._cameras)

    def fire(self, number: int, now_ns: int) -> None:  # noqa: ARG002
        """Tell all of them."""
        for camera in self._cameras:
            self._one(camera, number)

    def due(self, now_ns: int) -> None:
        """Nothing ends."""

    def stop(self) -> None:
        """Nothing is under way."""

    def prove_idle(self) -> None:
        """There is no level."""

    def release(self) -> None:
        """There is nothing to let go of."""

    def _one(self, camera: SoftwareTriggered, number: int) -> None:
        def then(outcome: Written | AgentError) -> None:
            if isinstance(outcome, AgentError):
                self._broke(camera.name, number, outcome)
            else:
                self._tell(camera.name, Fired.of(number, outcome))

        camera.trigger(number, then)
