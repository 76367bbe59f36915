"""Phase, busy and cancel-pending of one camera in one word, with one writer: the capture loop (mission row G4).

The word is stored as a whole, so a reader anywhere sees a state that was: never busy of one moment with the cancel of
another. Every change goes through one table; what the table does not have is a StateError that changes nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from agent.capture.board import Of
from agent.clock import ReadClock, monotonic_ns
from agent.errors import StateError

_BUSY = 1 << 8
_CANCEL = 1 << 9
_GENERATION = 16


class Phase(enum.IntEnum):
    """Where a camera stands. Busy is a bit beside it."""

    IDLE = 0
    """Not open."""
    PREPARED = 1
    """Open, settings proven, buffers mapped, stream off."""
    ARMED = 2
    """Streaming."""
    STOPPING = 3
    """STREAMOFF is under way."""
    FAULT = 4
    """It broke; the stream is off, the first cause is kept."""


class Step(enum.Enum):
    """What can happen to a camera."""

    WORK = "work"
    """A job in the driver begins: opening, preparing, starting, setting."""
    PREPARED = "prepared"
    """The job ended with the camera prepared and the stream off."""
    ARMED = "armed"
    """The job ended with the stream on."""
    SET = "set"
    """The job ended and changed nothing about the stream."""
    FAILED = "failed"
    """The job failed, or the stop was for a stream that broke; the stream is off."""
    WANTED = "wanted"
    """A tick waits for a frame."""
    SERVED = "served"
    """No tick waits any more."""
    CANCEL = "cancel"
    """Somebody wants it stopped."""
    STOP = "stop"
    """STREAMOFF begins."""
    STOPPED = "stopped"
    """STREAMOFF returned."""
    CLOSED = "closed"
    """The node was closed."""


_S = tuple[Phase, bool, bool]
"""Phase, busy, cancel pending."""


def _table() -> Mapping[tuple[_S, Step], _S]:
    idle, prepared, armed, stopping, fault = Phase
    resting = (idle, prepared, fault)
    table: dict[tuple[_S, Step], _S] = {}

    def allow(step: Step, before: _S, after: _S) -> None:
        table[before, step] = after

    for phase in resting:
        allow(Step.WORK, (phase, False, False), (phase, True, False))
        allow(Step.PREPARED, (phase, True, False), (prepared, False, False))
        allow(Step.ARMED, (phase, True, False), (armed, False, False))
        allow(Step.FAILED, (phase, True, False), (fault, False, False))
        allow(Step.CLOSED, (phase, False, False), (idle, False, False))
    # beside the stream: it goes on, and so do its ticks
    for step in (Step.WORK, Step.WANTED):
        for busy in (False, True):
            allow(step, (armed, busy, False), (armed, True, False))
    for step in (Step.SET, Step.SERVED):
        allow(step, (armed, True, False), (armed, False, False))
    for phase in (prepared, fault):
        allow(Step.SET, (phase, True, False), (phase, False, False))
    # whatever goes on, a cancel is noted, and a second one finds it noted; then there is one way on: stop, then clear
    under_way = [(phase, True) for phase in (*resting, armed)] + [(armed, False)]
    for phase, busy in under_way:
        allow(Step.CANCEL, (phase, busy, False), (phase, busy, True))
        allow(Step.CANCEL, (phase, busy, True), (phase, busy, True))
        allow(Step.STOP, (phase, busy, True), (stopping, True, True))
    allow(Step.CANCEL, (stopping, True, True), (stopping, True, True))
    allow(Step.STOPPED, (stopping, True, True), (prepared, False, False))
    allow(Step.FAILED, (stopping, True, True), (fault, False, False))
    allow(Step.CLOSED, (stopping, True, True), (idle, False, False))
    return table


ALLOWED: Mapping[tuple[_S, Step], _S] = _table()
"""From a state by a step to a state. Anything else is a StateError."""


class StateWord:
    """One camera's word, in the words of its Board. Written by the loop alone."""

    def __init__(self, words: memoryview, now_ns: ReadClock = monotonic_ns) -> None:
        self._words = words
        self._now_ns = now_ns
        self._generation = (words[Of.WORD] >> _GENERATION) + 1
        self.phase, self.busy, self.cancel_pending = Phase.IDLE, False, False
        self._store()

    @property
    def state(self) -> _S:
        """Phase, busy, cancel pending."""
        return self.phase, self.busy, self.cancel_pending

    def allows(self, step: Step) -> bool:
        """Whether `step` can happen now."""
        return (self.state, step) in ALLOWED

    def step(self, step: Step) -> None:
        """Carry out one step. Raises StateError, with nothing changed, where the table has no such way."""
        after = ALLOWED.get((self.state, step))
        if after is None:
            raise self._refusal(step)
        if after != self.state:
            self.phase, self.busy, self.cancel_pending = after
            self._generation += 1
            self._store()

    def _store(self) -> None:
        bits = (_BUSY if self.busy else 0) | (_CANCEL if self.cancel_pending else 0)
        self._words[Of.SINCE_NS] = self._now_ns()
        self._words[Of.WORD] = self._generation << _GENERATION | bits | self.phase

    def _refusal(self, step: Step) -> StateError:
        allowed = [other.value for other in Step if self.allows(other)]
        return StateError(
            f"a camera that is {describe(self._words[Of.WORD])} cannot do the step {step.value!r}",
            hint=f"possible now: {', '.join(allowed)}",
            state=describe(self._words[Of.WORD]),
            verb=step.value,
            allowed=allowed,
        )


def read_word(word: int) -> _S:
    """Phase, busy and cancel pending of a word read from a page."""
    return Phase(word & 0xFF), bool(word & _BUSY), bool(word & _CANCEL)


def describe(word: int) -> str:
    """A word for people: `armed, busy, cancel pending`."""
    phase, busy, cancel = read_word(word)
    return phase.name.lower() + (", busy" if busy else "") + (", cancel pending" if cancel else "")
