"""Each row of the ledger's table, and its limits, one by one."""

import pytest
from trigger.told import Account

from agent.trigger.budget import Budget
from agent.trigger.ledger import Ledger
from agent.trigger.verdicts import Cause, End, Explained, Relocked

BUDGET = Budget(delay_ns=50, jitter_ns=3, window_ns=20, wait_ns=900, soonest_ns=100)


@pytest.fixture
def account():
    return Account(Ledger(BUDGET))


def pulse(account, number, fired, u=0):
    return account.hear(account.ledger.pulse(number, fired, u)).entries


def frame(account, number, start, arrived, u=0, lost=0):
    entries = account.hear(account.ledger.frame(number, start, u, arrived, lost), frame=number).entries
    return entries[0] if len(entries) == 1 else entries


def test_the_edges_of_the_window_belong_to_it(account):
    for number, (off, end) in enumerate(
        [(20, End.MATCHED), (-20, End.MATCHED), (21, End.SPURIOUS), (-21, End.SPURIOUS)]
    ):
        pulse(account, number, number * 1_000)
        assert frame(account, number, number * 1_000 + 50 + off, number * 1_000 + 200).end is end


def test_uncertainty_widens_the_window(account):
    pulse(account, 0, 0, u=4)
    assert frame(account, 0, 50 + 20 + 4 + 7, 200, u=6).end is End.SPURIOUS
    assert frame(account, 1, 50 + 20 + 4 + 6, 200, u=6).end is End.MATCHED


def test_a_frame_at_the_end_of_the_wait_is_in_time_and_then_late(account):
    for number, (latency, end) in enumerate([(900, End.MATCHED), (901, End.LATE)]):
        pulse(account, number, number * 1_000)
        entry = frame(account, number, number * 1_000 + 50, number * 1_000 + latency)
        assert (entry.end, entry.pulse) == (end, number)
    assert entry.cause is Cause.OVERDUE


def test_a_frame_of_a_pulse_that_was_given_up_is_late_and_the_pulse_stays_missed(account):
    pulse(account, 0, 0)
    account.hear(account.ledger.expire(900))
    entry = frame(account, 0, 50, 950)
    assert (entry.end, entry.cause, entry.pulse, entry.about) == (End.LATE, Cause.GIVEN_UP, None, 0)
    assert account.told(Explained) == [Explained(0, Cause.CAME_LATE)]
    assert frame(account, 1, 50, 960).cause is Cause.DOUBLE


def test_a_double_exposure_is_ambiguous_and_the_first_frame_counts(account):
    pulse(account, 0, 0)
    assert frame(account, 0, 50, 200).pulse == 0
    entry = frame(account, 1, 52, 210)
    assert (entry.end, entry.cause, entry.about, entry.residual_ns) == (End.AMBIGUOUS, Cause.DOUBLE, 0, 2)


def test_a_frame_between_two_pulses_is_ambiguous_and_so_are_they(account):
    pulse(account, 0, 0)
    pulse(account, 1, 30)
    ended, first, second = frame(account, 0, 50 + 14, 200)
    assert (ended.end, ended.cause, ended.pulse) == (End.AMBIGUOUS, Cause.RIVALS, None)
    assert [(one.end, one.pulse) for one in (first, second)] == [(End.AMBIGUOUS, 0), (End.AMBIGUOUS, 1)]


@pytest.mark.parametrize(("off", "partner"), [(13, 0), (14, None), (16, None), (17, 1)])
def test_it_is_the_nearest_when_jitter_cannot_explain_the_difference(account, off, partner):
    pulse(account, 0, 0)
    pulse(account, 1, 30)
    frame(account, 0, 50 + off, 200)
    assert account.partner(0) == partner


def test_a_storm_of_edges_is_bounded_and_counted():
    account = Account(Ledger(BUDGET, open_pulses=8))
    for number in range(1_000):
        pulse(account, number, number)
        assert account.ledger.counts.open <= 8
    # those overdue make room: 8 within each wait of 900
    assert account.ledger.counts.missed[Cause.OVERFLOW] == 1_000 - 16
    assert account.ledger.counts.missed[Cause.NO_FRAME] == 8


