"""What a reload would do: it makes any configuration of any other, and between equal ones nothing."""

from dataclasses import replace

import pytest
import yaml
from config.service import service
from hypothesis import given
from hypothesis import strategies as st

from agent.config.changes import Exposure, LimitChange, PlanChange, applied, diff
from agent.config.changes_told import tell
from agent.schedule.quota import Limit
from agent.units import NS_PER_MS, NS_PER_S
from agent.v4l2.gain import GainRequest

BASE = """\
cameras:
  top: {device: /dev/video0, group: line, rate: 30, exposure: 8ms, gain: 16, buffers: 8}
  left: {device: {serial: A1}, group: line}
  free: {device: /dev/video4}
plans:
  lapse: {camera: top, every: 1s, quota: 5/s, priority: 1}
  sets: {group: line, every: 10s}
  once: {camera: free, start: 2s}
quotas: {agent: 200/s}
"""


def changes(*replacements):
    """From BASE to BASE with some of its text replaced."""
    text = BASE
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return diff(service(BASE), service(text))


def names(groups):
    return [each.order.name for each in groups]


def test_nothing():
    found = changes()
    assert found.is_empty
    assert found.same == ("line", "free")
    assert tell(found).as_dict() == {"starts": [], "stops": [], "changes": [], "same": ["group line", "group free"]}


SAME = [
    ("cameras:", "# comment\n\ncameras:"),
    ("rate: 30", "rate: 30/1"),
    ("every: 1s", "every: 1000ms"),
    ("group: line, rate: 30", "rate: 30, group: line"),
    ("quotas: {agent: 200/s}", "quotas: {agent: 200/1000ms}\noutput: photos"),
]


@pytest.mark.parametrize(("old", "new"), SAME)
def test_the_same_in_other_words(old, new):
    assert changes((old, new)).is_empty


ANEW = [
    ("rate: 30", "rate: 15", "line", "cameras.top.rate"),
    ("rate: 30", "size: 640x480", "line", "cameras.top.size"),
    ("buffers: 8", "buffers: 9", "line", "cameras.top.buffers"),
    ("{serial: A1}", "{serial: A2}", "line", "cameras.left.device"),
    ("/dev/video0", "/dev/video6", "line", "cameras.top.device"),
    ("exposure: 8ms, ", "", "line", "cameras.top.exposure"),
    ("gain: 16, ", "", "line", "cameras.top.gain"),
    ("/dev/video4", "{path: /dev/video4}", None, ""),
    ("/dev/video4", "/dev/video4, focus: once", "free", "cameras.free.focus"),
    ("/dev/video4", "/dev/video4, gain: 5", "free", "cameras.free.gain"),
    ("every: 10s", "every: 10s, burst: 6", "line", "cameras.left.buffers"),
    ("quotas:", "groups: {free: {emergency_stop: c:1}}\nquotas:", "free", "groups.free.emergency_stop"),
    ("quotas:", "groups: {free: {trigger: {input: c:1}}}\nquotas:", "free", "groups.free.trigger"),
    ("every: 1s", "every: 1h, copies: 600", "line", "room for so many plans"),
]


@pytest.mark.parametrize(("old", "new", "group", "why"), ANEW)
def test_a_group_that_starts_anew(old, new, group, why):
    found = changes((old, new))
    if group is None:
        assert not found.anew
        return
    assert names(found.anew) == [group]
    assert why in found.anew[0].why
    assert set(found.same) == {"line", "free"} - {group}
    assert set(found.matches) == {"line": {"top", "left"}, "free": {"free"}}[group]


@pytest.mark.parametrize(
    "line", ["limits: {stop: 1s}", "realtime: {fifo: 5}", "ageing: 2s", "output: none", "file_type: png"]
)
def test_what_concerns_all_groups(line):
    found = changes(("quotas:", f"{line}\nquotas:"))
    assert names(found.anew) == ["line", "free"]
    assert not found.same


