"""Token buckets shared by all capture processes of a parent."""

import os
from contextlib import ExitStack

import pytest

from agent.capture.order import CameraOrder, GroupOrder, PlanOrder
from agent.capture.process_messages import Assignment
from agent.capture.quota_page import QuotaPage, open_quotas
from agent.schedule.account import Refusal
from agent.schedule.plan import Plan
from agent.schedule.quota import Limit, QuotaError
from agent.units import NS_PER_S

QUOTAS = {"agent": Limit(1, NS_PER_S, 3), "camera/top": Limit(1, NS_PER_S, 2)}
GROUPS = [
    GroupOrder(name=name, cameras=(CameraOrder(name=name, path=f"/dev/{name}"),), quotas=QUOTAS, plan_capacity=4)
    for name in ("top", "side")
]


def order(camera, quota=None):
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
    refusals = [top.pass_(top.toll(order("top"), ("top",), 0, 0), 0) for _ in range(3)]
    assert refusals == [None, None, Refusal.CAMERA]
    assert [side.pass_(side.toll(order("side"), ("side",), 0, 0), 0) for _ in range(2)] == [None, Refusal.AGENT]
    assert side.pass_(side.toll(order("side"), ("side",), 0, 0), NS_PER_S) is None
    assert top.pass_(top.toll(order("top"), ("top",), 0, 0), NS_PER_S) is Refusal.AGENT


def test_plans_of_two_groups_have_buckets_of_their_own(processes):
    top, side = processes
    limit = Limit(1, NS_PER_S, 1)
    tolls = [quotas.toll(order("x", limit), ("x",), slot, 0) for quotas in (top, side) for slot in range(4)]
    assert len({toll.buckets[-1] for toll in tolls}) == 8
    assert not {toll.buckets[-1] for toll in tolls} & {0, 1}


def test_a_change_is_seen_by_all_at_once(processes):
    top, side = processes
    top.set_limit("agent", Limit(1, NS_PER_S, 1), 0)
    assert [side.pass_(side.toll(order("side"), ("side",), 0, 0), 0) for _ in range(2)] == [None, Refusal.AGENT]


def test_a_page_without_limits_and_groups_is_one_too():
    page = QuotaPage([], 0)
    page.release()
    page.release()


def test_limits_are_checked_before_anything_is_made():
    with pytest.raises(QuotaError, match="agent"):
        QuotaPage([GroupOrder(name="g", cameras=(), quotas={"agent": Limit(0, 1)})], 0)
