"""The sums of a trigger ledger: every pulse and every frame in exactly one of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.trigger.verdicts import Cause, End

_PULSE_ENDS = (End.MATCHED, End.MISSED, End.LATE, End.AMBIGUOUS)
_FRAME_ENDS = (End.MATCHED, End.LATE, End.SPURIOUS, End.AMBIGUOUS)
MISSED_CAUSES = (
    Cause.NO_FRAME,
    Cause.NO_EXPOSURE,
    Cause.DRIVER_LOST,
    Cause.UNCLEAR,
    Cause.CAME_LATE,
    Cause.STOPPED,
    Cause.OVERFLOW,
    Cause.SHIFTED,
)


@dataclass(slots=True)
class Residuals:
    """Of all matched pairs, in ns: start of exposure less (pulse + delay). Without any, all are None but the sum."""

    last_ns: int | None = None
    min_ns: int | None = None
    max_ns: int | None = None
    sum_ns: int = 0

    def add(self, residual_ns: int) -> None:
        """One more pair."""
        self.last_ns = residual_ns
        self.sum_ns += residual_ns
        if self.min_ns is None or residual_ns < self.min_ns:
            self.min_ns = residual_ns
        if self.max_ns is None or residual_ns > self.max_ns:
            self.max_ns = residual_ns


@dataclass(slots=True)
class Counts:
    """What became of all that was told to the ledger.

    At any moment: `pulses` = the sum of `pulse_ends` + those open; `frames` = the sum of `frame_ends`;
    `pulse_ends[MISSED]` = the sum of `missed` (a cause that is explained later moves from NO_FRAME to its own).
    `out_of_budget`: matched frames certainly outside delay ± jitter; `unjudged`: those whose stamp is too uncertain
    to say.
    """

    pulses: int = 0
    frames: int = 0
    pulse_ends: dict[End, int] = field(default_factory=lambda: dict.fromkeys(_PULSE_ENDS, 0))
    frame_ends: dict[End, int] = field(default_factory=lambda: dict.fromkeys(_FRAME_ENDS, 0))
    missed: dict[Cause, int] = field(default_factory=lambda: dict.fromkeys(MISSED_CAUSES, 0))
    residuals: Residuals = field(default_factory=Residuals)
    out_of_budget: int = 0
    unjudged: int = 0
    relocked: int = 0

    @property
    def open(self) -> int:
        """Pulses that have not ended."""
        return self.pulses - sum(self.pulse_ends.values())