def test_a_camera_comes_to_a_group():
    found = changes(("/dev/video4", "/dev/video4, group: line"))
    assert (names(found.anew), found.stops, found.starts) == (["line"], ("free",), ())
    assert found.anew[0].why == ("cameras.free",)
    assert [(each.planned.name, each.why) for each in found.plans_replaced] == [("once", ("group",))]


@pytest.mark.parametrize(
    ("old", "new", "exposure_ns", "gain"),
    [
        ("exposure: 8ms", "exposure: 4ms", 4 * NS_PER_MS, None),
        ("gain: 16", "gain: 6dB", 8 * NS_PER_MS, GainRequest(mdb=6000)),
        ("exposure: 8ms, gain: 16", "exposure: 4ms, gain: 1", 4 * NS_PER_MS, GainRequest(value=1)),
    ],
)
def test_an_exposure_is_changed_in_place(old, new, exposure_ns, gain):
    found = changes((old, new))
    assert found.exposures == (Exposure("line", "top", exposure_ns, gain),)
    assert (found.anew, found.same) == ((), ("line", "free"))


def test_an_exposure_of_a_camera_that_had_none():
    assert changes(("/dev/video4", "/dev/video4, exposure: 1ms")).exposures == (
        Exposure("free", "free", NS_PER_MS, None),
    )


IN_PLACE = [
    ("every: 1s", "every: 2s", PlanChange(group="line", name="lapse", period_ns=2 * NS_PER_S)),
    ("priority: 1", "priority: 0", PlanChange(group="line", name="lapse", priority=0)),
    ("quota: 5/s", "quota: 6/s", PlanChange(group="line", name="lapse", quota=Limit(6, NS_PER_S))),
]


@pytest.mark.parametrize(("old", "new", "expected"), IN_PLACE)
def test_a_plan_is_changed_in_place(old, new, expected):
    found = changes((old, new))
    assert found == replace(changes(), plans_changed=(expected,))


REPLACED = [
    ("every: 1s", "every: 1s, burst: 2", "lapse", "burst"),
    (", quota: 5/s", "", "lapse", "quota"),
    ("every: 1s, quota: 5/s", "quota: 5/s", "lapse", "every"),
    ("every: 1s", "every: 1s, start: 3s", "lapse", "start"),
    ("start: 2s", "start: 1970-01-01T00:00:02Z", "once", "start"),
    ("start: 2s", "store: false", "once", "store"),
    ("start: 2s", "every: 1s", "once", "every"),
    ("camera: top", "camera: left", "lapse", "camera"),
]


@pytest.mark.parametrize(("old", "new", "name", "why"), REPLACED)
def test_a_plan_begins_again(old, new, name, why):
    found = changes((old, new))
    assert [each.planned.name for each in found.plans_replaced] == [name]
    assert why in found.plans_replaced[0].why
    assert (found.plans_changed, found.plans_added, found.plans_removed, found.anew) == ((), (), (), ())


def test_plans_come_and_go():
    found = changes(("once", "twice"))
    assert found.plans_removed == ("once",)
    assert [planned.name for planned in found.plans_added] == ["twice"]


def test_limits_change_in_place():
    found = changes(("agent: 200/s", "cameras: {top: 1/s}"))
    assert found.limits == (
        LimitChange("agent", Limit(200, NS_PER_S), None),
        LimitChange("camera/top", None, Limit(1, NS_PER_S)),
    )
    assert not found.anew


