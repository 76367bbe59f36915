"""What the scheduler promises, one promise a test; all of it together is in test_scheduler_model.py."""

import ast
import gc
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InputError, StateError
from agent.schedule import plan as plan_module
from agent.schedule.account import PLAN_WORDS, Account, Refusal, State
from agent.schedule.instants import PlanError
from agent.schedule.plan import Plan, WhenBusy, Window
from agent.schedule.register import PlanOver, PlanUnknown
from agent.schedule.requests import trace_id
from agent.schedule.run import Phase
from agent.schedule.scheduler import Scheduler

PLAN = Plan(name="plan", camera="top", start_ns=100, period_ns=10)


def scheduler_of(*plans, capacity=100, now_ns=0, ageing_ns=1_000):
    scheduler = Scheduler(
        memoryview(bytearray(capacity * PLAN_WORDS * 8)).cast("q"), capacity=capacity, ageing_ns=ageing_ns
    )
    for plan in plans:
        scheduler.add(plan, now_ns)
    return scheduler


def shoot(scheduler, now_ns, bound=100):
    """Whatever is due is fired and delivered at once; returns (name, number, instant)."""
    told = []
    for tick in scheduler.due(now_ns, bound):
        told.append((tick.run.plan.name, tick.number, tick.due_ns))
        assert scheduler.fired(tick, now_ns)
        scheduler.delivered(tick, now_ns, tick.wanted, 1)
    return told


def numbers(ticks):
    return [number for _, number, _ in ticks]


def test_ten_million_ticks_of_a_loop_that_is_late_now_and_then():
    start_ns, period_ns, total = 31_536_000_000_000_007, 33_366_667, 10**7
    scheduler = scheduler_of(replace(PLAN, start_ns=start_ns, period_ns=period_ns, count=total))
    run, strides, last = scheduler.run("plan"), (1, 1, 1, 2_003, 1, 3, 9_973), -1
    while scheduler.next_ns is not None:
        assert scheduler.next_ns == start_ns + (last + 1) * period_ns
        now_ns = scheduler.next_ns + (strides[last % 7] - 1) * period_ns + 12_345
        ((_, last, due_ns),) = shoot(scheduler, now_ns)
        assert due_ns == start_ns + last * period_ns
    assert last == total - 1
    assert run.account().ticks == total
    assert run.account().skipped_late + run.account().delivered == total


@given(st.integers(-(10**18), 10**18))
def test_no_clock_but_the_argument_counts(offset_ns):
    """A step of the wall clock or a suspend changes only what other clocks say: there is no other clock in here."""
    origin_ns = 2 * 10**18 + offset_ns
    scheduler = scheduler_of(replace(PLAN, start_ns=origin_ns))
    given_ns = [due_ns - origin_ns for k in range(5) for _, _, due_ns in shoot(scheduler, origin_ns + 10 * k + 3)]
    assert given_ns == [0, 10, 20, 30, 40]


