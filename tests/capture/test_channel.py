"""The command socket: order, bounds, the end of the connection."""

import os
import socket
from contextlib import ExitStack

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from agent.capture.channel import Channel, ChannelFull, MessageTooLarge, open_pair
from agent.capture.messages import PACKET_BYTES, Cancel, Done, Ping, PlansEnded, Progress, Quit, encode
from agent.capture.packets import LARGEST_BYTES, ChannelBroken


@pytest.fixture
def ends():
    ours, theirs = open_pair()
    with ours, Channel(theirs) as other:
        yield ours, other


def ping(number):
    return Ping(id=number)


def cancel(number, name="a"):
    return Cancel(id=number, kind="plan", name=name, by="test")


def everything(channel, bound=64):
    found = []
    while received := channel.drain(bound):
        found += received
    return found


def fill(channel):
    """Commands until the socket itself takes no more; how many."""
    number = 0
    while not channel.wants_write:
        number += 1
        channel.send(ping(number))
    return number


def test_a_message_arrives_as_it_was_sent(ends):
    ours, other = ends
    ours.send(ping(7))
    assert other.drain(10) == [(7, ping(7))]
    other.send(Done(re=7, at_ns=5, facts={"a": 1}))
    assert ours.drain(10) == [(0, Done(re=7, at_ns=5, facts={"a": 1}))]
    assert not ours.drain(10)


def test_cancels_are_handed_out_first_and_keep_their_number(ends):
    ours, other = ends
    for message in (ping(1), ping(2), cancel(3), ping(4), Quit(id=5, by="test")):
        ours.send(message)
    assert [number for number, _ in other.drain(2)] == [3, 5, 1, 2]
    assert other.waiting
    ours.send(cancel(6))
    assert [number for number, _ in other.drain(2)] == [6, 4]
    assert not other.waiting


def test_a_cancel_overtakes_commands_that_wait_to_be_sent(ends):
    ours, other = ends
    sent = fill(ours)
    for number in range(sent + 1, sent + 50):
        ours.send(ping(number))
    ours.send(cancel(sent + 50))
    other.drain(3)
    ours.flush()
    received = other.drain(3)
    assert received[0].number == sent + 50
    assert received[1].number == 4


def test_the_first_message_is_overtaken_by_nothing(ends):
    ours, other = ends
    ours.send(ping(1))
    ours.send(cancel(2))
    assert other.receive() == (1, ping(1))
    assert other.receive() == (2, cancel(2))
    assert other.receive() is None


def test_a_peer_that_never_reads_is_an_error_and_costs_bounded_memory():
    ours, theirs = open_pair()
    with ours, Channel(theirs) as other:
        sent = fill(ours) + 4095
        for number in range(sent - 4094, sent + 1):
            ours.send(ping(number))
        with pytest.raises(ChannelFull) as caught:
            ours.send(ping(sent + 1))
        assert caught.value.details["waiting"] == 4096
        # full for commands is not full for cancels
        ours.send(cancel(sent + 1))
        found = []
        while len(found) < sent + 1:
            found += other.drain(64)
            ours.flush()
        assert sorted(found) == [(number, ping(number)) for number in range(1, sent + 1)] + [
            (sent + 1, cancel(sent + 1))
        ]
        assert [r.number for r in found if isinstance(r.message, Ping)] == list(range(1, sent + 1))


def test_large_messages_that_nobody_reads_are_bounded_by_their_bytes(ends):
    ours, _ = ends
    large = Done(re=1, at_ns=0, facts=bytes(20 * 1024 * 1024))
    fill(ours)
    for _ in range(6):
        ours.send(large)
    with pytest.raises(ChannelFull):
        ours.send(large)


def test_a_message_larger_than_any_may_be_is_refused(ends):
    ours, other = ends
    with pytest.raises(MessageTooLarge) as caught:
        ours.send(Done(re=1, at_ns=0, facts=bytes(LARGEST_BYTES)))
    assert caught.value.details["allowed"] == LARGEST_BYTES
    assert not other.drain(5)


def test_events_are_dropped_and_counted_where_answers_are_not():
    end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Channel(end, queue_messages=10) as ours, Channel(theirs) as other:
        fill(ours)
        event = PlansEnded(at_ns=0, ends=(("a", "finished", ""),))
        taken = sum(ours.offer(event) for _ in range(100))
        assert taken == 4  # with the one that waits: half of ten
        assert ours.dropped == 96
        assert ours.congested
        for number in range(5):
            ours.send(Done(re=number, at_ns=0))
        with pytest.raises(ChannelFull):
            ours.send(Done(re=5, at_ns=0))
        found = []
        while received := other.drain(1000):
            found += received
            ours.flush()
        assert [r.message.re for r in found if isinstance(r.message, Done)] == [0, 1, 2, 3, 4]
        assert not ours.congested


