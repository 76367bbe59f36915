"""Where events come from, as `Watch` needs it: udev, or a fake in tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.discovery.node import Node
from agent.errors import AgentError


class EventsLost(AgentError):
    """The kernel dropped events because they were not read fast enough (ENOBUFS, netlink(7))."""

    code = "events_lost"

    def __init__(self) -> None:
        super().__init__("udev events were lost", hint="list all devices anew")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event as udev sends it. `sequence`: the kernel's number. `node`: the video node, where it is there."""

    action: str
    subsystem: str
    sys_path: str
    sequence: int
    node: Node | None = None


class Source(Protocol):
    """Events and a list of what is there. One owner, one thread; `release()` is idempotent."""

    def start(self) -> None:
        """From here on no event is missed without `EventsLost`."""
        ...

    def fileno(self) -> int:
        """Readable when there is something to receive."""
        ...

    def sequence(self) -> int:
        """The number of the last event that the kernel has sent out."""
        ...

    def list_nodes(self) -> list[Node]:
        """All video nodes that udev has finished with."""
        ...

    def look(self, sys_path: str) -> Node | None:
        """One node as it is now; None when it is not there, or udev has not finished with it."""
        ...

    def receive(self) -> Record | None:
        """The next event, None when there is none yet; never waits. Raises EventsLost."""
        ...

    def release(self) -> None:
        """Close the descriptor."""
        ...
