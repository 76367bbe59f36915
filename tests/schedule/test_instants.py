"""Exact instants against counting them out, the phase rule, and every plan that cannot be."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule.naive import is_open, next_instant

from agent.errors import InputError
from agent.schedule.instants import Instants, PlanError, changed, check_plan, check_priority, first_multiple_within
from agent.schedule.plan import Plan, WhenBusy, Window

PLAN = Plan(name="hourly", camera="top", start_ns=1_000, period_ns=100)

window_pieces = st.tuples(st.integers(0, 80), st.integers(1, 40), st.none() | st.integers(0, 50))
windows = st.builds(
    lambda pieces: tuple(Window(o, o + n, None if e is None else n + e) for o, n, e in pieces),
    st.lists(window_pieces, max_size=3),
)
plans = st.builds(replace, st.just(PLAN), period_ns=st.none() | st.integers(1, 60), windows=windows)


@given(st.integers(0, 500), st.integers(1, 300), st.integers(0, 299), st.integers(0, 299))
def test_first_multiple_within_is_the_first(step, modulus, one, other):
    low, high = sorted((one % modulus, other % modulus))
    counted = next((k for k in range(modulus) if low <= k * step % modulus <= high), None)
    assert first_multiple_within(step, modulus, low, high) == counted


def test_first_multiple_within_nanoseconds_of_years():
    """A window of one nanosecond every day, hit only after many days, is found without walking there."""
    day, period = 86_400_000_000_000, 999_999_999_989
    k = first_multiple_within(period, day, 5, 5)
    assert k is not None
    assert k * period % day == 5
    assert k > 10**12


@given(plans, st.integers(900, 2_500))
def test_the_first_instant_from_any_moment(plan, at_ns):
    instants = Instants.of(plan)
    assert instants.first_at_or_after(at_ns) == next_instant(plan, plan.start_ns, plan.period_ns, at_ns)


@given(plans, st.integers(0, 1_500), st.integers(1, 80))
def test_what_has_passed_and_what_comes_later(plan, later_ns, most):
    instants = Instants.of(plan)
    first_ns = instants.first_at_or_after(plan.start_ns)
    if first_ns is None:
        return
    counted, following = [first_ns], None
    while len(counted) < most:
        following = next_instant(plan, plan.start_ns, plan.period_ns, counted[-1] + 1)
        if following is None or following > first_ns + later_ns:
            break
        counted.append(following)
        following = None
    passed = instants.passed(first_ns, first_ns + later_ns, most)
    assert passed == (len(counted), counted[-1], following)
    assert instants.later(first_ns, len(counted) - 1) == counted[-1]


def test_ten_million_ticks_without_a_nanosecond_of_drift():
    """A period that no binary fraction holds, from an uptime of a year: the last instant is where arithmetic has it."""
    start_ns, period_ns, ticks = 31_536_000_000_000_007, 33_366_667, 10**7
    instants = Instants(start_ns, period_ns)
    at_ns, number = start_ns, 0
    for stride in itertools.cycle((1, 2, 3, 997, 65_536)):  # a loop that is late by one to many ticks, as loops are
        passed = instants.passed(at_ns, at_ns + min(stride, ticks - number) * period_ns - 1)
        number += passed.ticks
        at_ns = passed.next_ns
        assert at_ns == start_ns + number * period_ns
        if number == ticks:
            break
    assert instants.later(start_ns, ticks) == at_ns == start_ns + ticks * period_ns


@given(plans, st.integers(1, 90), st.integers(0, 700), st.booleans())
def test_a_changed_period_keeps_the_last_instant_on_the_grid(plan, period_ns, now_after_ns, has_begun):
    instants = Instants.of(plan)
    first_ns = instants.first_at_or_after(plan.start_ns)
    if plan.period_ns is None or first_ns is None:
        return
    now_ns = first_ns + now_after_ns if has_begun else first_ns - now_after_ns
    last_ns = instants.passed(first_ns, now_ns).last_ns if has_begun else None
    anchor_ns = plan.start_ns if last_ns is None else last_ns
    counted = next_instant(plan, anchor_ns, period_ns, now_ns if last_ns is None else max(now_ns, last_ns + 1))
    if counted is None:
        with pytest.raises(PlanError):
            changed(plan, instants, last_ns, period_ns, now_ns)
        return
    later, next_ns = changed(plan, instants, last_ns, period_ns, now_ns)
    assert next_ns == counted
    assert (next_ns - anchor_ns) % period_ns == 0
    assert next_ns >= now_ns
    assert is_open(plan, next_ns)
    assert later.first_at_or_after(next_ns) == next_ns
    if not plan.windows and has_begun:
        assert next_ns - now_ns <= period_ns  # the old period is not waited for


BAD = [
    ({"name": " "}, "name"),
    ({"camera": ""}, "camera"),
    ({"start_ns": -1}, "start_ns"),
    ({"period_ns": 0}, "period_ns"),
    ({"period_ns": -5}, "period_ns"),
    ({"burst": 0}, "burst"),
    ({"count": 0}, "count"),
    ({"period_ns": None, "count": 2}, "count"),
    ({"priority": 101}, "priority"),
    ({"when_busy": WhenBusy.CATCH_UP}, "catch_up"),
    ({"when_busy": WhenBusy.CATCH_UP, "catch_up": 1_001}, "catch_up"),
    ({"windows": (Window(0, 10), Window(50, 50))}, "windows[1]"),
    ({"windows": (Window(-1, 10),)}, "windows[0]"),
    ({"windows": (Window(0, 10, 9),)}, "windows[0]"),
    ({"windows": (Window(0, 10, 0),)}, "windows[0]"),
    ({"windows": (Window(1, 100),)}, "windows[0]"),  # between two instants
    ({"windows": (Window(0, 10), Window(1, 50, 100))}, "windows[1]"),  # for ever between two
    ({"period_ns": None, "windows": (Window(5, 10),)}, "windows[0]"),
    ({"windows": (Window(0, 201),), "start_ns": 100}, "windows"),  # its instants are at 100, 200, 300; it is 5,000
    ({"burst": 3, "period_ns": 89}, "period_ns"),
]


@pytest.mark.parametrize(("fields", "key"), BAD)
def test_a_plan_that_cannot_be_names_its_field(fields, key):
    with pytest.raises(PlanError) as caught:
        check_plan(replace(PLAN, **fields), 5_000 if key == "windows" else 0, 30)
    error = caught.value
    assert isinstance(error, InputError)
    assert error.key == key == error.details["key"]
    assert error.hint
    assert error.allowed
    assert error.as_dict()["code"] == "plan"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"period_ns": None},
        {"period_ns": None, "count": 1},
        {"period_ns": 90, "burst": 3},
        {"when_busy": WhenBusy.CATCH_UP, "catch_up": 1},
        {"windows": (Window(0, 1),), "start_ns": 5_000},
        {"windows": (Window(0, 1), Window(4_000, 4_001))},  # the first is over, the second is not
        {"windows": (Window(99, 101, 100_000),), "start_ns": 0},
        {"priority": -100},
        {"start_ns": 0},
    ],
)
def test_a_plan_that_can_be_is_taken(fields):
    check_plan(replace(PLAN, **fields), 5_000, 30)


def test_priorities_have_ends():
    check_priority("top", 100)
    with pytest.raises(PlanError, match="-101"):
        check_priority("top", -101)
