"""Clients of a capture loop's frames: what each gets, for how long, and that nobody and nothing else suffers for it."""

import errno
import mmap
import os
import socket
import struct

import pytest
from capture.clients import Client
from capture.loop_stage import LoopStage
from capture.test_triggered import triggered
from frames.pools import open_descriptors

from agent.capture import messages as m
from agent.capture.board import Of
from agent.capture.settings import Settings
from agent.capture.subscribers import MOST_OF_ONE
from agent.frames import wire
from agent.frames.wire import Answer, Target
from agent.simulation.queue import BufferState
from agent.units import NS_PER_MS, NS_PER_S
from agent.v4l2.buffers import MemoryKind


def stage(buffers=7, **options):
    return LoopStage(settings=Settings(settle_frames=0, buffer_count=buffers), **options)


def frames(loop, count=1, camera="top"):
    """So many frames of a camera."""
    for _ in range(count):
        loop.kernel.step(loop.cameras[camera])
        loop.settle()


def queued(loop, camera="top"):
    """The buffers that the driver has."""
    return {buffer.index for buffer in loop.cameras[camera].queue.buffers if buffer.state is not BufferState.DEQUEUED}


def count(loop, word, camera="top"):
    return loop.words(camera)[word]


def test_the_newest_frame_waits_and_those_before_it_are_counted():
    with stage() as loop, Client(loop) as client:
        assert client.states == ["streaming"]
        assert count(loop, Of.CLIENTS) == 1
        frames(loop, 5)
        (first,) = client.hear()
        assert (first.facts.sequence, first.skipped) == (0, 0)
        assert len(queued(loop)) == 5, "one is lent, one waits"
        client.give_back()
        (last,) = client.hear()
        assert (last.facts.sequence, last.skipped) == (4, 3)
        client.give_back()
        assert len(queued(loop)) == 7
        assert first.revoked
        frames(loop)
        assert client.hear()[0].facts.sequence == 5
        assert (count(loop, Of.CLIENT_FRAMES), count(loop, Of.CLIENT_SKIPPED)) == (3, 3)
        assert count(loop, Of.CLIENT_REVOKED) == count(loop, Of.CLIENT_COPIED) == 0


def test_who_wants_every_frame_has_a_queue_and_the_oldest_is_skipped_when_it_is_full():
    with stage() as loop, Client(loop, every=True, depth=2) as client:
        frames(loop, 6)
        seen = []
        while client.hear():
            seen.append((client.frames[0].facts.sequence, client.frames[0].skipped))
            client.give_back()
        assert seen == [(0, 0), (4, 3), (5, 0)]


def test_several_frames_at_a_time():
    with stage() as loop, Client(loop, most=3) as client:
        frames(loop, 5)
        assert [frame.facts.sequence for frame in client.hear()] == [0, 1, 2]
        client.give_back(1)
        assert [frame.facts.sequence for frame in client.hear()] == [4]
        assert len(queued(loop)) == 4


def test_a_frame_is_the_drivers_when_the_last_who_has_it_gives_it_back():
    with stage() as loop, Client(loop) as one, Client(loop) as other:
        loop.add(store=True, count=1)
        frames(loop)
        (mine,), (theirs,) = one.hear(), other.hear()
        assert mine.place == theirs.place not in queued(loop)
        assert len(loop.publisher.out) == 1
        assert len(mine.trace_ids) == 1
        one.give_back()
        assert mine.place not in queued(loop)
        loop.publisher.give_back()
        loop.settle()
        assert mine.place not in queued(loop)
        assert not theirs.revoked
        other.give_back()
        assert mine.place in queued(loop)


def test_the_sink_may_be_the_last_who_has_it():
    with stage() as loop, Client(loop) as client:
        loop.add(store=True, count=1)
        frames(loop)
        (frame,) = client.hear()
        client.give_back()
        assert frame.place not in queued(loop)
        loop.publisher.give_back()
        loop.settle()
        assert frame.place in queued(loop)


