"""Lender and reader at the two ends of one channel: what is lent, what is seen, what comes back."""

import errno
import os
import socket
import struct

import numpy as np
import pytest
from frames.pools import FACTS, GREY, LIMIT_NS, Channel, open_descriptors

from agent.errors import StateError
from agent.frames import wire
from agent.frames.borrowed import DMA_BUF_IOCTL_SYNC, Revoked
from agent.frames.borrower import Borrower, NotGreeted, RefusedByLender
from agent.frames.ledger import PoolTooSmall
from agent.frames.lender import Lender
from agent.frames.pool import LentPool
from agent.frames.wire import Answer, PoolFormat, ProtocolError

TRACES = tuple(f"{number:032x}" for number in range(1, 4))


def test_a_frame_arrives_as_it_is():
    with Channel() as channel:
        pool = channel.pool(form=GREY)
        lease = channel.lend(pool, 1, trace_ids=TRACES, item="mine")
        borrowed = channel.borrower.receive()
        assert channel.borrower.order == b"order"
        assert (borrowed.camera, borrowed.form, borrowed.facts) == ("top", GREY, FACTS)
        assert (borrowed.lease, borrowed.limit_ns, borrowed.trace_ids) == (lease.number, LIMIT_NS, TRACES)
        channel.borrower.answer(Answer(borrowed.lease, True, 5, "", "a.jpg"))
        settled, answer = channel.lender.receive()
        assert settled is lease
        assert lease.item == "mine"
        assert answer == Answer(lease.number, True, 5, "", "a.jpg")
        assert channel.lender.receive() is None
        assert borrowed.revoked, "what was given back is not ours any more"


def test_nothing_is_copied():
    with Channel() as channel:
        pool = channel.pool()
        pool.planes[2][0][:] = 1
        channel.lend(pool, 2)
        borrowed = channel.borrower.receive()
        before = borrowed.planes[0].copy()
        pool.planes[2][0][7:9] = (42, 43)  # in the pool, after it was lent
        assert set(before) == {1}
        assert list(borrowed.planes[0][6:10]) == [1, 42, 43, 1]
        assert not borrowed.planes[0].flags.writeable
        assert (pool.lent.copied_frames, pool.lent.copied_bytes) == (0, 0)


def test_planes_are_mapped_once_and_views_are_of_what_the_driver_wrote():
    with Channel() as channel:
        pool = channel.pool(4, (8192, 4096), form=PoolFormat("NM12", 64, 64, ((64, 4096), (64, 2048))))
        addresses = set()
        for _ in range(3):
            pool.planes[0][0][:] = np.arange(8192) % 251
            channel.lend(pool, 0, offsets=(128, 0), used=(4096, 2048))
            borrowed = channel.borrower.receive()
            assert [plane.size for plane in borrowed.planes] == [4096, 2048]
            assert list(borrowed.planes[0][:2]) == [128, 129]
            addresses.add(borrowed.planes[0].__array_interface__["data"][0])
            channel.borrower.answer(Answer(borrowed.lease, False, 0))
            channel.lender.receive()
        assert len(addresses) == 1


def test_descriptors_are_passed_once_per_pool_in_as_many_messages_as_they_need():
    with Channel(floor=0) as channel:
        pool = channel.pool(64, (4096,) * 8, form=PoolFormat("many", 8, 8, ((8, 64),) * 8))
        for index in (0, 63):
            pool.planes[index][7][0] = index + 1
            channel.lend(pool, index)
            assert channel.borrower.receive().planes[7][0] == index + 1
        held = open_descriptors()
        channel.lend(pool, 5)
        channel.borrower.receive()
        assert open_descriptors() == held


@pytest.mark.parametrize("count", [0, 1, wire.TRACES_INLINE, wire.TRACES_INLINE + 1, 10_000])
def test_any_number_of_trace_ids(count):
    ids = tuple(f"{number + 1:032x}" for number in range(count))
    with Channel() as channel:
        pool = channel.pool()
        for index in range(2):
            channel.lend(pool, index, trace_ids=ids)
            assert channel.borrower.receive().trace_ids == ids


