"""What a successor has to be told."""

import pytest

from agent.capture.handover import Handover
from agent.capture.messages import (
    AddPlans,
    CameraChanged,
    CameraReport,
    Cancel,
    CancelReport,
    Done,
    Expose,
    PlansEnded,
    Quit,
    SetPeriod,
    SetPriority,
    SetQuota,
    StartCamera,
)
from agent.capture.order import CameraOrder, GroupOrder, PlanOrder
from agent.schedule.plan import Plan
from agent.schedule.quota import Limit
from agent.v4l2.gain import GainRequest

LIMIT = Limit(1, 1)
ORDER = GroupOrder(
    name="g",
    cameras=(CameraOrder(name="top", path="/dev/video0"), CameraOrder(name="side", path="/dev/video2")),
    quotas={"agent": LIMIT},
)
PLANS = {
    "a": PlanOrder(plan=Plan(name="a", camera="top", start_ns=0, client="c1")),
    "b": PlanOrder(plan=Plan(name="b", camera="top", start_ns=0, client="c2")),
    "c": PlanOrder(plan=Plan(name="c", camera="side", start_ns=0, client="c1")),
}


def done(facts=None):
    return Done(re=1, at_ns=0, facts=facts)


def cancel(kind, name=""):
    return Cancel(id=1, kind=kind, name=name, by="me")


@pytest.fixture
def handover():
    handover = Handover(ORDER, quota_base=5)
    handover.answered(AddPlans(id=1, orders=tuple(PLANS.values())), done({"a": 0, "b": 1, "c": 2}))
    return handover


def going_on(handover):
    return [adopted.order.plan.name for adopted in handover.assignment().adopted if not adopted.cancelled_by]


def test_plans_with_their_slots_and_the_place_of_their_quotas(handover):
    assignment = handover.assignment()
    assert [(adopted.order, adopted.slot) for adopted in assignment.adopted] == [
        *zip(PLANS.values(), (0, 1, 2), strict=True)
    ]
    assert assignment.quota_base == 5


@pytest.mark.parametrize(
    ("kind", "name", "left", "off"),
    [
        ("plan", "a", ["b", "c"], ()),
        ("plan", "c", ["a", "b"], ("side",)),
        ("plan", "x", ["a", "b", "c"], ()),
        ("camera", "top", ["c"], ("top",)),
        ("camera", "x", ["a", "b", "c"], ()),
        ("client", "c1", ["b"], ("side",)),
        ("all", "", [], ("top", "side")),
    ],
)
def test_a_cancel_without_a_process(handover, kind, name, left, off):
    plans, cameras = handover.cancel(cancel(kind, name))
    assert (plans, cameras) == (3 - len(left), off)
    assert going_on(handover) == left
    assert handover.assignment().left_off == tuple(sorted(off))
    # those that were cancelled are handed over all the same, so that their accounts are closed
    assert len(handover.assignment().adopted) == 3
    assert handover.cancel(cancel(kind, name))[0] == 0
    handover.taken_over()
    assert len(handover.assignment().adopted) == len(left)


def test_a_cancel_that_the_process_answered(handover):
    report = CameraReport(camera="side", was_on=True, asked_ns=0, entered_ns=0, returned_ns=0)
    handover.answered(cancel("plan", "c"), done(CancelReport(plans=1, already=False, cameras=(report,))))
    assert len(handover.assignment().adopted) == 2
    assert handover.assignment().left_off == ("side",)
    handover.answered(StartCamera(id=1, camera="side"), done())
    assert handover.assignment().left_off == ()
    handover.answered(cancel("camera", "top"), done())
    assert handover.assignment().left_off == ("top",)
    handover.told(CameraChanged(at_ns=0, camera="top", state="armed"))
    assert handover.assignment().left_off == ()
    handover.answered(cancel("all"), done())
    assert handover.assignment().left_off == ("side", "top")
    assert handover.assignment().adopted == ()


def test_changes_go_along(handover):
    handover.answered(SetPriority(id=1, plan="a", priority=7), done())
    handover.answered(
        SetPeriod(id=1, plan="b", period_ns=9), done(Plan(name="b", camera="top", start_ns=4, period_ns=9))
    )
    handover.answered(SetPeriod(id=1, plan="gone", period_ns=9), done())
    handover.answered(SetQuota(id=1, bucket="agent", limit=Limit(5, 5)), done())
    handover.answered(SetQuota(id=1, bucket="plan/c", limit=Limit(6, 6)), done())
    a, b, c = (adopted.order for adopted in handover.assignment().adopted)
    assert a.plan.priority == 7
    assert (b.plan.start_ns, b.plan.period_ns) == (4, 9)
    assert c.quota == Limit(6, 6)
    assert handover.assignment().order.quotas == {"agent": Limit(5, 5)}
    assert ORDER.quotas == {"agent": LIMIT}


def test_an_exposure_that_was_set_goes_along(handover):

    def exposures():
        cameras = handover.assignment().order.cameras
        return {camera.name: (camera.settings.exposure_ns, camera.settings.gain) for camera in cameras}

    gain = GainRequest(value=7)
    handover.answered(Expose(id=1, camera="top", exposure_ns=5, gain=gain), done())
    assert exposures() == {"top": (5, gain), "side": (None, None)}
    handover.answered(Expose(id=2, camera="top", exposure_ns=6), done())
    assert exposures() == {"top": (6, gain), "side": (None, None)}
    assert ORDER.cameras[0].settings.exposure_ns is None


def test_what_is_known_is_what_is_or_lately_was(handover):
    handover.told(PlansEnded(at_ns=0, ends=(("a", "finished", ""),)))
    assert handover.knows(cancel("plan", "a"))
    assert handover.knows(cancel("plan", "b"))
    assert not handover.knows(cancel("plan", "x"))
    assert not handover.knows(cancel("camera", "x"))
    assert handover.knows(cancel("all"))


def test_the_end_of_a_plan_whose_name_another_one_has_is_not_the_end_of_that(handover):
    """It was told late: the answer to the AddPlans of the new one came before."""
    handover.told(PlansEnded(at_ns=0, ends=(("b", "finished", ""),), renewed=(("a", "cancelled", "by me"),)))
    assert [adopted.order.plan.name for adopted in handover.assignment().adopted] == ["a", "c"]


def test_a_quit_ends_all(handover):
    handover.answered(Quit(id=1, by="me"), done())
    assert len(handover.assignment().adopted) == 3  # its process ends, and none follows
    handover.told(Done(re=0, at_ns=0, facts=CancelReport(plans=3, already=False)))
    assert handover.assignment().adopted == ()


def test_names_of_plans_that_ended_do_not_pile_up():
    handover = Handover(ORDER)
    for number in range(10_000):
        order = PlanOrder(plan=Plan(name=f"{number}", camera="top", start_ns=0))
        handover.answered(AddPlans(id=1, orders=(order,)), done({f"{number}": 0}))
        handover.told(PlansEnded(at_ns=0, ends=((f"{number}", "finished", ""),)))
    assert not handover.assignment().adopted
    assert handover.knows(cancel("plan", "9999"))
    assert not handover.knows(cancel("plan", "0"))