@pytest.mark.parametrize("lease_ns", [0, 100 * NS_PER_MS, 10 * NS_PER_S])
def test_a_lease_ends_at_its_time_and_the_client_gets_no_other_before_it_answers(lease_ns):
    with stage() as loop, Client(loop, lease_ns=lease_ns) as client:
        frames(loop)
        (frame,) = client.hear()
        assert frame.limit_ns == (lease_ns or NS_PER_S)
        loop.advance(frame.limit_ns - 40 * NS_PER_MS)
        assert not frame.revoked
        loop.advance(80 * NS_PER_MS)
        assert frame.revoked
        assert count(loop, Of.CLIENT_REVOKED) == 1
        assert client.hear() == []
        client.give_back()
        assert not client.hear()[0].revoked


def test_a_client_that_answers_for_nothing_is_told_so_and_closed():
    with stage() as loop, Client(loop) as client, Client(loop) as other:
        frames(loop)
        client.hear()
        loop.advance(10 * NS_PER_S + 900 * NS_PER_MS)
        client.hear()
        assert client.refused is None
        other.hear()
        while other.frames:
            other.give_back()
        loop.advance(200 * NS_PER_MS)
        client.hear()
        assert (client.refused, client.ended) == ("stuck", True)
        other.hear()
        assert other.refused is None
        assert count(loop, Of.CLIENTS) == 1


def test_only_frames_exposed_from_an_instant_on():
    with stage() as loop:
        frames(loop)
        after_ns = loop.clock.now_ns() + 100 * NS_PER_MS
        with Client(loop, after_ns=after_ns) as client:
            for _ in range(6):
                frames(loop)
                client.hear()
            assert client.taken
            assert client.taken[0][0].began_ns >= after_ns
            assert client.taken[0][0].timestamp_ns - client.taken[0][0].began_ns < NS_PER_S
            assert count(loop, Of.CLIENT_SKIPPED) < 6


def test_only_frames_that_served_a_plan():
    with stage() as loop:
        loop.add("often", period_ms=40, count=8)
        loop.add("seldom", period_ms=160, count=2)
        with Client(loop, "seldom", Target.PLAN) as seldom, Client(loop, "often", Target.PLAN) as often:
            assert seldom.states == often.states == ["streaming"], "of the plan's camera alone"
            for _ in range(30):
                loop.advance(20 * NS_PER_MS)
                for client in (seldom, often):
                    client.hear()
                    while client.frames:
                        client.give_back()
            assert len(seldom.taken) == 2
            assert len(often.taken) == 8
            told = [trace for _, _, _, traces in seldom.taken for trace in traces]
            assert len(set(told)) == 2
            assert told == [record.trace_id for record in loop.records if record.slot == 1]


def test_a_plan_that_begins_anew_on_another_camera_takes_its_clients_along():
    with stage() as loop:
        loop.add("p", camera="top", count=1)
        with Client(loop, "p", Target.PLAN, most=2) as client:
            loop.advance(200 * NS_PER_MS)
            client.hear()
            assert client.cameras == ["top"]
            loop.add("p", camera="side", count=3)
            for _ in range(20):
                loop.advance(20 * NS_PER_MS)
                client.hear()
                while len(client.frames) > 1:
                    client.give_back()
            assert client.cameras == ["top"] + ["side"] * 3
            assert count(loop, Of.CLIENTS, "side") == 1
            loop.add("p", "q", camera="side", count=1)
            assert count(loop, Of.CLIENTS, "side") == 1
        loop.settle()
        assert count(loop, Of.CLIENTS) == count(loop, Of.CLIENTS, "side") == 0
        assert len(queued(loop)) == len(queued(loop, "side")) == 7


def test_the_frames_of_a_group():
    with stage() as loop, Client(loop, "g", Target.GROUP) as client:
        assert client.states == ["streaming"] * 2
        frames(loop, 2)
        frames(loop, 1, "side")
        assert {frame.camera for frame in client.hear()} == {"top", "side"}
        assert client.frames[0].facts.pulse is None


