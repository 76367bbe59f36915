"""The requests of one camera: fired ticks that wait for frames, and frames that are out to be stored.

Nothing here talks to the driver, so nothing here can fail or wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.capture.board import Of
from agent.capture.publish import REVOKED, Publisher, Returned
from agent.capture.session import Session
from agent.capture.shot import Shot, earliest_ns
from agent.capture.tick_log import End
from agent.clock import ReadClock
from agent.schedule.run import Tick

Choice = Callable[[Tick], bool]


@dataclass(slots=True, eq=False)
class Request:
    """A fired tick on its way: `wanted` frames still to come, `out` lent and not back yet.

    `since_ns`: when its last frame came, or it was fired. `pulse`: the number of the trigger pulse whose frame it takes
    next; None: the first frame exposed from its instant on. `began_ns`: when the exposure of its last frame began.
    `joint`: the shots of other cameras for the same tick. `end`: why it ends without what it wanted; None: it does not.
    """

    tick: Tick
    due_ns: int
    fired_ns: int
    wanted: int
    stores: bool
    since_ns: int = 0
    out: int = 0
    frames: int = 0
    bytes: int = 0
    sequence: int = -1
    operator_ns: int = 0
    pulse: int | None = None
    began_ns: int = 0
    joint: Joint | None = None
    end: End | None = None

    def spoil(self, end: End) -> None:
        """It cannot be served any more, and wants no further frames. The first reason is kept."""
        self.wanted = 0
        if self.end is None:
            self.end = end


class Joint:
    """One tick that wants a shot of each camera of a group: it ends when the last of them has (mission row E6)."""

    def __init__(self, members: int) -> None:
        self._open = members
        self._ended: list[Request] = []

    def joined(self, request: Request) -> Request | None:
        """The request of one camera ended; all of them as one when it was the last.

        It fails as they failed where all did so alike; `INCOMPLETE` where some have their frames. `skew_ns` is known
        then.
        """
        self._ended.append(request)
        self._open -= 1
        if self._open:
            return None
        first, ends = self._ended[0], {each.end for each in self._ended}
        end = next(iter(ends)) if len(ends) == 1 else End.INCOMPLETE
        whole = Request(first.tick, first.due_ns, first.fired_ns, 0, first.stores, pulse=first.pulse, end=end)
        whole.sequence = first.sequence
        for each in self._ended:
            whole.frames += each.frames
            whole.bytes += each.bytes
            whole.operator_ns += each.operator_ns
        if End.SHOT_CANCELLED in ends:
            whole.end = End.SHOT_CANCELLED
        return whole

    @property
    def skew_ns(self) -> int:
        """Between the first and the last start of exposure, of their last frames."""
        began_ns = [each.began_ns for each in self._ended]
        return max(began_ns) - min(began_ns)


class Told(Protocol):
    """Who hears of requests."""

    def ended(self, request: Request, now_ns: int) -> None:
        """A request ended: by its `end`, or well where that is None."""
        ...

    def trace(self, tick: Tick) -> str:
        """The trace id of a tick."""
        ...


@dataclass(slots=True)
class Lent:
    """A frame that is out: whose buffer it is, and the requests that wait for it to be stored."""

    session: Session
    shot: Shot
    requests: list[Request]
    cancelled: bool = False


@dataclass(slots=True)
class _Awaited:
    """Frames that somebody wants back before he answers, but not later than `until_ns`."""

    left: set[int]
    until_ns: int
    then: Callable[[int], None]


class Requests:
    """Owned by the unit of the camera; `waiting` is in the order of firing, and for others to read."""

    def __init__(self, name: str, words: memoryview, publisher: Publisher, told: Told, now_ns: ReadClock) -> None:
        self.waiting: deque[Request] = deque()
        self.takers: Sequence[Request] = ()
        """Those that took the frame which was offered last."""
        self._name, self._words, self._publisher = name, words, publisher
        self._told, self._now_ns = told, now_ns
        self._pulse = -1
        self._lent: dict[int, Lent] = {}
        self._awaited: list[_Awaited] = []

    @property
    def lent(self) -> int:
        """Frames that are out."""
        return len(self._lent)

    @property
    def next_ns(self) -> int | None:
        """When `check` should be called next."""
        return min(awaited.until_ns for awaited in self._awaited) if self._awaited else None

    def add(self, tick: Tick, stores: bool, pulse: int | None = None, joint: Joint | None = None) -> None:
        """A fired tick waits for the first frames exposed from its instant on, or of trigger pulses from `pulse` on."""
        since_ns = tick.fired_ns
        self.waiting.append(
            Request(tick, tick.due_ns, tick.fired_ns, tick.wanted, stores, since_ns, pulse=pulse, joint=joint)
        )

    def offer(
        self,
        session: Session,
        shot: Shot,
        limit_ns: int,
        pulse: int | None = None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Give a good frame to all who want it; True: it is lent, `limit_ns` long at most. False: nobody has it.

        `pulse`: the trigger pulse that it is of; None for a camera that runs free. `has_room`: asked whether it may be
        lent, when somebody wants it stored.
        """
        began_ns = earliest_ns(shot.frame, shot.exposure_ns, session.interval_ns)
        if pulse is None:
            takers = [request for request in self.waiting if request.due_ns <= began_ns]
        else:
            takers = [request for request in self.waiting if request.pulse == pulse]
        self.takers = takers
        if not takers:
            return False
        now_ns = self._now_ns()
        frame, words = shot.frame, self._words
        words[Of.TAKEN] += 1
        words[Of.SHARED] += len(takers) - 1
        words[Of.BYTES] += frame.size_bytes
        for request in takers:
            request.wanted -= 1
            request.frames += 1
            request.bytes += frame.size_bytes
            request.sequence = frame.sequence
            request.since_ns = now_ns
            request.began_ns = began_ns
            if pulse is not None:
                request.pulse = pulse + 1
        storing = [request for request in takers if request.stores]
        lent = bool(storing) and has_room() and self._lend(session, shot, storing, limit_ns)
        if storing and not lent:
            for request in storing:
                request.spoil(End.NO_ROOM)
        self._settle(takers)
        return lent

    def served(self) -> list[tuple[str, str]]:
        """Plan and trace id of each of the `takers`."""
        return [(request.tick.run.plan.name, self._told.trace(request.tick)) for request in self.takers]

    def returned(self, back: Returned) -> Lent:
        """A lent frame came back, stored or not; it is the driver's again."""
        lent = self._lent.pop(id(back.shot))
        self._words[Of.STORED if back.stored else Of.NOT_STORED] += 1
        for request in lent.requests:
            request.out -= 1
            request.operator_ns += back.took_ns
            if not back.stored:
                request.spoil(_end_of(back, lent))
        self._settle(lent.requests)
        self._forget(id(back.shot))
        return lent

    def give_up(self, of: Choice, end: End) -> None:
        """End the waiting requests that `of` picks; those with frames out end when these are back."""
        chosen = [request for request in self.waiting if of(request.tick)]
        for request in chosen:
            request.spoil(end)
        self._settle(chosen)

    def pulsed(self, pulse: int, now_ns: int) -> None:
        """The trigger pulse of this number came: who waits for it waits for a frame from now on, within a limit."""
        self._pulse = pulse
        for request in self.waiting:
            if request.pulse == pulse:
                request.since_ns = now_ns

    def unmatched(self, pulse: int) -> None:
        """No frame is surely of this pulse, and none will be."""
        chosen = [request for request in self.waiting if request.pulse == pulse]
        for request in chosen:
            request.spoil(End.NO_MATCH)
        self._settle(chosen)

    def without_pulse(self, first: int) -> None:
        """Pulses from this number on are not fired: the requests that want the frame of one of them end."""
        chosen = [
            request for request in self.waiting if request.pulse is not None and request.pulse + request.wanted > first
        ]
        for request in chosen:
            request.spoil(End.NO_PULSE)
        self._settle(chosen)

    def oldest_ns(self) -> int | None:
        """Since when the first of those waits that can expect a frame: that no trigger came yet is no fault (E4)."""
        if self.waiting and self.waiting[0].pulse is None:
            return self.waiting[0].since_ns
        return min((request.since_ns for request in self.waiting if self._expects(request)), default=None)

    def give_up_late(self, fired_before_ns: int) -> None:
        """End those that had no frame since then, and could expect one."""
        late = [request for request in self.waiting if request.since_ns <= fired_before_ns and self._expects(request)]
        for request in late:
            request.spoil(End.NO_FRAME)
        self._settle(late)

    def revoke(self) -> None:
        """Somebody stopped the camera: what is out and not yet stored will not be."""
        for lent in self._lent.values():
            lent.cancelled = True
        self._publisher.revoke(self._name)

    def when_back(self, of: Choice, limit_ns: int, then: Callable[[int], None]) -> None:
        """Call `then` when the frames now out for ticks that `of` picks are back, or after `limit_ns`.

        It is told how many are still out. Called at once where there are none.
        """
        left = {key for key, lent in self._lent.items() if any(of(request.tick) for request in lent.requests)}
        if left:
            self._awaited.append(_Awaited(left, self._now_ns() + limit_ns, then))
        else:
            then(0)

    def check(self, now_ns: int) -> None:
        """Whoever has waited too long for frames to come back waits no more."""
        self._answer([awaited for awaited in self._awaited if now_ns >= awaited.until_ns])

    def _expects(self, request: Request) -> bool:
        return request.pulse is None or request.pulse <= self._pulse

    def _lend(self, session: Session, shot: Shot, storing: list[Request], limit_ns: int) -> bool:
        traces = [self._told.trace(request.tick) for request in storing]
        if not self._publisher.publish(self._name, shot, traces, limit_ns):
            return False
        for request in storing:
            request.out += 1
        self._lent[id(shot)] = Lent(session, shot, storing)
        self._words[Of.LENT] += 1
        return True

    def _settle(self, touched: list[Request]) -> None:
        """Tell the end of those whose frames are all there and back; forget those that want no more."""
        served = False
        for request in touched:
            if request.wanted <= 0:
                served = True
                if not request.out:
                    self._told.ended(request, self._now_ns())
        if served:
            self.waiting = deque(request for request in self.waiting if request.wanted > 0)

    def _forget(self, key: int) -> None:
        for awaited in self._awaited:
            awaited.left.discard(key)
        self._answer([awaited for awaited in self._awaited if not awaited.left])

    def _answer(self, over: list[_Awaited]) -> None:
        for awaited in over:
            self._awaited.remove(awaited)
            awaited.then(len(awaited.left))


def _end_of(back: Returned, lent: Lent) -> End:
    if back.error == REVOKED:
        return End.SHOT_CANCELLED if lent.cancelled else End.BROKE
    return End.of_store_error(back.error)