def test_in_words():
    found = changes(
        ("rate: 30", "rate: 15"),
        ("every: 10s", "every: 20s"),
        ("once: {camera: free, start: 2s}", "twice: {camera: free, every: 2s}"),
        ("/dev/video4", "/dev/video4, exposure: 8ms, gain: 6dB"),
        ("/dev/video4, exposure: 8ms, gain: 6dB", "/dev/video4, exposure: 8ms"),
        ("200/s", "100/min burst 3"),
        ("quotas", "metrics: :9091\nquotas"),
    )
    assert tell(found).as_dict() == {
        "starts": ["group line with cameras left, top", "plan twice of free, every 2s"],
        "stops": ["group line, to start it anew: cameras.top.rate", "plan once"],
        "changes": [
            "camera free: exposure 8ms",
            "plan sets: every 20s",
            "quota agent: 100/min burst 3, was 200/s",
            "metrics: given out elsewhere",
        ],
        "same": ["group free"],
    }


# -- any two --------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
GROUPS = st.sampled_from(["g", "h", "a"])
LIMITS = st.sampled_from(["1/s", "2/s", "5/min burst 2"])


def some(**optional):
    return st.fixed_dictionaries({}, optional=optional)


CAMERA = st.fixed_dictionaries(
    {"device": st.none()},
    optional={
        "group": GROUPS,
        "rate": st.sampled_from([10, 30]),
        "exposure": st.sampled_from(["1ms", "2ms"]),
        "gain": st.sampled_from([1, "6dB"]),
        "focus": st.just("once"),
        "controls": st.sampled_from([{"x": 1}, {"x": 1, "y": 2}]),
    },
)
PLAN = some(
    every=st.sampled_from(["1s", "2s", "4s"]),
    start=st.sampled_from(["0s", "1s", "2020-01-01T00:00:00Z"]),
    priority=st.integers(-1, 1),
    quota=LIMITS,
    burst=st.integers(1, 8),
    store=st.booleans(),
)


@st.composite
def configurations(draw):
    cameras = draw(st.dictionaries(NAMES, CAMERA, max_size=3))
    for name, camera in cameras.items():
        camera["device"] = draw(st.sampled_from([f"/dev/{name}", {"serial": name}, {"port": name}]))
    plans = draw(st.dictionaries(st.sampled_from(["p", "q", "r"]), PLAN)) if cameras else {}
    for plan in plans.values():
        plan["camera"] = draw(st.sampled_from(sorted(cameras)))
        plan.pop("store" if draw(st.booleans()) else "", None)
    tree = {
        "cameras": cameras,
        "plans": plans,
        "quotas": draw(some(agent=LIMITS, clients=st.dictionaries(NAMES, LIMITS))),
    }
    tree |= draw(
        some(
            limits=st.just({"stop": "1s"}),
            metrics=st.sampled_from([":1", ":2"]),
            access=some(look=st.just(["x"])),
            socket=st.just("/run/s"),
            file_type=st.just("png"),
            ageing=st.just("2s"),
        )
    )
    return service(yaml.safe_dump(tree, sort_keys=False))


@given(configurations(), configurations())
def test_applied_to_the_old_it_gives_the_new(old, new):
    found = diff(old, new)
    assert applied(found, old) == new
    assert found.is_empty == (old == new)
    told = tell(found)
    assert found.is_empty == (not (told.starts or told.stops or told.changes))
    groups = [*found.same, *(each.order.name for each in found.anew), *(order.name for order in found.starts)]
    assert sorted(groups) == sorted(new.groups)
    assert set(found.stops) == set(old.groups) - set(new.groups)


@given(configurations())
def test_from_and_to_nothing(file):
    assert diff(file, file).is_empty
    nothing = service("")
    assert applied(diff(nothing, file), nothing) == file
    assert applied(diff(file, nothing), file) == nothing


@given(configurations(), configurations())
def test_a_group_that_goes_on_differs_in_its_exposures_only(old, new):
    found = diff(old, new)
    for name in found.same:
        before, after = old.groups[name], new.groups[name]
        bare = [
            replace(order, quotas={}, cameras=tuple(replace(each, settings=dark(each)) for each in order.cameras))
            for order in (before, after)
        ]
        assert bare[0] == bare[1]


def dark(camera):
    return replace(camera.settings, exposure_ns=None, gain=None)