def test_the_frames_of_one_pulse_share_its_number_and_a_ghost_goes_to_nobody():
    with LoopStage(**triggered()) as loop, Client(loop, "g", Target.GROUP, most=8) as client:
        loop.add("p", period_ms=100, count=4, camera="g")
        for _ in range(12):
            loop.advance(50 * NS_PER_MS)
            client.hear()
            while client.frames:
                client.give_back()
        pulses = {}
        for (facts, _, _, traces), camera in zip(client.taken, client.cameras, strict=True):
            pulses.setdefault(facts.pulse, {})[camera] = traces
        assert sorted(pulses) == [0, 1, 2, 3]
        assert all(set(cameras) == {"top", "side"} for cameras in pulses.values())
        assert all(cameras["top"] == cameras["side"] for cameras in pulses.values()), "the trace ids of one tick"
        taken = len(client.taken)
        loop.cameras["top"].trigger.ghost(loop.clock.now_ns() + 20 * NS_PER_MS)
        loop.advance(200 * NS_PER_MS)
        client.hear()
        assert loop.words()[Of.SPURIOUS] == 1
        assert len(client.taken) == taken


# -- stops ----------------------------------------------------------------------------------------------------------


def test_a_stop_takes_everything_back_before_it_is_acknowledged():
    with stage() as loop, Client(loop, most=2) as client, Client(loop, every=True, depth=3) as other:
        frames(loop, 4)
        held = client.hear()
        asked = loop.cancel("camera", "top")
        loop.turn()
        assert all(frame.revoked for frame in held), "with the cancel itself"
        loop.settle()
        assert loop.is_answered(asked)
        assert all(frame.revoked for frame in other.hear()), "those that were on their way"
        assert client.hear() == []
        assert client.states == other.states == ["streaming", "stopped"]
        assert not loop.streams()
        assert isinstance(loop.ask(m.StartCamera, camera="top"), m.Done)
        for each in (client, other):
            while each.frames:
                each.give_back()
        assert len(queued(loop)) == 7
        frames(loop, 1)
        for each in (client, other):
            (frame,) = each.hear()
            assert not frame.revoked
            assert each.states == ["streaming", "stopped", "streaming"]


def test_a_camera_that_breaks_is_told_and_its_clients_go_on_with_its_next_buffers():
    with stage() as loop, Client(loop) as client:
        frames(loop)
        (held,) = client.hear()
        loop.cameras["top"].unplug()
        loop.settle()
        client.hear()
        assert held.revoked
        assert client.states == ["streaming", "gone"]
        loop.cameras["top"].plug()
        client.give_back()
        loop.advance(5 * NS_PER_S)
        client.hear()
        assert client.states[-1] == "streaming"
        assert client.frames


def test_nobody_waits_for_clients_at_the_end():
    with stage() as loop, Client(loop) as client:
        frames(loop)
        (held,) = client.hear()
        loop.send(m.Quit, by="a test")
        loop.settle()
        assert loop.loop._over()
        assert held.revoked
        loop.loop.release()
        client.hear()
        assert client.ended


# -- bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("buffers", [4, 5, 7])
def test_clients_leave_the_driver_its_floor_and_plans_one_more(buffers):
    with stage(buffers) as loop:
        clients = [Client(loop, most=8, every=True, depth=8) for _ in range(3)]
        frames(loop, 12)
        assert len(queued(loop)) == 3
        loop.add(store=True, count=1)
        frames(loop, 2)
        assert len(loop.publisher.out) == 1
        assert len(queued(loop)) >= 2
        assert loop.account().delivered == 0
        loop.publisher.give_back()
        loop.settle()
        assert loop.account().delivered == 1
        for client in clients:
            client.close()
        loop.settle()
        assert len(queued(loop)) == buffers


def test_a_plan_has_the_buffer_of_a_frame_that_only_waits():
    with stage(6) as loop, Client(loop, every=True, depth=8) as client:
        frames(loop, 4)
        assert len(queued(loop)) == 3, "one is lent, two wait"
        for name in "abc":
            loop.add(name, store=True, count=1)
            frames(loop, 2)
        assert len(queued(loop)) == 2
        assert len(loop.publisher.out) == 3
        loop.add("d", store=True, count=1)
        frames(loop, 2)
        assert len(loop.publisher.out) == 3, "the other buffer is the client's lease"
        assert loop.account("d").failed == 1
        loop.publisher.give_back(3)
        loop.settle()
        assert len(queued(loop)) >= 3
        (frame,) = client.hear()
        assert not frame.revoked


def test_one_client_more_than_buffers_does_not_keep_the_others_from_theirs():
    with stage(5) as loop:
        clients = [Client(loop, most=8) for _ in range(2)]
        frames(loop, 2)
        assert [len(client.hear()) for client in clients] == [1, 1], "each has its share"
        for client in clients:
            client.close()


