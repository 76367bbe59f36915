"""Connections that end, are refused, talk nonsense, or are replaced; formats that change; and nothing that is left."""

import contextlib
import errno
import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from client.stage import wait_until, wish
from frames.pools import FACTS, GREY, open_descriptors
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capture.subscriber import refuse
from agent.capture.subscribers import TooManyClients
from agent.client import (
    AgentUnreachable,
    Ended,
    NoFrame,
    NotAllowed,
    ProtocolError,
    Refused,
    Revoked,
)
from agent.client.address import open_channel
from agent.client.feed import Feed, _wait
from agent.client.link import Link
from agent.errors import AgentError, StateError
from agent.frames import values, wire
from agent.frames.lender import Lender
from agent.frames.pool import LentPool
from agent.frames.values import PACKET_BYTES, PoolFormat, State, Streaming

BIG = PoolFormat("GREY", 128, 64, ((128, 8192),))


def maps():
    with open("/proc/self/maps") as file:
        return sum("memfd:" in line for line in file)


def test_nobody_there(tmp_path):
    with pytest.raises(AgentUnreachable) as caught:
        Feed(wish(), tmp_path / "frames.sock")
    assert caught.value.code == "agent_unreachable"
    assert str(tmp_path) in caught.value.message


def test_a_path_too_long_is_told(tmp_path):
    with pytest.raises(AgentUnreachable, match="too long"):
        Feed(wish(), tmp_path / ("x" * 200))


def test_no_permission(door):
    door.path.chmod(0)
    with nobody(), pytest.raises(NotAllowed) as caught:
        door.connect()
    assert caught.value.code == "not_allowed"


