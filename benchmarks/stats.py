"""The statistics of a comparison: medians and 95 % intervals by order statistics. Nothing is assumed of the noise."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from statistics import median
from typing import NamedTuple, TypeVar

Side = TypeVar("Side")


class Interval(NamedTuple):
    """A median and a distribution-free interval that holds the true one with at least 95 %."""

    median: float
    low: float
    high: float


def median_interval(samples: Sequence[float]) -> Interval:
    """Median and interval of independent samples; with fewer than 6 the interval is their range, which holds less.

    The number of samples below the true median is binomial, so the i-th smallest and the i-th largest enclose it with
    a probability that depends on nothing but i and how many there are. Raises ValueError without samples.
    """
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    skip = outside(len(ordered))
    return Interval(median(ordered), ordered[skip], ordered[-1 - skip])


def outside(count: int, confidence: float = 0.95) -> int:
    """How many samples may be left out at either end so that the others still enclose the median."""
    skip, beyond = 0, 1 / 2**count
    while 2 * (beyond + comb(count, skip + 1) / 2**count) <= 1 - confidence:
        skip += 1
        beyond += comb(count, skip) / 2**count
    return skip


def percentile(samples: Sequence[int], per_cent: int) -> int:
    """The nearest rank: the smallest sample that at least `per_cent` of all do not exceed. Raises ValueError."""
    if not samples:
        raise ValueError("no samples")
    rank = -(-len(samples) * per_cent // 100)
    return sorted(samples)[max(rank, 1) - 1]


def paired_ratios(ours: Sequence[float], peers: Sequence[float]) -> list[float]:
    """Ours over the peer's, block by neighbouring block: what drifts slowly falls out. Raises ValueError."""
    if len(ours) != len(peers):
        raise ValueError(f"{len(ours)} blocks of ours and {len(peers)} of the peer's do not pair")
    return [mine / theirs for mine, theirs in zip(ours, peers, strict=True)]


def turn_order(sides: Sequence[Side], rounds: int) -> list[Side]:
    """Whose turn it is: A B C C B A A B C ..., so that nobody is always the last."""
    return [side for number in range(rounds) for side in (sides if number % 2 == 0 else sides[::-1])]
