"""A feed against a model, whatever the lender does: no lease is answered twice or forgotten, no lost frame handed out,
every frame accounted for."""

import shutil
import tempfile
from pathlib import Path

import pytest
from client.stage import Door, wish
from frames.pools import FACTS, GREY
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.client import NoFrame
from agent.client.feed import Feed
from agent.client.frame import Frame
from agent.frames.values import PoolFormat

MOST = 4
FORMS = ((GREY, (2048,)), (PoolFormat("NM12", 32, 16, ((64, 1024), (64, 512))), (1024, 512)))


class FeedMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="feed-"))
        self.door = Door(self.folder)
        self.now_ns = 1
        self.feed = Feed(wish(most=MOST), self.door.path, read_monotonic_ns=lambda: self.now_ns)
        self.lender = self.door.accept()
        self.sequence = 0
        self.last = -1  # sequence of the frame handed out last
        self.begin()

    @initialize()
    def begin(self):
        self.pool = None
        self.sent = []  # leases in the socket: (lease, buffer, sequence)
        self.live = {}  # lease: buffer, of what is marked as lent
        self.owed = set()
        self.had = {}  # frames handed out and not given back, by lease
        self.unsent = 0  # frames that could not be sent since the last one that was

    # -- the lender ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.pool is None)
    @rule(form=st.sampled_from(FORMS))
    def announce(self, form):
        self.pool = self.lender.pool(MOST + 1, form[1], form=form[0])

    @precondition(lambda self: self.pool is not None)
    @rule(buffer=st.integers(0, MOST), skipped=st.sampled_from([False, False, True]))
    def take_picture(self, buffer, skipped):
        """A frame comes, and is lent if the client may have it and its buffer is free."""
        sequence, self.sequence = self.sequence, self.sequence + 1
        if skipped or len(self.owed) >= MOST or buffer in self.live.values():
            self.unsent += 1
            return
        for plane in self.pool.planes[buffer]:
            plane[:] = sequence % 251
        facts = FACTS._replace(sequence=sequence)
        lease = self.lender.lend(self.pool, buffer, facts=facts, skipped=self.unsent)
        self.unsent = 0
        self.sent.append((lease, buffer, sequence))
        self.live[lease] = buffer
        self.owed.add(lease)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def revoke(self, data):
        lease = data.draw(st.sampled_from(sorted(self.live)))
        self.pool.revoke(self.live.pop(lease))

    @precondition(lambda self: self.pool is not None)
    @rule()
    def change_format(self):
        self.pool.forget()
        self.live.clear()
        self.pool = None

    @rule(state=st.sampled_from(["STREAMING", "STOPPED", "FAULT", "GONE"]))
    def tell(self, state):
        self.lender.state(state)

    @precondition(lambda self: self.sequence % 8 == 7)
    @rule()
    def die(self):
        # what was not handed out by then may be lost with the connection, and with it how many were skipped
        for frame in self.had.values():
            frame.release()
        self.lender.die()
        while isinstance(found := self.feed.step(), Frame) or found.fd is None:
            if isinstance(found, Frame):
                found.release()
            else:
                self.now_ns = found.until_ns
        self.lender = self.door.accept()
        self.begin()
        self.last = None

    # -- the client ---------------------------------------------------------------------------------------------------

    @rule(kept=st.booleans(), latest=st.booleans())
    def take(self, kept, latest):
        for lease in [lease for lease, frame in self.had.items() if not frame.kept]:
            self.had.pop(lease)
        good = [each for each in self.sent if each[0] in self.live]
        wanted = None if not good else good[-1] if latest else good[0]
        if wanted is None:
            with pytest.raises(NoFrame):
                self.call(latest)
            self.sent.clear()
            self.returned()
            return
        frame = self.call(latest)
        assert (frame.lease, frame.sequence) == (wanted[0], wanted[2])
        assert all((plane == wanted[2] % 251).all() for plane in frame.planes)
        if self.last is not None:
            assert frame.sequence == self.last + 1 + frame.skipped, "every frame is handed out or counted"
        self.last = frame.sequence
        self.sent = [] if latest else self.sent[self.sent.index(wanted) + 1 :]
        self.had[frame.lease] = frame.keep() if kept else frame
        self.returned()

    def call(self, latest):
        return self.feed.latest(timeout_s=0) if latest else self.feed.next(timeout_s=0)

    @precondition(lambda self: self.had)
    @rule(data=st.data())
    def give_back(self, data):
        lease = data.draw(st.sampled_from(sorted(self.had)))
        self.had.pop(lease).release()
        self.returned()

    def returned(self):
        for lease in self.lender.returned():
            self.owed.remove(lease)  # KeyError: answered twice
            if lease in self.live:
                self.pool.revoke(self.live.pop(lease))

    # -- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def all_that_is_owed_is_in_the_socket_or_in_hand(self):
        self.returned()
        assert self.owed == {lease for lease, _, _ in self.sent} | set(self.had)

    @invariant()
    def a_frame_in_hand_knows_whether_it_is_good(self):
        for lease, frame in self.had.items():
            assert frame.revoked == (lease not in self.live)

    def teardown(self):
        self.feed.release()
        self.door.__exit__()
        shutil.rmtree(self.folder)


TestFeed = FeedMachine.TestCase
TestFeed.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
