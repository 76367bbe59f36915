"""Clients, frames, deadlines, stops, plans, deaths in any order: each buffer in one place, each frame accounted for."""

from collections import Counter

import pytest
from capture.clients import Client
from capture.loop_stage import LoopStage, RungPublisher
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.capture import messages as m
from agent.capture.board import Of
from agent.capture.settings import Settings
from agent.frames import wire
from agent.frames.wire import Answer
from agent.simulation.queue import BufferState
from agent.units import NS_PER_MS
from agent.v4l2.buffers import MemoryKind

pytestmark = pytest.mark.timeout(300)
_FLOOR = 2


class BoundedPublisher(RungPublisher):
    """It keeps the floor, as a sink does."""

    buffers = 0

    def publish(self, camera, shot, trace_ids, limit_ns):
        return len(self.out) < self.buffers - _FLOOR and super().publish(camera, shot, trace_ids, limit_ns)


class AnyOrder(RuleBasedStateMachine):
    """One camera, a sink, and clients that come, go, hold on to frames, and lie."""

    def __init__(self):
        super().__init__()
        self.publisher = BoundedPublisher()
        self.clients, self.number, self.runs = [], 0, 0

    @initialize(buffers=st.integers(4, 8), kind=st.sampled_from([MemoryKind.MMAP_EXPORTED, MemoryKind.MMAP]))
    def begin(self, buffers, kind):
        self.publisher.buffers = self.buffers = buffers
        small = {"width_px": 320, "height_px": 240}
        wanted = Settings(settle_frames=0, buffer_count=buffers, memory=(kind,), **small)
        self.loop = LoopStage(settings=wanted, publisher=self.publisher)
        self.loop.__enter__()
        self.camera = self.loop.cameras["top"]

    def teardown(self):
        for client in self.clients:
            client.close()
        self.loop.__exit__(None, None, None)

    # -- what happens -----------------------------------------------------------------------------------------------

    @rule(
        every=st.booleans(),
        most=st.integers(1, 4),
        depth=st.integers(1, 4),
        lease_ms=st.sampled_from([0, 50, 300]),
    )
    def connect(self, every, most, depth, lease_ms):
        if len(self.clients) < 5:
            wish = {"every": every, "most": most, "depth": depth, "lease_ns": lease_ms * NS_PER_MS}
            self.clients.append(Client(self.loop, **wish))

    @rule(count=st.integers(1, 6))
    def frames_come(self, count):
        if not self.streams:
            self.it_is_started()
        for _ in range(count):
            self.loop.kernel.step(self.camera)
            self.loop.settle()

    @rule(which=st.integers(0, 4), place=st.integers(0, 3))
    def a_client_gives_back(self, which, place):
        for client in self.clients[which : which + 1]:
            client.hear()
            if client.frames:
                client.give_back(place % len(client.frames))

    @rule(which=st.integers(0, 4), how=st.sampled_from(["dies", "lies", "repeats"]))
    def a_client_ends(self, which, how):
        for client in self.clients[which : which + 1]:
            self._ends(client, how)

    def _ends(self, client, how):
        client.hear()
        if how == "lies":
            client.say(wire.pack_answer(Answer(10**9, False, 0)))
        elif how == "repeats" and client.frames:
            lease = client.frames[0].lease
            client.say(*[wire.pack_answer(Answer(lease, False, 0))] * 2)
        client.hear()
        assert how == "dies" or client.refused == "frame_protocol" or not client.frames
        client.close()
        self.clients.remove(client)
        self.loop.settle()

    @rule(duration_ms=st.sampled_from([10, 60, 400]))
    def time_passes(self, duration_ms):
        self.loop.advance(duration_ms * NS_PER_MS)

    @rule()
    def it_is_stopped(self):
        held = [frame for client in self.clients for frame in (client.hear(), client.frames)[1]]
        asked = self.loop.cancel("camera", "top")
        self.loop.settle()
        self.publisher.give_back(100)
        self.loop.settle()
        assert self.loop.is_answered(asked)
        assert all(frame.revoked for frame in held)
        for client in self.clients:
            assert all(frame.revoked for frame in client.hear()), "delivered after the acknowledgement"
            client.taken.clear()  # numbers begin anew

    def it_is_started(self):
        assert isinstance(self.loop.ask(m.StartCamera, camera="top"), m.Done)

    @rule(count=st.integers(1, 2))
    def pictures_are_wanted(self, count):
        for _ in range(count):
            self.number += 1
            self.loop.add(f"p{self.number}", store=True, count=1)
            self.frames_come(2)

    @rule(count=st.integers(1, 3))
    def pictures_are_stored(self, count):
        self.publisher.give_back(count)
        self.loop.settle()

    # -- what is always so ------------------------------------------------------------------------------------------

    @property
    def streams(self):
        return self.loop.streams()

    @invariant()
    def every_buffer_is_in_one_place(self):
        unit = self.loop.loop.units["top"]
        station = unit.station
        stored = {shot.frame.index for _, shot in self.publisher.out}
        clients = {loan.shot.frame.index for loan in station._held}
        assert len(clients) == station.held
        assert not station.freed
        out = stored | clients
        assert len(unit._shared) == len(stored & clients)
        if self.streams:
            queued = {each.index for each in self.camera.queue.buffers if each.state is not BufferState.DEQUEUED}
            assert not out & queued
            assert out | queued == set(range(self.buffers))
            assert len(queued) >= _FLOOR
        assert len(clients) <= max(self.buffers - _FLOOR - 1, 0)

    @invariant()
    def what_is_lent_is_not_the_drivers(self):
        station, holders = self.loop.loop.units["top"].station, Counter()
        for subscriber in station.subscribers:
            live = list(subscriber._lender.ledger.live())
            assert {lease.item.loan for lease in live} <= station._held
            assert len(live) <= subscriber.feeds["top"].owed <= subscriber.feeds["top"].most
            assert subscriber.feeds["top"].owed == subscriber._lender.ledger.owed
            held = [lease.item.loan for lease in live] + list(subscriber.feeds["top"].waiting)
            assert len(set(held)) == len(held)
            holders.update(held)
        assert holders == {loan: loan.holders for loan in station._held}

    @invariant()
    def every_frame_is_accounted_for(self):
        for client in self.clients:
            client.hear()
            expected = None
            for facts, skipped, _, _ in client.taken:
                if expected is not None:
                    assert facts.sequence == expected + skipped + facts.lost_before
                expected = facts.sequence + 1
        words = self.loop.words()
        feeds = [each.feeds["top"] for each in self.loop.loop.units["top"].station.subscribers]
        assert words[Of.CLIENTS] == len(feeds)
        assert words[Of.CLIENT_FRAMES] >= sum(len(client.taken) for client in self.clients)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
