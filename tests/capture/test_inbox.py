"""Commands, SIGTERM and the end of the connection as one stream."""

import os
import select
import signal
import socket

import pytest

from agent.capture.channel import Channel, open_pair
from agent.capture.inbox import Inbox
from agent.capture.messages import Cancel, Done, Ping, Quit
from agent.capture.order import GroupOrder
from agent.capture.packets import ChannelBroken
from agent.capture.process_messages import Assignment

ASSIGNMENT = Assignment(order=GroupOrder(name="g", cameras=()))


@pytest.fixture
def parent():
    ours, theirs = open_pair()
    with ours, Channel(theirs, queue_messages=10) as channel, Inbox(channel) as inbox:
        ours.inbox, ours.other = inbox, channel
        yield ours


def readable(inbox):
    poll = select.poll()
    for fd in inbox.fds():
        poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def test_commands_come_through(parent):
    assert not readable(parent.inbox)
    parent.send(Ping(id=1))
    parent.send(Cancel(id=2, kind="all", name="", by="a test"))
    assert readable(parent.inbox)
    assert [number for number, _ in parent.inbox.drain(5)] == [2, 1]


def test_sigterm_is_a_quit_that_was_asked_after_everything_and_comes_first(parent):
    parent.send(Cancel(id=2**40, kind="all", name="", by="a test"))
    os.kill(os.getpid(), signal.SIGTERM)
    assert readable(parent.inbox)
    first, second = parent.inbox.drain(5)
    assert first.message == Quit(id=0, by="SIGTERM")
    assert first.number > second.number == 2**40
    assert not readable(parent.inbox)
    assert not parent.inbox.drain(5)


def test_a_ctrl_c_is_ignored(parent):
    os.kill(os.getpid(), signal.SIGINT)
    assert not readable(parent.inbox)
    assert not parent.inbox.drain(5)


def test_the_end_of_the_connection_is_a_quit_once_and_nothing_to_poll_any_more(parent):
    parent.send(Ping(id=1))
    parent.release()
    assert [type(message) for _, message in parent.inbox.drain(5)] == [Quit, Ping]
    assert not parent.inbox.drain(5)
    assert not readable(parent.inbox)  # a loop would spin
    os.kill(os.getpid(), signal.SIGTERM)
    assert [message.by for _, message in parent.inbox.drain(5)] == ["SIGTERM"]


def test_signals_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    ours, theirs = open_pair()
    with ours, Channel(theirs) as channel:
        with Inbox(channel):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        assert signal.set_wakeup_fd(-1) == -1


def test_a_parent_that_reads_no_answers_gets_cancels_but_no_commands_carried_out(parent):
    parent.other._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    while not parent.other.congested:
        parent.other.send(Done(re=1, at_ns=0))
    parent.send(Ping(id=1))
    parent.send(Cancel(id=2, kind="all", name="", by="a test"))
    assert [number for number, _ in parent.inbox.drain(5)] == [2]
    assert not parent.inbox.waiting  # nothing that could be drained: a loop would spin
    while parent.other.wants_write:
        parent.drain(1000)
        parent.other.flush()
    assert parent.inbox.waiting
    assert [number for number, _ in parent.inbox.drain(5)] == [1]


def test_the_first_message_is_the_assignment_whatever_came_with_it(parent):
    parent.send(ASSIGNMENT)
    parent.send(Cancel(id=1, kind="all", name="", by="a test"))
    assert parent.inbox.first() == ASSIGNMENT
    assert [number for number, _ in parent.inbox.drain(5)] == [1]


def test_without_an_assignment_there_is_nothing_to_do(parent):
    os.kill(os.getpid(), signal.SIGTERM)
    assert parent.inbox.first() is None
    parent.release()
    assert parent.inbox.first() is None


def test_anything_else_first_is_a_typed_error(parent):
    parent.send(Ping(id=1))
    with pytest.raises(ChannelBroken, match="Ping"):
        parent.inbox.first()
