"""A process killed at any store: the next one goes on, every instant is in the account once, and sums match."""

from dataclasses import replace

import pytest
from schedule.killed import Killed, MortalWords

from agent.errors import StateError
from agent.schedule.account import PLAN_WORDS, Account, State, read_grid
from agent.schedule.instants import PlanError
from agent.schedule.plan import Plan, WhenBusy, Window
from agent.schedule.scheduler import Scheduler

PLAIN = Plan(name="plain", camera="top", start_ns=100, period_ns=10, when_busy=WhenBusy.CATCH_UP, catch_up=2)
WINDOWED = replace(PLAIN, name="windowed", windows=(Window(0, 25, 60),), when_busy=WhenBusy.COALESCE)
ONCE = Plan(name="once", camera="top", start_ns=130)
PLANS = (PLAIN, WINDOWED, ONCE)


def page():
    return memoryview(bytearray(4 * PLAN_WORDS * 8)).cast("q")


def live(words, plans=PLANS):
    """A short life with everything in it; it is to be killed."""
    scheduler = Scheduler(words, capacity=4, ageing_ns=1_000)
    for plan in plans:
        scheduler.add(plan, 90)
    shots = []
    for now_ns in (100, 100, 125, 141, 160, 185, 230):
        for tick in shots[:1]:
            scheduler.delivered(tick, now_ns, 1, 10)
        shots = shots[1:]
        for tick in scheduler.due(now_ns, 4):
            if tick.number % 5 == 3:
                scheduler.not_ready(tick)
            elif scheduler.fired(tick, now_ns):
                shots.append(tick)
        if now_ns == 160 and PLAIN in plans:
            scheduler.set_period("plain", 7, now_ns)


def instants_of(plan, until_ns):
    """How many instants the plan had, when its period was never changed."""
    found = 0
    for at_ns in range(plan.start_ns, until_ns + 1, plan.period_ns or 10**9):
        offset = at_ns - plan.start_ns
        found += not plan.windows or offset % 60 < 25
    return found


def test_a_life_that_is_not_cut_short():
    words = page()
    live(words)
    account = Account.read(words, 0)
    assert account.ticks == 7 + 10  # 100 to 160 by 10, then 167 to 230 by 7
    assert Account.read(words, 2).ticks == 1


def test_killed_at_every_store():
    whole = MortalWords(page(), 10**6)
    live(whole)
    stores = 10**6 - whole.stores
    assert stores > 200
    for survived in range(stores):
        words = page()
        with pytest.raises(Killed):
            live(MortalWords(words, survived))
        before = [Account.read(words, slot) for slot in range(3)]
        assert all(account.waiting >= 0 and account.under_way >= 0 for account in before)
        check_the_next_process(words, before)


def check_the_next_process(words, before):
    scheduler = Scheduler(words, capacity=4, ageing_ns=1_000)
    runs = [scheduler.adopt(plan, slot, 300) for slot, plan in enumerate(PLANS)]
    for run, was, plan in zip(runs, before, PLANS, strict=True):
        account = run.account()
        assert (account.waiting, account.under_way) == (0, 0) or was.state is State.FREE
        assert account.failed >= was.under_way
        if was.state is State.RUNNING and run.period_ns == plan.period_ns:
            assert account.ticks == instants_of(plan, 300)
        if run.state is State.RUNNING:
            assert run.next_ns > 300 or was.state is State.FREE
        for name, count in was.counts():
            assert getattr(account, name) >= count
    plain = runs[0]
    if plain.period_ns == 7:
        assert (plain.next_ns - 160) % 7 == 0
        assert plain.account().ticks == 7 + (300 - 160) // 7
    scheduler.cancel_all(300)
    assert all(run.account().waiting == 0 for run in runs)


