"""The trigger ledger: every pulse and every frame of one camera ends in exactly one way (mission rows E3 to E5).

Pure: no I/O, and time is an argument. All instants are ns of one clock, CLOCK_MONOTONIC; each stamp has an
uncertainty, the half-width of the interval the true instant lies in. Pairs are found by time, never by counting.

A frame *fits* a pulse when its start of exposure is within `pulse + delay + offset ± window`, as far as the stamps can
tell, and it arrived no sooner than `pulse + soonest`. `offset` is 0 until another one is proven. The *nearest* pulse
decides; those that are farther by no more than jitter and uncertainty explain are its rivals. In the order of the rows:

| a frame that fits                    | frame ends as        | pulse ends as                     |
|--------------------------------------|----------------------|-----------------------------------|
| no pulse                             | spurious, no pulse   |                                   |
| only pulses it came too soon for     | spurious, too soon   |                                   |
| several, equally near, or perhaps    | ambiguous, rivals    | ambiguous, each that is open      |
| one that is remembered no more       |                      |                                   |
| an open one, arrived within `wait`   | matched              | matched                           |
| an open one, arrived after `wait`    | late, overdue        | late                              |
| one that was missed                  | late, given up       | (missed before)                   |
| one that has ended with a frame      | ambiguous, double    | (ended before; the first counts)  |

| a pulse with no frame                | ends as              | when                              |
|--------------------------------------|----------------------|-----------------------------------|
| its wait is over                     | missed, with a cause | `expire` at `pulse + wait`        |
| the stream is switched off           | missed, stopped      | `stop`                            |
| too many are open                    | missed, overflow     | at once; it is the new one        |
| its frame proved another offset      | missed, shifted      | with the frame that completes the proof |

What was told stands. Without an open pulse nothing is ever due: waiting for a trigger is no fault and has no end.

**Re-lock.** A spurious frame may belong to any pulse without a frame for which it came in time: not sooner than
`soonest`, not later than `wait`. When `relock_after` spurious frames in a row agree on an offset, and on one only, it
is adopted with the last of them, which is then matched; `Relocked` tells. Frames that fit a pulse break the row. Two
or more such offsets: `Undecided`, none adopted. What cannot be decided at all: docs/decisions/0016.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.errors import InputError
from agent.trigger.budget import OPEN_PULSES, Budget
from agent.trigger.budget_watch import BudgetWatch
from agent.trigger.counts import Counts
from agent.trigger.gaps import Gaps
from agent.trigger.offset_search import Offset, OffsetSearch, Sighting
from agent.trigger.remembered import Near, Pulse, Remembered
from agent.trigger.verdicts import NOTHING, Cause, End, Entry, Notice, Relocked, Told, Undecided

_HAD_A_FRAME = frozenset({Cause.SHIFTED, Cause.CAME_LATE})
_NO_FRAME_COMES = _HAD_A_FRAME | {Cause.STOPPED}
_KEPT_CAUSES = frozenset({Cause.STOPPED, Cause.OVERFLOW})


class _Frame(NamedTuple):
    sequence: int
    start_ns: int
    uncertainty_ns: int
    arrived_ns: int


class Ledger:
    """Pairs the pulses and frames of one camera. Not locked: fed by one loop.

    Pulses are told before the frames they caused. `counts` are the sums, `offset_ns` where frames are looked for
    beside the budget's delay.

    Raises InputError: `relock_after` below 2 (one frame proves nothing), no room for open pulses.
    """

    def __init__(self, budget: Budget, *, relock_after: int = 3, open_pulses: int = OPEN_PULSES) -> None:
        if relock_after < 2 or open_pulses < 1:
            raise InputError(
                f"re-locking after {relock_after} frames, with room for {open_pulses} open pulses",
                hint="take at least 2 frames for a proof, and room for one pulse",
            )
        self.budget = budget
        self.counts = Counts()
        self.offset_ns = 0
        self._offset_uncertainty_ns = 0
        self._pulses = Remembered(open_pulses)
        self._gaps = Gaps(self._pulses, self.counts)
        self._search = OffsetSearch(budget.window_ns, relock_after)
        self._undecided = False
        self._watch = BudgetWatch(budget, self.counts)

    @property
    def budget_alarm(self) -> bool:
        """Frames begin outside delay ± jitter: told by OutOfBudget, not yet by BackInBudget."""
        return self._watch.alarmed

    @property
    def next_ns(self) -> int | None:
        """When `expire` should be called next. None: no pulse is open, so nothing is due, however long."""
        opened = self._pulses.open
        return opened[0].fired_ns + self.budget.wait_ns if opened else None

    def pulse(self, number: int, fired_ns: int, uncertainty_ns: int = 0) -> Told:
        """The trigger became active at `fired_ns`. `number`: the caller's, told back when the pulse ends.

        When too many are open, those that are overdue by then are ended first; if there are none, this one is missed
        at once.
        """
        self.counts.pulses += 1
        pulse = Pulse(number, fired_ns, uncertainty_ns)
        told = NOTHING if self._pulses.has_room() else self.expire(fired_ns)
        if not self._pulses.has_room():
            pulse.end, pulse.cause = End.MISSED, Cause.OVERFLOW
            told = Told((*told.entries, self._count_missed(pulse)))
        self._pulses.add(pulse)
        return told

    def frame(self, sequence: int, start_ns: int, uncertainty_ns: int, arrived_ns: int, lost_before: int = 0) -> Told:
        """A frame whose exposure began at `start_ns` was dequeued at `arrived_ns`: its verdict, in the first entry.

        `sequence`: the caller's name for it. `lost_before`: numbers missing in the driver's count since the last one.
        """
        self.counts.frames += 1
        self._gaps.lose(lost_before)
        frame = _Frame(sequence, start_ns, uncertainty_ns, arrived_ns)
        near = self._near(frame)
        fits = self._in_time(near, arrived_ns)
        if not fits:
            return self._stray(frame, near[0].pulse if near else None)
        self._row_over()
        return self._decide(frame, fits)

    def expire(self, now_ns: int) -> Told:
        """Pulses whose wait is over at `now_ns` are missed. Frames that are there should be told before."""
        opened = self._pulses.open
        entries = []
        while opened and opened[0].fired_ns + self.budget.wait_ns <= now_ns:
            entries.append(self._miss(opened[0]))
        return Told(tuple(entries)) if entries else NOTHING

    def stop(self, now_ns: int) -> Told:
        """The stream is off: what is open is missed, and the offset is the data sheet's again, which is told.

        The stamps of the next start may have another offset, and its first pulse is the best time to see it.
        """
        entries = list(self.expire(now_ns).entries)
        for pulse in tuple(self._pulses.open):
            if pulse.cause is Cause.NO_FRAME:
                pulse.cause = Cause.STOPPED
            entries.append(self._miss(pulse))
        notices = (Relocked(0, self.offset_ns, 0),) if self.offset_ns else ()
        self.offset_ns = self._offset_uncertainty_ns = 0
        self._gaps.restart()
        self._row_over()
        return Told(tuple(entries), notices)

    def _near(self, frame: _Frame) -> list[Near]:
        return self._pulses.near(
            frame.start_ns - self.budget.delay_ns - self.offset_ns,
            frame.uncertainty_ns + self._offset_uncertainty_ns,
            self.budget.window_ns,
        )

    def _first_ns(self, frame: _Frame) -> int:
        """The earliest a pulse can have been fired that this frame fits."""
        reach_ns = self.budget.window_ns + frame.uncertainty_ns + self._offset_uncertainty_ns
        return frame.start_ns - self.budget.delay_ns - self.offset_ns - reach_ns

    def _in_time(self, near: list[Near], arrived_ns: int) -> list[Near]:
        last_ns = arrived_ns - self.budget.soonest_ns
        return [one for one in near if one.pulse.fired_ns - one.pulse.uncertainty_ns <= last_ns]

    def _decide(self, frame: _Frame, fits: list[Near]) -> Told:
        nearest = fits[0] if len(fits) == 1 else min(fits, key=lambda one: one.distance_ns)
        rivals = fits if len(fits) == 1 else self._rivals(fits, nearest)
        if len(rivals) > 1 or self._pulses.forgot_since(self._first_ns(frame)):
            return self._rivalry(frame, rivals)
        pulse = nearest.pulse
        if pulse.end is None:
            return self._pair(frame, pulse)
        if pulse.end is End.MISSED and pulse.cause not in _HAD_A_FRAME:
            return self._given_up(frame, pulse)
        self._gaps.stray()
        return Told((self._end_frame(End.AMBIGUOUS, frame, Cause.DOUBLE, about=pulse),))

    def _rivals(self, fits: list[Near], nearest: Near) -> list[Near]:
        """Those that jitter and stamps may have made look farther than the nearest; it is one of them."""
        limit_ns = nearest.distance_ns + nearest.uncertainty_ns + self.budget.jitter_ns
        return [one for one in fits if one.distance_ns - one.uncertainty_ns <= limit_ns]

    def _rivalry(self, frame: _Frame, rivals: list[Near]) -> Told:
        self._gaps.stray()
        entries = [self._end_frame(End.AMBIGUOUS, frame, Cause.RIVALS)]
        for rival in reversed(rivals):
            if rival.pulse.end is None:
                self._close(rival.pulse, End.AMBIGUOUS)
                entries.append(Entry(End.AMBIGUOUS, rival.pulse.number, None, cause=Cause.RIVALS))
        return Told(tuple(entries))

    def _pair(self, frame: _Frame, pulse: Pulse) -> Told:
        """An open pulse and its frame end together."""
        notices: tuple[Notice, ...] = self._gaps.close(pulse)
        if frame.arrived_ns - pulse.fired_ns > self.budget.wait_ns:
            self._close(pulse, End.LATE)
            return Told((self._end_frame(End.LATE, frame, Cause.OVERDUE, pulse=pulse),), notices)
        self._close(pulse, End.MATCHED)
        entry = self._end_frame(End.MATCHED, frame, None, pulse=pulse)
        residual_ns, uncertainty_ns = self._residual(frame, pulse)
        self.counts.residuals.add(residual_ns)
        changed = self._watch.judge(frame.sequence, residual_ns, uncertainty_ns)
        return Told((entry,), notices if changed is None else (*notices, changed))

    def _given_up(self, frame: _Frame, pulse: Pulse) -> Told:
        """A frame for a pulse that was missed: it stays missed, and one thing more is known of it."""
        notices = self._gaps.close(pulse)
        if pulse.cause not in _KEPT_CAUSES:
            notices = (*notices, self._gaps.explain(pulse, Cause.CAME_LATE))
        return Told((self._end_frame(End.LATE, frame, Cause.GIVEN_UP, about=pulse),), notices)

    def _stray(self, frame: _Frame, too_soon_for: Pulse | None) -> Told:
        """A frame no pulse explains: a ghost, or one of a row at another offset."""
        proven = self._search.feed(self._sightings(frame))
        if len(proven) == 1:
            return self._relock(frame, proven[0])
        self._gaps.stray()
        cause = Cause.NO_PULSE if too_soon_for is None else Cause.TOO_SOON
        entry = self._end_frame(End.SPURIOUS, frame, cause, about=too_soon_for)
        if not proven or self._undecided:
            return Told((entry,))
        self._undecided = True
        return Told((entry,), (Undecided(tuple(offset.middle_ns for offset in proven)),))

    def _sightings(self, frame: _Frame) -> list[Sighting]:
        """The pulses without a frame for which this one came neither too soon nor too late; all of them, or none."""
        first_ns, last_ns = frame.arrived_ns - self.budget.wait_ns, frame.arrived_ns - self.budget.soonest_ns
        if self._pulses.forgot_since(first_ns):
            return []
        return [
            Sighting(pulse, *self._residual(frame, pulse))
            for pulse in self._pulses.fired_within(first_ns, last_ns)
            if pulse.end is None or (pulse.end is End.MISSED and pulse.cause not in _NO_FRAME_COMES)
        ]

    def _relock(self, frame: _Frame, offset: Offset) -> Told:
        self._row_over()
        self.counts.relocked += 1
        news = Relocked(offset.middle_ns, self.offset_ns, offset.frames)
        self.offset_ns, self._offset_uncertainty_ns = offset.middle_ns, offset.uncertainty_ns
        shifted: list[Entry] = []
        notices: list[Notice] = [news]
        for pulse in offset.pulses[:-1]:
            if pulse.end is None:
                pulse.cause = Cause.SHIFTED
                shifted.append(self._miss(pulse))
            elif pulse.cause not in _KEPT_CAUSES:
                notices.append(self._gaps.explain(pulse, Cause.SHIFTED))
        told = self._decide(frame, self._in_time(self._near(frame), frame.arrived_ns))
        return Told((*told.entries, *shifted), (*notices, *told.notices))

    def _row_over(self) -> None:
        self._search.clear()
        self._undecided = False

    def _residual(self, frame: _Frame, pulse: Pulse) -> tuple[int, int]:
        return frame.start_ns - pulse.fired_ns - self.budget.delay_ns, frame.uncertainty_ns + pulse.uncertainty_ns

    def _end_frame(
        self, end: End, frame: _Frame, cause: Cause | None, *, pulse: Pulse | None = None, about: Pulse | None = None
    ) -> Entry:
        self.counts.frame_ends[end] += 1
        partner = pulse or about
        residual_ns = None if partner is None else self._residual(frame, partner)[0]
        return Entry(
            end,
            None if pulse is None else pulse.number,
            frame.sequence,
            residual_ns,
            cause,
            None if about is None else about.number,
            frame.start_ns,
            frame.uncertainty_ns,
        )

    def _miss(self, pulse: Pulse) -> Entry:
        self._pulses.close(pulse, End.MISSED)
        return self._count_missed(pulse)

    def _count_missed(self, pulse: Pulse) -> Entry:
        self.counts.pulse_ends[End.MISSED] += 1
        self.counts.missed[pulse.cause] += 1
        return Entry(End.MISSED, pulse.number, None, cause=pulse.cause)

    def _close(self, pulse: Pulse, end: End) -> None:
        self._pulses.close(pulse, end)
        self.counts.pulse_ends[end] += 1
