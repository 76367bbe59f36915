"""Good plan files and what they come to; and files on disk."""

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from config.told import NOW_NS, REALTIME_NOW_NS, parse

from agent.capture.order import CameraOrder, GroupOrder, PlanOrder, Realtime, StageLimits
from agent.capture.settings import Settings
from agent.config.document import FILE_BYTES
from agent.config.plan_file import load_plan_file
from agent.config.problems import ConfigError, Problem
from agent.pipeline.encode import PictureKind
from agent.pipeline.jpeg import DEFAULT_QUALITY
from agent.schedule.plan import Plan, WhenBusy, Window
from agent.schedule.quota import Limit
from agent.units import NS_PER_MS, NS_PER_S
from agent.v4l2.buffers import MemoryKind
from agent.v4l2.gain import GainRequest

PAGE = Path(__file__).parents[2] / "docs" / "plan-files.md"
SHORTEST, COMPLETE, TRIGGERED = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
MIN, HOUR, DAY = 60 * NS_PER_S, 3600 * NS_PER_S, 86_400 * NS_PER_S
QUOTAS = {
    "agent": Limit(200, NS_PER_S, 20),
    "camera/top": Limit(30, NS_PER_S),
    "camera/left": Limit(100, 10 * NS_PER_S),
    "client/bench-1": Limit(10, MIN, 3),
}
SETTINGS = Settings(
    pixel_format="YUYV",
    width_px=640,
    height_px=480,
    rate=Fraction(30),
    exposure_ns=8 * NS_PER_MS,
    gain=GainRequest(value=16),
    controls={"power_line_frequency": "50 Hz"},
    buffer_count=6,
    memory=(MemoryKind.MMAP_EXPORTED, MemoryKind.MMAP),
    granularity_bytes=4 << 20,
    settle_frames=2,
)


def load(path):
    return load_plan_file(path, now_ns=NOW_NS, realtime_now_ns=REALTIME_NOW_NS)


def only(text):
    """The one plan of a file."""
    ((order,),) = parse(text).plans.values()
    return order.plan


def lapse(line):
    return only(f"cameras: {{top: {{device: /dev/video0}}}}\nplans:\n  lapse:\n    camera: top\n    {line}\n")


def test_the_documented_example():
    found = parse(COMPLETE)
    assert (found.name, found.output, found.file_type, found.quality) == ("plans.yaml", Path("photos"), "jpeg", 90)
    top = CameraOrder(name="top", path="/dev/video0", settings=SETTINGS, focus_once=True, usb_reset=True)
    left = replace(top, name="left", path="/dev/video2")
    group = GroupOrder(
        name="line-1",
        cameras=(top, left),
        quotas=QUOTAS,
        limits=StageLimits(),
        realtime=Realtime(cpus=(1,), fifo_priority=50, lock_memory=True, timer_slack_ns=1000, join_ns=200_000),
    )
    assert found.groups == (group,)
    inspect = Plan(
        name="inspect",
        camera="top",
        start_ns=NOW_NS + 2 * NS_PER_S,
        period_ns=500 * NS_PER_MS,
        count=20,
        burst=3,
        when_busy=WhenBusy.CATCH_UP,
        catch_up=5,
        priority=10,
        client="bench-1",
    )
    lapses = [
        Plan(
            name=f"lapse-{index}",
            camera="left",
            start_ns=NOW_NS + index * 100 * NS_PER_MS,
            period_ns=NS_PER_S,
            windows=(Window(0, 10 * NS_PER_S, MIN), Window(HOUR, 2 * HOUR, DAY)),
        )
        for index in range(10)
    ]
    assert found.plans == {
        "line-1": (PlanOrder(plan=inspect, quota=Limit(5, NS_PER_S)), *(PlanOrder(plan=plan) for plan in lapses))
    }


def test_the_documented_triggers():
    """What each of its lines means is tests/config/test_triggers.py's."""
    (group,) = parse(TRIGGERED).groups
    assert [camera.trigger is not None for camera in group.cameras] == [True, True]
    assert group.emergency_stop is not None


def test_the_shortest_example_and_what_is_usual():
    found = parse(SHORTEST)
    assert (found.output, found.file_type, found.quality) == (Path("photos"), "jpeg", DEFAULT_QUALITY)
    camera = CameraOrder(name="top", path="/dev/video0", settings=Settings(buffer_count=5))
    assert found.groups == (GroupOrder(name="top", cameras=(camera,)),)
    plan = Plan(name="lapse", camera="top", start_ns=NOW_NS, period_ns=10 * NS_PER_S)
    assert found.plans == {"top": (PlanOrder(plan=plan),)}