@contextlib.contextmanager
def nobody():
    """As a user who may not do everything, where this one may."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_the_socket_is_beside_the_control_socket(door, monkeypatch):
    monkeypatch.setenv("CAMERA_AGENT_SOCKET", str(door.path.with_name("control.sock")))
    with Feed(wish()) as feed:
        assert feed.path == door.path
        assert door.accept().subscribe.name == "top"


@pytest.mark.parametrize("opened", [False, True])
def test_a_refusal_is_a_typed_error(door, opened):
    with door.connect() as feed:
        door.accept(opening=opened).refuse("camera_unknown", "there is no camera top", "look at `camera-agent status`")
        with pytest.raises(Refused) as caught:
            feed.next()
        assert (caught.value.code, caught.value.message) == ("camera_unknown", "there is no camera top")
        assert caught.value.hint == "look at `camera-agent status`"
        assert isinstance(caught.value, AgentError)


def test_who_is_refused_before_it_has_said_a_word_is_told_why(door):
    class Slow(socket.socket):
        """The agent is faster."""

        def connect(self, address):
            super().connect(address)
            channel, _ = door._listener.accept()
            refuse(channel, TooManyClients("64 are here", hint="end some"))

    channel = open_channel(door.path, b"first", Slow)
    link = Link(channel)
    with pytest.raises(Refused, match="64 are here"):
        link.hear()
    link.release()


@pytest.mark.parametrize("code", ["too_many_clients", "no_memory"])
def test_who_had_frames_tries_again_when_all_come_at_once(door, code):
    feed, lender = door.serve()
    with feed:
        lender.lend(lender.pool())
        feed.next()
        lender.die()
        for _ in range(3):
            successor_in_time(feed, door, opening=False).refuse(code)
        with pytest.raises(Refused) as caught:
            feed.next(timeout_s=0)
        assert caught.value.code == code
        successor = successor_in_time(feed, door)
        lease = successor.lend(successor.pool())
        assert feed.next().lease == lease


def test_a_program_that_looks_seldom_is_connected_again(door):
    feed, lender = door.serve()
    with feed:
        lender.lend(lender.pool())
        feed.next()
        lender.refuse("stuck")
        successor = successor_in_time(feed, door)
        lease = successor.lend(successor.pool())
        assert feed.next().lease == lease
        assert feed.reconnects == 1


@pytest.mark.parametrize("code", ["stuck", "too_many_clients", "wrong_state"])
def test_the_first_attempt_is_told_of_every_refusal(door, code):
    with door.connect() as feed:
        door.accept(opening=False).refuse(code)
        with pytest.raises(Refused):
            feed.next()


def successor_in_time(feed, door, *, opening=True):
    """The lender of the connection that `feed` makes anew."""
    while (wait := feed.step()).fd is None:
        _wait(wait, None)
    return door.accept(opening=opening)


def test_a_process_that_dies_is_replaced(door):
    feed, lender = door.serve(most=2)
    with feed:
        pool = lender.pool()
        pool.planes[0][0][:] = 5
        lender.lend(pool)
        kept = feed.next().keep()
        lender.die()
        successor = successor_in_time(feed, door)
        new = successor.pool(form=BIG, lengths=(8192,))
        lease = successor.lend(new)
        frame = feed.next()
        assert (frame.lease, frame.form) == (lease, BIG)
        assert feed.reconnects == 1
        assert kept.image.max() == 5, "what a dead process lent is nobody else's: it stays as it is"
        kept.release()
        assert successor.returned() == []


def test_the_last_words_are_heard_though_answers_of_ours_were_not(door):
    """A socket that is closed with packets unread tells its other end ECONNRESET, once."""
    feed, lender = door.serve(most=4, reconnect=False)
    with feed:
        pool = lender.pool()
        leases = [lender.lend(pool, index) for index in range(3)]
        feed.next().release()
        lender.die()
        assert [frame.lease for frame in feed] == leases[1:]


def test_the_first_words_are_heard_though_nothing_was_read(door):
    with door.connect() as feed:
        channel, _ = door._listener.accept()
        channel.send(wire.pack_refused(values.Refused("not_allowed", "no", "ask")))
        channel.close()  # with the subscription unread
        with pytest.raises(Refused) as caught:
            feed.next()
        assert caught.value.code == "not_allowed"


def test_without_reconnecting_the_iteration_ends(door):
    feed, lender = door.serve(reconnect=False)
    with feed:
        pool = lender.pool()
        for index in range(3):
            lender.lend(pool, index)
        lender.die()
        assert [frame.lease for frame in feed] == [1, 2, 3], "what had come by then is still there"
        with pytest.raises(StateError):
            feed.next()


def test_without_reconnecting_next_says_so(door):
    feed, lender = door.serve(reconnect=False)
    with feed:
        lender.die()
        with pytest.raises(Ended) as caught:
            feed.next()
        assert caught.value.code == "connection_ended"


def test_while_the_agent_is_away_it_is_waited_for(door):
    feed, lender = door.serve()
    with feed:
        door.close()
        lender.die()
        with pytest.raises(AgentUnreachable):
            feed.next(timeout_s=0.2)
        door.listen()
        successor = successor_in_time(feed, door)
        successor.lend(successor.pool())
        assert feed.next().camera == "top"


def test_no_frame_in_time_says_what_the_camera_does(door):
    feed, lender = door.serve()
    with feed:
        lender.state("STREAMING")
        with pytest.raises(NoFrame) as caught:
            feed.next(timeout_s=0.01)
        assert caught.value.details == {"target": "top", "timeout_s": 0.01, "states": {"top": "streaming"}}
        lender.state("FAULT", cause="stream_fault", hint="look at the cable")
        with pytest.raises(NoFrame, match="top is fault") as caught:
            feed.next(timeout_s=0.01)
        assert caught.value.hint == "look at the cable"
        assert feed.states == {"top": State(Streaming.FAULT, "top", "stream_fault", "look at the cable")}
        lender.state("STREAMING")
        lender.lend(lender.pool())
        assert feed.next().camera == "top"


def test_it_stops_and_starts_again_with_the_same_pool(door):
    feed, lender = door.serve()
    with feed:
        pool = lender.pool()
        lender.lend(pool)
        lender.lend(pool, 1)
        frame = feed.next()
        pool.revoke(0)
        pool.revoke(1)
        lender.state("STOPPED")
        with pytest.raises(NoFrame, match="stopped"):
            feed.next(timeout_s=0.01)
        assert frame.revoked
        lease = lender.lend(pool, 2)
        assert feed.next().lease == lease
        assert lender.returned() == [1, 2]


def test_the_format_changes_while_a_frame_is_lent(door):
    feed, lender = door.serve(most=2)
    with feed:
        old = lender.pool()
        old.planes[0][0][:] = 7
        lender.lend(old)
        frame = feed.next().keep()
        view = frame.image
        old.forget()
        new = lender.pool(3, (8192,), form=BIG)
        lender.lend(new)
        after = feed.next()
        assert after.image.shape == (64, 128)
        assert view.max() == 7, "a view outlives its pool"
        with pytest.raises(Revoked):
            frame.check()
        frame.release()
        assert lender.returned() == [1]


def test_thousands_of_frames_formats_and_connections_leave_nothing(door):
    feed, lender = door.serve(most=4)
    with feed:
        held, mapped = None, None
        for round_ in range(40):
            if round_ % 4 == 3:
                lender.die()
                lender.release()
                lender = successor_in_time(feed, door)
            form, lengths = ((GREY, (2048,)), (BIG, (8192,)))[round_ % 2]
            pool = lender.pool(4, lengths, form=form)
            for number in range(100):
                lender.lend(pool, number % 4, traces=bytes(wire.TRACE_BYTES) * (number % 3))
                with feed.next() as frame:
                    assert frame.image.shape == (form.height_px, form.width_px)
                lender.returned()
            del frame
            pool.forget()
            with pytest.raises(NoFrame):
                feed.next(timeout_s=0)
            pool.release()
            lender._pools.clear()
            gc.collect()
            now = open_descriptors(), maps()
            if round_ >= 4:
                assert now == (held, mapped)
            held, mapped = now
    assert feed.reconnects == 10


def frame_packet(**changes):
    fields = {"pool": 1, "index": 0, "lease": 1, "generation": 1, "offsets": (0,), "lengths": (2048,), "traces": 0}
    fields.update(changes)
    return wire.pack_frame(limit_ns=1, facts=FACTS, **fields)


NONSENSE = {
    "an unknown kind": bytes([99, 0, 0, 0, 0, 0, 0, 0]),
    "a truncated head": b"\x04",
    "a truncated frame": frame_packet()[:-1],
    "an unknown pool": frame_packet(pool=9),
    "no such buffer": frame_packet(index=4),
    "beyond its end": frame_packet(lengths=(2049,)),
    "an offset beyond its end": frame_packet(offsets=(1,)),
    "an offset that wraps": frame_packet(offsets=(2**32 - 1,)),
    "another number of planes": frame_packet(offsets=(0, 0), lengths=(1, 1)),
    "traces that are missing": frame_packet(traces=1),
    "traces that should come in a memfd": frame_packet(traces=5000),
    "a second opening": wire.pack_opening(b""),
    "a pool without its marks": wire.pack_pool(2, 4, GREY, "top"),
    "buffers of no pool": wire.pack_buffers(7, 0, 1, [2048]),
    "buffers without descriptors": wire.pack_buffers(1, 0, 1, [2048]),
    "a subscription": wire.pack_subscribe(wish()),
    "a state nobody knows": struct.pack("=BxHI", 7, 0, 9) + b"top\0\0",
    "texts that are none": struct.pack("=BxHI", 6, 0, 0) + b"\xff\0\0",
    "too few texts": struct.pack("=BxHI", 6, 0, 0) + b"code",
    "too long": bytes(PACKET_BYTES + 1),
}


@pytest.mark.parametrize("packet", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_ends_the_connection_with_an_error(door, packet):
    before = open_descriptors()
    feed, lender = door.serve()
    with feed:
        pool = lender.pool()
        lender.send(packet)
        with pytest.raises(ProtocolError) as caught:
            feed.next()
        assert caught.value.code == "frame_protocol"
        assert lender.returned() == ["end"]
        successor = successor_in_time(feed, door)
        successor.lend(successor.pool())
        assert feed.next().camera == "top", "asked again, it connects again"
        del pool
    for each in (lender, successor):
        each.release()
    assert open_descriptors() == before


OPENINGS = {
    "another version": struct.pack("=BxHI", 1, 3, 0),
    "a frame": frame_packet(),
    "nothing but a byte": b"\x01",
}


@pytest.mark.parametrize("packet", OPENINGS.values(), ids=OPENINGS)
def test_what_is_no_opening_is_an_error(door, packet):
    with door.connect() as feed:
        door.accept(opening=False).send(packet)
        with pytest.raises(ProtocolError):
            feed.next()


def test_memory_shorter_than_said_is_not_mapped(door):
    """Reading beyond a file's end would end the whole process (SIGBUS)."""
    feed, lender = door.serve()
    with feed:
        pool = lender.pool(announced=False)
        lender.send(wire.pack_pool(1, 4, GREY, "top"), [pool.marks.fd])
        fds = [plane.fd for buffer in pool._memory.memory for plane in buffer]
        lender.send(wire.pack_buffers(1, 0, 1, [4096] * 4), fds)
        with pytest.raises(ProtocolError):
            feed.next()


