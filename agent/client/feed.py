"""Frames for a thread: `for frame in feed`."""

from __future__ import annotations

import select
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from agent.client.errors import Ended
from agent.client.frame import Frame
from agent.client.subscription import Subscription, Wait
from agent.clock import monotonic_ns
from agent.units import NS_PER_MS, NS_PER_S


class Feed(Subscription):
    """Frames as they come; a context manager, and an iterator that ends with a connection that is not made again.

    One thread takes frames; those it took with `keep()` may go to others. Ctrl-C ends a wait as KeyboardInterrupt, and
    leaving the `with` gives everything back.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        try:
            return self.next()
        except Ended:
            raise StopIteration from None

    def next(self, timeout_s: float | None = None) -> Frame:
        """The next frame; the one before is given back. `timeout_s` None: that of `connect`.

        Raises NoFrame, Ended, AgentUnreachable, Refused, ProtocolError.
        """
        return self._wait_for(self.step, timeout_s)

    def latest(self, timeout_s: float | None = None, *, max_age_s: float | None = None) -> Frame:
        """The newest frame that is here, the next one when none is; what was older is given back unread.

        A frame may have waited here for as long as its lease allows. `max_age_s`: none that was taken longer ago.
        Raises as `next`.
        """
        max_age_ns = None if max_age_s is None else round(max_age_s * NS_PER_S)
        return self._wait_for(partial(self.newest, max_age_ns), timeout_s)

    def _wait_for(self, step: Callable[[], Frame | Wait], timeout_s: float | None) -> Frame:
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        until_ns = None if timeout_s is None else monotonic_ns() + round(timeout_s * NS_PER_S)
        self.give_back_current()
        while isinstance(found := step(), Wait):
            if until_ns is not None and monotonic_ns() >= until_ns:
                raise self.no_frame(timeout_s or 0)
            _wait(found, until_ns)
        return found


def _wait(wait: Wait, until_ns: int | None) -> None:
    poll = select.poll()
    if wait.fd is not None:
        poll.register(wait.fd, select.POLLIN)
    ends = [end_ns for end_ns in (wait.until_ns, until_ns) if end_ns is not None]
    poll.poll(max(0, -(-(min(ends) - monotonic_ns()) // NS_PER_MS)) if ends else None)
