"""One onlooker's pictures: at most at its own rate, the newest each time; what was not taken in time is replaced."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from agent.control.picture import Look, Picture
from agent.errors import AgentError
from agent.viewing.pace import Pace


class PictureFeed:
    """An async iterator of pictures (`agent.control.picture.PictureStream`). In the thread of one event loop.

    `skipped`: pictures that were replaced before they were taken.
    """

    def __init__(self, look: Look, rate_per_s: int, leave: Callable[[PictureFeed], object]) -> None:
        """`leave` is called once, when it ends."""
        self.look = look
        self.rate_per_s = rate_per_s
        self.skipped = 0
        self._pace = Pace(rate_per_s)
        self._leave = leave
        self._newest: Picture | None = None
        self._awake = asyncio.Event()
        self._ended = False
        self._error: AgentError | None = None

    def __aiter__(self) -> PictureFeed:
        return self

    async def __anext__(self) -> Picture:
        while self._newest is None:
            if self._ended:
                raise StopAsyncIteration
            self._awake.clear()
            await self._awake.wait()
        picture, self._newest = self._newest, None
        return picture

    def put(self, picture: Picture) -> None:
        """Never waits; left out when it comes too early for this onlooker's rate."""
        stamp_ns = picture.facts.timestamp_ns
        if self._ended or not self._pace.is_due(stamp_ns):
            return
        self._pace.show(stamp_ns)
        self.skipped += self._newest is not None
        self._newest = picture
        self._awake.set()

    def end(self) -> None:
        """What waits is still taken; nothing more comes. Idempotent."""
        if not self._ended:
            self._ended = True
            self._awake.set()
            self._leave(self)

    def fail(self, error: AgentError) -> None:
        """There are no such pictures: it ends."""
        self._error = error
        self.end()

    async def begun(self, limit_s: float) -> None:
        """Wait, for no longer than that, until there is a picture. Raises what it failed with."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._awake.wait()
        if self._error is not None:
            raise self._error

    async def aclose(self) -> None:
        """See no more; idempotent."""
        self._newest = None
        self.end()
