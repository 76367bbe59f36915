"""What a recording waits for: events of the agent, heard in a thread, or a signal. They come as instants."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from agent.clock import ReadClock, monotonic_ns
from agent.control.client import Client
from agent.control.facade import Event
from agent.errors import AgentError
from agent.recording.order import RecordOrder, Target, Trigger

_AGAIN_S = 1.0
_DEAD_S = 40.0
"""Without an event the agent says every 15 s that it is still there."""
_KINDS = {Trigger.EDGE: ("edge", "trigger.edge"), Trigger.PLAN: ("plan.ended",)}


class EventSource(Protocol):
    """Instants of CLOCK_MONOTONIC at which it happened. A context manager."""

    def take(self) -> list[int]:
        """Those since the last call."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class NoEvents:
    """Nothing is waited for."""

    def take(self) -> list[int]:
        """None."""
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class SignalEvents:
    """Each SIGUSR1 is an event. To be entered in the main thread."""

    def __init__(self, *, read_monotonic_ns: ReadClock = monotonic_ns) -> None:
        self._now_ns = read_monotonic_ns
        self._came: deque[int] = deque()
        self._before: Any = signal.SIG_DFL

    def take(self) -> list[int]:
        """Those since the last call."""
        return _taken(self._came)

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGUSR1, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGUSR1, self._before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._came.append(self._now_ns())


class AgentEvents:
    """Events of a running agent that are what the order waits for. An agent that went away is asked again.

    One thread, which ends with the context.
    """

    def __init__(self, order: RecordOrder, socket: Path | None = None) -> None:
        self._order = order
        self._client = Client(socket, timeout_s=_DEAD_S)
        self._came: deque[int] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="recording-events", daemon=True)

    def take(self) -> list[int]:
        """Those since the last call."""
        return _taken(self._came)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._client.interrupt()
        self._thread.join()
        self._client.release()

    def _listen(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(AgentError):
                for event in self._events():
                    if is_awaited(self._order, event):
                        self._came.append(event.at_ns)
            self._stop.wait(_AGAIN_S)

    def _events(self) -> Iterator[Event]:
        for event in self._client.events():
            if self._stop.is_set():
                return
            yield event


def event_source(order: RecordOrder, socket: Path | None = None) -> EventSource:
    """What the order waits for."""
    if order.on is None:
        return NoEvents()
    return SignalEvents() if order.on is Trigger.SIGNAL else AgentEvents(order, socket)


def is_awaited(order: RecordOrder, event: Event) -> bool:
    """Whether an event is of the kind that the order waits for, and not of another camera, group or plan."""
    if order.on is None or event.kind not in _KINDS.get(order.on, ()):
        return False
    told = event.data.get("name" if order.on is Trigger.PLAN and order.target is Target.PLAN else str(order.target))
    return told is None or told == order.name


def _taken(came: deque[int]) -> list[int]:
    found = []
    while came:
        found.append(came.popleft())
    return found