@pytest.mark.parametrize("wrong", ["", "1f", "g" * 32])
def test_a_trace_id_that_is_none_lends_nothing(wrong):
    with Channel() as channel:
        pool = channel.pool()
        with pytest.raises(ValueError, match="hexadecimal"):
            channel.lend(pool, 0, trace_ids=[wrong])
        assert channel.lender.ledger.owed == 0


def test_the_floor_is_never_lent():
    with Channel(floor=2) as channel:
        pool = channel.pool(5)
        assert [channel.lend(pool, index) is not None for index in range(5)] == [True, True, True, False, False]
        with pytest.raises(PoolTooSmall):
            channel.pool(2)
        with pytest.raises(PoolTooSmall):
            channel.lender.add_pool(LentPool("top", GREY, pool.memory[:2], floor=0))


def test_a_full_socket_lends_nothing_and_loses_nothing():
    with Channel(floor=0, most=10_000) as channel:
        pool = channel.pool(400, (4096,))
        ids = [f"{1:032x}"] * wire.TRACES_INLINE
        lent = [index for index in range(400) if channel.lend(pool, index, trace_ids=ids)]
        assert 0 < len(lent) < 400
        assert channel.lender.ledger.lent(pool.number) == len(lent)
        seen = [channel.borrower.receive().place for _ in lent]
        assert seen == lent
        assert channel.lend(pool, 399) is not None


def test_revoked_is_seen_without_a_message():
    with Channel() as channel:
        pool = channel.pool()
        first, second = (channel.lend(pool, index) for index in (0, 1))
        borrowed = channel.borrower.receive()
        assert not borrowed.revoked
        assert channel.lender.revoke(pool.number) == [first, second]
        assert borrowed.revoked
        with pytest.raises(Revoked), channel.borrower.commit(borrowed):
            pytest.fail("a revoked frame was committed")
        assert channel.borrower.receive().revoked, "also the one that was still queued"


def test_a_buffer_lent_anew_does_not_make_the_revoked_lease_good_again():
    with Channel() as channel:
        pool = channel.pool()
        old = channel.lend(pool, 0)
        borrowed = channel.borrower.receive()
        channel.lender.revoke(pool.number)
        channel.lend(pool, 0)
        assert borrowed.revoked
        assert not channel.borrower.receive().revoked
        channel.borrower.answer(Answer(old.number, True, 1, "", "late.jpg"))
        settled, _ = channel.lender.receive()
        assert settled is old
        assert not settled.live, "its buffer was taken back before; this answer does not free it again"
        assert channel.lender.ledger.lent(pool.number) == 1


def test_a_revocation_waits_for_the_one_being_committed_and_ends_the_rest():
    with Channel() as channel:
        pool = channel.pool()
        leases = [channel.lend(pool, index) for index in (0, 1)]
        first, second = channel.borrower.receive(), channel.borrower.receive()
        with channel.borrower.commit(first):
            assert channel.lender.revoke(pool.number) == []
            assert [lease.live for lease in leases] == [True, True]
        with pytest.raises(Revoked):
            second.check()
        channel.borrower.answer(Answer(first.lease, True, 1, "", "a.jpg"))
        channel.borrower.answer(Answer(second.lease, False, 1, "revoked"))
        assert [channel.lender.receive()[1].stored for _ in leases] == [True, False]
        assert channel.lender.ledger.lent(pool.number) == 0
        assert channel.lender.revoke(pool.number) == []


def test_a_pool_is_forgotten_and_the_next_one_announced():
    with Channel() as channel:
        held = open_descriptors()
        old = channel.pool()
        lease = channel.lend(old, 0)
        borrowed = channel.borrower.receive()
        assert channel.lender.remove_pool(old.number) == [lease]
        assert borrowed.revoked
        new = channel.pool(3, (8192,))
        channel.lend(new, 0)
        assert channel.borrower.receive().planes[0].size == 8192
        with borrowed:
            assert borrowed.planes[0][0] == 0, "a view outlives its pool"
        channel.lender.remove_pool(new.number)
        assert channel.lender.ledger.owed == 2
        for pool in (old, new):
            pool.release()
        channel.lend(channel.pool(), 0)
        channel.borrower.receive()
        # the marks, and the four memfds of the pool; nothing is kept of the two before
        assert open_descriptors() == held + 5


