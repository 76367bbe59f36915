"""Pulses on an output line, one or a train of them, driven from outside by time: no thread, no sleep.

`fire(now)` begins, `next_ns` says when `due(now)` wants to be called next. Pulses shorter than `SPIN_BELOW_NS` are
timed by spinning, since no wake-up of a loop is that exact. A pulse is never shorter than asked: its end is aimed at
the clock as read after the line was set, plus the width. It is longer by as much as its caller was late.
`read_ns` must go on by itself: a spun pulse waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from agent.clock import ReadClock, monotonic_ns
from agent.errors import InputError
from agent.trigger.errors import LineError, PulseActive, released
from agent.trigger.lines import OutputLine, Written
from agent.units import NS_PER_US, format_duration

SPIN_BELOW_NS = 300 * NS_PER_US
"""Shorter pulses are spun: a timerfd wakes a process some 50 to 250 us late on an ordinary kernel."""


KEPT_EDGES = 1024
"""Of a long train, those before are known to whoever called `due`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseOrder:
    """What to send. `count` pulses of `width_ns`, their begins `period_ns` apart.

    `period_ns` None for one pulse. Raises InputError when it cannot be: a width or count below 1, a train without a
    period, and a width that leaves no gap within the period.
    """

    width_ns: int
    count: int = 1
    period_ns: int | None = None

    def __post_init__(self) -> None:
        if self.width_ns <= 0:
            raise _impossible(self, f"a pulse cannot be {self.width_ns} ns wide", "ask for a width above 0")
        if self.count < 1:
            raise _impossible(self, f"a train cannot have {self.count} pulses", "ask for 1 or more")
        if self.period_ns is None:
            if self.count > 1:
                raise _impossible(self, f"{self.count} pulses need a period", "say how far apart they begin")
        elif self.width_ns >= self.period_ns:
            width, period = format_duration(self.width_ns), format_duration(self.period_ns)
            raise _impossible(
                self,
                f"a pulse of {width} does not fit into a period of {period}",
                "ask for a shorter pulse or a longer period: the line must fall between two pulses",
            )

    @property
    def least_gap_ns(self) -> int:
        """How long the line is inactive between two pulses at least, however late the first: half the usual gap."""
        return 0 if self.period_ns is None else (self.period_ns - self.width_ns) // 2


def _impossible(order: PulseOrder, message: str, hint: str) -> InputError:
    return InputError(message, hint=hint, width_ns=order.width_ns, count=order.count, period_ns=order.period_ns)


class PulseEdge(NamedTuple):
    """One edge of a pulse. `number`: the pulse's, from 0. `wanted_ns`: when it should be, `written`: when it was.

    A pulse that was missed, because `due` came when the next one was to begin already, has one edge, `written` None.
    """

    number: int
    active: bool
    wanted_ns: int
    written: Written | None


