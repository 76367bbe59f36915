"""The benchmarks' statistics: intervals that hold what they say, pairs that stay pairs."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stats import Interval, median_interval, outside, paired_ratios, percentile, turn_order

SAMPLES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60)


def _coverage(count, skip):
    """How likely the interval that leaves out `skip` samples at either end holds the median."""
    return 1 - 2 * sum(comb(count, below) for below in range(skip + 1)) / 2**count


@pytest.mark.parametrize(("count", "skip"), [(1, 0), (5, 0), (8, 0), (9, 1), (10, 1), (12, 2), (20, 5), (100, 39)])
def test_ranks_are_those_of_the_tables(count, skip):
    assert outside(count) == skip


@given(st.integers(6, 300))
def test_the_interval_holds_95_percent_and_is_the_narrowest_that_does(count):
    skip = outside(count)
    assert _coverage(count, skip) >= 0.95
    assert _coverage(count, skip + 1) < 0.95


@given(SAMPLES)
def test_the_median_lies_in_its_interval(samples):
    found = median_interval(samples)
    assert min(samples) <= found.low <= found.median <= found.high <= max(samples)


@given(SAMPLES, st.randoms())
def test_order_does_not_matter(samples, random):
    shuffled = list(samples)
    random.shuffle(shuffled)
    assert median_interval(shuffled) == median_interval(samples)


def test_one_wild_block_in_ten_changes_neither_end():
    calm = [float(number) for number in range(10)]
    assert median_interval(calm) == Interval(4.5, 1, 8)
    assert median_interval([*calm[:-1], 1e9]) == Interval(4.5, 1, 8)


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="no samples"):
        median_interval([])


def test_ratios_go_by_neighbours_so_that_drift_falls_out():
    assert paired_ratios([1, 2, 4], [2, 4, 8]) == [0.5, 0.5, 0.5]


def test_blocks_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="3 blocks of ours and 2"):
        paired_ratios([1, 2, 3], [1, 2])


@given(st.integers(1, 50))
def test_each_pair_has_both_sides_and_neither_is_always_first(rounds):
    order = turn_order(["ours", "peer"], rounds)
    neighbours = list(zip(order[::2], order[1::2], strict=True))
    assert all(first != second for first, second in neighbours)
    assert [first for first, _ in neighbours[:4]] == ["ours", "peer", "ours", "peer"][:rounds]


@given(st.lists(st.integers(), min_size=1, max_size=5, unique=True), st.integers(1, 20))
def test_each_round_has_every_side_once_and_turns_round(sides, rounds):
    order = turn_order(sides, rounds)
    in_rounds = [order[first : first + len(sides)] for first in range(0, len(order), len(sides))]
    assert in_rounds == [sides if number % 2 == 0 else sides[::-1] for number in range(rounds)]


@pytest.mark.parametrize(
    ("samples", "per_cent", "found"),
    [([7], 99, 7), ([3, 1, 2], 50, 2), ([4, 1, 3, 2], 50, 2), (range(1, 101), 99, 99), (range(1, 102), 99, 100),
     (range(1, 201), 50, 100), ([5, 9], 0, 5), ([5, 9], 100, 9)],
)  # fmt: skip
def test_percentiles_are_the_nearest_rank(samples, per_cent, found):
    assert percentile(list(samples), per_cent) == found


@given(st.lists(st.integers(), min_size=1, max_size=200), st.integers(1, 100))
def test_a_percentile_is_the_smallest_sample_that_so_many_do_not_exceed(samples, per_cent):
    found = percentile(samples, per_cent)
    assert sum(sample <= found for sample in samples) * 100 >= per_cent * len(samples)
    assert sum(sample < found for sample in samples) * 100 < per_cent * len(samples)


def test_no_percentile_without_samples():
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)
