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
        last, last_of_line, missing = self._last, self._last_of_line, 0
        for _, _, seqno, line_seqno in edges:
            gap, gap_of_line = seqno - last - 1, line_seqno - last_of_line - 1
            if gap or gap_of_line:
                missing += max(gap % _WRAP, gap_of_line % _WRAP)
            last, last_of_line = seqno, line_seqno
        self._last, self._last_of_line = last, last_of_line
        return missing
