"""The ledger against the naive one, step by step, whatever is done to both (hypothesis)."""

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from trigger.naive_ledger import NaiveLedger, NaivePulse
from trigger.told import Account

from agent.trigger.budget import Budget
from agent.trigger.ledger import Ledger
from agent.trigger.verdicts import Cause, End, Relocked

AFTER = 3
budgets = st.builds(
    lambda delay, jitter, window, soonest, wait: Budget(
        delay_ns=delay, jitter_ns=jitter, window_ns=jitter + window, wait_ns=soonest + wait, soonest_ns=soonest
    ),
    st.integers(0, 20),
    st.integers(0, 3),
    st.integers(0, 10),
    st.integers(0, 30),
    st.integers(1, 80),
)
uncertainties = st.sampled_from([0, 0, 0, 2, 15])


class Pairings(RuleBasedStateMachine):
    """Both are told the same; the naive one follows the offset the ledger adopts, if that can be accounted for."""

    @initialize(budget=budgets, capacity=st.sampled_from([4, 100]))
    def begin(self, budget, capacity):
        self.budget, self.capacity = budget, capacity
        self.ledger = Ledger(budget, relock_after=AFTER, open_pulses=capacity)
        self.account = Account(self.ledger)
        self.model = NaiveLedger(budget)
        self.now, self.frames = 1_000, 0

    @property
    def remembered(self):
        return len(self.model.pulses) <= 2 * self.capacity

    def open(self):
        return [pulse for pulse in self.model.pulses if pulse.end is None]

    def end(self, told):
        """The model's pulses end as they were told to."""
        for entry in told.entries:
            if entry.pulse is not None:
                self.model.pulses[entry.pulse].end = entry.end
                self.model.pulses[entry.pulse].framed |= entry.cause is Cause.SHIFTED

    @rule(by=st.integers(0, 15) | st.integers(0, 120))
    def wait(self, by):
        self.now += by

    @rule(ago=st.sampled_from([0, 0, 0, 3]), u=uncertainties, gap=st.integers(0, 60))
    def pulse(self, ago, u, gap):
        self.now += gap
        number, fired = len(self.model.pulses), self.now - ago
        overdue = {p.number for p in self.open() if p.fired + self.budget.wait_ns <= fired}
        was_full = len(self.open()) == self.capacity
        self.model.pulses.append(NaivePulse(number, fired, u))
        told = self.account.hear(self.ledger.pulse(number, fired, u))
        self.end(told)
        missed = {entry.pulse for entry in told.entries}
        if not was_full:
            assert missed == set()
        elif overdue:
            assert missed == overdue
        else:
            assert missed == {number}
            assert told.entries[0].cause is Cause.OVERFLOW
            self.model.pulses[number].overflow = True

    @rule(
        back=st.integers(0, 6),
        off=st.integers(-15, 15) | st.integers(-60, 60),
        u=uncertainties,
        latency=st.integers(0, 40),
        lost=st.sampled_from([0, 0, 1, 2]),
    )
    def frame(self, back, off, u, latency, lost):
        pulses = self.model.pulses
        base = pulses[-1 - min(back, len(pulses) - 1)].fired if pulses else self.now
        start = base + self.budget.delay_ns + self.ledger.offset_ns + off
        self.now += latency
        number, self.frames = self.frames, self.frames + 1
        end, cause, partners = self.model.verdict(start, u, self.now)
        sightings = self.model.sightings(start, u, self.now)
        told = self.account.hear(self.ledger.frame(number, start, u, self.now, lost), frame=number)
        entry = told.entries[0]
        relocked = [notice for notice in told.notices if isinstance(notice, Relocked)]
        if relocked:
            assert end is End.SPURIOUS or not self.remembered
            self.check_relocked(relocked[0], sightings)
        elif self.remembered:
            assert (entry.end, entry.cause) == (end, cause)
            assert {one.pulse for one in told.entries} - {None} == {pulse.number for pulse in partners}
        self.end(told)
        if entry.end is not End.SPURIOUS:
            self.model.row = []
        else:
            self.model.row.append(sightings)

    def check_relocked(self, relocked, sightings):
        """The last frames, each with a later pulse, do agree on the offset."""
        assert relocked.before_ns == self.model.offset
        assert relocked.after_frames >= AFTER
        rows = [*self.model.row, sightings][-AFTER:]
        assert len(rows) == AFTER
        agreeing = []
        for row in itertools.product(*rows):
            fired = [pulse.fired for pulse, _, _ in row]
            offsets = [offset for _, offset, _ in row]
            unsure = max(w for _, _, w in row)
            spread = max(offsets) - min(offsets)
            near = all(abs(o - relocked.offset_ns) <= self.budget.window_ns + 30 for o in offsets)
            if near and fired == sorted(set(fired)) and spread <= self.budget.window_ns + 60 and unsure <= 30:
                agreeing.append(row)
        assert agreeing or not self.remembered
        self.model.offset = relocked.offset_ns
        self.model.offset_u = self.ledger._offset_uncertainty_ns
        for notice in self.account.notices:
            if getattr(notice, "cause", None) is Cause.SHIFTED:
                self.model.pulses[notice.pulse].framed = True
        for row in agreeing:
            for pulse, _, _ in row[:-1]:
                pulse.framed |= pulse.end is not None

    @rule()
    def expire(self):
        due = [p.number for p in self.open() if p.fired + self.budget.wait_ns <= self.now]
        told = self.account.hear(self.ledger.expire(self.now))
        assert sorted(entry.pulse for entry in told.entries) == due
        assert all(entry.end is End.MISSED for entry in told.entries)
        self.end(told)

    @rule()
    def stop(self):
        still = {pulse.number for pulse in self.open()}
        told = self.account.hear(self.ledger.stop(self.now))
        assert {entry.pulse for entry in told.entries} == still
        for entry in told.entries:
            self.model.pulses[entry.pulse].stopped = entry.cause is Cause.STOPPED
        self.end(told)
        assert self.ledger.offset_ns == 0
        self.model.offset = self.model.offset_u = 0
        self.model.row = []

    @invariant()
    def open_pulses_are_bounded_and_due_in_order(self):
        if not hasattr(self, "ledger"):
            return
        still = self.open()
        assert len(still) <= self.capacity
        first = min((pulse.fired for pulse in still), default=None)
        assert self.ledger.next_ns == (None if first is None else first + self.budget.wait_ns)
        self.account.check()

    def teardown(self):
        if hasattr(self, "ledger"):
            self.account.hear(self.ledger.stop(self.now))
            assert set(self.account.pulses) == {pulse.number for pulse in self.model.pulses}
            assert set(self.account.frames) == set(range(self.frames))


TestPairings = Pairings.TestCase
TestPairings.settings = settings(stateful_step_count=40)
