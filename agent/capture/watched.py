"""The descriptors of a capture loop, and whose they are."""

from __future__ import annotations

import select
from collections.abc import Sequence
from contextlib import suppress

from agent.capture.channel import Channel
from agent.capture.inbox import Inbox
from agent.capture.publish import Publisher
from agent.capture.serving import Serving

Events = Sequence[tuple[int, int]]


class Watched:
    """One epoll. A camera is in it while it streams: a stream that is off polls as broken, again and again."""

    def __init__(self, inbox: Inbox, channel: Channel, publisher: Publisher) -> None:
        self.epoll = select.epoll()
        self.inbox_fds: dict[int, int] = {}
        """Where commands come from, and what each is polled for."""
        self._inbox, self._channel, self._publisher = inbox, channel, publisher
        self._cameras: dict[int, Serving] = {}
        self._publisher_fds: set[int] = set()
        self.line_fds: set[int] = set()

    def add(self, unit: Serving, fd: int) -> None:
        """Frames of `unit` wait on `fd`."""
        self._cameras[fd] = unit
        self.epoll.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> Serving | None:
        """They do not any more; whose they were."""
        unit = self._cameras.pop(fd, None)
        if unit is not None:
            self.epoll.unregister(fd)
        return unit

    def cameras(self, events: Events) -> dict[Serving, int]:
        """Which cameras have something, and what."""
        return {self._cameras[fd]: mask for fd, mask in events if fd in self._cameras}

    def is_publisher(self, events: Events) -> bool:
        """Whether frames came back."""
        return any(fd in self._publisher_fds for fd, _ in events)

    def is_writable(self, events: Events) -> bool:
        """Whether the parent reads again."""
        return any(fd == self._channel.fileno() and mask & select.EPOLLOUT for fd, mask in events)

    def follow_inbox(self) -> None:
        """Its descriptors may be others, answers may wait to be sent, or more commands wait than it takes in.

        Then the socket stays readable, and is not polled for that: the loop would spin.
        """
        wanted = dict.fromkeys(self._inbox.fds(), select.EPOLLIN)
        channel = self._channel
        fd = channel.fileno()
        if fd in wanted:
            wanted[fd] = (0 if channel.full else select.EPOLLIN) | (select.EPOLLOUT if channel.wants_write else 0)
        if wanted == self.inbox_fds:
            return
        for fd in self.inbox_fds.keys() - wanted.keys():
            self.epoll.unregister(fd)
        for fd, mask in wanted.items():
            if fd not in self.inbox_fds:
                self.epoll.register(fd, mask)
            elif mask != self.inbox_fds[fd]:
                self.epoll.modify(fd, mask)
        self.inbox_fds = wanted

    def follow_lines(self, wanted: set[int]) -> None:
        """The input lines are others. A line that is gone closed its descriptor, which took it out."""
        for fd in self.line_fds - wanted:
            self._forget(fd)
        for fd in wanted:
            # also one that is known: it may be a line that was opened anew and got the number of the one before
            with suppress(FileExistsError):
                self.epoll.register(fd, select.EPOLLIN)
        self.line_fds = wanted

    def follow_publisher(self) -> None:
        """Its descriptors may be others."""
        wanted = set(self._publisher.fds())
        if wanted == self._publisher_fds:
            return
        for fd in self._publisher_fds - wanted:
            self._forget(fd)
        for fd in wanted - self._publisher_fds:
            self.epoll.register(fd, select.EPOLLIN)
        self._publisher_fds = wanted

    def release(self) -> None:
        """Close it; idempotent."""
        self.epoll.close()

    def _forget(self, fd: int) -> None:
        try:
            self.epoll.unregister(fd)
        except OSError:  # its owner closed it already, which took it out
            return