def test_the_package_imports_nothing_that_reads_a_clock_or_does_io():
    forbidden = {"asyncio", "datetime", "fcntl", "io", "mmap", "multiprocessing", "os", "pathlib", "random", "select"}
    forbidden |= {"selectors", "signal", "socket", "subprocess", "threading", "time"}
    for path in Path(plan_module.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                room = ".".join(name.split(".")[:2])
                assert name.split(".")[0] not in forbidden, path
                assert not name.startswith("agent") or room in ("agent.errors", "agent.units", "agent.schedule"), path


@pytest.mark.parametrize(
    ("policy", "catch_up", "at_once", "later", "account"),
    [
        (WhenBusy.SKIP, 0, [3], [], Account(skipped_late=3)),
        (WhenBusy.COALESCE, 0, [0], [], Account(coalesced=3)),
        (WhenBusy.CATCH_UP, 3, [0], [1, 2], Account(skipped_late=1)),
        (WhenBusy.CATCH_UP, 9, [0], [1, 2, 3], Account()),
    ],
)
def test_a_late_loop(policy, catch_up, at_once, later, account):
    scheduler = scheduler_of(replace(PLAN, when_busy=policy, catch_up=catch_up))
    assert numbers(shoot(scheduler, 135)) == at_once
    for number in later:
        assert scheduler.next_ns <= 135
        assert numbers(shoot(scheduler, 135)) == [number]
    assert shoot(scheduler, 135) == []
    assert scheduler.next_ns == 140
    found = scheduler.run("plan").account()
    assert (found.skipped_late, found.coalesced) == (account.skipped_late, account.coalesced)
    assert (found.ticks, found.delivered, found.waiting) == (4, 1 + len(later), 0)


@pytest.mark.parametrize(
    ("policy", "catch_up", "after", "account"),
    [
        (WhenBusy.SKIP, 0, [], Account(skipped_busy=4)),
        (WhenBusy.COALESCE, 0, [1], Account(coalesced=3)),
        (WhenBusy.CATCH_UP, 2, [1, 2], Account(skipped_busy=2)),
    ],
)
@pytest.mark.parametrize("looks", [(110, 120, 130, 140), (140,)])
def test_a_busy_plan(policy, catch_up, after, account, looks):
    """The same whether each instant is seen as it comes, or all of them late."""
    scheduler = scheduler_of(replace(PLAN, when_busy=policy, catch_up=catch_up))
    (tick,) = scheduler.due(100, 10)
    scheduler.fired(tick, 100)
    for now_ns in looks:
        assert scheduler.due(now_ns, 10) == []
    assert scheduler.next_ns == 150
    scheduler.delivered(tick, 145, 1, 1)
    assert [number for _ in range(3) for number in numbers(shoot(scheduler, 145))] == after
    found = scheduler.run("plan").account()
    assert (found.skipped_busy, found.coalesced) == (account.skipped_busy, account.coalesced)
    assert found.ticks == 5


@pytest.mark.parametrize("end", ["refused", "not_ready"])
def test_a_tick_that_was_not_fired_lets_the_next_one_go(end):
    scheduler = scheduler_of(replace(PLAN, when_busy=WhenBusy.CATCH_UP, catch_up=2))
    (tick,) = scheduler.due(110, 10)
    if end == "refused":
        scheduler.refused(tick, Refusal.CLIENT)
    else:
        scheduler.not_ready(tick)
    assert numbers(shoot(scheduler, 110)) == [1]
    account = scheduler.run("plan").account()
    assert (account.refused_client, account.skipped_not_ready) == ((1, 0) if end == "refused" else (0, 1))


def test_one_shot_count_burst_and_windows():
    once = replace(PLAN, name="once", period_ns=None, burst=4)
    thrice = replace(PLAN, name="thrice", count=3)
    shop = replace(PLAN, name="shop", windows=(Window(5, 25), Window(40, 41)))
    scheduler = scheduler_of(once, thrice, shop)
    (first, _) = scheduler.due(100, 10)
    assert (first.run.plan.name, first.wanted) == ("once", 4)
    scheduler.fired(first, 100)
    scheduler.delivered(first, 100, 4, 1)
    told = []
    while scheduler.next_ns is not None:
        told += shoot(scheduler, scheduler.next_ns)
    assert [due_ns for name, _, due_ns in told if name == "shop"] == [110, 120, 140]
    assert scheduler.run("thrice").state is State.RUNNING  # its first tick was given out and not ended
    assert {run.plan.name for run in scheduler.ended(10)} == {"once", "shop"}


def test_finished_only_when_the_last_shot_ended():
    scheduler = scheduler_of(replace(PLAN, count=1))
    (tick,) = scheduler.due(100, 1)
    assert scheduler.next_ns is None
    scheduler.fired(tick, 100)
    assert scheduler.run("plan").state is State.RUNNING
    assert scheduler.ended(10) == []
    scheduler.failed(tick, 130)
    assert scheduler.run("plan").state is State.FINISHED
    assert [run.plan.name for run in scheduler.ended(10)] == ["plan"]
    assert scheduler.ended(10) == []
    account = scheduler.run("plan").account()
    assert (account.failed, account.took_max_ns, account.took_sum_ns) == (1, 30, 30)


def test_a_cancelled_plan_is_told_of_when_its_shot_has_ended():
    scheduler = scheduler_of(PLAN, replace(PLAN, name="other", start_ns=500))
    (tick,) = scheduler.due(100, 1)
    scheduler.fired(tick, 100)
    assert scheduler.cancel_all(101) == 2
    assert scheduler.run("plan").state is State.CANCELLED
    assert [run.plan.name for run in scheduler.ended(10)] == ["other"]
    scheduler.dropped(tick, 105)
    assert [run.plan.name for run in scheduler.ended(10)] == ["plan"]
    assert scheduler.run("plan").account().shots_cancelled == 1


def test_cancelled_during_its_last_shot_it_stays_cancelled():
    scheduler = scheduler_of(replace(PLAN, count=1))
    (tick,) = scheduler.due(100, 1)
    scheduler.fired(tick, 100)
    assert scheduler.cancel("plan", 101)
    scheduler.delivered(tick, 102, 1, 1)
    assert scheduler.run("plan").state is State.CANCELLED
    assert [run.plan.name for run in scheduler.ended(10)] == ["plan"]


def test_nothing_is_lost_to_the_bound():
    plans = [replace(PLAN, name=f"p{k}", period_ns=1_000) for k in range(10)]
    scheduler = scheduler_of(*plans)
    told = []
    for _ in range(4):
        assert scheduler.next_ns <= 100
        told += shoot(scheduler, 100, bound=3)
    assert [name for name, _, _ in told] == [plan.name for plan in plans]
    assert scheduler.next_ns == 1_100


def test_a_bounded_call_looks_at_no_more_plans_than_that():
    """A thousand busy plans whose ticks are all skipped: each call skips `bound` of them."""
    scheduler = scheduler_of(*(replace(PLAN, name=f"p{k}") for k in range(50)))
    for tick in scheduler.due(100, 50):
        scheduler.fired(tick, 100)
    assert scheduler.due(110, 20) == []
    assert sum(run.account().skipped_busy for run in scheduler.runs()) == 20
    assert scheduler.next_ns == 110


def test_the_last_that_is_due_within_a_span():
    """Of plans of any priority, whatever was due before it."""
    plans = [replace(PLAN, name=f"p{at}", start_ns=at, priority=at % 3) for at in (100, 140, 150, 151, 200)]
    scheduler = scheduler_of(*plans)
    assert [scheduler.last_due_within(100, span) for span in (0, 39, 40, 50, 51, 1_000)] == [
        100,
        100,
        140,
        150,
        151,
        200,
    ]
    scheduler.cancel("p151", 50)
    assert scheduler.last_due_within(100, 60) == 150
    scheduler.cancel_all(50)
    assert scheduler.last_due_within(100, 60) == 100


def test_the_urgent_overtakes_and_the_waiting_ages():
    """Priority 2 at an ageing of 1,000 ns: it overtakes what came up to 2,000 ns before it, and nothing older."""
    low = replace(PLAN, name="low", start_ns=1_000, period_ns=None)
    scheduler = scheduler_of(
        low,
        replace(low, name="early", priority=2, start_ns=2_999),
        replace(low, name="late", priority=2, start_ns=3_001),
    )
    assert [name for name, _, _ in shoot(scheduler, 5_000)] == ["early", "low", "late"]


def test_a_starving_plan_gets_its_turn_within_the_bound():
    """An urgent flood that fills every turn; the humble tick goes when it has aged by the difference of priorities."""
    flood = [replace(PLAN, name=f"f{k}", priority=5, period_ns=10) for k in range(4)]
    scheduler = scheduler_of(*flood, replace(PLAN, name="humble", period_ns=None), ageing_ns=100)
    now_ns, waited = 100, None
    while waited is None:
        if any(name == "humble" for name, _, _ in shoot(scheduler, now_ns, bound=1)):
            waited = now_ns - 100
        now_ns += 10
    assert 500 - 50 <= waited <= 500 + 50


def test_a_priority_changed_at_run_time_counts_for_what_waits():
    scheduler = scheduler_of(PLAN, replace(PLAN, name="other"))
    scheduler.set_priority("other", 1, 105)
    assert [name for name, _, _ in shoot(scheduler, 105)] == ["other", "plan"]
    scheduler.set_priority("other", -1, 106)
    assert [name for name, _, _ in shoot(scheduler, 110)] == ["plan", "other"]
    with pytest.raises(PlanError):
        scheduler.set_priority("other", 1_000, 110)


def test_a_period_changed_twice_before_a_tick_stays_on_the_last_one_planned():
    scheduler = scheduler_of(replace(PLAN, start_ns=0, period_ns=100))
    shoot(scheduler, 0)
    scheduler.set_period("plan", 20, 50)
    assert scheduler.next_ns == 60
    scheduler.set_period("plan", 33, 55)
    assert scheduler.next_ns == 66  # 0 + 2 * 33, not 40 + 33
    assert [due_ns for now_ns in (66, 99) for _, _, due_ns in shoot(scheduler, now_ns)] == [66, 99]


def test_a_period_changed_by_a_late_loop_counts_what_passed_under_the_old_one():
    scheduler = scheduler_of(PLAN)
    scheduler.set_period("plan", 7, 135)
    assert scheduler.run("plan").next_ns == 137  # 130 + 7
    assert scheduler.next_ns == 130  # it waits for its turn
    assert [told for now_ns in (135, 137) for told in shoot(scheduler, now_ns)] == [("plan", 3, 130), ("plan", 4, 137)]
    assert scheduler.run("plan").account().skipped_late == 3


@pytest.mark.parametrize(
    ("policy", "catch_up", "waiting"), [(WhenBusy.SKIP, 0, 1), (WhenBusy.COALESCE, 0, 1), (WhenBusy.CATCH_UP, 2, 2)]
)
def test_late_again_after_a_change_before_its_turn_came(policy, catch_up, waiting):
    """The change left a tick in the queue; what passes meanwhile is dealt with as for a busy plan."""
    scheduler = scheduler_of(replace(PLAN, when_busy=policy, catch_up=catch_up))
    scheduler.set_priority("plan", 1, 105)
    scheduler.set_priority("plan", 2, 145)
    account = scheduler.run("plan").account()
    assert (account.ticks, account.waiting) == (5, waiting)
    assert account.skipped_busy + account.coalesced == 5 - waiting


def test_bad_changes_change_nothing():
    scheduler = scheduler_of(PLAN, replace(PLAN, name="once", period_ns=None))
    for name, period_ns in (("plan", 0), ("plan", -1), ("once", 5)):
        with pytest.raises(PlanError):
            scheduler.set_period(name, period_ns, 50)
    with pytest.raises(PlanUnknown, match="nobody"):
        scheduler.set_period("nobody", 5, 50)
    assert (scheduler.run("plan").period_ns, scheduler.next_ns) == (10, 100)
    scheduler.cancel("plan", 60)
    with pytest.raises(PlanOver, match="cancelled"):
        scheduler.set_period("plan", 5, 60)
    with pytest.raises(PlanOver, match="cancelled"):
        scheduler.set_priority("plan", 5, 60)


def test_two_plans_of_one_name_and_too_many_plans():
    scheduler = scheduler_of(PLAN, capacity=2)
    with pytest.raises(PlanError, match="two plans named plan") as caught:
        scheduler.check([replace(PLAN, name="new"), PLAN], 0)
    assert caught.value.key == "name"
    with pytest.raises(PlanError, match="two plans named new"):
        scheduler.check([replace(PLAN, name="new")] * 2, 0)
    with pytest.raises(PlanError, match="no room for plan third") as caught:
        scheduler.check([replace(PLAN, name="new"), replace(PLAN, name="third")], 0)
    assert caught.value.key == "plan_capacity"
    with pytest.raises(PlanError, match="period_ns"):
        scheduler.check([replace(PLAN, name="new"), replace(PLAN, name="bad", period_ns=0)], 0)
    assert [run.plan.name for run in scheduler.runs()] == ["plan"]


def test_cancel_of_the_unknown_and_of_the_finished():
    scheduler = scheduler_of(replace(PLAN, count=1))
    with pytest.raises(PlanUnknown) as caught:
        scheduler.cancel("nobody", 0)
    assert (caught.value.code, caught.value.exit_code) == ("plan_unknown", 2)
    shoot(scheduler, 100)
    assert scheduler.cancel("plan", 200) is False
    assert scheduler.run("plan").state is State.FINISHED


def test_a_tick_given_out_and_cancelled_must_not_go():
    scheduler = scheduler_of(PLAN)
    (tick,) = scheduler.due(100, 1)
    assert scheduler.cancel("plan", 100)
    assert scheduler.fired(tick, 100) is False
    scheduler.not_ready(tick)
    scheduler.refused(tick, Refusal.AGENT)
    account = scheduler.run("plan").account()
    assert (account.cancelled, account.fired, account.waiting) == (1, 0, 0)


def test_a_tick_ends_once():
    scheduler = scheduler_of(PLAN)
    (tick,) = scheduler.due(100, 1)
    with pytest.raises(StateError):
        scheduler.delivered(tick, 100, 1, 1)
    scheduler.fired(tick, 100)
    for again in (lambda: scheduler.fired(tick, 100), lambda: scheduler.not_ready(tick)):
        with pytest.raises(StateError, match="fired"):
            again()
    scheduler.delivered(tick, 100, 1, 1)
    with pytest.raises(StateError, match="idle"):
        scheduler.failed(tick, 100)
    assert scheduler.run("plan").account().under_way == 0
    assert scheduler.run("plan").phase is Phase.IDLE


def test_cancel_all_settles_what_waits_and_what_was_not_looked_at():
    plans = [replace(PLAN, name=f"p{k}", start_ns=100 + k, camera="left" if k % 2 else "top") for k in range(10)]
    scheduler = scheduler_of(*plans)
    (tick,) = scheduler.due(100, 1)
    assert scheduler.cancel_all(115, camera="left") == 5
    assert scheduler.cancel_all(115) == 5
    assert scheduler.cancel_all(115) == 0
    for k, plan in enumerate(plans):
        account = scheduler.run(plan.name).account()
        assert account.state is State.CANCELLED
        assert account.ticks == account.cancelled == (2 if k <= 5 else 1)
    assert scheduler.next_ns is None
    assert scheduler.fired(tick, 115) is False


def test_ten_thousand_plans_cancelled_at_once_are_all_accounted_for():
    scheduler = scheduler_of(
        *(replace(PLAN, name=f"p{k}", start_ns=100 + k, period_ns=10_000) for k in range(10_000)), capacity=10_000
    )
    for tick in scheduler.due(600, 400):
        scheduler.fired(tick, 600)
    assert scheduler.cancel_all(700) == 10_000
    accounts = [scheduler.run(f"p{k}").account() for k in range(10_000)]
    assert all(account.state is State.CANCELLED for account in accounts)
    assert [account.ticks for account in accounts] == [1] * 601 + [0] * 9_399
    assert [account.under_way for account in accounts] == [1] * 400 + [0] * 9_600
    assert [account.cancelled for account in accounts] == [0] * 400 + [1] * 201 + [0] * 9_399
    again = scheduler.add(replace(PLAN, name="again"), 800)
    assert again.slot == 400  # the first whose shot is not under way
    with pytest.raises(PlanUnknown):
        scheduler.run("p400")


def test_places_are_used_again_and_the_name_of_the_oldest_is_forgotten():
    scheduler = scheduler_of(capacity=2)
    old = scheduler.add(replace(PLAN, name="old"), 0)
    shoot(scheduler, 100)
    scheduler.cancel("old", 101)
    account = old.account()
    traces = {trace_id(1, old.slot, old.trace_base + number) for number in range(account.ticks)}
    scheduler.add(replace(PLAN, name="stays"), 0)
    new = scheduler.add(replace(PLAN, name="new"), 0)
    assert new.slot == old.slot
    assert (old.state, new.state) == (State.CANCELLED, State.RUNNING)
    assert new.account() == Account(State.RUNNING)
    with pytest.raises(StateError, match="account of plan old"):
        old.account()
    with pytest.raises(PlanUnknown):
        scheduler.run("old")
    (tick,) = [tick for tick in scheduler.due(100, 10) if tick.run is new]
    assert trace_id(1, new.slot, tick.trace_number) not in traces


def test_a_name_may_come_again_after_its_plan_has_ended():
    scheduler = scheduler_of(PLAN, capacity=2)
    first = scheduler.run("plan")
    scheduler.cancel("plan", 10)
    second = scheduler.add(PLAN, 10)
    assert (first.state, scheduler.run("plan")) == (State.CANCELLED, second)
    third = scheduler.add(replace(PLAN, name="third"), 10)  # takes the place of the first
    assert third.slot == first.slot
    assert scheduler.run("plan") is second


def cycles(scheduler, times, begin):
    for k in range(begin, begin + times):
        now_ns = 100 * k
        name = f"p{k}"
        scheduler.add(replace(PLAN, name=name, start_ns=now_ns, when_busy=WhenBusy.CATCH_UP, catch_up=2), now_ns)
        if k % 10 == 0:
            shoot(scheduler, now_ns + 25)
        scheduler.cancel(name, now_ns + 30)
        if k % 10 == 5:
            scheduler.add(replace(PLAN, name=f"once{k}", start_ns=now_ns, period_ns=None), now_ns)
            shoot(scheduler, now_ns)


@pytest.mark.timeout(120)
def test_a_hundred_thousand_plans_come_and_go_without_growth():
    """Without the garbage collector: nothing may even wait for it."""
    scheduler = scheduler_of(replace(PLAN, start_ns=10**12), capacity=8)
    cycles(scheduler, 100, 0)
    gc.collect()
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        cycles(scheduler, 100_000, 100)
        growth = sys.getallocatedblocks() - before
    finally:
        gc.enable()
    assert growth < 1_000
    assert scheduler.next_ns == 10**12
    assert scheduler.run("plan").slot == 0


def test_ends_that_nobody_asks_for_are_counted():
    scheduler = scheduler_of(capacity=4)
    cycles(scheduler, 10, 1)
    assert [run.plan.name for run in scheduler.ended(3)] == ["p7", "p8", "p9"]
    assert [run.plan.name for run in scheduler.ended(3)] == ["p10"]
    assert scheduler.ends_untold == 11 - 4


@pytest.mark.parametrize(("capacity", "words"), [(0, 64), (3, 2 * PLAN_WORDS)])
def test_a_page_too_small(capacity, words):
    with pytest.raises(InputError):
        Scheduler(memoryview(bytearray(words * 8)).cast("q"), capacity=capacity, ageing_ns=1)


def test_ageing_must_be_positive():
    with pytest.raises(InputError, match="starve"):
        scheduler_of(ageing_ns=0)
