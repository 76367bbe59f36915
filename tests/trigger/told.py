"""Keeps what a ledger told, and checks that the sums match whatever happens."""

from agent.trigger.verdicts import Cause, End


class Account:
    """Every end of every pulse and frame, once; numbers are never used twice."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.pulses, self.frames, self.notices = {}, {}, []

    def hear(self, told, frame=None):
        for entry in told.entries:
            if entry.pulse is not None:
                assert entry.pulse not in self.pulses
                assert entry.end is not End.SPURIOUS
                self.pulses[entry.pulse] = entry
            if entry.frame is not None:
                assert entry.frame not in self.frames
                assert entry.end is not End.MISSED
                self.frames[entry.frame] = entry
            assert (entry.cause is None) == (entry.end is End.MATCHED)
        if frame is not None:
            assert told.entries[0].frame == frame
        self.notices += told.notices
        self.check()
        return told

    def check(self):
        counts = self.ledger.counts
        for ends, sums in ((self.pulses, counts.pulse_ends), (self.frames, counts.frame_ends)):
            assert sums == {end: sum(entry.end is end for entry in ends.values()) for end in sums}
        assert counts.frames == len(self.frames)
        assert counts.pulses == len(self.pulses) + counts.open
        assert (self.ledger.next_ns is None) == (counts.open == 0)
        assert sum(counts.missed.values()) == counts.pulse_ends[End.MISSED]
        assert min(counts.missed.values()) >= 0

    def told(self, kind):
        return [notice for notice in self.notices if isinstance(notice, kind)]

    def partner(self, frame):
        """The pulse this frame was matched with, or None."""
        entry = self.frames[frame]
        return entry.pulse if entry.end is End.MATCHED else None

    def causes(self):
        """The cause of each missed pulse, as it is known by now."""
        causes = {number: entry.cause for number, entry in self.pulses.items() if entry.end is End.MISSED}
        for notice in self.notices:
            if hasattr(notice, "cause"):
                assert isinstance(notice.cause, Cause)
                causes[notice.pulse] = notice.cause
        return causes
