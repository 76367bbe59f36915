"""Which video node is which camera's. A number somebody still holds open after an unplug is not given out again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Generic, TypeVar

from agent.simulation.open_file import NodeKind

C = TypeVar("C")


class NodeTable(Generic[C]):
    """Node numbers of all cameras of one kernel. Shared between threads; its lock is a leaf."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[int, tuple[C, NodeKind] | None] = {}

    def attach(self, camera: C, kinds: Sequence[NodeKind]) -> list[int]:
        """Give a camera the lowest free numbers, one for each of its nodes."""
        with self._lock:
            numbers = []
            for kind in kinds:
                number = next(n for n in range(len(self._nodes) + 1) if n not in self._nodes)
                self._nodes[number] = (camera, kind)
                numbers.append(number)
            return numbers

    def detach(self, numbers: Sequence[int], held: set[int]) -> None:
        """The nodes are gone; numbers in `held` stay taken until `forget`."""
        with self._lock:
            for number in numbers:
                if number in held:
                    self._nodes[number] = None
                else:
                    del self._nodes[number]

    def forget(self, number: int) -> None:
        """Nobody holds the number of a node that is gone any more."""
        with self._lock:
            if self._nodes.get(number, ()) is None:
                del self._nodes[number]

    def find(self, number: int) -> tuple[C, NodeKind] | None:
        """The camera and the kind of a node, or None."""
        with self._lock:
            return self._nodes.get(number)

    def present(self) -> list[int]:
        """All numbers of nodes that can be opened, ascending."""
        with self._lock:
            return sorted(number for number, node in self._nodes.items() if node is not None)
