"""Memory shared between processes: pages of 64-bit words, and a lock that dies with its holder.

A page has one writer, or one at a time (`Lock`); anybody else reads. What readers may rely on is in
docs/decisions/0011.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
import weakref
from collections.abc import Callable

from agent.errors import AgentError
from agent.kernel import PROT_READ, PROT_WRITE, Mapping

_MAGIC = int.from_bytes(b"camagent", "little")
_VERSION = 1
_HEADER_WORDS = 8
"""magic, version, words that follow, layout; the rest is zero. 64 bytes, so that the words begin a cache line."""
_WORD_BYTES = 8
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

Fence = Callable[[], None]
"""Orders the memory accesses before it and those after it, as other processors see them."""


def _bounce() -> Fence:
    lock = threading.Lock()
    lock.acquire()

    def fence() -> None:
        # a store-release, then a load-acquire: ARMv8 keeps their order (Arm ARM, B2.3, barrier-ordered-before)
        lock.release()
        lock.acquire()

    return fence


FENCE: Fence | None = None if os.uname().machine in ("x86_64", "i686") else _bounce()
"""What this machine needs between the stores of a page's writer and between the loads of a reader.

None on x86: it shows stores in their order and does loads in theirs (Intel SDM vol. 3, 9.2).
"""


class PageError(AgentError):
    """A descriptor is not a page that this version can use. Details: what was found and what was expected."""

    code = "bad_page"


class Page:
    """A memory file of signed 64-bit words, mapped; its size is sealed, so that no peer can pull it away.

    `words`: a memoryview of format `q`, read-only for readers; slices of it stay valid after `release()`. One store
    to a word is one store of the processor: nobody sees half of it. `fd`: ours, closed on release.
    """

    def __init__(self, fd: int, mapping: Mapping, words: memoryview) -> None:
        self.fd = fd
        self.words = words
        self._mapping: Mapping | None = mapping

    @classmethod
    def create(cls, name: str, words: int, layout: int = 0) -> Page:
        """A new page of `words` zeros. `layout`: what they mean, a number that whoever attaches must also know."""
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, fd)
            length = (_HEADER_WORDS + words) * _WORD_BYTES
            os.ftruncate(fd, length)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            mapping = Mapping(fd, length, 0, PROT_READ | PROT_WRITE)
            view = mapping.view.cast("q")
            view[1], view[2], view[3] = _VERSION, words, layout
            view[0] = _MAGIC  # the last one: a page without it is not ready
            undo.pop_all()
        return cls(fd, mapping, view[_HEADER_WORDS:])

    @classmethod
    def attach_reader(cls, fd: int, layout: int = 0) -> Page:
        """The page behind `fd`, which stays the caller's; its words are read-only. Raises PageError."""
        return cls._attach(fd, layout, PROT_READ)

    @classmethod
    def attach_writer(cls, fd: int, layout: int = 0) -> Page:
        """The page behind `fd`, which stays the caller's, for its one writer. Raises PageError."""
        return cls._attach(fd, layout, PROT_READ | PROT_WRITE)

    @classmethod
    def _attach(cls, fd: int, layout: int, protection: int) -> Page:
        own = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, own)
            length = _checked_length(own)
            mapping = Mapping(own, length, 0, protection)
            view = mapping.view.cast("q")
            _check_header(view, layout)
            undo.pop_all()
        words = view[_HEADER_WORDS:]
        return cls(own, mapping, words if protection & PROT_WRITE else words.toreadonly())

    def release(self) -> None:
        """Close the descriptor and give up our hold on the memory; views that others hold stay valid. Idempotent."""
        if self._mapping is None:
            return
        mapping, self._mapping = self._mapping, None
        self.words = memoryview(b"").cast("q")
        mapping.release()
        os.close(self.fd)

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


class Lock:
    """Exclusion between processes by an open file description lock on one byte of a page (fcntl(2), F_OFD_SETLKW).

    The kernel frees it when its holder dies, however it dies. Every Lock excludes every other, in this process too,
    but not itself: one for each thread, and no nesting. After a fork the child's has a description of its own.
    """

    def __init__(self, page: Page, byte: int = 0) -> None:
        """A lock on `byte` of the page; its bytes are locks of their own."""
        self._fd = _reopened(page.fd)
        # struct flock: type, whence, start, length, pid (0, as OFD locks demand)
        self._lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        self._unlock = struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0)
        self._close = weakref.finalize(self, os.close, self._fd)
        _locks.add(self)

    def held(self) -> Lock:
        """For `with`: waits for the lock, and frees it at the end.

        A signal that comes meanwhile is handled and the wait goes on, unless its handler raises.
        """
        return self

    def release(self) -> None:
        """Close the descriptor, which also frees the lock. Idempotent."""
        self._close()

    def __enter__(self) -> None:
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW, self._lock)  # repeats the call after EINTR (PEP 475)
        except BaseException:
            # a signal handler may raise between the kernel's yes and our return
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, self._unlock)
            raise

    def __exit__(self, *exception: object) -> None:
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, self._unlock)


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _reopen_after_fork() -> None:
    # a description shared with the parent would let both into the lock at once
    for lock in _locks:
        if lock._close.alive:
            fresh = _reopened(lock._fd)
            os.dup2(fresh, lock._fd, inheritable=False)
            os.close(fresh)


os.register_at_fork(after_in_child=_reopen_after_fork)


def _reopened(fd: int) -> int:
    return os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)


def _checked_length(fd: int) -> int:
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError as error:
        raise _not_a_page("it is not a memory file", found=os.strerror(error.errno or 0), expected="memfd") from error
    if seals & fcntl.F_SEAL_SHRINK == 0:
        raise _not_a_page("its size is not sealed", found=seals, expected=_SEALS)
    length = os.fstat(fd).st_size
    if length < _HEADER_WORDS * _WORD_BYTES or length % _WORD_BYTES:
        raise _not_a_page(f"its size of {length} bytes cannot be", found=length, expected=_HEADER_WORDS * _WORD_BYTES)
    return length


def _check_header(view: memoryview, layout: int) -> None:
    magic, version, words, found_layout = view[0], view[1], view[2], view[3]
    if magic != _MAGIC:
        raise _not_a_page("it does not begin as one", found=magic, expected=_MAGIC)
    if version != _VERSION:
        raise _not_a_page(f"it is of version {version}, not {_VERSION}", found=version, expected=_VERSION)
    if words != len(view) - _HEADER_WORDS:
        raise _not_a_page("its size is not what it says", found=len(view) - _HEADER_WORDS, expected=words)
    if found_layout != layout:
        raise _not_a_page(f"its layout is {found_layout}, not {layout}", found=found_layout, expected=layout)


def _not_a_page(why: str, *, found: object, expected: object) -> PageError:
    return PageError(
        f"this is not a shared page that can be used: {why}",
        hint="the process that made it is of another version: restart the agent and all of its processes",
        found=found,
        expected=expected,
    )
