"""A histogram of durations in shared words: one writer, anybody reads while it counts (mission row H1).

Log-linear: 16 equal buckets in each power of two, from 512 ns to 2**36 ns (69 s), as HdrHistogram does; so a
percentile is never more than one sixteenth above the value it stands for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

_LOW_BITS = 9
_HIGH_BITS = 36
LOWEST_NS = 1 << _LOW_BITS
"""Less than this is counted in `under`."""
HIGHEST_NS = 1 << _HIGH_BITS
"""This and more is counted in `over`."""
_SUB_BITS = 4
_SUB_MASK = (1 << _SUB_BITS) - 1
_SUM, _MAX, _COUNT, _UNDER, _OVER = range(5)
_BUCKETS_AT = 5
_BUCKETS = (_HIGH_BITS - _LOW_BITS) << _SUB_BITS
# a value of b bits is in bucket ((b - low - 1) << 4) + (its four bits after the first); the first bit adds 1 << 4
_SHIFT = _SUB_BITS + 1
_BASE = _BUCKETS_AT - ((_LOW_BITS + 2) << _SUB_BITS)


class Histogram:
    """Counts durations. `words`: `Histogram.WORDS` of them, zeros at first; a second `Histogram` on them goes on.

    A reader on live words may see the last value in some of the figures and not yet in others; on a copy made by
    `agent.schedule.snapshot` they agree.
    """

    WORDS = _BUCKETS_AT + _BUCKETS

    __slots__ = ("words",)

    def __init__(self, words: memoryview) -> None:
        self.words = words

    def add(self, ns: int) -> None:
        """Count one value, a negative one in `under`. Writer only."""
        words = self.words
        words[_SUM] += ns  # the first, as it is the one that can overflow: then nothing was counted
        if ns > words[_MAX]:
            words[_MAX] = ns
        words[_COUNT] += 1
        if ns < LOWEST_NS:
            words[_UNDER] += 1
        elif ns >= HIGHEST_NS:
            words[_OVER] += 1
        else:
            bits = ns.bit_length()
            words[_BASE + (bits << _SUB_BITS) + (ns >> (bits - _SHIFT))] += 1

    @property
    def count(self) -> int:
        """How many values."""
        return self.words[_COUNT]

    @property
    def sum_ns(self) -> int:
        """Their exact sum."""
        return self.words[_SUM]

    @property
    def max_ns(self) -> int:
        """The largest, exactly; 0 when all were negative or there are none."""
        return self.words[_MAX]

    @property
    def under(self) -> int:
        """How many were below LOWEST_NS."""
        return self.words[_UNDER]

    @property
    def over(self) -> int:
        """How many were HIGHEST_NS or more."""
        return self.words[_OVER]

    def percentile(self, percent: float | Fraction) -> int | None:
        """The value which `percent` of all values (0 to 100) do not exceed, rounded up to its bucket's upper end.

        None when there are no values. Never more than `max_ns`; in `under` it is LOWEST_NS - 1, in `over` `max_ns`.
        Raises ValueError.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"{percent} is not a percentage")
        counts = list(self._counts())
        rank = max(1, -(-Fraction(percent) * sum(count for _, count in counts) // 100))
        reached = itertools.accumulate(count for _, count in counts)
        for (end_ns, _), so_far in zip(counts, reached, strict=True):
            if so_far >= rank:
                return self.max_ns if end_ns is None else min(end_ns - 1, self.max_ns)
        return None

    def buckets(self) -> list[tuple[int, int, int]]:
        """The buckets that hold something: from_ns, to_ns (not included), how many. Without `under` and `over`."""
        ends = [end for end, _ in self._counts() if end is not None]
        counts = self.words[_BUCKETS_AT : self.WORDS]
        return [(ends[i], ends[i + 1], count) for i, count in enumerate(counts) if count]

    def _counts(self) -> Iterator[tuple[int | None, int]]:
        words = self.words
        yield LOWEST_NS, words[_UNDER]
        for i, count in enumerate(words[_BUCKETS_AT : self.WORDS]):
            octave, sub = i >> _SUB_BITS, i & _SUB_MASK
            yield (sub + 1 + (1 << _SUB_BITS)) << (octave + _LOW_BITS - _SUB_BITS), count
        yield None, words[_OVER]