@pytest.mark.parametrize(
    ("burst", "buffers"), [("store: false, burst: 9", 4), ("burst: 1", 5), ("burst: 6", 10), ("burst: 30", 32)]
)
def test_buffers_are_enough_for_the_longest_burst_that_is_stored(burst, buffers):
    found = parse(f"cameras: {{top: {{device: /dev/video0}}}}\nplans:\n  a: {{camera: top, every: 10s, {burst}}}\n")
    assert found.groups[0].cameras[0].settings.buffer_count == buffers


@pytest.mark.parametrize(("burst", "buffers"), [(5, "buffers: 6"), (31, "rate: 30")])
def test_a_burst_without_enough_buffers(burst, buffers):
    with pytest.raises(ConfigError, match=rf"needs {burst + 2} buffers, and camera top has") as caught:
        parse(
            f"cameras: {{top: {{device: /dev/video0, {buffers}}}}}\n"
            f"plans:\n  a: {{camera: top, every: 10s, burst: {burst}}}\n"
        )
    assert [problem.line for problem in caught.value.problems] == [3]


def test_the_documented_errors():
    (shown,) = re.findall(r"```text\n(camera-agent: .*?)```", PAGE.read_text(), re.DOTALL)
    with pytest.raises(ConfigError) as caught:
        parse("cameras:\n  top: {device: /dev/video0}\nplans:\n  lapse:\n    camera: tpo\n    every: 10\n")
    assert f"camera-agent: {caught.value.message}\n  {caught.value.hint}\n" == shown


def test_file_types_are_those_of_the_pipeline():
    for kind in PictureKind:
        assert parse(f"file_type: {kind}\n{SHORTEST}").file_type == kind.value


@pytest.mark.parametrize("nothing", ["none", "null", "", "~"])
def test_nothing_is_kept(nothing):
    found = parse(f"output: {nothing}\n{SHORTEST}")
    assert found.output is None
    assert [order.store for order in found.plans["top"]] == [False]


def test_groups():
    found = parse(
        "cameras:\n"
        "  a: {device: /dev/video0, group: line}\n  b: {device: /dev/video2}\n  c: {device: /dev/video4, group: line}\n"
        "plans: {p: {camera: c}, q: {camera: a}}\n"
    )
    assert [(group.name, [camera.name for camera in group.cameras]) for group in found.groups] == [
        ("line", ["a", "c"]),
        ("b", ["b"]),
    ]
    assert {name: [order.plan.name for order in orders] for name, orders in found.plans.items()} == {
        "line": ["p", "q"],
        "b": [],
    }


def test_ten_thousand_copies_spread_evenly_and_fit():
    found = parse(SHORTEST.replace("every: 10s", "every: 7ms, copies: 10000"))
    orders = found.plans["top"]
    assert found.groups[0].plan_capacity == len(orders) == 10_000
    assert [order.plan.name for order in orders[:2]] == ["lapse-0000", "lapse-0001"]
    assert orders[-1].plan.name == "lapse-9999"
    starts = [order.plan.start_ns - NOW_NS for order in orders]
    assert starts == [index * 700 for index in range(10_000)]


def test_copies_do_not_add_up_their_rounding():
    orders = parse(SHORTEST.replace("every: 10s", "every: 11ns, copies: 4")).plans["top"]
    assert [order.plan.start_ns - NOW_NS for order in orders] == [0, 2, 5, 8]


@pytest.mark.parametrize(
    ("text", "after_ns"),
    [
        ("2s", 2 * NS_PER_S),
        ("0s", 0),
        ("2026-11-24T10:15:00Z", 0),
        ("2026-11-24T11:15:01+01:00", NS_PER_S),
        ("2026-11-24 10:15:00.000001 Z", 1000),
        ("2026-11-25T10:15Z", DAY),
    ],
)
def test_starts(text, after_ns):
    assert lapse(f"start: {text}").start_ns == NOW_NS + after_ns


def test_a_date_knows_the_clocks_below_a_microsecond():
    text = SHORTEST.replace("every: 10s", "start: 2026-11-24T10:15:01Z")
    shifted = load_text(text, REALTIME_NOW_NS + 7)
    assert shifted.plans["top"][0].plan.start_ns == NOW_NS + NS_PER_S - 7