def test_a_pool_that_is_forgotten_before_it_was_passed_is_never_passed():
    with Channel(floor=0, most=10_000) as channel:
        pool = channel.pool(400)
        ids = [f"{1:032x}"] * wire.TRACES_INLINE
        full = [index for index in range(400) if channel.lend(pool, index, trace_ids=ids)]
        unpassed = channel.pool(4)
        assert not channel.lender.flush()
        channel.lender.remove_pool(unpassed.number)
        unpassed.release()  # its descriptors mean nothing now, or something else
        for _ in full:
            channel.borrower.receive()
        assert channel.lender.flush()
        assert channel.lend(channel.pool(4), 0) is not None
        assert channel.borrower.receive().place == 0


def test_memory_without_descriptors_is_copied_and_that_is_counted():
    with Channel(floor=2) as channel:
        pool = channel.pool(5, (4096,), shared=False)
        pool.planes[3][0][:] = 9
        lease = channel.lend(pool, 3, used=(100,))
        borrowed = channel.borrower.receive()
        pool.planes[3][0][:] = 0
        assert borrowed.planes[0].size == 100
        assert set(borrowed.planes[0]) == {9}
        assert (pool.lent.copied_frames, pool.lent.copied_bytes) == (1, 100)
        for _ in range(10):  # the copies' places are used again
            channel.borrower.answer(Answer(borrowed.lease, True, 0))
            assert channel.lender.receive()[0] is lease
            assert borrowed.revoked
            lease = channel.lend(pool, 3)
            borrowed = channel.borrower.receive()
            assert not borrowed.revoked
        others = [channel.lend(pool, index) for index in (0, 1, 2)]
        assert [lease is not None for lease in others] == [True, True, False]
        assert len(channel.lender.revoke(pool.number)) == 3
        assert all(channel.lend(pool, index) for index in (0, 1, 2))


class RecordedIoctl:
    """Answers DMA_BUF_IOCTL_SYNC as a DMABUF would, the first time interrupted."""

    def __init__(self):
        self.flags = []
        self.interrupt = True

    def __call__(self, fd, request, argument):
        assert request == DMA_BUF_IOCTL_SYNC
        os.fstat(fd)
        self.interrupt = not self.interrupt
        if not self.interrupt:
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
        self.flags.append(struct.unpack("=Q", argument)[0])


def test_reading_a_dmabuf_is_bracketed():
    ioctl = RecordedIoctl()
    with Channel(ioctl=ioctl) as channel:
        pool = channel.pool(3, (4096, 4096), form=PoolFormat("NM12", 8, 8, ((8, 64), (8, 32))))
        channel.lend(pool, 0)
        borrowed = channel.borrower.receive()
        ioctl.flags.clear()
        with borrowed:
            assert ioctl.flags == [1, 1]  # DMA_BUF_SYNC_READ | START, each plane
        assert ioctl.flags == [1, 1, 5, 5]  # and END


def test_a_pool_that_is_forgotten_while_another_thread_ends_its_access_is_no_error():
    ioctl = RecordedIoctl()
    with Channel(ioctl=ioctl) as channel:
        pool = channel.pool()
        channel.lend(pool, 0)
        borrowed = channel.borrower.receive()

        def forget(*_):
            channel.borrower.release()
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

        borrowed.begin_reading()
        borrowed._ioctl = forget
        borrowed.end_reading()
        borrowed.end_reading()


def test_an_access_that_fails_is_an_error():
    ioctl = RecordedIoctl()
    with Channel(ioctl=ioctl) as channel:
        channel.lend(channel.pool(), 0)
        borrowed = channel.borrower.receive()

        def fail(*_):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        borrowed._ioctl = fail
        with pytest.raises(OSError, match="error"):
            borrowed.begin_reading()


def test_the_number_is_the_kernels():
    from agent.v4l2 import uapi

    assert uapi.DMA_BUF_IOCTL_SYNC.number == DMA_BUF_IOCTL_SYNC


def _answer(**changes):
    return wire.pack_answer(Answer(1, True, 0)._replace(**changes))


