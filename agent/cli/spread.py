"""Many durations in three numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from agent.units import NS_PER_MS, NS_PER_S, NS_PER_US


@dataclass(frozen=True, slots=True)
class Spread:
    """The smallest, the middle one and the largest of `count` durations."""

    count: int
    min_ns: int
    median_ns: int
    max_ns: int

    @classmethod
    def of(cls, values: Sequence[int]) -> Self | None:
        """None where there are none. Of an even number the lower of the two in the middle, which is one of them."""
        if not values:
            return None
        return cls(len(values), min(values), statistics.median_low(values), max(values))

    @property
    def width_ns(self) -> int:
        """From the smallest to the largest."""
        return self.max_ns - self.min_ns

    def as_dict(self) -> dict[str, int]:
        """For `--json`."""
        return {"count": self.count, "min_ns": self.min_ns, "median_ns": self.median_ns, "max_ns": self.max_ns}

    def __str__(self) -> str:
        return f"min {short(self.min_ns)}, median {short(self.median_ns)}, max {short(self.max_ns)}"


def short(duration_ns: int) -> str:
    """A measured duration for people, four digits and more: `12.83us`, `1.004ms`, `-310ns`."""
    for unit, factor in (("s", NS_PER_S), ("ms", NS_PER_MS), ("us", NS_PER_US)):
        if abs(duration_ns) >= factor:
            return f"{duration_ns / factor:.3f}{unit}"
    return f"{duration_ns}ns"