def load_text(text, realtime_now_ns):
    from agent.config.plan_file import parse_plan_file

    return parse_plan_file(text, "plans.yaml", now_ns=NOW_NS, realtime_now_ns=realtime_now_ns)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("5/s", Limit(5, NS_PER_S)),
        ("5 / 1 s", Limit(5, NS_PER_S)),
        ("10/min burst 3", Limit(10, MIN, 3)),
        ("200/1.5h  burst 20", Limit(200, HOUR * 3 // 2, 20)),
        ("1/d", Limit(1, DAY)),
    ],
)
def test_quotas(text, limit):
    found = parse(SHORTEST.replace("every: 10s", f"quota: {text}"))
    assert found.plans["top"][0].quota == limit


def test_policies():
    assert lapse("when_busy: coalesce").when_busy is WhenBusy.COALESCE
    assert lapse("when_busy: skip").when_busy is WhenBusy.SKIP


def test_limits_of_stages():
    found = parse(
        SHORTEST + "limits: {session: 1s, focus: 2s, frame: 3s, encode: 4s, develop: 5s, stop: 6s, step: 7s}\n"
    )
    assert found.groups[0].limits == StageLimits(*(), **{
        f"{name}_ns": index * NS_PER_S
        for index, name in enumerate(("session", "focus", "frame", "encode", "develop", "stop", "step"), start=1)
    })  # fmt: skip


def test_a_file_on_disk(tmp_path):
    path = tmp_path / "plans.yaml"
    path.write_text(SHORTEST)
    assert load(path).name == str(path)
    assert load(path).groups == parse(SHORTEST).groups


def told(path):
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.file == str(path).replace("\0", "\\x00")[:57] + "..." if len(str(path)) > 60 else str(path)
    return problem.line, problem.message


def test_files_that_cannot_be_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("big.yaml").write_bytes(b"#" * (FILE_BYTES + 1))
    Path("fits.yaml").write_bytes(SHORTEST.encode() + b"#" * (FILE_BYTES - len(SHORTEST.encode())))
    Path("latin.yaml").write_bytes("output: a\n# für\n".encode("latin-1"))
    Path("utf-16.yaml").write_bytes(SHORTEST.encode("utf-16"))
    Path("nul.yaml").write_bytes(b"output: a\0b\n")
    Path("empty.yaml").touch()
    assert told(Path("missing.yaml")) == (None, "cannot be read: No such file or directory")
    assert told(Path()) == (None, "cannot be read: Is a directory")
    assert told(Path("big.yaml")) == (None, "larger than 4 MiB")
    assert load(Path("fits.yaml")).file_type == "jpeg"
    assert told(Path("latin.yaml")) == (2, "this is not UTF-8")
    assert told(Path("utf-16.yaml")) == (1, "this is not UTF-8")
    assert told(Path("nul.yaml")) == (1, "the character U+0000")
    assert told(Path("empty.yaml")) == (None, "the file is empty")
    assert told(Path("/dev/zero")) == (None, "larger than 4 MiB")


def test_one_problem_is_the_message_and_its_hint():
    error = ConfigError([Problem("f.yaml", 3, "a.b", "is wrong", "do right")])
    assert (error.message, error.hint) == ("f.yaml:3: a.b: is wrong", "do right")
    assert error.exit_code == 2


def test_several_problems_are_listed_by_line():
    problems = [Problem("f.yaml", line, "a", "is wrong", "do right") for line in (3, None, 1)]
    error = ConfigError(problems)
    assert error.message.split("\n") == [
        "f.yaml: 3 problems",
        "  f.yaml: a: is wrong; do right",
        "  f.yaml:1: a: is wrong; do right",
        "  f.yaml:3: a: is wrong; do right",
    ]
    assert [problem["line"] for problem in error.as_dict()["problems"]] == [None, 1, 3]


def test_very_many_problems_are_counted():
    error = ConfigError([Problem("f.yaml", line, "a", "is wrong", "do right") for line in range(1, 1002)])
    assert error.message.split("\n")[0] == "f.yaml: 1,001 problems"
    assert error.message.split("\n")[-1] == "  and 901 more"
    assert error.message.count("\n") == 101
    assert len(error.problems) == 1001
