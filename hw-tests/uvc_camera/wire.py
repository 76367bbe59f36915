# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire to the camera's trigger input: a line of gpio-sim, followed by the process's one loop."""

from __future__ import annotations

import selectors
from collections.abc import Callable

from .edges import Edge, TracedEdges
from .lines import find_line


class TriggerWire:
    """Follows one line at a time; without one, nothing. Release with `close`, which is idempotent.

    `deliver` is given the edges as they come, on the loop's thread.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._edges: TracedEdges | None = None
        self._line: str | None = None
        self.deliver: Callable[[list[Edge]], None] = _ignore

    def connect(self, line: str) -> None:
        """Follow `line` ("chip label:line name") from now on. Raises: LineError, and goes on with the line before."""
        if line == self._line:
            return
        found = find_line(line)
        edges = TracedEdges(found.number, found.high)
        self.close()
        self._edges, self._line = edges, line
        self._selector.register(edges, selectors.EVENT_READ, lambda: self.deliver(edges.read()))

    def close(self) -> None:
        """Cut the wire."""
        edges, self._edges, self._line = self._edges, None, None
        if edges is not None:
            self._selector.unregister(edges)
            edges.close()


def _ignore(edges: list[Edge]) -> None:
    """Nobody is connected yet."""
