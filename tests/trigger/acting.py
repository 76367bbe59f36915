"""What the tests of trigger lines act on: a clock that goes on at each reading, an output that notes what is set."""

from __future__ import annotations

import errno

from agent.simulation.line_level import LineChip
from agent.simulation.lines import SimulatedLines
from agent.trigger.errors import typed_error
from agent.trigger.lines import LineRef, Written

LABEL = "bench-lines"
TRIGGER, STROBE = LineRef(LABEL, "trigger"), LineRef(LABEL, "strobe")


def simulated_lines(**options) -> SimulatedLines:
    return SimulatedLines([LineChip(label=LABEL, names=("trigger", "strobe"))], **options)


class RunningClock:
    """Goes on by `step_ns` with each reading: a spun pulse ends."""

    def __init__(self, step_ns: int = 100) -> None:
        self.now_ns = 1_000_000_000
        self.step_ns = step_ns

    def __call__(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns


class NotedOutput:
    """An output that notes (level, before_ns, after_ns) of each set; `fails`: the errnos of the sets to come."""

    def __init__(self, clock: RunningClock, *, safe_active: bool = False) -> None:
        self.clock = clock
        self.safe_active = safe_active
        self.active = safe_active
        self.noted: list[tuple[bool, Written]] = []
        self.fails: list[int | BaseException | None] = []
        self.releases = 0

    def set(self, active: bool) -> Written:
        fails = self.fails.pop(0) if self.fails else None
        if isinstance(fails, BaseException):
            raise fails
        if fails is not None:
            raise typed_error(fails, "GPIO_V2_LINE_SET_VALUES", device="/dev/gpiochip0", line="trigger")
        before_ns = self.clock()
        self.active = active
        written = Written(before_ns, self.clock())
        self.noted.append((active, written))
        return written

    def is_active(self) -> bool:
        return self.active

    def release(self) -> None:
        self.releases += 1
        self.active = self.safe_active


GONE = errno.ENODEV