def test_a_pool_too_small_is_refused():
    with stage(3) as loop, Client(loop) as client:
        assert (client.refused, client.ended) == ("pool_too_small", True)
        loop.add(store=True, count=1)
        frames(loop)
        assert len(loop.publisher.out) == 1
        loop.publisher.give_back()


def test_memory_without_descriptors_is_copied_once_for_all():
    settings = Settings(settle_frames=0, buffer_count=7, memory=(MemoryKind.MMAP,))
    with LoopStage(settings=settings) as loop, Client(loop) as one, Client(loop) as other:
        frames(loop, 3)
        for client in (one, other):
            client.hear()
            client.give_back()
            client.hear()
        assert count(loop, Of.CLIENT_FRAMES) == 4
        assert count(loop, Of.CLIENT_COPIED) == 2, "the first and the last, each for both"
        one.close()
        other.close()
        loop.settle()
        assert len(queued(loop)) == 7


@pytest.mark.parametrize("kind", [MemoryKind.MMAP_EXPORTED, MemoryKind.DMA_HEAP, MemoryKind.MMAP])
def test_what_is_passed_cannot_be_written(kind):
    with LoopStage(settings=Settings(settle_frames=0, buffer_count=7, memory=(kind,))) as loop:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            loop.door.pass_on(wire.pack_subscribe(wire.Subscribe(Target.CAMERA, "top")), theirs)
            loop.settle()
            got = []
            ours.setblocking(False)
            for _ in range(3):
                _, fds, _, _ = socket.recv_fds(ours, wire.PACKET_BYTES, 64)
                got += fds
            assert len(got) == 1 + (4 if kind is MemoryKind.MMAP else 7), "marks, and buffers or copies"
            for fd in got:
                with pytest.raises(OSError, match=r"Bad file|not permitted|denied"):
                    os.write(fd, b"x")
                with pytest.raises(PermissionError):
                    mmap.mmap(fd, 8, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            for fd in got:
                os.close(fd)


# -- bad clients ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "packets",
    [
        [wire.pack_answer(Answer(99, False, 0))],
        [wire.pack_answer(Answer(1, False, 0))] * 2,
        [wire.pack_answer(Answer(1, False, 0))[:-1]],
        [b"\xff" * 30],
        [bytes(wire.ANSWER_BYTES + 1)],
        [bytes(64 * 1024)],
        [wire.pack_ready()],
        [wire.pack_subscribe(wire.Subscribe(Target.CAMERA, "top"))],
        [struct.pack("=B", 17)],
    ],
    ids=["wrong lease", "twice", "cut", "garbage", "too long", "huge", "ready", "subscribe again", "one byte"],
)
def test_nonsense_ends_its_client_alone_and_its_buffers_are_back_at_once(packets):
    with stage() as loop, Client(loop) as client, Client(loop) as other:
        frames(loop)
        client.hear()
        (theirs,) = other.hear()
        client.say(*packets)
        client.hear()
        assert (client.refused, client.ended) == ("frame_protocol", True)
        assert not theirs.revoked
        other.give_back()
        assert len(queued(loop)) == 7
        assert count(loop, Of.CLIENTS) == 1


@pytest.mark.parametrize("packet", [b"", b"\0", b"\xff" * 100, wire.pack_ready()])
def test_a_subscription_that_is_none_is_refused(packet):
    with stage() as loop:
        with Client(loop, packet=packet or b"\x12") as client:
            assert client.refused == "frame_protocol"
        with Client(loop, "nobody") as client:
            assert client.refused == "target_unknown"
        frames(loop)
        assert len(queued(loop)) == 7


def test_descriptors_from_a_client_are_dropped():
    with stage() as loop, Client(loop) as client:
        frames(loop)
        (frame,) = client.hear()
        held = open_descriptors()
        with open("/dev/null") as null:
            socket.send_fds(client.channel, [wire.pack_answer(Answer(frame.lease, False, 0))], [null.fileno()] * 20)
        client.frames.clear()
        loop.settle()
        assert open_descriptors() == held
        assert len(queued(loop)) == 7


