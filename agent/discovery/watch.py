"""Cameras followed as they come and go."""

from __future__ import annotations

from agent.clock import ReadClock, monotonic_ns
from agent.discovery.camera import Camera, cameras_of
from agent.discovery.events import Event, difference
from agent.discovery.node import Ask, Node
from agent.discovery.source import EventsLost, Record, Source
from agent.discovery.udev import USB, VIDEO, UdevSource

_AT_ONCE = 256
"""Events taken in one `read`: what is left makes the descriptor readable again."""
_GONE = frozenset(("remove", "unbind"))


class Watch:
    """Appearing, changing and vanishing cameras. A context manager; one owner, one thread.

    Entering begins to listen. The first `read` tells what is there already; call it without waiting. After that, call
    it whenever `fileno()` is readable. It never waits, but for `ask`, where one is given.

    Nothing is missed between listening and the first list: listening begins first. What the list has seen already is
    known by the kernel's number of each event: of one that was sent before the list was made, only its node's present
    state counts. Events that the kernel dropped are made up for by a new list, and told as the difference.
    """

    def __init__(self, source: Source | None = None, ask: Ask | None = None, now_ns: ReadClock = monotonic_ns) -> None:
        """`source`: None for udev. `ask`: asks each node once, when it appears. Raises OSError without netlink."""
        self._source: Source = UdevSource() if source is None else source
        self._ask = ask
        self._now_ns = now_ns
        self._nodes: dict[str, Node] = {}
        self._cameras: list[Camera] = []
        self._listed_at: int | None = None
        self._released = False
        self.overruns = 0
        """How often events were lost and a new list was made."""

    def __enter__(self) -> Watch:
        self._source.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Listen no more; idempotent. The cameras last known can still be read."""
        if not self._released:
            self._released = True
            self._source.release()

    def fileno(self) -> int:
        """Readable when there is something to `read`."""
        return self._source.fileno()

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """Those that are there, as far as it has been read."""
        return tuple(self._cameras)

    def read(self) -> list[Event]:
        """What happened since the last time, in order; empty when nothing did. Raises ValueError after release."""
        if self._released:
            raise ValueError("this watch was released")
        events = self._list() if self._listed_at is None else []
        for _ in range(_AT_ONCE):
            try:
                record = self._source.receive()
            except EventsLost:
                self.overruns += 1
                self._drain()
                events += self._list()
                continue
            if record is None:
                break
            at_ns = self._now_ns()
            self._take(record)
            events += self._told(at_ns)
        return events

    def _list(self) -> list[Event]:
        at_ns = self._now_ns()
        self._listed_at = self._source.sequence()
        known, self._nodes = self._nodes, {}
        for node in self._source.list_nodes():
            self._keep(node, known.get(node.sys_path))
        return self._told(at_ns)

    def _drain(self) -> None:
        """Leave out what is older than the new list. After an overrun the kernel sends again once all is read."""
        for _ in range(_AT_ONCE * 16):
            try:
                if self._source.receive() is None:
                    return
            except EventsLost:
                continue

    def _take(self, record: Record) -> None:
        """One event into the nodes."""
        if record.subsystem == USB and record.action in _GONE:
            below = f"{record.sys_path}/"
            for sys_path in [known for known in self._nodes if known.startswith(below)]:
                self._update(sys_path, record, None)
        elif record.subsystem == VIDEO and record.action in _GONE:
            self._update(record.sys_path, record, None)
        elif record.node is not None:
            self._update(record.sys_path, record, record.node)

    def _update(self, sys_path: str, record: Record, node: Node | None) -> None:
        """`node`: what the event says; an event older than the list says only where to look."""
        if record.sequence <= (self._listed_at or 0):
            node = self._source.look(sys_path)
        known = self._nodes.pop(sys_path, None)
        if node is not None:
            self._keep(node, known)

    def _keep(self, node: Node, known: Node | None) -> None:
        if known is not None and known.key == node.key:
            node = node.renewed(known)
        if self._ask is not None and not node.asked:
            node = node.told(self._ask(node.path))
        self._nodes[node.sys_path] = node

    def _told(self, at_ns: int) -> list[Event]:
        before, self._cameras = self._cameras, cameras_of(self._nodes.values())
        return difference(before, self._cameras, at_ns)
