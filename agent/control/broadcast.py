"""Events to many subscribers, each with a bound: who is slow loses events, is told how many, and slows nobody."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice

from agent.control.errors import Overloaded
from agent.control.facade import Document, Event

_REMEMBERED = 1024


class Broadcast:
    """Tells events to whoever iterates over `events()`. Used in the one thread of an event loop.

    `capacity`: events that wait for one subscriber; `remembered`: for those who come back with the last id they saw.
    """

    def __init__(self, *, capacity: int = 1024, remembered: int = _REMEMBERED, subscribers: int = 64) -> None:
        self._capacity = capacity
        self._most = subscribers
        self._past: deque[Event] = deque(maxlen=remembered)
        self._subscribers: set[Subscription] = set()
        self._last_id = 0
        self._ended = False

    @property
    def subscribers(self) -> int:
        """How many listen now."""
        return len(self._subscribers)

    def publish(self, kind: str, at_ns: int, data: Document) -> Event:
        """Tell all of them; never waits. The event, with its id."""
        self._last_id += 1
        event = Event(self._last_id, kind, at_ns, data)
        self._past.append(event)
        for subscription in self._subscribers:
            subscription.put(event)
        return event

    def end(self) -> None:
        """Nothing more will come: every subscriber reads what it has, and ends. Idempotent."""
        self._ended = True
        for subscription in tuple(self._subscribers):
            subscription.end()

    def events(self, after: int | None = None) -> Subscription:
        """Events as they happen; with `after`, first those of a greater id, or a `lost` for what is forgotten.

        It listens from this call on; `aclose` ends that. Raises Overloaded: there are too many subscribers.
        """
        if len(self._subscribers) >= self._most:
            raise Overloaded(
                f"{self._most} others follow the events already",
                hint="end one of them, or ask for stats now and then",
                bound="subscribers",
                limit=self._most,
            )
        subscription = Subscription(self._capacity, self._subscribers.discard)
        self._subscribers.add(subscription)
        if after is not None:
            self._catch_up(subscription, after)
        if self._ended:
            subscription.end()
        return subscription

    def _catch_up(self, subscription: Subscription, after: int) -> None:
        missed = self._last_id - after
        if missed < 0:  # an id of another agent's life: all that is known is news
            missed = len(self._past)
        known = min(missed, len(self._past))
        subscription.lost += missed - known
        for event in islice(self._past, len(self._past) - known, None):
            subscription.put(event)


class Subscription:
    """One subscriber's events: an async iterator. The newest wait for it: they are what is true now."""

    def __init__(self, capacity: int, leave: Callable[[Subscription], object]) -> None:
        self.lost = 0
        """Events that did not fit since the last that was taken."""
        self._waiting: deque[Event] = deque()
        self._capacity = capacity
        self._awake = asyncio.Event()
        self._leave = leave
        self._ended = False
        self._last: Event | None = None
        self._told = False
        """The last that was taken told of a loss."""

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting and not self.lost:
            if self._ended:
                raise StopAsyncIteration
            self._awake.clear()
            await self._awake.wait()
        # after a loss an event, else one who is always too slow would be told of nothing but losses
        if self.lost and not (self._told and self._waiting):
            return self._tell_loss()
        self._told = False
        self._last = self._waiting.popleft()
        return self._last

    def _tell_loss(self) -> Event:
        lost, self.lost = self.lost, 0
        self._told = True
        if self._waiting:
            following = self._waiting[0]
            return Event(following.id - 1, "lost", following.at_ns, {"count": lost})
        last = self._last
        return Event(last.id if last else 0, "lost", last.at_ns if last else 0, {"count": lost})

    async def aclose(self) -> None:
        """Listen no more; idempotent."""
        self._waiting.clear()
        self.lost = 0
        self.end()

    def put(self, event: Event) -> None:
        """Never waits: when it is full, the oldest is lost."""
        if len(self._waiting) >= self._capacity:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(event)
        self._awake.set()

    def end(self) -> None:
        """What waits is still read; nothing more comes."""
        self._ended = True
        self._awake.set()
        self._leave(self)
