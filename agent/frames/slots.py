"""Memory of our own for frames whose buffers have no descriptor: the one place where a frame is copied."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.frames.marks import sealed_memory

Plane = NDArray[np.uint8]


class Slots:
    """`count` places for a frame each, as sealed memfds, one a plane. `fds` by slot and plane."""

    def __init__(self, count: int, lengths: Sequence[int]) -> None:
        self.lengths = tuple(lengths)
        self.fds: list[tuple[int, ...]] = []
        self._views: list[tuple[Plane, ...]] = []
        self._free = list(range(count))
        try:
            for _ in range(count):
                self._make()
        except BaseException:
            self.release()
            raise

    def take(self, planes: Sequence[Plane]) -> int:
        """Copy a frame into a free slot; which. The caller has made sure that one is free."""
        slot = self._free.pop()
        for view, plane in zip(self._views[slot], planes, strict=True):
            view[: plane.size] = plane
        return slot

    def give_back(self, slot: int) -> None:
        """The slot may be used again."""
        self._free.append(slot)

    def release(self) -> None:
        """Let go of the memory; readers keep what they mapped."""
        self._views.clear()
        self._free.clear()
        while self.fds:
            for fd in self.fds.pop():
                os.close(fd)

    def _make(self) -> None:
        made = [sealed_memory("camera-agent-slot", length) for length in self.lengths]
        self.fds.append(tuple(fd for fd, _ in made))
        self._views.append(tuple(np.frombuffer(mapping.view, np.uint8) for _, mapping in made))
