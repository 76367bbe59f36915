"""When a frame was taken: the driver's stamp where it can be trusted, and noticed where it cannot (mission row D1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from agent.clock import Clock, monotonic_ns
from agent.units import NS_PER_MS, NS_PER_S, format_duration
from agent.v4l2.uapi import BufferFlag

_UNCERTAINTY_NS = {
    # the host clock read when the first payload of a frame is processed, +-2 ms at best (uvc_video.c)
    "uvcvideo": 2 * NS_PER_MS,
    # stamped in a kernel thread that wakes by jiffies (HZ 250)
    "vivid": 4 * NS_PER_MS,
}
_INTERRUPT_UNCERTAINTY_NS = NS_PER_MS
"""Stamped in an interrupt handler: its latency on a kernel without PREEMPT_RT, generously."""

_DECLARED = {
    BufferFlag.TIMESTAMP_MONOTONIC.value: "monotonic",
    BufferFlag.TIMESTAMP_COPY.value: "copy",
}
_TYPE_MASK = BufferFlag.TIMESTAMP_MASK.value
_SOURCE_MASK = BufferFlag.TSTAMP_SRC_MASK.value
_SOURCE_SOE = BufferFlag.TSTAMP_SRC_SOE.value


class Stamp(NamedTuple):
    """See the fields of the same name in `agent.v4l2.frame.Frame`."""

    timestamp_ns: int
    clock: str
    source: str
    uncertainty_ns: int


@dataclass
class StampJudge:
    """Decides for each buffer whether the driver's stamp is believed; if not, the time of dequeueing stands in.

    A believed stamp is declared MONOTONIC, not zero, not before the stream began, not after it was dequeued, and not
    before the one believed last. `distrusted` counts the others, `first_reason` says what was wrong first.
    """

    driver: str
    interval_ns: int
    started_ns: int = 0
    distrusted: int = 0
    first_reason: str | None = None
    _last_ns: int = 0

    def start(self, started_ns: int) -> None:
        """A stream begins at `started_ns` (CLOCK_MONOTONIC, before STREAMON)."""
        self.started_ns = self._last_ns = started_ns

    def judge(self, flags: int, timestamp_ns: int, dequeued_ns: int) -> Stamp:
        """The stamp of one buffer. `flags` are the buffer's own: drivers may change them from one to the next."""
        clock = _DECLARED.get(flags & _TYPE_MASK, "unknown")
        if clock == "monotonic" and self._last_ns <= timestamp_ns <= dequeued_ns:
            self._last_ns = timestamp_ns
            source = "soe" if flags & _SOURCE_MASK == _SOURCE_SOE else "eof"
            return Stamp(timestamp_ns, clock, source, _UNCERTAINTY_NS.get(self.driver, _INTERRUPT_UNCERTAINTY_NS))
        self.distrusted += 1
        if self.first_reason is None:
            self.first_reason = self._why_not(clock, timestamp_ns, dequeued_ns)
        # between the last frame and now, wherever the frame waited: one interval at least
        return Stamp(dequeued_ns, clock, "dequeue", max(self.interval_ns, _INTERRUPT_UNCERTAINTY_NS))

    def _why_not(self, clock: str, timestamp_ns: int, dequeued_ns: int) -> str:
        if timestamp_ns == 0:
            return "the driver does not stamp its buffers"
        other = _looks_like(timestamp_ns)
        if other is not None:
            return f"the stamps look like CLOCK_{other.name}"
        if clock != "monotonic":
            return f"the driver declares the clock {clock}"
        if timestamp_ns > dequeued_ns:
            return f"stamped {format_duration(timestamp_ns - dequeued_ns)} in the future"
        if timestamp_ns < self.started_ns:
            return f"stamped {format_duration(self.started_ns - timestamp_ns)} before the stream began"
        return f"stamped {format_duration(self._last_ns - timestamp_ns)} before the frame before it"


def _looks_like(timestamp_ns: int) -> Clock | None:
    """The clock other than MONOTONIC that shows about this time now, if there is one."""
    for clock in Clock:
        now_ns = clock.read_ns()
        if abs(now_ns - monotonic_ns()) > NS_PER_S and abs(now_ns - timestamp_ns) < NS_PER_S:
            return clock
    return None
