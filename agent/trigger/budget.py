"""The timing budget of a triggered camera: from the data sheet, checked before it is used (mission row E5)."""

from __future__ import annotations

from dataclasses import dataclass

from agent.errors import InputError
from agent.units import format_duration

OPEN_PULSES = 64
"""So many pulses of one camera may wait for their frames, unless the ledger is told otherwise."""


class BudgetError(InputError):
    """A timing budget that cannot be kept, or cannot tell pulses apart. Details: problems, all of them in words."""

    code = "timing_budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When the frame of a pulse is expected. All in nanoseconds after the pulse.

    `delay_ns` ± `jitter_ns`: start of exposure by the data sheet, such as 12.8 us ± 0.3 us.
    `window_ns`: a frame begun within `delay ± window` (and the stamps' uncertainty) may belong to the pulse.
    `wait_ns`: a pulse whose frame has not arrived by then, counted from the pulse as told, is missed. `soonest_ns`: no
    frame of it can have arrived before, such as delay, shortest exposure and readout together; 0 if nothing is known.
    Raises BudgetError: negative, a wait of 0, a window smaller than the jitter, `soonest` beyond `wait`.
    """

    delay_ns: int
    jitter_ns: int
    window_ns: int
    wait_ns: int
    soonest_ns: int = 0

    def __post_init__(self) -> None:
        problems = [
            f"{name} is negative: {format_duration(value)}"
            for name in ("delay", "jitter", "window", "soonest")
            if (value := getattr(self, f"{name}_ns")) < 0
        ]
        if self.wait_ns <= 0:
            problems.append(f"a wait of {format_duration(self.wait_ns)} leaves a frame no time to come")
        if self.window_ns < self.jitter_ns:
            problems.append(
                f"the window of ±{format_duration(self.window_ns)} is smaller than the jitter the data sheet allows, "
                f"±{format_duration(self.jitter_ns)}"
            )
        if self.soonest_ns > self.wait_ns:
            problems.append(
                f"the soonest arrival, {format_duration(self.soonest_ns)}, is after the wait, "
                f"{format_duration(self.wait_ns)}"
            )
        _refuse(
            problems, "write delay and jitter from the data sheet, a window around them, and a wait for the arrival"
        )

    def decides(self, shortest_ns: int, uncertainty_ns: int = 0) -> bool:
        """Whether the time a frame arrives at leaves one pulse only, if pulses are `shortest_ns` apart or more.

        Then a shift of the stamps by whole periods is not taken for a match, and is re-locked when it is forward.
        `uncertainty_ns`: of a pulse.
        """
        return self.wait_ns - self.soonest_ns + 2 * uncertainty_ns < shortest_ns

    def within(self, residual_ns: int, uncertainty_ns: int) -> bool | None:
        """Whether a frame began within delay ± jitter; None when its stamp is too uncertain to say."""
        if residual_ns < 0:
            residual_ns = -residual_ns
        if residual_ns - uncertainty_ns > self.jitter_ns:
            return False
        return True if residual_ns + uncertainty_ns <= self.jitter_ns else None


def check_budget(
    budget: Budget,
    *,
    exposure_ns: int,
    readout_ns: int,
    shortest_ns: int | None = None,
    frame_interval_ns: int | None = None,
    uncertainty_ns: int = 0,
    open_pulses: int = OPEN_PULSES,
) -> None:
    """Whether this camera can keep the budget with pulses that are `shortest_ns` apart or more (None: not known).

    `exposure_ns`: the longest; `readout_ns`: until the frame is dequeued, generously. `frame_interval_ns`: the shortest
    the format delivers. `uncertainty_ns`: of pulse and frame stamp together. Raises BudgetError with every problem.
    """
    problems = _alone(budget, exposure_ns, readout_ns)
    if shortest_ns is not None:
        problems += _with_period(budget, shortest_ns, exposure_ns, uncertainty_ns, open_pulses)
        if frame_interval_ns is not None and shortest_ns < frame_interval_ns:
            problems.append(
                f"pulses come every {format_duration(shortest_ns)}, but the format delivers a frame every "
                f"{format_duration(frame_interval_ns)} at best"
            )
    _refuse(problems, "fire less often, expose shorter, or correct window and wait")


def _alone(budget: Budget, exposure_ns: int, readout_ns: int) -> list[str]:
    needed_ns = budget.delay_ns + exposure_ns + readout_ns
    needs = f"delay, exposure and readout take {format_duration(needed_ns)}"
    problems = []
    if budget.wait_ns < needed_ns:
        problems.append(f"a wait of {format_duration(budget.wait_ns)} calls good frames missed: {needs}")
    if budget.soonest_ns > needed_ns:
        problems.append(f"frames sooner than {format_duration(budget.soonest_ns)} would be refused: {needs}")
    return problems


def _with_period(
    budget: Budget, shortest_ns: int, exposure_ns: int, uncertainty_ns: int, open_pulses: int
) -> list[str]:
    if shortest_ns <= 0:
        return [f"a distance of {format_duration(shortest_ns)} between pulses"]
    problems = []
    apart = format_duration(shortest_ns)
    if exposure_ns >= shortest_ns:
        problems.append(
            f"the exposure of {format_duration(exposure_ns)} is not over when the next pulse comes, {apart}"
        )
    reach_ns = budget.window_ns + uncertainty_ns
    if 2 * reach_ns >= shortest_ns:
        problems.append(
            f"the window of ±{format_duration(reach_ns)} (stamps' uncertainty included) overlaps that of the next "
            f"pulse, {apart} later"
        )
    waiting = budget.wait_ns // shortest_ns + 1
    if waiting > open_pulses:
        problems.append(f"within the wait {waiting} pulses may be open, and no more than {open_pulses} are kept")
    return problems


def _refuse(problems: list[str], hint: str) -> None:
    if problems:
        raise BudgetError("; ".join(problems), hint=hint, problems=problems)
