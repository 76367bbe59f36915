"""The arithmetic of lateness: what is planned, what counts, what cyclictest's histogram says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.lateness import Lateness, Load, Window
from benchmarks.sides.cyclictest import read_histogram

LOADS = st.builds(
    Load,
    plans=st.integers(1, 40),
    period_ns=st.integers(1, 300),
    measure_ns=st.integers(1, 1000),
    fifo_priority=st.none(),
    warm_up_ns=st.integers(0, 700),
)


def _instants(load, start_ns, end_ns):
    """Every instant of every plan, counted one by one."""
    for number in range(load.plans):
        due_ns = start_ns + number * load.period_ns // load.plans
        while due_ns < end_ns:
            yield due_ns
            due_ns += load.period_ns


@given(LOADS, st.integers(0, 10**6))
def test_planned_are_the_instants_within_the_window(load, start_ns):
    window = Window.of(load, start_ns)
    within = [due for due in _instants(load, start_ns, window.end_ns) if due >= window.begin_ns]
    assert window.planned(load, start_ns) == len(within)


def test_ten_thousand_plans_at_1_hz_are_ten_thousand_ticks_a_second():
    load = Load(10_000, 10**9, 2 * 10**9, None)
    assert load.ticks_per_s == 10_000
    assert Window.of(load, 77).planned(load, 77) == 20_000
    assert load.words == "10,000 plans every 1 s, phases spread evenly"


def test_only_ticks_due_within_the_window_count():
    window = Window(100, 200)
    assert window.lateness_ns([99, 100, 150, 199, 200], [300, 101, 150, 260, 201]) == [1, 0, 61]


GRID = Load(plans=4, period_ns=100, measure_ns=200, fifo_priority=None, warm_up_ns=0)


@pytest.mark.parametrize(
    ("dues_ns", "within", "wrong"),
    [(range(1007, 1207, 25), 8, 0), ([982, *range(1007, 1207, 25), 1207], 8, 0), (range(1032, 1207, 25), 7, 1),
     ([1008, *range(1032, 1207, 25)], 8, 2), ([1007, *range(1007, 1207, 25)], 9, 1)],
    ids=["all", "others outside", "one missing", "one off its grid", "one twice"],
)  # fmt: skip
def test_ticks_off_their_grid_and_missing_ones_are_counted(dues_ns, within, wrong):
    assert Window.of(GRID, 1007).check_grid(GRID, 1007, dues_ns) == (within, wrong)


def test_figures_of_a_block():
    found = Lateness(list(range(100, 0, -1)), 125, 20_000)
    assert found.p50().figure == 50
    assert found.p99().figure == 99
    assert found.p99().samples[:3] == [100, 99, 98]
    assert found.cpu().figure == 200
    assert found.dropped().figure == pytest.approx(0.2)
    assert found.dropped().count == 125


def test_cyclictest_histogram_with_samples_beyond_it():
    thread = {"histogram": {"3": 2, "1": 1, "20": 1}, "cycles": 5, "max": 1_234_567}
    found = read_histogram(json.dumps({"thread": {"0": thread}}))
    assert found.late_ns == [1, 3, 3, 20, 1_234_567]
    assert found.dropped().figure == 0
