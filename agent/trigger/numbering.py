"""How many events are missing, told by their numbers: the kernel's fifo overflows in silence."""

from __future__ import annotations

from collections.abc import Sequence

from agent.trigger.lines import Edge

_WRAP = 2**32
"""`seqno` and `line_seqno` are 32 bits wide (include/uapi/linux/gpio.h, struct gpio_v2_line_event)."""


class Numbering:
    """The last numbers seen on a request of one line. Both count from 1 and stand for the same events."""

    __slots__ = ("_last", "_last_of_line")

    def __init__(self) -> None:
        self._last = 0
        self._last_of_line = 0

    def lost(self, edges: Sequence[Edge]) -> int:
        """Events missing before and between these. Where the two numbers disagree, the larger gap counts."""
        return sum(self._missing_before(edge) for edge in edges)

    def _missing_before(self, edge: Edge) -> int:
        missing = max((edge.seqno - self._last - 1) % _WRAP, (edge.line_seqno - self._last_of_line - 1) % _WRAP)
        self._last, self._last_of_line = edge.seqno, edge.line_seqno
        return missing