@pytest.mark.parametrize(
    ("packets", "good"),
    [
        ([_answer(lease=99)], 0),
        ([_answer(), _answer()], 1),
        ([_answer()[:-1]], 0),
        ([_answer() + b"more"], 0),
        ([_answer()[:5]], 0),
        ([b"\xff" * 40], 0),
        ([bytes(wire.ANSWER_BYTES + 100)], 0),
        ([wire.pack_ready(), wire.pack_ready()], 0),
        ([struct.pack("=BxHI", wire.Kind.READY, 99, 0)], 0),
        ([wire.pack_forget(1)], 0),
    ],
    ids=[
        "wrong lease",
        "twice",
        "truncated",
        "too long",
        "head cut",
        "noise",
        "huge",
        "ready twice",
        "version",
        "ours",
    ],
)
def test_nonsense_from_the_reader_is_a_typed_error_and_frees_nothing(packets, good):
    with Channel() as channel:
        pool = channel.pool()
        leases = [channel.lend(pool, index) for index in (0, 1)]
        for packet in packets:
            channel.theirs.send(packet)
        for _ in range(good):
            assert channel.lender.receive()[0] is leases[0]
        with pytest.raises(ProtocolError):
            channel.lender.receive()
        assert channel.lender.ledger.lent(pool.number) == 2 - good
        assert channel.lender.reader_gone() == leases[good:]


@pytest.mark.parametrize(
    ("packet", "fds"),
    [
        (wire.pack_frame(9, 0, 1, 1, 0, FACTS, (0,), (1,), 0), 0),
        (wire.pack_frame(1, 9, 1, 1, 0, FACTS, (0,), (1,), 0), 0),
        (wire.pack_frame(1, 0, 1, 1, 0, FACTS, (4000,), (97,), 0), 0),
        (wire.pack_frame(1, 0, 1, 1, 0, FACTS, (0, 0), (1, 1), 0), 0),
        (wire.pack_frame(1, 0, 1, 1, 0, FACTS, (0,), (1,), 5000), 0),
        (wire.pack_frame(1, 0, 1, 1, 0, FACTS, (0,), (1,), 5000), 1),
        (wire.pack_opening(b"again"), 0),
        (wire.pack_pool(1, 4, GREY, "twice"), 1),
        (wire.pack_pool(3, 4, GREY, "no marks"), 0),
        (wire.pack_pool(3, 1000, GREY, "marks too short"), 1),
        (wire.pack_buffers(7, 0, 1, [4096]), 1),
        (wire.pack_buffers(1, 4, 1, [4096]), 1),
        (wire.pack_buffers(1, 0, 1, [4096]), 1),
        (wire.pack_buffers(2, 0, 2, [4096]), 1),
        (wire.pack_buffers(2, 0, 1, [4096] * 2), 1),
        (wire.pack_buffers(2, 0, 1, [8192]), 1),
        (wire.pack_buffers(2, 0, 1, [0]), 1),
        (wire.pack_buffers(2, 1, 1, [4096]), 1),
        (b"\0" * 8, 0),
    ],
    ids=[
        "pool unknown",
        "place unknown",
        "beyond its end",
        "planes too many",
        "no traces",
        "short traces",
        "opening again",
        "pool twice",
        "no marks",
        "marks too short",
        "buffers of no pool",
        "more buffers than said",
        "buffers again",
        "another plane count",
        "descriptors too few",
        "plane too short",
        "plane of nothing",
        "a gap in the buffers",
        "unknown kind",
    ],
)
def test_nonsense_from_the_lender_is_a_typed_error_and_leaves_no_descriptor(packet, fds):
    with Channel() as channel:
        pool = channel.pool()
        channel.lend(pool, 0)
        channel.borrower.receive()
        held = open_descriptors()
        channel.lender._send(wire.pack_pool(2, 4, GREY, "another"), [pool.memory[1][0].fd])
        channel.lender._send(packet, [pool.memory[0][0].fd] * fds)
        with pytest.raises(ProtocolError):
            channel.borrower.receive()
        assert open_descriptors() == held


