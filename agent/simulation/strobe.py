"""A camera's strobe output: active while a triggered frame is exposed."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable

from agent.simulation.clock import Clock
from agent.simulation.pacer import Deadlines

StrobeCallback = Callable[[bool, int], None]
"""Called with the new level and its instant (CLOCK_MONOTONIC ns), then or as soon after as the pacer can."""


class StrobeOutput:
    """Whoever subscribed is told of both ends of every triggered exposure, in order of time. Shared between threads.

    Callbacks run in the pacer's thread (or in whoever steps a `ManualClock`), under no lock of this camera. The
    camera's lock may be held around every other method.
    """

    def __init__(self, clock: Clock, deadlines: Deadlines) -> None:
        self._clock, self._deadlines = clock, deadlines
        self._lock = threading.Lock()
        self._callbacks: tuple[StrobeCallback, ...] = ()
        self._due: list[tuple[int, int, bool]] = []
        self._order = 0
        self._active = False

    def subscribe(self, callback: StrobeCallback) -> None:
        """Call `callback` at both ends of each exposure from now on."""
        with self._lock:
            self._callbacks = (*self._callbacks, callback)

    def schedule(self, active: bool, at_ns: int) -> None:
        """The output will change at `at_ns`. Nothing where nobody listens."""
        with self._lock:
            if not self._callbacks:
                return
            self._order += 1
            heapq.heappush(self._due, (at_ns, self._order, active))
        self._deadlines.add(self, at_ns, 0)

    def cut(self) -> None:
        """The stream ends: no changes any more, except back to inactive now."""
        now_ns = self._clock.now_ns()
        with self._lock:
            passed = [change for change in self._due if change[0] <= now_ns]
            active = max(passed)[2] if passed else self._active
            self._due = sorted(passed)
        if active:
            self.schedule(active=False, at_ns=now_ns)

    def expire(self, _turn: int) -> None:
        """A change is due: tell it."""
        now_ns = self._clock.now_ns()
        with self._lock:
            changes = []
            while self._due and self._due[0][0] <= now_ns:
                at_ns, _, self._active = heapq.heappop(self._due)
                changes.append((self._active, at_ns))
            callbacks = self._callbacks
        for active, at_ns in changes:
            for callback in callbacks:
                callback(active, at_ns)
