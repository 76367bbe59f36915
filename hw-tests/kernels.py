"""Real kernels that die or wait at a chosen call, for capture processes forked from a test."""

from __future__ import annotations

import mmap
import os
import select
import signal
from typing import Any, Self

from agent.kernel import LinuxKernel, Mapping
from agent.v4l2 import uapi

_LIMIT_MS = 60_000


class Calls:
    """How many calls a process has made, in memory it shares with the test; outlives it."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")

    @property
    def made(self) -> int:
        """Calls made since `made` was set to 0."""
        return self._words[0]

    @made.setter
    def made(self, count: int) -> None:
        self._words[0] = count


class MortalKernel(LinuxKernel):
    """Kills its process with SIGKILL right before, or right after, its call number `at` (from 1) or request `on`."""

    def __init__(
        self, calls: Calls, *, at: int | None = None, on: uapi.Request | None = None, after: bool = False
    ) -> None:
        self._calls = calls
        self._at, self._on, self._after = at, on, after

    def open(self, path: str, flags: int) -> int:
        """Counted."""
        return self._through(None, super().open, path, flags)

    def close(self, fd: int) -> None:
        """Counted."""
        self._through(None, super().close, fd)

    def ioctl(self, fd: int, request: int, argument: Any) -> int:
        """Counted."""
        return self._through(request, super().ioctl, fd, request, argument)

    def mmap(self, fd: int, length: int, offset: int, protection: int) -> Mapping:
        """Counted."""
        return self._through(None, super().mmap, fd, length, offset, protection)

    def _through(self, request: int | None, call: Any, *arguments: Any) -> Any:
        # two threads may count at once and lose one: any call will do to die at
        self._calls.made += 1
        last = self._calls.made == self._at or (self._on is not None and request == self._on.number)
        if last and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*arguments)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class Door:
    """One request that a capture process stops at until the test lets it on. A context manager."""

    def __init__(self, request: uapi.Request, *, after: bool = False) -> None:
        self.request, self.after = request, after
        self._reached = os.eventfd(0)
        self._open = os.eventfd(0, os.EFD_SEMAPHORE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reached)
        os.close(self._open)

    @property
    def fds(self) -> tuple[int, int]:
        """To be kept by the process."""
        return self._reached, self._open

    def was_reached(self) -> bool:
        """A thread of the process came here since this was last true."""
        if not _poll(self._reached, 0):
            return False
        os.eventfd_read(self._reached)
        return True

    def let_on(self, times: int = 1) -> None:
        """Let it on, and so many at once."""
        os.eventfd_write(self._open, times)

    def pass_through(self) -> None:
        """In the process."""
        os.eventfd_write(self._reached, 1)
        if _poll(self._open, _LIMIT_MS):
            os.eventfd_read(self._open)


class DoorKernel(LinuxKernel):
    """Waits at the door, before or after the request."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def ioctl(self, fd: int, request: int, argument: Any) -> int:
        """One ioctl."""
        if request != self._door.request.number:
            return super().ioctl(fd, request, argument)
        if not self._door.after:
            self._door.pass_through()
        result = super().ioctl(fd, request, argument)
        if self._door.after:
            self._door.pass_through()
        return result


def _poll(fd: int, limit_ms: int) -> list[tuple[int, int]]:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll.poll(limit_ms)
