"""Real time for simulated cameras: one thread per kernel, which wakes at each camera's next deadline."""

from __future__ import annotations

import heapq
import threading
from typing import Protocol

from agent.simulation.clock import Clock, ManualClock


class Paced(Protocol):
    """Something with deadlines."""

    def expire(self, turn: int) -> int | None:
        """The deadline of `turn` is here. The next one (CLOCK_MONOTONIC ns), or None: no more in this turn."""
        ...


class Deadlines(Protocol):
    """Who calls a streaming camera at its deadlines: `Pacer` in real time, `Stepper` in a test's."""

    def add(self, camera: Paced, deadline_ns: int, turn: int) -> None:
        """Call `camera.expire(turn)` at `deadline_ns`."""
        ...

    def hold(self, camera: Paced) -> None:
        """Stay ready for deadlines of `camera` until it is removed, although there is none yet."""
        ...

    def remove(self, camera: Paced) -> None:
        """Forget all deadlines of `camera`."""
        ...

    def settle(self) -> None:
        """Wait for a thread that has nothing left to do; called without a camera's lock."""
        ...


class Pacer:
    """Deadlines of streaming cameras. The thread exists while one is due or a camera holds it. Shared between threads.

    Lock order: a camera may call `add` under its own lock, so the pacer never calls a camera under its lock, and
    `settle`, which waits for the thread, must be called without one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._due: list[tuple[int, int, Paced, int]] = []
        self._holding: list[Paced] = []
        self._order = 0
        self._thread: threading.Thread | None = None
        self._ended: threading.Thread | None = None
        self._working = False

    def add(self, camera: Paced, deadline_ns: int, turn: int) -> None:
        """Call `camera.expire(turn)` at `deadline_ns`; starts the thread if there is none."""
        with self._changed:
            self._push(camera, deadline_ns, turn)
            self._start()

    def hold(self, camera: Paced) -> None:
        """Keep the thread until `camera` is removed: pulses come faster than threads should."""
        with self._changed:
            self._holding.append(camera)
            self._start()

    def remove(self, camera: Paced) -> None:
        """Forget all deadlines of `camera`, and that it holds. One that is being served right now still ends."""
        with self._changed:
            self._holding = [holding for holding in self._holding if holding is not camera]
            self._due = [entry for entry in self._due if entry[2] is not camera]
            heapq.heapify(self._due)
            self._changed.notify_all()

    def settle(self) -> None:
        """Wait for the thread to end if nothing is due any more."""
        with self._changed:
            if self._thread is threading.current_thread():
                return
            self._changed.wait_for(lambda: self._thread is None or (self._busy and not self._working))
            ended, self._ended = self._ended, None
        if ended is not None:
            ended.join()

    @property
    def _busy(self) -> bool:
        return bool(self._due or self._holding)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="simulated-cameras", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _push(self, camera: Paced, deadline_ns: int, turn: int) -> None:
        self._order += 1
        heapq.heappush(self._due, (deadline_ns, self._order, camera, turn))

    def _run(self) -> None:
        while True:
            entry = self._next()
            if entry is None:
                return
            deadline_ns = entry[0].expire(entry[1])
            with self._changed:
                self._working = False
                if deadline_ns is not None:
                    self._push(entry[0], deadline_ns, entry[1])
                self._changed.notify_all()

    def _next(self) -> tuple[Paced, int] | None:
        with self._changed:
            while self._busy:
                if not self._due:
                    self._changed.wait()
                    continue
                wait_ns = self._due[0][0] - self._clock.now_ns()
                if wait_ns <= 0:
                    _, _, camera, turn = heapq.heappop(self._due)
                    self._working = True
                    return camera, turn
                self._changed.wait(wait_ns / 1_000_000_000)
            self._ended, self._thread = self._thread, None
            self._changed.notify_all()
            return None


class Stepper:
    """Deadlines that come when they are asked for: the pacer of a kernel with a `ManualClock`. One owner steps."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._due: list[tuple[int, int, Paced, int]] = []
        self._order = 0

    def add(self, camera: Paced, deadline_ns: int, turn: int) -> None:
        """Note a deadline."""
        self._order += 1
        heapq.heappush(self._due, (deadline_ns, self._order, camera, turn))

    def hold(self, camera: Paced) -> None:
        """Nothing to keep ready."""

    def remove(self, camera: Paced) -> None:
        """Forget all deadlines of `camera`."""
        self._due = [entry for entry in self._due if entry[2] is not camera]
        heapq.heapify(self._due)

    def settle(self) -> None:
        """Nothing to wait for."""

    def next_of(self, camera: Paced) -> int | None:
        """The next deadline of `camera`, or None."""
        return min((entry[0] for entry in self._due if entry[2] is camera), default=None)

    def advance_to(self, instant_ns: int) -> None:
        """Serve all deadlines up to an instant in their order, the clock standing at each."""
        while self._due and self._due[0][0] <= instant_ns:
            deadline_ns, _, camera, turn = heapq.heappop(self._due)
            self._clock.move_to(deadline_ns)
            following_ns = camera.expire(turn)
            if following_ns is not None:
                self.add(camera, following_ns, turn)
        self._clock.move_to(instant_ns)
