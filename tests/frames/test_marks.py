"""What lender and reader share without a message."""

import os
import socket

import pytest

from agent.frames.marks import CommitToken, Marks, map_marks, sealed_memory
from agent.frames.wire import ProtocolError
from agent.kernel import PROT_READ, PROT_WRITE, Mapping


def test_a_reader_sees_a_mark_at_once_and_cannot_write_it():
    marks = Marks(3)
    seen = map_marks(marks.fd, 3)
    marks.words[1] = 42
    assert list(seen) == [0, 42, 0]
    with pytest.raises(TypeError):
        seen[1] = 0
    with pytest.raises(PermissionError):
        Mapping(marks.fd, 24, 0, PROT_READ | PROT_WRITE)
    marks.release()
    assert list(seen) == [0, 0, 0]


def test_memory_for_readers_neither_shrinks_nor_grows_nor_takes_bytes():
    fd, mapping = sealed_memory("test", 4096)
    for call in (
        lambda: os.ftruncate(fd, 100),
        lambda: os.ftruncate(fd, 8192),
        lambda: os.pwrite(fd, b"x", 0),
    ):
        with pytest.raises(PermissionError):
            call()
    mapping.view[0] = 7
    assert os.pread(fd, 1, 0) == b"\7"
    os.close(fd)


def test_marks_too_short_for_their_pool_are_refused():
    marks = Marks(3)
    with pytest.raises(ProtocolError, match="for 4 buffers"):
        map_marks(marks.fd, 4)
    marks.release()


def test_there_is_one_token():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    token = CommitToken.create()
    with ours, theirs:
        assert token.take()
        assert not token.take()
        token.put_back()
        assert token.wait(theirs.fileno())
        token.put_back()
        ours.close()
        assert token.wait(theirs.fileno()), "it is there, though the lender is gone"
        assert not token.wait(theirs.fileno()), "it went with the lender"
    token.release()
