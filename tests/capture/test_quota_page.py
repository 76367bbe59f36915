"""Token buckets shared by all capture processes of a parent."""

import os
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.order import CameraOrder, GroupOrder, PlanOrder
from agent.capture.process_messages import Assignment
from agent.capture.quota_page import QuotaPage, Room, open_quotas
from agent.schedule.account import Refusal
from agent.schedule.plan import Plan
from agent.schedule.quota import Limit, QuotaError
from agent.units import NS_PER_S

QUOTAS = {"agent": Limit(1, NS_PER_S, 3), "camera/top": Limit(1, NS_PER_S, 2)}
GROUPS = [
    GroupOrder(name=name, cameras=(CameraOrder(name=name, path=f"/dev/{name}"),), quotas=QUOTAS, plan_capacity=4)
    for name in ("top", "side")
]


def plan_of(camera, quota=None):
    return PlanOrder(plan=Plan(name="plan", camera=camera, start_ns=0, period_ns=NS_PER_S), quota=quota)


@pytest.fixture
def processes():
    """The quotas of both groups' processes, each through a mapping and a lock of its own."""
    with ExitStack() as resources:
        page = QuotaPage(GROUPS, 0)
        resources.callback(page.release)
        opened = []
        for order in GROUPS:
            fd = os.dup(page.page.fd)
            resources.callback(os.close, fd)
            opened.append(open_quotas(fd, Assignment(order=order, quota_base=page.bases[order.name]), resources))
        yield opened


def test_the_agents_limit_counts_for_all_and_a_cameras_for_its_own(processes):
    top, side = processes
    refusals = [top.pass_(top.toll(plan_of("top"), ("top",), 0, 0), 0) for _ in range(3)]
    assert refusals == [None, None, Refusal.CAMERA]
    assert [side.pass_(side.toll(plan_of("side"), ("side",), 0, 0), 0) for _ in range(2)] == [None, Refusal.AGENT]
    assert side.pass_(side.toll(plan_of("side"), ("side",), 0, 0), NS_PER_S) is None
    assert top.pass_(top.toll(plan_of("top"), ("top",), 0, 0), NS_PER_S) is Refusal.AGENT


def test_plans_of_two_groups_have_buckets_of_their_own(processes):
    top, side = processes
    limit = Limit(1, NS_PER_S, 1)
    tolls = [quotas.toll(plan_of("x", limit), ("x",), slot, 0) for quotas in (top, side) for slot in range(4)]
    assert len({toll.buckets[-1] for toll in tolls}) == 8
    assert not {toll.buckets[-1] for toll in tolls} & {0, 1}


def test_a_change_is_seen_by_all_at_once(processes):
    top, side = processes
    top.set_limit("agent", Limit(1, NS_PER_S, 1), 0)
    assert [side.pass_(side.toll(plan_of("side"), ("side",), 0, 0), 0) for _ in range(2)] == [None, Refusal.AGENT]


def test_a_page_without_limits_and_groups_is_one_too():
    page = QuotaPage([], 0)
    page.release()
    page.release()


def test_limits_are_checked_before_anything_is_made():
    with pytest.raises(QuotaError, match="agent"):
        QuotaPage([GroupOrder(name="g", cameras=(), quotas={"agent": Limit(0, 1)})], 0)


# -- groups that come and go ------------------------------------------------------------------------------------


def group(name, capacity=4, **quotas):
    return GroupOrder(name=name, cameras=(CameraOrder(name=name, path=""),), quotas=quotas, plan_capacity=capacity)


