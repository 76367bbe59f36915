"""What a recording waits for: a plan's end or an edge, as the agent tells of them, or a signal; as instants."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from agent.clock import ReadClock, monotonic_ns
from agent.control.client import Client
from agent.control.facade import Document, Event
from agent.errors import AgentError
from agent.recording.order import RecordOrder, Trigger

_AGAIN_S = 1.0
_LOOK_S = 0.05
"""From look to look at the counts of edges: so late an edge may be seen."""
_DEAD_S = 40.0
"""Without an event the agent says every 15 s that it is still there."""


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
    """What a running agent tells, heard in a thread that ends with the context. One that went away is asked again."""

    def __init__(self, order: RecordOrder, client: Client, *, read_monotonic_ns: ReadClock = monotonic_ns) -> None:
        """The client becomes this object's own."""
        self._order, self._client = order, client
        self._now_ns = read_monotonic_ns
        self._came: deque[int] = deque()
        self._stop = threading.Event()
        listen = self._hear_plans if order.on is Trigger.PLAN else self._look_at_edges
        self._thread = threading.Thread(target=self._run, args=(listen,), name="recording-events", daemon=True)
        self._edges: dict[str, int] = {}

    def take(self) -> list[int]:
        """Those since the last call."""
        return _taken(self._came)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._client.abort()
        self._thread.join()
        self._client.release()

    def _run(self, listen: Callable[[], None]) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(AgentError):
                listen()
            self._stop.wait(_AGAIN_S)

    def _hear_plans(self) -> None:
        for event in self._client.events():
            if self._stop.is_set():
                return
            if is_end(self._order, event):
                self._came.append(event.at_ns)

    def _look_at_edges(self) -> None:
        """The agent counts edges and tells none as an event: more of them than before is what is waited for."""
        while not self._stop.wait(_LOOK_S):
            found = self._client.ask("GET", "/v1/triggers")["triggers"]
            now_ns = self._now_ns()
            if self._more_edges(found):
                self._came.append(now_ns)

    def _more_edges(self, triggers: list[Document]) -> bool:
        more = False
        for trigger in triggers:
            group, edges = trigger["group"], trigger["edges"]
            more |= self._order.on_name in ("", group) and edges > self._edges.get(group, edges)
            self._edges[group] = edges
        return more


def event_source(order: RecordOrder, socket: Path | None = None) -> EventSource:
    """What the order waits for."""
    if order.on is None:
        return NoEvents()
    return SignalEvents() if order.on is Trigger.SIGNAL else AgentEvents(order, Client(socket, timeout_s=_DEAD_S))


def is_end(order: RecordOrder, event: Event) -> bool:
    """Whether an event is the end of the plan, or of any plan, that the order waits for."""
    if event.kind == "plans.ended":
        return not order.on_name
    return event.kind == "plan.ended" and order.on_name in ("", event.data.get("plan"))


def _taken(came: deque[int]) -> list[int]:
    found = []
    while came:
        found.append(came.popleft())
    return found