def test_a_frame_that_may_belong_to_a_forgotten_pulse_is_not_matched():
    account = Account(Ledger(BUDGET, open_pulses=1))
    for number in range(4):
        pulse(account, number, 100 * number)
    assert account.ledger.counts.missed[Cause.OVERFLOW] == 3
    # pulse 0 is still open; 1 is forgotten
    ended, *_ = frame(account, 0, 50 + 40, 350, u=60)
    assert (ended.end, ended.cause) == (End.AMBIGUOUS, Cause.RIVALS)


def test_no_offset_is_adopted_while_the_pulses_of_the_frames_may_be_forgotten():
    account = Account(Ledger(BUDGET, open_pulses=2))
    for number in range(40):
        pulse(account, number, 100 * number)
        if number >= 10:
            frame(account, number, 100 * number + 50 - 450, 100 * number + 99)
    assert account.ledger.counts.frame_ends[End.SPURIOUS] == 30
    assert not account.told(Relocked)


def test_ghosts_around_one_pulse_prove_no_offset(account):
    pulse(account, 0, 0)
    for number in range(5):
        assert frame(account, number, 50 + 300 + number, 400).end is End.SPURIOUS
    assert not account.told(Relocked)


def test_a_frame_in_its_window_breaks_the_row(account):
    for number in range(8):
        fired = number * 2_000
        pulse(account, number, fired)
        moved = 0 if number % 3 == 2 else 300
        frame(account, number, fired + 50 + moved, fired + 200)
    assert account.ledger.counts.frame_ends == {End.MATCHED: 2, End.LATE: 0, End.SPURIOUS: 6, End.AMBIGUOUS: 0}
    assert not account.told(Relocked)


def test_the_offset_adopted_is_the_middle_of_those_that_proved_it(account):
    for number in range(3):
        pulse(account, number, number * 1_000)
        frame(account, number, number * 1_000 + 350 + (20, 0, 6)[number], number * 1_000 + 480)
    assert account.told(Relocked) == [Relocked(310, 0, 3)]


def test_frames_that_disagree_by_more_than_the_window_prove_no_offset(account):
    for number in range(3):
        pulse(account, number, number * 1_000)
        frame(account, number, number * 1_000 + 350 + (21, 0, 6)[number], number * 1_000 + 480)
    assert not account.told(Relocked)


def test_an_offset_is_given_up_with_the_stream_and_that_is_told(account):
    for number in range(3):
        pulse(account, number, number * 1_000)
        frame(account, number, number * 1_000 + 350, number * 1_000 + 400)
    assert account.told(Relocked) == [Relocked(300, 0, 3)]
    account.hear(account.ledger.stop(4_000))
    assert account.told(Relocked)[1:] == [Relocked(0, 300, 0)]
    pulse(account, 3, 9_000)
    assert frame(account, 3, 9_050, 9_200).pulse == 3


def test_pulses_whose_frames_proved_the_offset_are_told_as_shifted_also_when_given_up(account):
    for number in range(3):
        pulse(account, number, number * 1_000)
        frame(account, number, number * 1_000 + 350, number * 1_000 + 400)
        account.hear(account.ledger.expire(number * 1_000 + 950))
    assert account.causes() == {0: Cause.SHIFTED, 1: Cause.SHIFTED}
    assert account.ledger.counts.missed[Cause.SHIFTED] == 2


def test_a_gap_shorter_than_the_row_of_pulses_leaves_the_cause_open(account):
    for number in range(3):
        pulse(account, number, number * 1_000)
        account.hear(account.ledger.expire(number * 1_000 + 900))
    pulse(account, 3, 3_000)
    frame(account, 3, 3_050, 3_200, lost=2)
    assert set(account.causes().values()) == {Cause.UNCLEAR}


def test_a_frame_without_a_pulse_leaves_the_cause_open(account):
    pulse(account, 0, 0)
    frame(account, 0, 500, 600)
    pulse(account, 1, 1_000)
    frame(account, 1, 1_050, 1_200)
    account.hear(account.ledger.expire(1_300))
    assert account.causes() == {0: Cause.UNCLEAR}


def test_pulses_told_out_of_order_are_paired_all_the_same(account):
    for number in (1, 0, 2):
        pulse(account, number, number * 100)
    assert account.ledger.next_ns == 900
    for number in range(3):
        assert frame(account, number, number * 100 + 50, number * 100 + 200).pulse == number