def test_a_message_larger_than_a_packet_goes_beside_it(ends):
    ours, other = ends
    large = Done(re=1, at_ns=0, facts=os.urandom(3 * PACKET_BYTES))
    ours.send(large)
    ours.send(Done(re=2, at_ns=0))
    assert [received.message for received in other.drain(5)] == [large, Done(re=2, at_ns=0)]
    ours.send(large)  # left in the socket: the fixture looks for its descriptor


def test_the_end_of_the_connection_comes_after_all_that_was_said(ends):
    ours, other = ends
    ours.send(ping(1))
    ours.send(ping(2))
    ours.release()
    assert [r.number for r in other.drain(1)] == [1]
    assert not other.closed
    assert [r.number for r in other.drain(1)] == [2]
    assert other.closed
    assert not other.drain(1)


def test_last_words_are_heard_of_a_peer_that_died_with_commands_unread(ends):
    ours, other = ends
    ours.send(ping(1))
    other.send(Done(re=0, at_ns=0, facts="last words"))
    other.release()
    assert [r.message.facts for r in ours.drain(5)] == ["last words"]
    assert ours.closed


def test_what_is_sent_to_a_peer_that_has_gone_is_discarded(ends):
    ours, other = ends
    fill(ours)
    other.release()
    for number in range(10_000):
        ours.send(ping(number))
    assert not ours.wants_write


def test_a_send_buffer_smaller_than_a_packet_is_no_obstacle():
    end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with Channel(end) as ours, Channel(theirs) as other:
        message = Done(re=1, at_ns=0, facts=bytes(PACKET_BYTES // 2))
        ours.send(message)
        assert [received.message for received in other.drain(5)] == [message]


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (b".", "cannot be read"),
        (b".nonsense", "cannot be read"),
        (b"!\x80\x05", "cannot be read"),
        (b".\x80\x05c", "cannot be read"),
        (b"." * (PACKET_BYTES + 100), "more than"),
    ],
)
def test_nonsense_is_a_typed_error(packet, words):
    end, raw = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Channel(end) as ours, raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * PACKET_BYTES)
        raw.send(packet)
        with pytest.raises(ChannelBroken, match=words):
            ours.drain(5)


def test_a_descriptor_that_holds_nothing_is_a_typed_error_and_closed():
    end, raw = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Channel(end) as ours, raw:
        memory = os.memfd_create("empty")
        socket.send_fds(raw, [encode(ping(1))[:1]], [memory])
        os.close(memory)
        with pytest.raises(ChannelBroken):
            ours.drain(5)


class ChannelMachine(RuleBasedStateMachine):
    """Whatever is sent, flushed and drained in whatever order: once each, in order, cancels first."""

    sent = Bundle("sent")

    @initialize()
    def open(self):
        self.resources = ExitStack()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.ours = self.resources.enter_context(Channel(ours, queue_messages=12))
        self.other = self.resources.enter_context(Channel(theirs))
        self.number = 0
        self.commands, self.cancels = [], []
        self.got_commands, self.got_cancels = [], []

    @rule(kind=st.sampled_from(["command", "command", "cancel", "large"]))
    def send(self, kind):
        self.number += 1
        message = cancel(self.number) if kind == "cancel" else ping(self.number)
        if kind == "large":
            message = Progress(re=self.number, at_ns=0, step="", told="x" * 200_000)
        try:
            self.ours.send(message)
        except ChannelFull:
            return
        (self.cancels if kind == "cancel" else self.commands).append(self.number)

    @rule()
    def flush(self):
        assert self.ours.flush() == (not self.ours.wants_write)

    @rule(bound=st.integers(0, 5))
    def drain(self, bound):
        received = self.other.drain(bound)
        kinds = [isinstance(r.message, Cancel) for r in received]
        assert kinds == sorted(kinds, reverse=True)
        assert kinds.count(False) <= bound
        for _, message in received:
            if isinstance(message, Cancel):
                self.got_cancels.append(message.id)
            else:
                self.got_commands.append(message.re if isinstance(message, Progress) else message.id)

    @invariant()
    def nothing_is_lost_or_out_of_order(self):
        if self.number:
            assert self.got_commands == self.commands[: len(self.got_commands)]
            assert self.got_cancels == self.cancels[: len(self.got_cancels)]

    def teardown(self):
        if hasattr(self, "resources"):
            while self.ours.wants_write or self.other.waiting:
                self.drain(5)
                self.ours.flush()
            self.drain(50)
            assert self.got_commands == self.commands
            assert self.got_cancels == self.cancels
            self.resources.close()


TestChannelMachine = ChannelMachine.TestCase
