from fractions import Fraction
from math import ceil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.schedule.histogram import HIGHEST_NS, LOWEST_NS, Histogram

US, MINUTE = 1_000, 60_000_000_000


def histogram(values=()):
    made = Histogram(memoryview(bytearray(Histogram.WORDS * 8)).cast("q"))
    for value in values:
        made.add(value)
    return made


durations = st.one_of(
    st.integers(0, 2 * HIGHEST_NS),
    st.integers(0, 40).map(lambda bit: 1 << bit),
    st.integers(1, 40).map(lambda bit: (1 << bit) - 1),
    st.integers(0, 100_000),
)


def test_the_range_holds_a_microsecond_and_a_minute():
    assert LOWEST_NS <= US
    assert HIGHEST_NS > MINUTE


@given(st.lists(durations, min_size=1), st.one_of(st.integers(0, 100), st.fractions(0, 100)))
@example([LOWEST_NS - 1], 50)
@example([LOWEST_NS], 50)
@example([HIGHEST_NS - 1], 50)
@example([HIGHEST_NS, 3 * HIGHEST_NS], 50)
def test_a_percentile_is_at_most_a_sixteenth_above_the_value_it_stands_for(values, percent):
    counted = histogram(values)
    true = sorted(values)[max(1, ceil(Fraction(percent) * len(values) / 100)) - 1]
    told = counted.percentile(percent)
    assert told <= max(values)
    if true < LOWEST_NS:
        assert told == min(LOWEST_NS - 1, max(values))
    elif true >= HIGHEST_NS:
        assert told == max(values)
    else:
        assert true <= told < true * Fraction(17, 16)


@given(st.lists(st.one_of(durations, st.integers(-(10**12), 0))))
def test_every_value_is_counted_once_and_where_it_belongs(values):
    counted = histogram(values)
    inside = [value for value in values if LOWEST_NS <= value < HIGHEST_NS]
    assert counted.count == len(values)
    assert counted.sum_ns == sum(values)
    assert counted.max_ns == max([0, *values])
    assert counted.under == sum(value < LOWEST_NS for value in values)
    assert counted.over == sum(value >= HIGHEST_NS for value in values)
    buckets = counted.buckets()
    assert sum(count for *_, count in buckets) == len(inside)
    for from_ns, to_ns, count in buckets:
        assert count == sum(from_ns <= value < to_ns for value in inside)
        assert to_ns - from_ns == max(1, (1 << (from_ns.bit_length() - 1)) // 16)


def test_buckets_follow_each_other_without_gap_or_overlap():
    every = [(16 + sub) << (bits - 5) for bits in range(10, 37) for sub in range(16)]
    buckets = histogram([*every, *(value - 1 for value in every[1:]), HIGHEST_NS - 1]).buckets()
    assert [from_ns for from_ns, _, _ in buckets] == every
    assert [to_ns for _, to_ns, _ in buckets] == [*every[1:], HIGHEST_NS]
    assert {count for *_, count in buckets} == {2}


def test_an_empty_one_has_no_percentiles():
    assert histogram().percentile(50) is None
    assert histogram().buckets() == []


@pytest.mark.parametrize("percent", [-1, 100.5])
def test_what_is_no_percentage_is_refused(percent):
    with pytest.raises(ValueError, match="percentage"):
        histogram([1]).percentile(percent)


def test_a_sum_that_would_overflow_counts_nothing():
    counted = histogram([2**62])
    before = counted.words.tobytes()
    with pytest.raises(ValueError, match="format"):
        counted.add(2**62)
    assert counted.words.tobytes() == before


def test_another_on_the_same_words_reads_and_goes_on():
    first = histogram([5 * US])
    second = Histogram(first.words)
    second.add(7 * US)
    assert first.count == 2
    assert Histogram(first.words.toreadonly()).percentile(100) == 7 * US
