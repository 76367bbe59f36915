"""Timing budgets: which are refused, and what is said of residuals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trigger.told import Account

from agent.errors import InputError
from agent.trigger.budget import Budget, BudgetError, check_budget
from agent.trigger.budget_watch import CALM_FRAMES
from agent.trigger.ledger import Ledger
from agent.trigger.verdicts import BackInBudget, OutOfBudget

US = 1_000
MS = 1_000_000
GOOD = Budget(delay_ns=12_800, jitter_ns=300, window_ns=MS, wait_ns=60 * MS, soonest_ns=20 * MS)
CAMERA = {"exposure_ns": 8 * MS, "readout_ns": 33 * MS, "shortest_ns": 50 * MS, "frame_interval_ns": 33 * MS}


def problems(**changes):
    with pytest.raises(BudgetError) as refused:
        check_budget(GOOD, **{**CAMERA, **changes})
    assert isinstance(refused.value, InputError)
    assert refused.value.hint
    return refused.value.details["problems"]


def test_a_budget_that_can_be_kept():
    check_budget(GOOD, **CAMERA)
    check_budget(GOOD, exposure_ns=8 * MS, readout_ns=33 * MS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exposure_ns": 50 * MS, "readout_ns": 0}, "the exposure of 50ms is not over"),
        ({"uncertainty_ns": 24 * MS}, "the window of ±25ms (stamps' uncertainty included) overlaps"),
        ({"readout_ns": 60 * MS}, "a wait of 60ms calls good frames missed"),
        ({"frame_interval_ns": 51 * MS}, "delivers a frame every 51ms at best"),
        ({"readout_ns": 1 * MS}, "frames sooner than 20ms would be refused"),
        ({"open_pulses": 1}, "2 pulses may be open, and no more than 1"),
        ({"shortest_ns": 0}, "a distance of 0ns"),
    ],
)
def test_what_cannot_be_kept_is_refused(changes, words):
    found = problems(**changes)
    assert [words in problem for problem in found].count(True) == 1


@pytest.mark.parametrize(
    "edge",
    [{"exposure_ns": 50 * MS - 1, "readout_ns": 0, "uncertainty_ns": 24 * MS - 1}, {"frame_interval_ns": 50 * MS}],
)
def test_the_last_that_can_be_kept(edge):
    check_budget(GOOD, **{**CAMERA, **edge})


def test_every_problem_at_once():
    assert len(problems(exposure_ns=60 * MS, uncertainty_ns=25 * MS, frame_interval_ns=60 * MS)) == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"delay_ns": -1},
        {"jitter_ns": -1},
        {"jitter_ns": MS + 1},
        {"window_ns": -1},
        {"soonest_ns": -1},
        {"soonest_ns": 60 * MS + 1},
        {"wait_ns": 0},
    ],
)
def test_numbers_that_make_no_budget(fields):
    whole = {name: getattr(GOOD, name) for name in Budget.__dataclass_fields__}
    with pytest.raises(BudgetError):
        Budget(**{**whole, **fields})


@pytest.mark.parametrize("sizes", [{"relock_after": 1}, {"open_pulses": 0}])
def test_a_ledger_needs_two_frames_for_a_proof_and_room_for_a_pulse(sizes):
    with pytest.raises(InputError):
        Ledger(GOOD, **sizes)


@given(shortest=st.integers(1, 100), wait=st.integers(1, 100), soonest=st.integers(0, 100), u=st.integers(0, 10))
def test_arrivals_decide_when_no_instant_is_in_time_for_two_pulses(shortest, wait, soonest, u):
    if soonest > wait:
        return
    budget = Budget(delay_ns=0, jitter_ns=0, window_ns=0, wait_ns=wait, soonest_ns=soonest)
    # the last instant for the first pulse, told too late, against the first for the next one, told too early
    assert budget.decides(shortest, u) == (u + wait < shortest - u + soonest)


@given(true=st.integers(-20, 20), error=st.integers(-9, 9), more=st.integers(0, 9), jitter=st.integers(0, 20))
def test_a_residual_is_judged_only_as_far_as_its_stamps_permit(true, error, more, jitter):
    budget = Budget(delay_ns=0, jitter_ns=jitter, window_ns=20, wait_ns=1)
    verdict = budget.within(true + error, abs(error) + more)
    assert verdict is None or verdict == (abs(true) <= jitter)
    assert budget.within(true, 0) == (abs(true) <= jitter)


def test_out_of_budget_is_counted_each_time_and_told_once_a_change():
    account = Account(Ledger(GOOD))

    def shoot(residual_ns, uncertainty_ns=100):
        number = account.ledger.counts.pulses
        fired_ns = number * 100 * MS
        account.hear(account.ledger.pulse(number, fired_ns, 50))
        start_ns = fired_ns + GOOD.delay_ns + residual_ns
        return account.hear(account.ledger.frame(number, start_ns, uncertainty_ns, fired_ns + 41 * MS)).notices

    assert shoot(0) == ()
    assert shoot(-451) == (OutOfBudget(1, -451, 150),)
    assert account.ledger.budget_alarm
    assert [shoot(451 * (-1) ** number) for number in range(10)] == [()] * 10
    assert shoot(450) == (), "450 ± 150 may be 300, which the budget allows"
    assert account.ledger.counts.out_of_budget == 11
    assert account.ledger.counts.unjudged == 1
    assert [shoot(0) for _ in range(CALM_FRAMES - 2)] == [()] * (CALM_FRAMES - 2)
    assert shoot(0) == (BackInBudget(27, CALM_FRAMES),)
    assert not account.ledger.budget_alarm
    assert len(shoot(1_000)) == 1
    residuals = account.ledger.counts.residuals
    assert (residuals.min_ns, residuals.max_ns, residuals.last_ns) == (-451, 1_000, 1_000)
    assert residuals.sum_ns == -451 + 450 + 1_000
    assert not any(isinstance(notice, BackInBudget) for notice in account.notices[2:])
