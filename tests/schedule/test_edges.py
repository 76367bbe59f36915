"""Plans whose instants are edges: which edges count, and what becomes of each tick."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.schedule.account import PLAN_WORDS, State
from agent.schedule.edges import EdgeGate
from agent.schedule.instants import PlanError
from agent.schedule.plan import OnEdge, Plan, WhenBusy, Window
from agent.schedule.register import PlanOver
from agent.schedule.scheduler import Scheduler

PLAN = Plan(name="part", camera="top", start_ns=0, on_edge=OnEdge())
TIMED = Plan(name="timed", camera="top", start_ns=0, period_ns=10)


def scheduler_of(*plans, words=None):
    words = memoryview(bytearray(8 * PLAN_WORDS * 8)).cast("q") if words is None else words
    scheduler = Scheduler(words, capacity=8, ageing_ns=1_000)
    for plan in plans:
        scheduler.add(plan, 0)
    return scheduler


def shot(scheduler, tick, at_ns):
    assert scheduler.fired(tick, at_ns)
    scheduler.delivered(tick, at_ns, tick.wanted, 1)


# ---- which edges count


def test_every_third_edge_counts_beginning_with_the_first():
    gate = EdgeGate(OnEdge(divider=3))
    assert [gate.admit(at_ns) for at_ns in range(7)] == [True, False, False, True, False, False, True]
    assert (gate.counted, gate.divided, gate.too_close) == (3, 4, 0)


def test_an_edge_that_bounces_is_not_counted_for_the_divider_either():
    gate = EdgeGate(OnEdge(divider=2, distance_ns=100))
    assert [gate.admit(at_ns) for at_ns in (0, 1, 99, 100, 150, 199, 200)] == [True, *[False] * 5, True]
    assert (gate.counted, gate.divided, gate.too_close) == (2, 1, 4)


@given(
    st.lists(st.integers(0, 50), max_size=60),
    st.integers(1, 5),
    st.integers(0, 60),
)
def test_every_edge_is_accounted_for_and_ticks_keep_their_distance(gaps_ns, divider, distance_ns):
    gate = EdgeGate(OnEdge(divider=divider, distance_ns=distance_ns))
    at_ns, taken = 0, []
    for seen, gap_ns in enumerate(gaps_ns, 1):
        at_ns += gap_ns
        if gate.admit(at_ns):
            taken.append(at_ns)
        assert gate.seen == seen
    assert gate.counted == len(taken)
    assert all(after - before >= distance_ns * divider for before, after in pairwise(taken))
    assert gate.counted == -(-(gate.counted + gate.divided) // divider)


# ---- what becomes of each tick


def test_an_edge_is_a_tick_with_its_own_instant():
    scheduler = scheduler_of(PLAN)
    run = scheduler.run("part")
    for number, at_ns in enumerate((7, 1_000, 1_001)):
        tick = scheduler.edge(run, at_ns)
        assert (tick.number, tick.due_ns, tick.wanted) == (number, at_ns, 1)
        shot(scheduler, tick, at_ns + 5)
    assert (run.account().delivered, run.account().late_max_ns) == (3, 5)
    assert run.state is State.RUNNING


def test_without_edges_nothing_is_ever_due():
    scheduler = scheduler_of(PLAN)
    assert scheduler.next_ns is None
    assert scheduler.due(10**18, 100) == []
    assert scheduler.run("part").next_ns is None
    assert scheduler.run("part").state is State.RUNNING


@pytest.mark.parametrize(
    ("policy", "catch_up", "skipped", "coalesced", "then"),
    [(WhenBusy.SKIP, 0, 3, 0, []), (WhenBusy.COALESCE, 0, 0, 2, [1]), (WhenBusy.CATCH_UP, 2, 1, 0, [1, 2])],
)
def test_an_edge_while_the_last_shot_is_under_way(policy, catch_up, skipped, coalesced, then):
    scheduler = scheduler_of(replace(PLAN, when_busy=policy, catch_up=catch_up))
    run = scheduler.run("part")
    first = scheduler.edge(run, 1)
    assert scheduler.fired(first, 1)
    assert [scheduler.edge(run, at_ns) for at_ns in (2, 3, 4)] == [None] * 3
    scheduler.delivered(first, 5, 1, 1)
    numbers = []
    while ticks := scheduler.due(10, 8):
        numbers += [tick.number for tick in ticks]
        for tick in ticks:
            shot(scheduler, tick, 10)
    assert numbers == then
    account = run.account()
    assert (account.skipped_busy, account.coalesced, account.waiting, account.under_way) == (skipped, coalesced, 0, 0)


def test_a_count_ends_it_when_its_last_shot_has_ended():
    scheduler = scheduler_of(replace(PLAN, count=2))
    run = scheduler.run("part")
    shot(scheduler, scheduler.edge(run, 1), 1)
    tick = scheduler.edge(run, 2)
    assert run.state is State.RUNNING
    shot(scheduler, tick, 2)
    assert run.state is State.FINISHED
    assert scheduler.edge(run, 3) is None
    assert run.account().ticks == 2


@pytest.mark.parametrize("end", ["cancel", "all", "camera"])
def test_a_cancelled_one_takes_no_more_edges(end):
    scheduler = scheduler_of(PLAN, TIMED)
    run = scheduler.run("part")
    assert scheduler.fired(scheduler.edge(run, 1), 1)
    if end == "cancel":
        scheduler.cancel("part", 2)
    else:
        scheduler.cancel_all(2, camera="top" if end == "camera" else None)
    assert scheduler.edge(run, 3) is None
    scheduler.dropped(run.tick, 4)
    account = run.account()
    assert (account.state, account.ticks, account.shots_cancelled) == (State.CANCELLED, 1, 1)


def test_a_successor_goes_on_with_the_account():
    words = memoryview(bytearray(8 * PLAN_WORDS * 8)).cast("q")
    run = scheduler_of(replace(PLAN, count=3), words=words).run("part")
    before = Scheduler(words, capacity=8, ageing_ns=1_000)  # the old one is gone
    adopted = before.adopt(replace(PLAN, count=3), run.slot, 50)
    shot(before, before.edge(adopted, 60), 60)
    shot(before, before.edge(adopted, 70), 70)
    again = Scheduler(words, capacity=8, ageing_ns=1_000)
    last = again.adopt(replace(PLAN, count=3), run.slot, 80)
    tick = again.edge(last, 90)
    assert tick.number == 2
    shot(again, tick, 90)
    assert last.state is State.FINISHED


def test_priority_can_be_changed_and_a_period_cannot():
    scheduler = scheduler_of(PLAN, TIMED)
    scheduler.set_priority("part", 5, 0)
    assert scheduler.run("part").priority == 5
    with pytest.raises(PlanError, match="no period"):
        scheduler.set_period("part", 100, 0)
    scheduler.cancel("part", 0)
    with pytest.raises(PlanOver):
        scheduler.set_priority("part", 1, 0)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"period_ns": 10}, "period_ns"),
        ({"windows": (Window(0, 10),)}, "windows"),
        ({"on_edge": OnEdge(divider=0)}, "divider"),
        ({"on_edge": OnEdge(distance_ns=-1)}, "distance_ns"),
        ({"count": 0}, "count"),
    ],
)
def test_what_cannot_be_is_refused_by_name(change, key):
    with pytest.raises(PlanError) as refused:
        scheduler_of(replace(PLAN, **change))
    assert refused.value.key == key


@given(st.lists(st.sampled_from(["edge", "edge", "due", "end", "fail"]), max_size=60), st.sampled_from(WhenBusy))
def test_sums_match_whatever_happens(steps, policy):
    scheduler = scheduler_of(replace(PLAN, when_busy=policy, catch_up=3), TIMED)
    run, now_ns, out = scheduler.run("part"), 0, []
    for step in steps:
        now_ns += 3
        if step == "edge":
            tick = scheduler.edge(run, now_ns)
            out += [] if tick is None else [tick]
        elif step == "due":
            out += scheduler.due(now_ns, 8)
        elif out:
            tick = out.pop(0)
            if scheduler.fired(tick, now_ns):
                (scheduler.failed(tick, now_ns) if step == "fail" else scheduler.delivered(tick, now_ns, 1, 1))
        for one in (run, scheduler.run("timed")):
            account = one.account()
            assert account.waiting >= 0
            assert account.under_way in (0, 1)
    assert run.account().ticks == steps.count("edge")