def test_a_group_that_comes_later_shares_the_limits_of_those_that_were_there():
    limit = Limit(1, NS_PER_S, 2)
    with QuotaPage([group("a", agent=limit)], 0, Room(names=1, plans=4)) as page, ExitStack() as resources:
        later = group("b", **{"camera/b": limit, "agent": limit})
        page.add(later, 0)
        assert page.places_of(later) == {"camera/b": 1, "agent": 0}
        found = []
        for order in (group("a", agent=limit), later):
            fd = os.dup(page.page.fd)
            resources.callback(os.close, fd)
            places = page.places_of(order)
            found.append(
                open_quotas(
                    fd, Assignment(order=order, quota_base=page.bases[order.name], quota_places=places), resources
                )
            )
        first, second = found
        tolls = [second.toll(plan_of("b"), ("b",), 0, 0), first.toll(plan_of("a"), ("a",), 0, 0)]
        assert [second.pass_(tolls[0], 0), first.pass_(tolls[1], 0)] == [None, None]
        assert first.pass_(tolls[1], 0) is Refusal.AGENT
        assert second.pass_(tolls[0], 0) is Refusal.AGENT
        assert page.available(page.places["agent"], 0) == 0
        assert page.available(page.places["camera/b"], 0) == 1


def test_a_limit_that_is_there_is_not_filled_by_a_group_that_comes():
    limit = Limit(1, NS_PER_S, 5)
    with QuotaPage([group("a", agent=limit)], 0, Room(plans=4)) as page, ExitStack() as resources:
        fd = os.dup(page.page.fd)
        resources.callback(os.close, fd)
        first = open_quotas(fd, Assignment(order=group("a", agent=limit), quota_base=page.bases["a"]), resources)
        assert first.pass_(first.toll(plan_of("a"), ("a",), 0, 0), 0) is None
        page.add(group("b", agent=limit), 0)
        assert page.available(0, 0) == 4


def test_what_does_not_fit_is_refused_and_changes_nothing():
    with QuotaPage([group("a")], 0, Room(names=1, plans=4)) as page:
        with pytest.raises(QuotaError, match="room for the limits"):
            page.add(group("b", x=Limit(1, 1), y=Limit(1, 1)), 0)
        with pytest.raises(QuotaError, match="plans of group b"):
            page.add(group("b", capacity=5, x=Limit(1, 1)), 0)
        with pytest.raises(QuotaError, match="z"):
            page.add(group("b", z=Limit(0, 1)), 0)
        assert (page.places, page.bases) == ({}, {"a": 0 + 1})
        page.add(group("b", y=Limit(1, 1)), 0)
        assert page.places == {"y": 0}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 6)), max_size=40))
def test_groups_that_come_and_go_never_share_a_bucket(steps):
    with QuotaPage([], 0, Room(names=2, plans=16)) as page:
        there = {}
        for number, capacity in steps:
            name = f"g{number}"
            if name in there:
                page.remove(name)
                del there[name]
            elif sum(there.values()) + capacity <= 16:
                try:
                    page.add(group(name, capacity), 0)
                except QuotaError:
                    continue  # enough room, but not in one piece
                there[name] = capacity
            taken = [
                bucket for name, size in there.items() for bucket in range(page.bases[name], page.bases[name] + size)
            ]
            assert len(taken) == len(set(taken))
            assert all(2 <= bucket < 18 for bucket in taken)
        for name in there:
            page.remove(name)
        page.add(group("all", 16), 0)


def test_limits_are_named_while_processes_run():
    limit = Limit(1, NS_PER_S, 2)
    with QuotaPage([group("a", agent=limit)], 0, Room(names=2)) as page, ExitStack() as resources:
        fd = os.dup(page.page.fd)
        resources.callback(os.close, fd)
        first = open_quotas(fd, Assignment(order=group("a", agent=limit), quota_base=page.bases["a"]), resources)
        places = page.name({"agent": Limit(1, NS_PER_S, 1), "camera/a": limit}, 0)
        assert places == {"agent": 0, "camera/a": 1}
        assert (page.available(0, 0), page.available(1, 0)) == (1, 2)
        before = first.toll(plan_of("a"), ("a",), 0, 0)
        first.name({"camera/a": 1})
        assert (before.buckets, first.same_toll(plan_of("a"), ("a",), 0).buckets) == ((0,), (1,))
        with pytest.raises(QuotaError, match="room for the limits"):
            page.name({"agent": Limit(1, 9), "x": limit, "y": limit}, 0)
        assert page.available(0, 0) == 1
