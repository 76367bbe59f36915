"""One open of a video node: its descriptor, its events, and whether the node behind it is still there."""

from __future__ import annotations

import enum

from agent.simulation.descriptor import Descriptor
from agent.simulation.events import EventQueue


class NodeKind(enum.Enum):
    """What a video node is for."""

    CAPTURE = enum.auto()
    METADATA = enum.auto()


class OpenFile:
    """What the kernel keeps for one open node. The camera's lock guards it."""

    def __init__(self, kind: NodeKind, number: int, *, nonblocking: bool) -> None:
        self.kind = kind
        self.number = number
        self.descriptor = Descriptor(nonblocking=nonblocking)
        self.events = EventQueue()
        self.gone = False
        """The camera was unplugged after this open, or the file closed: ENODEV for everything, for ever."""

    def show(self, frames: int) -> None:
        """Let the descriptor poll as it should."""
        self.descriptor.show(frames, event=len(self.events) > 0)