def test_a_gap_is_counted_and_the_grid_kept():
    words = page()
    live(words, (WINDOWED,))
    scheduler = Scheduler(words, capacity=4, ageing_ns=1_000)
    before = Account.read(words, 0)
    run = scheduler.adopt(WINDOWED, 0, 405)
    account = run.account()
    assert account.skipped_down == before.waiting + instants_of(WINDOWED, 405) - before.ticks
    assert account.failed == before.failed + before.under_way
    assert run.next_ns == 410  # not a multiple of the time it was down: 100 + 31 * 10, in the window of 400 to 424
    tick = scheduler.due(410, 1)[0]
    assert (tick.due_ns, tick.number) == (410, account.ticks)


def test_the_grid_of_a_plan_with_windows_is_kept_up_to_date():
    """Else whoever adopts it would have to walk through all of its life."""
    words = page()
    scheduler = Scheduler(words, capacity=4, ageing_ns=1_000)
    run = scheduler.add(WINDOWED, 90)
    for now_ns in (100, 110, 125, 300):
        scheduler.due(now_ns, 1)
        grid = read_grid(words, run.slot)
        assert (grid.at_ns, grid.number) == (run.next_ns, run.account().ticks)


def test_a_count_that_ran_out_meanwhile_is_finished():
    words = page()
    plan = replace(PLAIN, count=5)
    first = Scheduler(words, capacity=4, ageing_ns=1_000)
    first.add(plan, 90)
    first.due(100, 1)
    second = Scheduler(words, capacity=4, ageing_ns=1_000)
    run = second.adopt(plan, 0, 1_000)
    assert run.state is State.FINISHED
    assert run.account().skipped_down == 5
    assert [ended.plan.name for ended in second.ended(10)] == ["plain"]
    assert second.next_ns is None


def test_what_had_ended_stays_ended_and_period_and_priority_are_kept():
    words = page()
    first = Scheduler(words, capacity=4, ageing_ns=1_000)
    first.add(PLAIN, 90)
    first.add(WINDOWED, 90)
    first.cancel("plain", 95)
    first.set_period("windowed", 20, 95)
    first.set_priority("windowed", 3, 95)
    second = Scheduler(words, capacity=4, ageing_ns=1_000)
    plain, windowed = (second.adopt(plan, slot, 96) for slot, plan in enumerate((PLAIN, WINDOWED)))
    assert plain.state is State.CANCELLED
    assert second.cancel("plain", 97) is False
    assert (windowed.period_ns, windowed.priority, windowed.next_ns) == (20, 3, 100)


def test_a_period_changed_before_the_first_tick_counts_from_the_start_after_an_adoption_too():
    words = page()
    plan = replace(PLAIN, windows=(Window(15, 1_000),))
    Scheduler(words, capacity=4, ageing_ns=1_000).add(plan, 90)
    second = Scheduler(words, capacity=4, ageing_ns=1_000)
    assert second.adopt(plan, 0, 105).next_ns == 120
    second.set_period("plain", 3, 105)
    assert second.next_ns == 100 + 5 * 3  # on the start's grid, and the window opens there


def test_a_window_that_closed_while_it_was_down_is_the_end():
    words = page()
    plan = replace(PLAIN, windows=(Window(0, 50),))
    Scheduler(words, capacity=4, ageing_ns=1_000).add(plan, 90)
    run = Scheduler(words, capacity=4, ageing_ns=1_000).adopt(plan, 0, 10_000)
    assert run.state is State.FINISHED
    assert (run.account().ticks, run.account().skipped_down) == (5, 5)


def test_a_place_is_adopted_once():
    scheduler = Scheduler(page(), capacity=4, ageing_ns=1_000)
    scheduler.adopt(PLAIN, 1, 90)
    with pytest.raises(StateError, match="place 1"):
        scheduler.adopt(WINDOWED, 1, 90)
    with pytest.raises(StateError, match="place 4"):
        scheduler.adopt(WINDOWED, 4, 90)
    with pytest.raises(PlanError, match="two plans"):
        scheduler.adopt(PLAIN, 2, 90)
    assert [scheduler.add(plan, 90).slot for plan in (WINDOWED, ONCE)] == [0, 2]
