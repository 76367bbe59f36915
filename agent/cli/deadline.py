"""Waiting in the foreground: for an instant of CLOCK_MONOTONIC, or a descriptor, or a signal."""

from __future__ import annotations

import select
from contextlib import ExitStack

from agent.capture.timer import Timer
from agent.cli.interruption import Interruption


class Deadline:
    """A context manager. While it waits, a signal raises Interrupted. One thread, the main one."""

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption
        with ExitStack() as resources:
            self._timer = resources.enter_context(Timer())
            self._resources = resources.pop_all()

    def __enter__(self) -> Deadline:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def wait(self, until_ns: int | None, fd: int | None = None) -> bool:
        """Until `until_ns`, None for ever, or until something is to be read from `fd`: then True."""
        poll = select.poll()
        if until_ns is not None:
            self._timer.set(until_ns)
            poll.register(self._timer.fd, select.POLLIN)
        if fd is not None:
            poll.register(fd, select.POLLIN)
        with self._interruption.waiting():
            ready = poll.poll()
        return any(each == fd for each, _ in ready)
