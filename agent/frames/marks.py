"""What lender and reader see at the same instant, without a message: the marks of a pool, and the commit token."""

from __future__ import annotations

import fcntl
import os
import select
import threading

from agent.frames.wire import ProtocolError
from agent.kernel import PROT_READ, PROT_WRITE, Mapping

F_SEAL_FUTURE_WRITE = 0x10
"""linux/fcntl.h: no new writable mapping; the one there is stays. Python 3.11 does not name it."""
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | F_SEAL_FUTURE_WRITE
_WORD_BYTES = 8


def sealed_memory(name: str, length: int) -> tuple[int, Mapping]:
    """A memfd that only we can write, of fixed length, and our mapping of it. Raises OSError."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, length)
        mapping = Mapping(fd, length, 0, PROT_READ | PROT_WRITE)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd, mapping


class Marks:
    """A 64-bit word for each buffer of a pool: the generation of it that is lent, 0 when none is.

    The lender writes, readers map it read-only. A reader whose generation is no longer there has lost its lease: what
    it has read since may be of another frame.
    """

    def __init__(self, buffers: int) -> None:
        self._fd, self._mapping = sealed_memory("camera-agent-marks", buffers * _WORD_BYTES)
        self.words = self._mapping.view.cast("q")

    @property
    def fd(self) -> int:
        """To be passed to readers."""
        return self._fd

    def release(self) -> None:
        """Nothing is lent any more, and the memory is let go."""
        for index in range(len(self.words)):
            self.words[index] = 0
        self._mapping.release()
        os.close(self._fd)


_FIRST, _SECOND = threading.Lock(), threading.Lock()


def fence() -> None:
    """What was read before is read before anything that is read after this, on weakly ordered processors as well.

    Python has no fence. A store-release followed by a load-acquire is one for reads (Arm ARM, B2.3: both are RCsc):
    giving back one lock, then taking another.
    """
    with _FIRST:
        pass
    with _SECOND:
        pass


def map_marks(fd: int, buffers: int) -> memoryview:
    """A reader's view of a pool's marks. Raises OSError; ProtocolError when the memory is too short."""
    if not 0 < buffers * _WORD_BYTES <= os.fstat(fd).st_size:
        raise ProtocolError(f"marks of {os.fstat(fd).st_size} bytes for {buffers} buffers")
    return Mapping(fd, buffers * _WORD_BYTES, 0, PROT_READ).view.cast("q").toreadonly()


class CommitToken:
    """One token between lender and reader: the reader holds it while it makes a result visible.

    A lender that has it knows that nothing becomes visible just now, so a revocation made with it is exact. It is an
    eventfd with one token in it (EFD_SEMAPHORE).
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def create(cls) -> CommitToken:
        """A new one, with its token in place."""
        return cls(os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK | os.EFD_SEMAPHORE))

    def take(self) -> bool:
        """Take it if it is there; never waits."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return False
        return True

    def put_back(self) -> None:
        """Put back what was taken."""
        os.eventfd_write(self.fd, 1)

    def wait(self, channel_fd: int) -> bool:
        """Take it, waiting for it if need be; False when the lender of `channel_fd` died with it."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        poll.register(channel_fd, 0)  # POLLHUP comes unasked
        while not self.take():
            found = dict(poll.poll())
            if self.fd not in found and found.get(channel_fd, 0) & select.POLLHUP:
                return False
        return True

    def release(self) -> None:
        """Close it; idempotent."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
