"""A thread for calls that may block in a driver, so that the loop never does (mission row G6).

One job at a time. The job runs in the thread; its outcome is handed out in the loop, which is woken by an eventfd.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from agent.errors import AgentError

Job = Callable[[], Any]


class Outcome(NamedTuple):
    """How a job ended: its result, or the error it raised."""

    result: Any
    error: AgentError | None


class HelperDied(AgentError):
    """A job raised what no job should: a defect of ours. Its traceback is on stderr."""

    code = "helper_died"


Then = Callable[[Outcome], None]

_BEGINS_WITHIN_S = 0.01
"""Whoever submits an urgent job waits for its beginning no longer."""


class Helper(Protocol):
    """Where jobs run."""

    def submit(self, job: Job, then: Then, *, urgent: bool = False) -> None:
        """Run `job` elsewhere, then `then(outcome)` in the loop. One at a time: a second one raises RuntimeError.

        `urgent`: the caller does not go on before the job has begun, or has had its time to. Else it may keep the
        interpreter for itself for as long as sys.getswitchinterval() says, 5 ms.
        """
        ...

    def start(self) -> None:
        """Make ready for the first job, so that it does not wait for that."""
        ...

    def release(self) -> bool:
        """End the thread; False when a job still hangs in it, which nobody can end."""
        ...


class Doorbell:
    """Outcomes on their way to the loop, and the eventfd that wakes it. Threads put, the loop collects."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._waiting: deque[tuple[Then, Outcome]] = deque()
        self._open = True

    def fileno(self) -> int:
        """Readable when outcomes wait."""
        return self.fd

    def put(self, then: Then, outcome: Outcome) -> None:
        """Have `then(outcome)` called in the loop."""
        self._waiting.append((then, outcome))
        if self._open:
            os.eventfd_write(self.fd, 1)

    def collect(self) -> int:
        """Call what waits; how many it was. What is put meanwhile rings again."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return 0
        count = len(self._waiting)
        for _ in range(count):
            then, outcome = self._waiting.popleft()
            then(outcome)
        return count

    def release(self) -> None:
        """Close the eventfd; idempotent. Threads that hang must not ring it afterwards, so it must be done last."""
        if self._open:
            self._open = False
            os.close(self.fd)


class HelperThread:
    """A `Helper` with a thread of its own, started with the first job. Owned by the loop."""

    def __init__(self, name: str, bell: Doorbell) -> None:
        self._name = name
        self._bell = bell
        self._jobs: queue.SimpleQueue[tuple[Job, Then, threading.Lock | None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._busy = False

    def submit(self, job: Job, then: Then, *, urgent: bool = False) -> None:
        """Run `job` in the thread."""
        if self._busy:
            raise RuntimeError(f"{self._name} has a job already")
        self._busy = True
        if self._thread is None:
            self.start()
        if not urgent:
            self._jobs.put((job, then, None))
            return
        begun = threading.Lock()
        begun.acquire()
        self._jobs.put((job, then, begun))
        begun.acquire(timeout=_BEGINS_WITHIN_S)

    def start(self) -> None:
        """Start the thread before the first job, so that the job does not wait for it."""
        if self._thread is None:
            # daemon: one that hangs in the kernel must not keep the process from ending
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def release(self) -> bool:
        """End the thread if it is not stuck in a job."""
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._jobs.put(None)
        thread.join(0 if self._busy else None)
        return not thread.is_alive()

    def _run(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, then, begun = entry
            died = HelperDied(f"{self._name} died", hint="report it, with the traceback in the log")
            outcome = Outcome(None, died)
            if begun is not None:
                begun.release()
            try:
                outcome = Outcome(job(), None)
            except AgentError as error:
                outcome = Outcome(None, error)
            finally:
                self._bell.put(self._finish(then), outcome)

    def _finish(self, then: Then) -> Then:
        def finish(outcome: Outcome) -> None:
            self._busy = False
            if isinstance(outcome.error, HelperDied) and self._thread is not None:
                self._thread.join()  # it is on its way out; the next job gets another one
                self._thread = None
            then(outcome)

        return finish
