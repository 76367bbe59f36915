"""Accounts add up, read at any moment, also after a writer that was killed between any two stores."""

import pytest
from schedule.killed import Killed, MortalWords

from agent.schedule.account import (
    COUNTERS,
    FIRED,
    PLAN_WORDS,
    PRIORITY,
    STATE,
    TICKS,
    TRACE_BASE,
    Account,
    Grid,
    State,
    cancel_running,
    clear,
    read_grid,
    write_grid,
)


@pytest.fixture
def words():
    return memoryview(bytearray(4 * PLAN_WORDS * 8)).cast("q")


def test_an_account_is_its_words_in_order(words):
    for offset in range(COUNTERS):
        words[2 * PLAN_WORDS + offset] = 1 if offset == STATE else 100 + offset
    account = Account.read(words, 2)
    assert account.state is State.RUNNING
    assert [count for _, count in account.counts()] == list(range(101, 100 + COUNTERS))
    assert account.ticks == 100 + TICKS
    assert account.fired == 100 + FIRED
    assert Account.read(words, 1) == Account()


def test_what_is_missing_waits_or_is_under_way():
    account = Account(
        ticks=100, fired=20, coalesced=1, skipped_busy=2, skipped_late=3, skipped_not_ready=4, skipped_down=5,
        refused_agent=6, refused_camera=7, refused_plan=8, refused_client=9, cancelled=10,
        delivered=11, failed=3, shots_cancelled=2,
    )  # fmt: skip
    assert (account.skipped, account.refused) == (14, 30)
    assert account.waiting == 100 - 20 - 1 - 14 - 30 - 10
    assert account.under_way == 20 - 11 - 3 - 2


def test_totals_add_counts_and_keep_the_larger_maximum():
    total = Account(ticks=2, late_max_ns=5, late_sum_ns=6) + Account(ticks=3, late_max_ns=4, late_sum_ns=1, fired=1)
    assert total == Account(ticks=5, late_max_ns=5, late_sum_ns=7, fired=1)


def test_a_new_account_is_empty_and_its_trace_numbers_go_on(words):
    for offset in range(PLAN_WORDS):
        words[PLAN_WORDS + offset] = 7
    clear(words, 1)
    assert Account.read(words, 1) == Account()
    assert words[PLAN_WORDS + TRACE_BASE] == 14
    assert words[PLAN_WORDS + PRIORITY] == 0
    clear(words, 1)
    assert words[PLAN_WORDS + TRACE_BASE] == 14


@pytest.mark.parametrize("stores", range(PLAN_WORDS + 4))
def test_a_clear_that_is_killed_repeats_no_trace_number(words, stores):
    words[TRACE_BASE], words[TICKS], words[STATE] = 50, 9, State.FINISHED
    try:
        clear(MortalWords(words, stores), 0)
    except Killed:
        assert words[STATE] == State.FREE or stores == 0
    clear(words, 0)
    assert words[TRACE_BASE] >= 59


@pytest.mark.parametrize("stores", range(5))
def test_a_grid_is_the_old_or_the_new_one_whenever_its_writer_is_killed(words, stores):
    old, new = Grid(10**18, 5, 1_000), Grid(10**18 + 7, 6, None)
    write_grid(words, 3, Grid(1, 2, 3))
    write_grid(words, 3, old)
    try:
        write_grid(MortalWords(words, stores), 3, new)
    except Killed:
        assert read_grid(words, 3) == old
    else:
        assert stores == 4
        assert read_grid(words, 3) == new
    write_grid(words, 3, new)
    assert read_grid(words, 3) == new


def test_cancel_running_leaves_all_else_alone(words):
    for slot, state in enumerate((State.RUNNING, State.FINISHED, State.FREE, State.RUNNING)):
        for offset in range(PLAN_WORDS):
            words[slot * PLAN_WORDS + offset] = 1
        words[slot * PLAN_WORDS + STATE] = state
    cancel_running(words, 3)
    assert [words[slot * PLAN_WORDS] for slot in range(4)] == [
        State.CANCELLED,
        State.FINISHED,
        State.FREE,
        State.RUNNING,  # beyond the places in use
    ]
    assert all(word == 1 for slot in range(4) for word in words[slot * PLAN_WORDS + 1 : (slot + 1) * PLAN_WORDS])
    cancel_running(words, 0)
