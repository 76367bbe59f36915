"""The table of the ledger's rules, without any limit of memory and without speed: what a frame must end as."""

from dataclasses import dataclass, field

from agent.trigger.verdicts import Cause, End


@dataclass
class NaivePulse:
    number: int
    fired: int
    u: int
    end: End | None = None
    framed: bool = False
    overflow: bool = False
    stopped: bool = False


@dataclass
class NaiveLedger:
    budget: object
    offset: int = 0
    offset_u: int = 0
    pulses: list = field(default_factory=list)
    row: list = field(default_factory=list)
    """Spurious frames since the last one that fits: for each, the offsets at which it would belong to a pulse."""

    def fits(self, start, u, arrived):
        expected = start - self.budget.delay_ns - self.offset
        near = [(abs(expected - p.fired), u + self.offset_u + p.u, p) for p in self.pulses]
        near = [one for one in near if one[0] <= self.budget.window_ns + one[1]]
        return near, [one for one in near if arrived >= one[2].fired - one[2].u + self.budget.soonest_ns]

    def verdict(self, start, u, arrived):
        """The end and cause of the frame, and the pulses it ends with."""
        near, fits = self.fits(start, u, arrived)
        if not fits:
            return End.SPURIOUS, Cause.TOO_SOON if near else Cause.NO_PULSE, []
        distance, unsure, pulse = min(fits, key=lambda one: one[0])
        rivals = [p for d, w, p in fits if d - distance <= w + unsure + self.budget.jitter_ns]
        if len(rivals) > 1:
            return End.AMBIGUOUS, Cause.RIVALS, [p for p in rivals if p.end is None]
        if pulse.end is None:
            late = arrived > pulse.fired + self.budget.wait_ns
            return (End.LATE, Cause.OVERDUE, [pulse]) if late else (End.MATCHED, None, [pulse])
        if pulse.end is End.MISSED and not pulse.framed:
            pulse.framed = not pulse.overflow and not pulse.stopped
            return End.LATE, Cause.GIVEN_UP, []
        return End.AMBIGUOUS, Cause.DOUBLE, []

    def sightings(self, start, u, arrived):
        return [
            (p, start - p.fired - self.budget.delay_ns, u + p.u)
            for p in self.pulses
            if (p.end is None or (p.end is End.MISSED and not p.framed and not p.stopped))
            and arrived - self.budget.wait_ns - p.u <= p.fired <= arrived - self.budget.soonest_ns + p.u
        ]
