"""The timetable against a sorted set."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.schedule.timetable import SLOT_BITS, SLOT_MASK, Timetable, entry, last_entry

ENTRIES = st.builds(entry, st.integers(-3, 6), st.integers(0, 40))


class Tables(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.table, self.model = Timetable(), set()

    @rule(new=st.lists(ENTRIES, min_size=1, max_size=60))
    def add(self, new):
        for one in new:
            if one not in self.model:
                self.table.add(one)
                self.model.add(one)

    @precondition(lambda self: self.model)
    @rule(new=ENTRIES)
    def advance(self, new):
        first = min(self.model)
        if new == first or new not in self.model:
            self.table.advance(new)
            self.model.remove(first)
            self.model.add(new)

    @precondition(lambda self: self.model)
    @rule()
    def take(self):
        assert self.table.take() == min(self.model)
        self.model.remove(min(self.model))

    @precondition(lambda self: self.model)
    @rule(data=st.data(), most=st.integers(1, 100))
    def remove(self, data, most):
        for old in data.draw(st.lists(st.sampled_from(sorted(self.model)), max_size=most, unique=True)):
            self.table.remove(old)
            self.model.remove(old)

    @invariant()
    def it_is_the_set(self):
        assert len(self.table) == len(self.model)
        assert self.table.entries[:1] == sorted(self.model)[:1]
        for last in (last_entry(-2), last_entry(2), last_entry(9)):
            assert self.table.latest(last) == max((one for one in self.model if one <= last), default=None)
        assert sorted(self.table.up_to(last_entry(2))) == sorted(one for one in self.model if one >> SLOT_BITS <= 2)


Tables.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestTables = Tables.TestCase


def test_an_entry_holds_time_and_place():
    for due_ns, slot in ((0, 0), (-5, 7), (10**18, SLOT_MASK)):
        assert (entry(due_ns, slot) >> SLOT_BITS, entry(due_ns, slot) & SLOT_MASK) == (due_ns, slot)
        assert entry(due_ns, slot) <= last_entry(due_ns) < entry(due_ns + 1, 0)


def test_rebuilt_without_its_stale_entries_it_is_in_order():
    table, order = Timetable(), [entry(k * 7_919 % 1_000, k) for k in range(1_000)]
    for one in order:
        table.add(one)
    for old in sorted(order)[::-3] + sorted(order)[1::3]:
        if old in order:
            table.remove(old)
            order.remove(old)
    assert len(table.entries) < 1_000
    assert [table.take() for _ in range(len(table))] == sorted(order)


def test_removed_entries_do_not_pile_up():
    table = Timetable()
    for due_ns in range(10):
        table.add(entry(due_ns, 0))
    for due_ns in range(1_000, 101_000):
        table.add(entry(due_ns, 1))
        table.remove(entry(due_ns, 1))
    assert len(table) == 10
    assert len(table.entries) < 200
