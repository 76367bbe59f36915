"""Which edges of an input line count: every n-th, and none too close after the last (mission row E1)."""

from __future__ import annotations

from agent.schedule.plan import OnEdge


class EdgeGate:
    """The edges of one plan. `seen` is `counted`, `divided` and `too_close` together, at any moment."""

    __slots__ = ("_last_ns", "_on_edge", "_since", "counted", "divided", "too_close")

    def __init__(self, on_edge: OnEdge) -> None:
        self._on_edge = on_edge
        self._since = on_edge.divider - 1  # the first one counts
        self._last_ns: int | None = None
        self.counted = self.divided = self.too_close = 0

    @property
    def seen(self) -> int:
        """All edges so far."""
        return self.counted + self.divided + self.too_close

    def admit(self, at_ns: int) -> bool:
        """Whether the edge at `at_ns` makes a tick. One that is too close does not count for the divider either."""
        if self._last_ns is not None and at_ns - self._last_ns < self._on_edge.distance_ns:
            self.too_close += 1
            return False
        self._last_ns = at_ns
        self._since += 1
        if self._since < self._on_edge.divider:
            self.divided += 1
            return False
        self._since = 0
        self.counted += 1
        return True
