"""What a tick has to pass: all of its buckets or none, and who refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.order import PlanOrder
from agent.capture.quotas import Quotas, QuotaUnknown
from agent.schedule.account import Refusal
from agent.schedule.plan import Plan
from agent.schedule.quota import Buckets, Limit, QuotaError

NAMES = ["agent", "camera/top", "client/lab"]
FULL = Limit(1, 10**9, 5)


def make(capacity=4, **limits):
    """Quotas with the named limits (`camera_top` for `camera/top`), and their buckets."""
    names = {name.replace("_", "/"): limit for name, limit in limits.items()}
    words = memoryview(bytearray(8 * Buckets.words_for(len(names) + capacity))).cast("q")
    buckets = Buckets(words, contextlib.nullcontext)
    for index, limit in enumerate(names.values()):
        buckets.define(index, limit, 0)
    return Quotas(buckets, {name: place for place, name in enumerate(names)}, len(names)), buckets


def order(name="p", camera="top", client="lab", quota=None):
    return PlanOrder(plan=Plan(name=name, camera=camera, client=client, start_ns=0), quota=quota)


def levels(buckets, count):
    return [buckets.level(index, 0) for index in range(count)]


def test_without_limits_nothing_is_asked():
    quotas, _ = make()
    assert quotas.toll(order(), 0, 0).buckets == ()
    assert make(camera_side=FULL)[0].toll(order(), 0, 0).buckets == ()


@pytest.mark.parametrize(
    ("empty", "refusal"),
    [(0, Refusal.AGENT), (1, Refusal.CAMERA), (2, Refusal.CLIENT), (3, Refusal.PLAN)],
)
def test_who_refused_is_told_and_nobody_else_pays(empty, refusal):
    quotas, buckets = make(agent=FULL, camera_top=FULL, client_lab=FULL)
    toll = quotas.toll(order(quota=FULL), 0, 0)
    for _ in range(5):
        buckets.take([empty], 0)
    before = levels(buckets, 4)
    assert quotas.pass_(toll, 0) is refusal
    assert levels(buckets, 4) == before


def test_all_pay_one():
    quotas, buckets = make(agent=FULL, camera_top=FULL, client_lab=FULL)
    assert quotas.pass_(quotas.toll(order(quota=FULL), 0, 0), 0) is None
    assert levels(buckets, 4) == [4, 4, 4, 4]


def test_a_new_plan_in_a_place_is_full_and_an_adopted_one_is_as_full_as_it_was():
    quotas, buckets = make()
    toll = quotas.toll(order(quota=FULL), 0, 0)
    for _ in range(4):
        assert quotas.pass_(toll, 0) is None
    successor, _ = Quotas(buckets, {}, 0), None
    successor.adopted_toll(order(quota=FULL), 0, 0)
    assert buckets.level(0, 0) == 1
    successor.toll(order(quota=FULL), 0, 0)
    assert buckets.level(0, 0) == 5


def test_a_limit_is_changed_by_its_name():
    quotas, buckets = make(agent=FULL)
    quotas.toll(order(quota=FULL), 2, 0)
    quotas.set_limit("agent", Limit(1, 10**9, 2), 0)
    quotas.set_limit("plan/p", Limit(1, 10**9, 3), 0)
    assert (buckets.level(0, 0), buckets.level(3, 0)) == (2, 3)
    with pytest.raises(QuotaUnknown) as caught:
        quotas.set_limit("client/lab", FULL, 0)
    assert caught.value.details["allowed"] == ["agent", "plan/p"]
    with pytest.raises(QuotaError):
        quotas.set_limit("agent", Limit(0, 10**9), 0)


@pytest.mark.parametrize("quota", [None, FULL])
def test_a_plan_whose_place_was_given_away_has_no_limit_any_more(quota):
    quotas, _ = make()
    quotas.toll(order("old", quota=FULL), 1, 0)
    quotas.toll(order("new", quota=quota), 1, 0)
    with pytest.raises(QuotaUnknown):
        quotas.set_limit("plan/old", FULL, 0)


@given(
    bursts=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    own=st.none() | st.integers(1, 3),
    asks=st.lists(st.sampled_from(["top", "side"]), max_size=12),
)
def test_refusals_are_those_of_a_naive_count(bursts, own, asks):
    limits = {name.replace("/", "_"): Limit(1, 10**12, burst) for name, burst in zip(NAMES, bursts, strict=True)}
    quotas, _ = make(**limits)
    left = dict(zip([Refusal.AGENT, Refusal.CAMERA, Refusal.CLIENT], bursts, strict=True))
    tolls = {}
    for slot, camera in enumerate(["top", "side"]):
        quota = None if own is None else Limit(1, 10**12, own)
        tolls[camera] = quotas.toll(order(camera, camera, quota=quota), slot, 0)
    plans = {"top": own, "side": own}
    for camera in asks:
        wanted = [Refusal.AGENT, *([Refusal.CAMERA] if camera == "top" else []), Refusal.CLIENT]
        refused = next((one for one in wanted if not left[one]), None)
        if refused is None and plans[camera] == 0:
            refused = Refusal.PLAN
        assert quotas.pass_(tolls[camera], 0) is refused
        if refused is None:
            for one in wanted:
                left[one] -= 1
            if own is not None:
                plans[camera] -= 1
