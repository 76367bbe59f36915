"""Compares what is measured with the timing budget, and tells once when that changes (mission row E5)."""

from __future__ import annotations

from agent.trigger.budget import Budget
from agent.trigger.counts import Counts
from agent.trigger.verdicts import BackInBudget, Notice, OutOfBudget

CALM_FRAMES = 16
"""So many matched frames in a row that are not certainly outside end an alarm: one that flickers is one alarm."""


class BudgetWatch:
    """Judges each matched frame as far as the uncertainty of its stamps permits. Counts in the ledger's `Counts`."""

    __slots__ = ("_budget", "_calm", "_counts", "alarmed")

    def __init__(self, budget: Budget, counts: Counts) -> None:
        self._budget = budget
        self._counts = counts
        self._calm = 0
        self.alarmed = False

    def judge(self, frame: int, residual_ns: int, uncertainty_ns: int) -> Notice | None:
        """One matched frame; what changed with it."""
        within = self._budget.within(residual_ns, uncertainty_ns)
        if within is False:
            self._counts.out_of_budget += 1
            self._calm = 0
            if not self.alarmed:
                self.alarmed = True
                return OutOfBudget(frame, residual_ns, uncertainty_ns)
            return None
        if within is None:
            self._counts.unjudged += 1
        self._calm += 1
        if self.alarmed and self._calm >= CALM_FRAMES:
            self.alarmed = False
            return BackInBudget(frame, self._calm)
        return None
