"""One camera's frames and the pulses of its trigger: the ledger, kept in the shared page (mission rows E3 to E5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.capture import pulse_log
from agent.capture.board import Of
from agent.capture.shot import Started
from agent.schedule.histogram import Histogram
from agent.schedule.ring import Ring
from agent.trigger.budget import Budget
from agent.trigger.ledger import Ledger
from agent.trigger.verdicts import (
    BackInBudget,
    Cause,
    End,
    Entry,
    Explained,
    Notice,
    OutOfBudget,
    Relocked,
    Told,
    Undecided,
)
from agent.units import format_duration
from agent.v4l2.frame import Frame

_WORDS = {End.MATCHED: Of.MATCHED, End.MISSED: Of.MISSED, End.LATE: Of.LATE, End.AMBIGUOUS: Of.AMBIGUOUS}
_FRAME_WORDS = {End.SPURIOUS: Of.SPURIOUS, End.AMBIGUOUS: Of.AMBIGUOUS_FRAMES}
TellNotice = Callable[[str, str], None]
"""Gets a stable code, and what happened in words."""


class Log(NamedTuple):
    """Where the pairing writes: the ring of pulses, the camera's place, its histogram of delays."""

    ring: Ring
    place: int
    delays: Histogram


class Pairing:
    """Owned by the unit of the camera. `unanswered`: how many pulses in a row had no frame of their own."""

    def __init__(
        self,
        budget: Budget,
        words: memoryview,
        log: Log,
        tell: TellNotice,
        ended: Callable[[Entry], None],
        *,
        has_strobe: bool,
        readout_ns: int = 0,
    ) -> None:
        """`ended` gets what the ledger brought to an end, before anybody acts on it.

        `has_strobe`: delays are measured on the camera's strobe line, not by the stamps of its frames. `readout_ns`:
        from the end of an exposure to the stamp of its frame, where the driver stamps the end of the frame.
        """
        self._readout_ns = readout_ns
        self.unanswered = 0
        self._budget, self._words, self._log, self._tell = budget, words, log, tell
        self._ended, self._has_strobe = ended, has_strobe
        self._ledger = Ledger(budget)
        self._pulses: dict[int, int] = {}
        """When those pulses were that have not ended."""
        self._last: tuple[int, int] | None = None
        """When the last pulse was, and how uncertain that is: what a strobe edge is measured against."""
        self._strobe_is_out = False
        self._counted_out = 0
        # those that a process left open when it died
        words[Of.MISSED] += words[Of.PULSES] - sum(words[of] for of in _WORDS.values())

    @property
    def next_ns(self) -> int | None:
        """When `expire` should be called."""
        return self._ledger.next_ns

    def start(self) -> None:
        """The stream is on."""
        self.unanswered = 0
        self._last = None

    def pulse(self, number: int, at_ns: int, uncertainty_ns: int) -> Sequence[int]:
        """A pulse came; the pulses that ended without a frame of their own because of it."""
        self._words[Of.PULSES] += 1
        self._pulses[number] = at_ns
        self._last = at_ns, uncertainty_ns
        return self._settle(self._ledger.pulse(number, at_ns, uncertainty_ns))

    def frame(self, frame: Frame, started: Started) -> tuple[int | None, Sequence[int]]:
        """A good frame came: the pulse that it is surely of, or None; and the pulses that ended without one."""
        began_ns = started.at_ns - (self._readout_ns if frame.timestamp_source == "eof" else 0)
        told = self._ledger.frame(
            frame.sequence, began_ns, started.uncertainty_ns, frame.dequeued_ns, frame.lost_before
        )
        own = told.entries[0]
        return (own.pulse if own.end is End.MATCHED else None), self._settle(told)

    def expire(self, now_ns: int) -> Sequence[int]:
        """What is overdue: the pulses that ended without a frame of their own."""
        return self._settle(self._ledger.expire(now_ns))

    def stop(self, now_ns: int) -> None:
        """The stream is being stopped: pulses that are open end as missed for that reason."""
        self._settle(self._ledger.stop(now_ns))
        self.unanswered = 0

    def strobe(self, at_ns: int) -> None:
        """The camera's strobe went active: its exposure begins."""
        if self._last is None or at_ns < self._last[0]:
            return
        pulse_ns, uncertainty_ns = self._last
        self._last = None
        delay_ns = at_ns - pulse_ns
        self._words[Of.STROBES] += 1
        self._words[Of.STROBE_NS] = delay_ns
        self._log.delays.add(delay_ns)
        is_out = self._budget.within(delay_ns - self._budget.delay_ns, uncertainty_ns) is False
        if is_out:
            self._words[Of.OUT_OF_BUDGET] += 1
        if is_out != self._strobe_is_out:
            self._strobe_is_out = is_out
            delay = format_duration(delay_ns)
            wanted = f"{format_duration(self._budget.delay_ns)} ± {format_duration(self._budget.jitter_ns)}"
            if is_out:
                self._tell("out_of_budget", f"its strobe came {delay} after the pulse; the budget is {wanted}")
            else:
                self._tell("back_in_budget", f"its strobe came {delay} after the pulse, within {wanted} again")

    # -- what the ledger says -------------------------------------------------------------------------------------

    def _settle(self, told: Told) -> list[int]:
        unmatched = []
        for entry in told.entries:
            self._write(entry)
            self._ended(entry)
            if entry.pulse is not None:
                if entry.end is End.MATCHED:
                    self.unanswered = 0
                else:
                    unmatched.append(entry.pulse)
                    self.unanswered += entry.cause is not Cause.STOPPED
        for notice in told.notices:
            self._notice(notice)
        return unmatched

    def _write(self, entry: Entry) -> None:
        words = self._words
        pulse_ns = 0
        if entry.pulse is not None:
            pulse_ns = self._pulses.pop(entry.pulse, 0)
            words[_WORDS[entry.end]] += 1
        if entry.frame is not None and entry.end in _FRAME_WORDS:
            words[_FRAME_WORDS[entry.end]] += 1
        if entry.end is End.MATCHED and entry.residual_ns is not None:
            self._matched(entry.residual_ns)
        pulse_log.put(self._log.ring, self._log.place, entry, pulse_ns)

    def _matched(self, residual_ns: int) -> None:
        words = self._words
        words[Of.RESIDUAL_NS] = residual_ns
        if words[Of.MATCHED] == 1 or residual_ns < words[Of.RESIDUAL_MIN_NS]:
            words[Of.RESIDUAL_MIN_NS] = residual_ns
        if words[Of.MATCHED] == 1 or residual_ns > words[Of.RESIDUAL_MAX_NS]:
            words[Of.RESIDUAL_MAX_NS] = residual_ns
        words[Of.OUT_OF_BUDGET] += self._newly_out_of_budget()
        if not self._has_strobe:
            self._log.delays.add(residual_ns + self._budget.delay_ns)

    def _newly_out_of_budget(self) -> int:
        counted = self._ledger.counts.out_of_budget
        since, self._counted_out = counted - self._counted_out, counted
        return since if not self._has_strobe else 0

    def _notice(self, notice: Notice) -> None:
        match notice:
            case Relocked():
                self._words[Of.RELOCKS] += notice.after_frames > 0
                self._tell("relocked", _relocked(notice))
            case Undecided():
                offsets = ", ".join(format_duration(offset_ns) for offset_ns in notice.offsets_ns)
                self._tell("undecided", f"frames come at another offset, which may be any of {offsets}")
            case OutOfBudget() if not self._has_strobe:
                told = (
                    f"frame {notice.frame} began {format_duration(abs(notice.residual_ns))} {_side(notice)} its instant"
                )
                self._tell("out_of_budget", f"{told}; the budget allows ± {format_duration(self._budget.jitter_ns)}")
            case BackInBudget() if not self._has_strobe:
                self._tell(
                    "back_in_budget", f"frame {notice.frame} and the {notice.frames - 1} before it are in budget"
                )
            case Explained():
                pulse_log.put_explained(self._log.ring, self._log.place, notice)


def _side(notice: OutOfBudget) -> str:
    return "before" if notice.residual_ns < 0 else "after"


def _relocked(notice: Relocked) -> str:
    offset = format_duration(notice.offset_ns)
    if not notice.after_frames:
        return f"frames are looked for at the budget's delay again, after {format_duration(notice.before_ns)} beside it"
    return f"the pairing was shifted: {notice.after_frames} frames in a row came {offset} beside their instants; locked"