def test_a_thousand_connections():
    with stage() as loop:
        clients = [Client(loop) for _ in range(MOST_OF_ONE + 8)]
        assert [client.refused for client in clients[-8:]] == ["too_many_clients"] * 8
        frames(loop)
        for client in clients:
            client.close()
        loop.settle()
        for _ in range(1000):
            Client(loop).close()
        frames(loop)
        assert count(loop, Of.CLIENTS) == 0
        assert len(loop.loop.subscribers) == 0
        assert len(queued(loop)) == 7


def test_a_client_that_dies_gives_everything_back():
    with stage() as loop:
        client = Client(loop, most=2)
        frames(loop, 3)
        assert len(queued(loop)) == 4
        client.close()
        loop.settle()
        assert len(queued(loop)) == 7


def test_a_door_that_is_closed_lets_nobody_in_and_the_loop_goes_on():
    with stage() as loop:
        loop.door.release()
        loop.settle()
        frames(loop)
        assert count(loop, Of.FRAMES) == 1


def test_stopped_while_sink_and_client_have_the_same_frame():
    with stage() as loop, Client(loop) as client:
        loop.add(store=True, count=1)
        frames(loop)
        client.hear()
        loop.cancel("camera", "top")
        loop.settle()
        client.give_back()
        assert isinstance(loop.ask(m.StartCamera, camera="top"), m.Done)
        assert len(queued(loop)) == 7
        assert not loop.loop.units["top"]._shared


def test_a_client_that_shuts_its_receiving_half_is_closed_and_the_loop_sleeps():
    with stage() as loop, Client(loop) as client:
        frames(loop)
        client.channel.shutdown(socket.SHUT_RD)
        loop.cancel("camera", "top")
        loop.settle()
        assert count(loop, Of.CLIENTS) == 0
        assert isinstance(loop.ask(m.StartCamera, camera="top"), m.Done)
        assert len(queued(loop)) == 7


def test_a_client_that_can_be_sent_no_frame_any_more_is_closed():
    with stage() as loop, Client(loop) as client:
        client.channel.shutdown(socket.SHUT_RD)
        frames(loop)
        assert count(loop, Of.CLIENTS) == 0
        assert len(queued(loop)) == 7


def test_a_client_that_reads_nothing_is_closed_before_what_waits_for_it_is_much():
    with stage() as loop, Client(loop) as client:
        (subscriber,) = loop.loop.units["top"].station.subscribers
        subscriber._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for _ in range(80):
            loop.cancel("camera", "top")
            loop.settle()
            assert isinstance(loop.ask(m.StartCamera, camera="top"), m.Done)
        assert len(subscriber._lender._outbox) <= 70
        assert count(loop, Of.CLIENTS) == 0
        frames(loop)
        assert len(queued(loop)) == 7
        client.hear()
        assert client.ended


class Starved(socket.socket):
    """A socket of a machine that has no memory for messages."""

    code = errno.ENOBUFS

    def send(self, *_):
        raise OSError(self.code, os.strerror(self.code))

    def sendmsg(self, *_):
        raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS])
def test_without_memory_for_messages_the_loop_sleeps_and_tries_again_later(code):
    with stage() as loop, Client(loop) as client:
        (subscriber,) = loop.loop.units["top"].station.subscribers
        found = subscriber._lender._channel
        with Starved(fileno=os.dup(found.fileno())) as starved:
            starved.setblocking(False)
            starved.code = code
            subscriber._lender._channel = starved
            loop.cancel("camera", "top")
            loop.settle()
            assert client.hear() == []
            loop.advance(NS_PER_S)
            subscriber._lender._channel = found
        loop.advance(200 * NS_PER_MS)
        client.hear()
        assert client.states == ["streaming", "stopped"]


class FullEpoll:
    """An epoll of a user who may not watch one descriptor more."""

    def __init__(self, epoll):
        self._epoll = epoll

    def __getattr__(self, name):
        return getattr(self._epoll, name)

    def register(self, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_client_that_cannot_be_watched_is_refused_and_the_loop_goes_on():
    with stage() as loop:
        found = loop.loop.subscribers._epoll
        loop.loop.subscribers._epoll = FullEpoll(found)
        with Client(loop) as client:
            assert (client.refused, client.ended) == ("no_memory", True)
        loop.loop.subscribers._epoll = found
        with Client(loop) as client:
            frames(loop)
            assert client.hear()
