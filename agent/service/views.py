"""All cameras that are looked at, and the bound on how many look."""

from __future__ import annotations

import asyncio

from agent.clock import ReadClock
from agent.control.errors import Overloaded
from agent.control.picture import Look, Picture
from agent.service.fleet import Tell
from agent.service.picture_feed import PictureFeed
from agent.service.view import View
from agent.service.viewer_child import Spawn

ONLOOKERS = 64
"""Of all cameras together."""
_SWEEP_S = 0.25


class Views:
    """In the thread of an event loop. A context manager; `end` and `release` are idempotent.

    Tests bring their own clock, and call `sweep`.
    """

    def __init__(self, spawn: Spawn, tell: Tell, now_ns: ReadClock) -> None:
        self._spawn, self._tell, self._now_ns = spawn, tell, now_ns
        self._views: dict[str, View] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def __enter__(self) -> Views:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def onlookers(self) -> int:
        """How many follow pictures."""
        return sum(view.onlookers for view in self._views.values())

    def follow(self, camera: str, look: Look, rate_per_s: int) -> PictureFeed:
        """As `View.follow`. Raises Overloaded also when all cameras together have too many onlookers."""
        if self.onlookers >= ONLOOKERS:
            raise Overloaded(
                f"{ONLOOKERS} streams of pictures are open already",
                hint="close one of them, or ask for snapshots now and then",
                bound="onlookers",
                limit=ONLOOKERS,
            )
        return self._view(camera).follow(look, rate_per_s)

    async def take(self, camera: str, look: Look, after_ns: int, timeout_ns: int) -> Picture | None:
        """As `View.take`."""
        return await self._view(camera).take(look, after_ns, timeout_ns)

    def _view(self, camera: str) -> View:
        view = self._views.get(camera)
        if view is None:

            def tell(how: str) -> None:
                self._tell("viewer.died", {"camera": camera, "message": f"the process for pictures of {camera} {how}"})

            view = self._views[camera] = View(camera, self._spawn, tell, self._now_ns)
        self._arrange()
        return view

    def sweep(self) -> None:
        """Look after all of them, and forget those that nobody needs."""
        now_ns = self._now_ns()
        for camera, view in tuple(self._views.items()):
            view.look_after(now_ns)
            if view.over:
                del self._views[camera]

    def _arrange(self) -> None:
        if self._sweeper is None and self._views:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep_again)

    def _sweep_again(self) -> None:
        self._sweeper = None
        self.sweep()
        self._arrange()

    def end(self) -> None:
        """Everybody's pictures end; processes are on their way to their end."""
        for view in self._views.values():
            view.end()

    def release(self) -> None:
        """Nothing is left."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._views:
            self._views.popitem()[1].release()