def test_unasked_descriptors_are_closed(door):
    feed, lender = door.serve()
    with feed:
        lender.lend(lender.pool())
        feed.next()
        held = open_descriptors()
        with open("/dev/null") as other:
            lender.send(frame_packet(lease=2, generation=2), [other.fileno()])
        with pytest.raises(ProtocolError):
            feed.next()
        assert open_descriptors() < held


@settings(max_examples=150)
@given(kind=st.sampled_from(range(1, 8)), rest=st.binary(max_size=300))
def test_any_bytes_are_an_error_or_a_message(tmp_path_factory, kind, rest):
    from client.stage import Door

    with Door(tmp_path_factory.mktemp("any")) as door:
        feed, lender = door.serve()
        with feed:
            lender.pool()
            lender.send(bytes([kind]) + rest)
            with pytest.raises((ProtocolError, Refused, NoFrame)):
                feed.next(timeout_s=0)


def test_dying_while_it_waits(door):
    feed, lender = door.serve()
    lender.lend(lender.pool())
    with feed:
        frame = feed.next()
        thread = threading.Thread(target=lambda: (wait_until(lambda: frame.revoked), lender.die()))
        lender._pools[0].revoke()
        thread.start()
        with pytest.raises(AgentError):
            feed.next(timeout_s=0.3)
        thread.join()
        assert feed.reconnects >= 1


