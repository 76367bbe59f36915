"""Which frames to show so that there are no more than so many a second: by the frames' own time, pure."""

from __future__ import annotations

from agent.units import NS_PER_S

_EARLY = 4
"""A frame may be early by a fourth of a period: a camera's 30 frames a second are 33.2 ms apart, then 33.5."""


class Pace:
    """From the first frame on, the k-th that is shown is not earlier than k periods after it, less a fourth of one.

    So a camera at exactly the rate is shown whole though its frames jitter, and one at a higher rate is thinned out
    to the rate on average. After a gap the count begins anew: what was missed is not made up for.
    """

    __slots__ = ("_due_ns", "_period_ns")

    def __init__(self, rate_per_s: int) -> None:
        self._period_ns = NS_PER_S // rate_per_s
        self._due_ns: int | None = None

    def is_due(self, at_ns: int) -> bool:
        """Whether a frame of this time would be shown."""
        return self._due_ns is None or at_ns >= self._due_ns - self._period_ns // _EARLY

    def show(self, at_ns: int) -> None:
        """It is shown."""
        due_ns, period_ns = self._due_ns, self._period_ns
        if due_ns is None or at_ns >= due_ns + period_ns:
            due_ns = at_ns
        self._due_ns = due_ns + period_ns
