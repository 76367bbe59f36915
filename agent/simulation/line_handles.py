"""Open simulated lines: one that is driven, one that is watched. They behave as `agent.trigger.lines` says."""

from __future__ import annotations

import errno
from types import TracebackType
from typing import Protocol, Self

from agent.simulation.clock import Clock
from agent.simulation.line_events import EdgeFifo, Signal
from agent.simulation.line_level import Wiring
from agent.simulation.pacer import Deadlines
from agent.trigger.errors import released, typed_error
from agent.trigger.lines import Edges, InputOrder, OutputOrder, Written


class Board(Protocol):
    """What an open line asks of the lines it is one of. Each call locks."""

    clock: Clock
    deadlines: Deadlines

    def drive(self, wiring: Wiring, high: bool | None) -> int:
        """Let an output drive its line; None: let go. The clock when the level stood, before anybody heard of it."""
        ...

    def level_of(self, wiring: Wiring) -> bool:
        """The physical level."""
        ...

    def let_go(self, wiring: Wiring) -> None:
        """The line has no holder any more."""
        ...

    def read_edges(self, watched: SimulatedInput) -> Edges:
        """The edges that wait."""
        ...

    def settle(self, watched: SimulatedInput, turn: int) -> None:
        """The debounce period of `turn` is over."""
        ...


class _Held:
    """A line held by an order; a context manager, its `release()` is idempotent."""

    def __init__(self, board: Board, wiring: Wiring, order: OutputOrder | InputOrder) -> None:
        self.consumer = order.consumer
        self.active_low = order.active_low
        self.gone = False
        self._board = board
        self._wiring = wiring
        self._released = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def is_active(self) -> bool:
        """The level now. Raises LineGone; StateError after `release`."""
        self._check("read the level", "GPIO_V2_LINE_GET_VALUES")
        return self._board.level_of(self._wiring) != self.active_low

    def release(self) -> None:
        """Let go."""
        if self._released:
            return
        self._released = True
        if not self.gone:  # else somebody may hold it again by now
            self._board.let_go(self._wiring)

    def heard(self, high: bool, now_ns: int) -> None:
        """A driven line has nothing to hear."""

    def hang_up(self) -> None:
        """The chip has gone."""
        self.gone = True

    def _check(self, verb: str, request: str) -> None:
        name = self._wiring.name or str(self._wiring.offset)
        if self._released:
            raise released(f"the line {self._wiring.chip}:{name}", verb)
        if self.gone:
            raise typed_error(errno.ENODEV, request, device=self._wiring.chip, line=name)


class SimulatedOutput(_Held):
    """A line that is driven. Used by one thread."""

    def __init__(self, board: Board, wiring: Wiring, order: OutputOrder) -> None:
        super().__init__(board, wiring, order)
        self._safe_active = order.safe_active

    def set(self, active: bool) -> Written:
        """Drive the line. Raises LineGone; StateError after `release`."""
        self._check("set the level", "GPIO_V2_LINE_SET_VALUES")
        before_ns = self._board.clock.now_ns()
        # what is wired to it works beside us, as hardware would: its time is not the call's
        return Written(before_ns, self._board.drive(self._wiring, active != self.active_low))

    def release(self) -> None:
        """Safe level, then let go. Idempotent; silent when the chip has gone."""
        if not self._released and not self.gone:
            self.set(self._safe_active)
        super().release()


class SimulatedInput(_Held):
    """A line that is watched. Used by one thread."""

    def __init__(self, board: Board, wiring: Wiring, order: InputOrder) -> None:
        super().__init__(board, wiring, order)
        self.fifo = EdgeFifo(order.buffer_events)
        self.signal = Signal()
        self.most = order.buffer_events
        self.last_seqno = 0
        self._wanted = {True: order.rising, False: order.falling}
        self._debounce_ns = order.debounce_ns
        self._turn = 0
        self._steady = wiring.level
        """The debounced level."""

    def fileno(self) -> int:
        """The descriptor to poll. Raises StateError after `release`."""
        if self._released:
            self._check("poll", "poll")
        return self.signal.fd

    def read(self) -> Edges:
        """The edges that wait, at most a buffer full. Raises LineGone; StateError after `release`."""
        self._check("read edges", "read")
        return self._board.read_edges(self)

    def is_active(self) -> bool:
        """The level now, debounced when so ordered. Raises LineGone; StateError after `release`."""
        raw = super().is_active()
        return raw if self._debounce_ns is None else self._steady != self.active_low

    def release(self) -> None:
        """Let go. Idempotent; silent when the chip has gone."""
        if self._released:
            return
        super().release()
        self._board.deadlines.remove(self)
        self._board.deadlines.settle()
        self.signal.close()

    def heard(self, high: bool, now_ns: int) -> None:
        """An edge, or the begin of a debounce period. Called with the lines locked."""
        if self._debounce_ns is None:
            self._put(high, now_ns)
            return
        self._turn += 1  # each bounce begins the period anew: debounce_irq_handler, mod_delayed_work
        self._board.deadlines.add(self, now_ns + self._debounce_ns, self._turn)

    def expire(self, turn: int) -> None:
        """A debounce period is over (`agent.simulation.pacer.Paced`)."""
        self._board.settle(self, turn)

    def settled(self, turn: int) -> None:
        """The level was steady since `turn`. Called with the lines locked."""
        if turn == self._turn and not self.gone and not self._released and self._wiring.level != self._steady:
            self._steady = self._wiring.level
            self._put(self._steady, self._board.clock.now_ns())

    def hang_up(self) -> None:
        """The chip has gone: pollers wake. Called with the lines locked."""
        super().hang_up()
        self.signal.hang_up()

    def _put(self, high: bool, now_ns: int) -> None:
        active = high != self.active_low
        if self._wanted[active]:
            self.fifo.put(now_ns, active=active)
            self.signal.show(waiting=True)