def test_ctrl_c_ends_a_wait_and_everything_is_given_back(door):
    feed, lender = door.serve(timeout_s=None)
    lender.lend(lender.pool())
    main = threading.main_thread().ident

    def interrupt():
        wait_until(lambda: lender.returned() == [1])  # the first frame went back: the second is waited for
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    taken = []
    with pytest.raises(KeyboardInterrupt), feed:  # noqa: PT012
        thread.start()
        taken.extend(frame.lease for frame in feed)
    thread.join()
    assert taken == [1]
    assert lender.returned() == ["end"]


def test_after_release_it_is_a_named_error(door):
    feed, _ = door.serve()
    feed.release()
    feed.release()
    with pytest.raises(StateError):
        feed.next()


def test_answers_wait_when_the_socket_has_no_room(door):
    feed, lender = door.serve(most=64)
    with feed:
        lender.channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        pool = lender.pool(64)
        leases = [lender.lend(pool, index % 64) for index in range(64)]
        frames = [feed.next().keep() for _ in leases]
        feed._link._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for frame in frames:
            frame.release()
        returned = lender.returned()
        assert 0 < len(returned) < 64, "not all at once"
        while len(returned) < 64:
            with pytest.raises(NoFrame):
                feed.next(timeout_s=0)
            returned += lender.returned()
        assert returned == leases