class PulseOut:
    """One output line that sends pulses. A context manager; owns the line. Used by one thread.

    From now on the line is inactive between pulses, also where its safe level is the active one: else the first pulse
    would have no edge. `release()` is idempotent, and leaves the line at its safe level whatever happened before.
    """

    def __init__(
        self,
        line: OutputLine,
        order: PulseOrder,
        *,
        read_ns: ReadClock = monotonic_ns,
        spin_below_ns: int = SPIN_BELOW_NS,
    ) -> None:
        """Make the line inactive. Raises LineGone, LineError: the line is released then."""
        self._line = line
        self._order = order
        self._read_ns = read_ns
        self._spins = order.width_ns < spin_below_ns
        self._start_ns = 0
        self._number = order.count
        """The next pulse to begin; `count` when none is to come."""
        self._end_ns: int | None = None
        """When the pulse that is active ends; None while the line is inactive."""
        self._free_ns = 0
        """Before this no pulse begins: the gap after the one before."""
        self._edges: deque[PulseEdge] = deque(maxlen=KEPT_EDGES)
        self._released = False
        try:
            if line.is_active():
                line.set(False)
        except BaseException:
            line.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def order(self) -> PulseOrder:
        """What `fire` sends."""
        return self._order

    @property
    def edges(self) -> tuple[PulseEdge, ...]:
        """The last `KEPT_EDGES` edges since `fire`, those before a fault included. Each was returned once as well."""
        return tuple(self._edges)

    @property
    def is_active(self) -> bool:
        """Whether a pulse is on the line now."""
        return self._end_ns is not None

    @property
    def next_ns(self) -> int | None:
        """When to call `due` next; None when nothing is to come."""
        if self._end_ns is not None:
            return self._end_ns
        if self._number < self._order.count:
            return max(self._begin_ns, self._free_ns)
        return None

    def fire(self, now_ns: int) -> tuple[PulseEdge, ...]:
        """Begin the pulse or the train now; the edges made. A spun pulse is over when this returns.

        Raises PulseActive while one is active or to come, StateError after `release`; LineGone, LineError: the train
        is then over, and the line was told to be inactive if it could be told.
        """
        if self._released:
            raise released("the pulse output", "fire")
        if self.next_ns is not None:
            raise PulseActive(
                "a pulse is active or to come on this line",
                hint="wait for its end, or stop it",
                state="active" if self.is_active else "train",
                verb="fire",
                allowed=["due", "stop", "release"],
                next_ns=self.next_ns,
            )
        self._start_ns, self._number, self._free_ns = now_ns, 0, now_ns
        self._edges.clear()
        return self._advance(now_ns)

    def due(self, now_ns: int) -> tuple[PulseEdge, ...]:
        """Do what is due at `now_ns`; the edges made, oldest first. Nothing before `next_ns`.

        Raises StateError after `release`, LineGone, LineError as `fire` does.
        """
        if self._released:
            raise released("the pulse output", "go on")
        return self._advance(now_ns)

    def stop(self) -> tuple[PulseEdge, ...]:
        """End the train and the pulse now. Nothing when none is. Raises LineGone, LineError."""
        self._number = self._order.count
        with self._guarded():
            return () if self._end_ns is None else (self._end(self._end_ns),)

    def release(self) -> None:
        """End everything, the line at its safe level, then let go of it. Idempotent."""
        self._released = True
        self._number, self._end_ns = self._order.count, None
        self._line.release()

    def _advance(self, now_ns: int) -> tuple[PulseEdge, ...]:
        edges: list[PulseEdge] = []
        with self._guarded():
            if self._end_ns is not None and now_ns >= self._end_ns:
                edges.append(self._end(self._end_ns))
            if self._end_ns is None:
                edges += self._missed(now_ns)
            next_ns = self.next_ns
            if self._end_ns is None and next_ns is not None and now_ns >= next_ns:
                edges += self._pulse()
        return tuple(edges)

    def _missed(self, now_ns: int) -> Iterator[PulseEdge]:
        """The pulses whose whole period passed before they could begin."""
        period_ns = self._order.period_ns
        while period_ns is not None and self._number < self._order.count:
            if max(now_ns, self._free_ns) < self._begin_ns + period_ns:
                return
            yield self._note(PulseEdge(self._number, True, self._begin_ns, None))
            self._number += 1

    def _pulse(self) -> tuple[PulseEdge, ...]:
        """Begin the next pulse, and end it when it is spun."""
        written = self._line.set(True)
        begin = self._note(PulseEdge(self._number, True, self._begin_ns, written))
        self._number += 1
        self._end_ns = end_ns = written.after_ns + self._order.width_ns
        if not self._spins:
            return (begin,)
        while self._read_ns() < end_ns:
            pass
        return (begin, self._end(end_ns))

    def _end(self, wanted_ns: int) -> PulseEdge:
        written = self._line.set(False)
        self._end_ns = None
        self._free_ns = written.after_ns + self._order.least_gap_ns
        return self._note(PulseEdge(self._number - 1, False, wanted_ns, written))

    def _note(self, edge: PulseEdge) -> PulseEdge:
        self._edges.append(edge)
        return edge

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """After a fault within an edge: no more pulses, and the line inactive if it still listens."""
        try:
            yield
        except BaseException:
            self._number, self._end_ns = self._order.count, None
            with suppress(LineError):
                self._line.set(False)
            raise

    @property
    def _begin_ns(self) -> int:
        return self._start_ns + self._number * (self._order.period_ns or 0)
