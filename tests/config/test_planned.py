"""When the plans of a service begin: at each reading the same value, and an instant only then."""

from config.service import service
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.order import PlanOrder
from agent.config.planned import Planned
from agent.schedule.instants import Instants
from agent.schedule.plan import Plan, Window
from agent.units import NS_PER_S

NOW_NS, REALTIME_NS = 5_000 * NS_PER_S, 1_795_515_300 * NS_PER_S


def planned(**fields):
    return Planned(PlanOrder(plan=Plan(name="a", camera="top", **fields)), "top", dated=True)


def begun(file_line):
    text = f"cameras: {{top: {{device: /dev/video0}}}}\nplans: {{a: {{camera: top, {file_line}}}}}"
    found = service(text).plans_of("top", NOW_NS, REALTIME_NS)
    return found[0].plan if found else None


def test_without_a_date_it_begins_when_it_is_begun():
    assert begun("every: 1s").start_ns == NOW_NS
    assert begun("every: 1s, start: 2s").start_ns == NOW_NS + 2 * NS_PER_S


def test_a_date_to_come():
    assert begun("start: 2026-11-24T10:15:10Z").start_ns == NOW_NS + 10 * NS_PER_S
    assert begun("start: 2026-11-24T11:15:10+01:00, every: 1s, copies: 2").start_ns == NOW_NS + 10 * NS_PER_S


def test_a_date_that_is_past():
    assert begun("start: 2026-11-24T10:14:59Z") is None
    later = begun("start: 2026-11-24T10:14:51Z, every: 2s, count: 6")
    assert (later.start_ns, later.count) == (NOW_NS + NS_PER_S, 1)
    assert begun("start: 2026-11-24T10:14:51Z, every: 2s, count: 5") is None
    assert begun("start: 2026-11-24T10:14:51Z, every: 2s").count is None


def test_windows_count_from_the_date():
    line = "start: 2026-11-24T10:14:00Z, every: 1s, windows: [{from: 0s, to: 10s"
    assert begun(line + "}]") is None
    assert begun(line + ", every: 1min}]").start_ns == NOW_NS - 60 * NS_PER_S


@given(st.integers(-(10**6), 10**6), st.none() | st.integers(1, 10**4), st.none() | st.integers(1, 1000))
def test_what_is_left_is_what_was_to_come(late_ns, period_ns, count):
    """The instants of the plan that is begun are those of the whole one that are not past."""
    whole = planned(start_ns=REALTIME_NS - late_ns, period_ns=period_ns, count=count if period_ns else None)
    order = whole.begun(NOW_NS, REALTIME_NS)
    start_ns = NOW_NS - late_ns
    most = 1 if period_ns is None else 1000 if count is None else count
    all_of_them = [start_ns + k * (period_ns or 0) for k in range(most)]
    to_come = [instant for instant in all_of_them if instant >= NOW_NS]
    if order is None:
        assert not to_come
        return
    plan = order.plan
    assert plan.count is None or plan.count == len(to_come)
    assert not to_come or plan.start_ns == to_come[0]
    assert Instants.of(plan).first_at_or_after(NOW_NS) == (to_come or [plan.start_ns])[0]


def test_windows_that_are_over():
    plan = planned(start_ns=REALTIME_NS - 100, period_ns=1, windows=(Window(0, 50),))
    assert plan.begun(NOW_NS, REALTIME_NS) is None
    assert plan.begun(NOW_NS, REALTIME_NS - 60) is not None