def test_a_dmabuf_is_bracketed_from_the_first_look_to_the_end(door):
    calls = []

    def ioctl(fd, request, argument):
        os.fstat(fd)
        if not calls:  # the first time interrupted, as dma-buf.rst says may happen
            calls.append("EINTR")
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
        calls.append(struct.unpack("=Q", argument)[0])

    with Feed(wish(), door.path, timeout_s=10, ioctl=ioctl) as feed:
        lender = door.accept()
        lender.lend(lender.pool())
        frame = feed.next()
        calls.clear()
        calls.append("first")
        with frame:
            assert calls == ["first"], "nothing was read yet"
            _ = frame.planes, frame.image, frame.image
            assert calls == ["first", 1], "DMA_BUF_SYNC_READ | DMA_BUF_SYNC_START"
            assert lender.returned() == []
        assert calls == ["first", 1, 5], "and DMA_BUF_SYNC_END, before it was given back"
        lender.lend(lender._pools[0])
        feed.next().release()
        assert calls == ["first", 1, 5], "a frame that nobody looked at"


def test_with_the_agents_own_lender(door):
    """Not the played one: what a capture process uses."""
    from frames.pools import Pool

    with door.connect() as feed:
        channel, _ = door._listener.accept()
        channel.recv(wire.ANSWER_BYTES)
        pool, lender = Pool(4, (2048,)), Lender(channel)
        try:
            pool.lent = LentPool("top", GREY, pool.memory)
            number = lender.add_pool(pool.lent)
            for round_ in range(50):
                index = round_ % 4
                pool.planes[index][0][:] = round_
                lease = lender.lend(number, index, FACTS, pool.planes[index], (0,), (), 1_000_000_000, skipped=round_)
                with feed.next() as frame:
                    assert frame.image.min() == frame.image.max() == frame.skipped == round_
                settled, answer = lender.receive()
                assert (settled, answer.stored) == (lease, False)
                assert lender.ledger.owed == 0
            lease = lender.lend(number, 0, FACTS, pool.planes[0], (0,), (), 1_000_000_000)
            frame = feed.next()
            lender.remove_pool(number)
            with pytest.raises(Revoked):
                frame.check()
        finally:
            lender.release()
            pool.release()


LOCKED = """
import ctypes, os, resource, socket
from client.stage import GREY, Pool
from agent.client.link import Link
from agent.frames.lender import Lender
from agent.frames.pool import LentPool

ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
theirs.setblocking(False)
lender, link = Lender(ours), Link(theirs)
lender.add_pool(LentPool("top", GREY, Pool(4, (1 << 24,)).memory))
resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 23, 1 << 23))
if os.geteuid() == 0:
    os.seteuid(65534)
if ctypes.CDLL(None, use_errno=True).mlockall(2):
    print("cannot lock")
else:
    try:
        link.hear()
    except BlockingIOError:
        print("nothing there")
    except OSError as error:
        print(error.strerror)
"""


def test_a_program_that_may_not_lock_the_memory_it_maps_is_told_so():
    folders = os.pathsep.join(str(Path(__file__).parents[level]) for level in (1, 2))
    environment = {**os.environ, "PYTHONPATH": folders}
    done = subprocess.run([sys.executable, "-c", LOCKED], capture_output=True, text=True, check=False, env=environment)
    if done.stdout == "cannot lock\n":
        pytest.skip("mlockall is not allowed here")
    assert "memlock" in done.stdout, done
