"""Who has a buffer: the driver, the loop, or the reader. Never nobody, never two, and never too many lent."""

import enum

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.errors import StateError
from agent.frames.ledger import Ledger, PoolTooSmall
from agent.frames.wire import ProtocolError

LIMIT_NS = 800


class Owner(enum.Enum):
    DRIVER = enum.auto()
    LOOP = enum.auto()
    READER = enum.auto()


class LedgerMachine(RuleBasedStateMachine):
    """A model of who has each buffer of two cameras, beside the ledger."""

    @initialize(floor=st.integers(0, 3), most=st.integers(1, 12), sizes=st.tuples(st.integers(4, 8), st.integers(4, 8)))
    def begin(self, floor, most, sizes):
        self.floor, self.most = floor, most
        self.ledger = Ledger(floor=floor, most=most)
        self.owner = {(pool, index): Owner.DRIVER for pool, size in enumerate(sizes) for index in range(size)}
        self.sizes = sizes
        for pool, size in enumerate(sizes):
            self.ledger.add_pool(pool, size)
        self.owed = []  # leases without an answer, oldest first
        self.settled = []

    def buffers(self, owner):
        return [place for place, has in self.owner.items() if has is owner]

    @rule(data=st.data())
    @precondition(lambda self: self.buffers(Owner.DRIVER))
    def dequeue(self, data):
        self.owner[data.draw(st.sampled_from(self.buffers(Owner.DRIVER)))] = Owner.LOOP

    @rule(data=st.data())
    @precondition(lambda self: self.buffers(Owner.LOOP))
    def give_back(self, data):
        self.owner[data.draw(st.sampled_from(self.buffers(Owner.LOOP)))] = Owner.DRIVER

    @rule(data=st.data())
    @precondition(lambda self: self.buffers(Owner.LOOP))
    def lend(self, data):
        pool, index = place = data.draw(st.sampled_from(self.buffers(Owner.LOOP)))
        room = self.lent(pool) < self.sizes[pool] - self.floor and len(self.owed) < self.most
        lease = self.ledger.lend(pool, index, LIMIT_NS, place)
        assert (lease is not None) == room
        if lease is not None:
            assert lease.item == place
            self.owner[place] = Owner.READER
            self.owed.append(lease)

    @rule(data=st.data())
    @precondition(lambda self: self.buffers(Owner.READER))
    def lend_again(self, data):
        pool, index = data.draw(st.sampled_from(self.buffers(Owner.READER)))
        with pytest.raises(StateError):
            self.ledger.lend(pool, index, LIMIT_NS, None)

    @rule(data=st.data())
    @precondition(lambda self: self.owed)
    def answer(self, data):
        lease = data.draw(st.sampled_from(self.owed))
        was_live = lease.live
        assert self.ledger.answered(lease.number) is lease
        if was_live:
            self.owner[lease.item] = Owner.LOOP
        self.owed.remove(lease)
        self.settled.append(lease.number)

    @rule(data=st.data())
    def answer_what_is_not_owed(self, data):
        number = data.draw(st.sampled_from([*self.settled, 0, 10**9]))
        with pytest.raises(ProtocolError):
            self.ledger.answered(number)

    @rule(data=st.data())
    @precondition(lambda self: any(lease.live for lease in self.owed))
    def revoke(self, data):
        lease = data.draw(st.sampled_from([lease for lease in self.owed if lease.live]))
        self.ledger.revoke(lease)
        self.owner[lease.item] = Owner.LOOP

    @rule()
    def reader_dies(self):
        left = self.ledger.reader_gone()
        assert left == [lease for lease in self.owed if lease.live]
        for lease in left:
            self.owner[lease.item] = Owner.LOOP
        self.settled += [lease.number for lease in self.owed]
        self.owed = []

    @invariant()
    def every_buffer_is_somebodys_and_the_floor_holds(self):
        for pool, size in enumerate(self.sizes):
            lent = self.lent(pool)
            assert self.ledger.lent(pool) == lent == len(list(self.ledger.live(pool)))
            assert lent <= size - self.floor
            ours = sum(1 for (of, _), has in self.owner.items() if of == pool and has is not Owner.READER)
            assert lent + ours == size
        assert self.ledger.owed == len(self.owed) <= self.most
        assert self.ledger.oldest is (self.owed[0] if self.owed else None)

    def lent(self, pool):
        return sum(1 for (of, _), has in self.owner.items() if of == pool and has is Owner.READER)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = hypothesis_settings(max_examples=80, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("buffers", [0, 1, 2])
def test_a_pool_of_which_nothing_could_be_lent_is_refused(buffers):
    with pytest.raises(PoolTooSmall) as caught:
        Ledger(floor=2).add_pool(1, buffers)
    assert caught.value.details["minimum"] == 3


def test_leases_of_a_pool_that_was_removed_are_still_answered_for():
    ledger = Ledger(floor=0)
    ledger.add_pool(1, 2)
    lease = ledger.lend(1, 0, LIMIT_NS, None)
    ledger.remove_pool(1)
    assert ledger.answered(lease.number) is lease
    assert ledger.owed == 0
