"""Frames for a coroutine: `async for frame in feed`. Nothing in it blocks the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from agent.client.errors import Ended
from agent.client.frame import Frame
from agent.client.subscription import Subscription, Wait
from agent.clock import monotonic_ns
from agent.units import NS_PER_S


class AsyncFeed(Subscription):
    """What `agent.client.feed.Feed` is, for one task of one event loop; a wait that is cancelled loses no frame."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        try:
            return await self.next()
        except Ended:
            raise StopAsyncIteration from None

    async def next(self, timeout_s: float | None = None) -> Frame:
        """The next frame; the one before is given back. `timeout_s` None: that of `connect_async`.

        Raises NoFrame, Ended, AgentUnreachable, Refused, ProtocolError.
        """
        return await self._wait_for(self.step, timeout_s)

    async def latest(self, timeout_s: float | None = None, *, max_age_s: float | None = None) -> Frame:
        """The newest frame that is here, the next one when none is; what was older is given back unread.

        A frame may have waited here for as long as its lease allows. `max_age_s`: none that was taken longer ago.
        Raises as `next`.
        """
        max_age_ns = None if max_age_s is None else round(max_age_s * NS_PER_S)
        return await self._wait_for(partial(self.newest, max_age_ns), timeout_s)

    async def _wait_for(self, step: Callable[[], Frame | Wait], timeout_s: float | None) -> Frame:
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        until_ns = None if timeout_s is None else monotonic_ns() + round(timeout_s * NS_PER_S)
        self.give_back_current()
        while isinstance(found := step(), Wait):
            if until_ns is not None and monotonic_ns() >= until_ns:
                raise self.no_frame(timeout_s or 0)
            await _wait(found, until_ns)
        return found


async def _wait(wait: Wait, until_ns: int | None) -> None:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    ends = [end_ns for end_ns in (wait.until_ns, until_ns) if end_ns is not None]
    timer = loop.call_later(max(0, min(ends) - monotonic_ns()) / NS_PER_S, _settle, over) if ends else None
    if wait.fd is not None:
        loop.add_reader(wait.fd, _settle, over)
    try:
        await over
    finally:
        if wait.fd is not None:
            loop.remove_reader(wait.fd)
        if timer is not None:
            timer.cancel()


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
