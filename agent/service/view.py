"""One camera that is looked at: its onlookers, those who wait for a picture, and the process that serves them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.capture.back_off import BackOff
from agent.capture.relayed import relayed
from agent.clock import ReadClock
from agent.control.errors import Overloaded
from agent.control.picture import Look, Picture
from agent.errors import AgentError, FormatUnsupported
from agent.service.picture_feed import PictureFeed
from agent.service.viewer_child import Spawn, ViewerChild
from agent.units import NS_PER_MS, NS_PER_S
from agent.viewing.errors import SizeUnsupported, ViewerFailed
from agent.viewing.packets import Drop, Made, Refused, Seen, Show, Take, Told

LINGER_NS = 5 * NS_PER_S
"""A viewer stays so long after the last onlooker went: starting one takes a second."""
ONLOOKERS = 16
WAITING = 32
LOOKS = 8
"""Of one camera; each is encoded on its own."""
_DEATHS = 3
"""In a row, without a picture between them: then those who wait are told."""
_KNOWN: dict[str, type[AgentError]] = {kind.code: kind for kind in (SizeUnsupported, FormatUnsupported)}


@dataclass(slots=True)
class _Waiting:
    """A picture that somebody waits for."""

    take: Take
    came: asyncio.Future[Picture]


class View:
    """In the thread of the running event loop. `look_after` a few times a second; `release` ends all.

    `tell` hears of viewers that died, in words.
    """

    def __init__(self, camera: str, spawn: Spawn, tell: Callable[[str], object], now_ns: ReadClock) -> None:
        self._camera, self._spawn, self._tell, self._now_ns = camera, spawn, tell, now_ns
        self._feeds: set[PictureFeed] = set()
        self._waiting: dict[int, _Waiting] = {}
        self._keys: dict[Look, int] = {}
        self._number = 0
        self._child: ViewerChild | None = None
        self._finishing: list[ViewerChild] = []
        self._back_off = BackOff(first_ns=250 * NS_PER_MS, largest_ns=4 * NS_PER_S)
        self._start_ns: int | None = None
        self._deaths = 0
        self._idle_ns: int | None = None

    @property
    def onlookers(self) -> int:
        """How many follow its pictures."""
        return len(self._feeds)

    @property
    def over(self) -> bool:
        """Nobody looks, and no process is left."""
        return not (self._wanted or self._child or self._finishing)

    @property
    def _wanted(self) -> bool:
        return bool(self._feeds or self._waiting)

    # -- looking -----------------------------------------------------------------------------------------------------

    def follow(self, look: Look, rate_per_s: int) -> PictureFeed:
        """Pictures from now on. Raises Overloaded; ViewerFailed."""
        self._check_room(len(self._feeds), ONLOOKERS, "onlookers")
        looks = {feed.look for feed in self._feeds}
        if look not in looks:
            self._check_room(len(looks), LOOKS, "different sizes and qualities")
        feed = PictureFeed(look, rate_per_s, self._leave)
        self._feeds.add(feed)
        try:
            self._changed()
        except ViewerFailed:
            feed.end()
            raise
        return feed

    async def take(self, look: Look, after_ns: int, timeout_ns: int) -> Picture | None:
        """The next picture of a frame that began at `after_ns` or later; None: none in this time.

        Raises Overloaded, ViewerFailed, and what the viewer says about it.
        """
        self._check_room(len(self._waiting), WAITING, "who wait for a picture")
        number = self._next_number()
        came: asyncio.Future[Picture] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[number] = _Waiting(Take(number, look, after_ns), came)
        try:
            if self._started():
                self._say(waiting.take)
            return await asyncio.wait_for(came, timeout_ns / NS_PER_S)
        except TimeoutError:
            return None
        finally:
            if self._waiting.pop(number, None) is not None:
                self._say(Drop(number))
            self._note_idle()

    def _check_room(self, there: int, most: int, what: str) -> None:
        if there >= most:
            raise Overloaded(
                f"camera {self._camera} has {most} {what} already",
                hint="ask again later, or look with the same size and quality as others",
                bound=what,
                limit=most,
            )

    def _leave(self, feed: PictureFeed) -> None:
        self._feeds.discard(feed)
        if self._child is not None:
            self._show()
        self._note_idle()

    def _changed(self) -> None:
        if self._started():
            self._show()

    def _show(self) -> None:
        """Each look once, at the highest rate of those who want it."""
        rates: dict[Look, int] = {}
        for feed in self._feeds:
            rates[feed.look] = max(rates.get(feed.look, 0), feed.rate_per_s)
        self._keys = {look: self._keys.get(look) or self._next_number() for look in rates}
        self._say(Show({key: (look, rates[look]) for look, key in self._keys.items()}))

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _say(self, order: Show | Take | Drop | Seen) -> None:
        if self._child is not None:
            self._child.say(order)

    # -- its process -------------------------------------------------------------------------------------------------

    def _started(self) -> bool:
        """Whether there was one already; it is begun otherwise, unless it is to wait after a death."""
        self._idle_ns = None
        if self._child is not None:
            return True
        if self._start_ns is None:
            self._start()
        return False

    def _start(self) -> None:
        """With everything that is wanted. Raises ViewerFailed."""
        self._start_ns = None
        try:
            process = self._spawn(self._camera)
        except OSError as error:
            raise ViewerFailed(
                f"no process for pictures of {self._camera} could be started: {error.strerror}",
                hint="the machine is short of processes or memory",
                camera=self._camera,
            ) from error
        self._child = ViewerChild(process, self._hear, self._died, self._now_ns)
        if self._feeds:
            self._show()
        for waiting in self._waiting.values():
            self._say(waiting.take)

    def _died(self, how: str) -> None:
        child, self._child = self._child, None
        now_ns = self._now_ns()
        self._deaths += 1
        self._tell(how)
        lived_ns = 0 if child is None else now_ns - child.began_ns
        self._start_ns = now_ns + self._back_off.after_death(lived_ns)
        if self._deaths >= _DEATHS:
            self._deaths = 0
            told = f"the process for pictures of {self._camera} {how}, {_DEATHS} times in a row"
            hint = "the journal has what it said: journalctl -u camera-agent"
            self._fail(ViewerFailed(told, hint=hint, camera=self._camera))

    def _fail(self, error: AgentError) -> None:
        for feed in tuple(self._feeds):
            feed.fail(error)
        self._tell_waiting(tuple(self._waiting), error)

    def look_after(self, now_ns: int) -> None:
        """What is due: a process that is silent is killed, one that died replaced, one that nobody needs ended."""
        for child in (*self._finishing, *filter(None, (self._child,))):
            child.check(now_ns)
        if self._child is None and self._wanted and self._start_ns is not None and now_ns >= self._start_ns:
            self._try_again()
        if self._child is not None and self._idle_ns is not None and now_ns - self._idle_ns >= LINGER_NS:
            self._finish()

    def _try_again(self) -> None:
        try:
            self._start()
        except ViewerFailed as error:
            self._fail(error)

    def _note_idle(self) -> None:
        if not self._wanted and self._idle_ns is None:
            self._idle_ns = self._now_ns()

    def _finish(self) -> None:
        child, self._child, self._idle_ns = self._child, None, None
        if child is not None:
            self._finishing.append(child)
            child.ended = lambda _how: self._finishing.remove(child)
            child.finish()

    def end(self) -> None:
        """Everybody's pictures end, and the process is told to; idempotent."""
        for feed in tuple(self._feeds):
            feed.end()
        for waiting in self._waiting.values():
            waiting.came.cancel()
        self._finish()

    def release(self) -> None:
        """The same, and the process has gone; idempotent."""
        self.end()
        for child in self._finishing:
            child.release()
        self._finishing.clear()

    # -- what it tells -----------------------------------------------------------------------------------------------

    def _hear(self, told: Told) -> None:
        if isinstance(told, Made):
            self._deaths = 0
            self._hand_out(told)
        elif isinstance(told, Refused):
            self._refuse(told)

    def _hand_out(self, made: Made) -> None:
        if made.key is not None:
            self._say(Seen(made.key))
            for feed in tuple(self._feeds):
                if self._keys.get(feed.look) == made.key:
                    feed.put(made.picture)
        for number in made.ids:
            waiting = self._waiting.pop(number, None)
            if waiting is not None and not waiting.came.done():
                waiting.came.set_result(made.picture)

    def _refuse(self, refused: Refused) -> None:
        error = _error(refused)
        for feed in tuple(self._feeds):
            if refused.key is not None and self._keys.get(feed.look) == refused.key:
                feed.fail(error)
        self._tell_waiting(refused.ids, error)

    def _tell_waiting(self, numbers: Iterable[int], error: AgentError) -> None:
        for number in numbers:
            waiting = self._waiting.pop(number, None)
            if waiting is not None and not waiting.came.done():
                waiting.came.set_exception(error)


def _error(refused: Refused) -> AgentError:
    """In our own class where it is one that a caller is to blame for."""
    told = refused.error
    kind = _KNOWN.get(told["code"])
    if kind is None:
        return relayed(told["code"], told["message"], told["hint"], details=told["details"])
    error = kind(told["message"], hint=told["hint"])
    error.details = dict(told["details"])
    return error