def test_buffers_of_which_one_is_too_short_leave_no_descriptor():
    with Channel() as channel:
        pool = channel.pool(4)
        channel.lend(pool, 0)
        channel.borrower.receive()
        held = open_descriptors()
        fds = [planes[0].fd for planes in pool.memory[:3]]
        channel.lender._send(wire.pack_pool(2, 4, GREY, "another"), fds[:1])
        channel.lender._send(wire.pack_buffers(2, 0, 1, [4096, 4096, 8192]), fds)
        with pytest.raises(ProtocolError, match="8192"):
            channel.borrower.receive()
        assert open_descriptors() == held


def test_a_reader_that_is_not_greeted_says_so():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.close()
        with pytest.raises(NotGreeted):
            Borrower(theirs)


def test_ends_are_found_on_both_sides():
    with Channel() as channel:
        pool = channel.pool()
        channel.borrower.release()
        channel.borrower.release()
        assert channel.lend(pool, 0) is None
        assert channel.lender.receive() is None
        assert channel.lender.closed
    with Channel() as channel:
        channel.lender.release()
        channel.lender.release()
        assert channel.borrower.receive() is None
        channel.borrower.answer(Answer(1, True, 0))


def test_an_order_too_long_is_refused():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, pytest.raises(ProtocolError):
        Lender(ours, bytes(wire.PACKET_BYTES))


def test_a_lender_that_dies_with_answers_unread_has_closed():
    with Channel() as channel:
        channel.lend(channel.pool(), 1)
        borrowed = channel.borrower.receive()
        channel.borrower.answer(Answer(borrowed.lease, False, 0))
        channel.lender.release()
        assert channel.borrower.receive() is None


class Failing(socket.socket):
    """A socket with which nothing works, for one reason."""

    code = 0

    def _fail(self, *_):
        raise OSError(self.code, os.strerror(self.code))

    def _fail_once(self, *_):
        del self.recvmsg
        self._fail()

    send = sendmsg = recv_into = _fail


@pytest.mark.parametrize("code", [errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ECONNREFUSED])
def test_a_reader_that_goes_this_very_moment_has_closed(code):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, Failing(fileno=ours.detach()) as channel:
        channel.code = code
        lender = Lender(channel)
        assert lender.closed
        assert lender.receive() is None
        lender.release()


@pytest.mark.parametrize("code", [errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ECONNREFUSED])
def test_a_lender_that_goes_this_very_moment_is_an_end_and_no_error(code):
    with Failing(fileno=_told(wire.pack_opening(b"")).detach()) as channel, Borrower(channel) as borrower:
        channel.code = code
        borrower.answer(Answer(1, False, 0))
        if code in (errno.ENOTCONN, errno.ECONNRESET):
            channel.recvmsg = channel._fail_once
        assert borrower.hear() is None


def _told(*packets):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        for packet in packets:
            ours.send(packet)
    return theirs


def test_a_refusal_instead_of_the_opening_or_later_is_an_error_with_its_code():
    refused = wire.pack_refused(wire.Refused("busy", "too many", "wait"))
    with _told(refused) as theirs, pytest.raises(RefusedByLender, match="too many") as caught:
        Borrower(theirs)
    assert (caught.value.code, caught.value.hint) == ("busy", "wait")
    with Borrower(_told(wire.pack_opening(b""), refused)) as borrower, pytest.raises(RefusedByLender):
        borrower.receive()


def test_a_client_hears_what_its_camera_does_and_has_no_commit_token():
    stopped = wire.State(wire.Streaming.STOPPED, "top")
    with Borrower(_told(wire.pack_opening(b""), wire.pack_state(stopped))) as borrower:
        assert borrower.hear() == stopped
        assert borrower.hear() is None
        with pytest.raises(StateError, match="commit token"), borrower.commit(None):
            pytest.fail("entered without a token")


def test_the_last_words_are_heard_though_answers_were_left_unread():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.send(wire.pack_opening(b""))
    with Borrower(theirs) as borrower:
        borrower.answer(Answer(1, False, 0))
        ours.send(wire.pack_refused(wire.Refused("stuck", "too late", "connect again")))
        ours.close()
        with pytest.raises(RefusedByLender, match="too late"):
            borrower.hear()
        assert borrower.hear() is None
