"""`plan check`: all errors at once, else what a file comes to, in words and for programs."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.plan_reading import DAY_NS, HOUR_NS, Count, Now, count_ticks, rate_text, read_plans
from agent.config.plan_file import parse_plan_file
from agent.config.quotas import limit_text
from agent.schedule.instants import Instants
from agent.schedule.plan import Plan, Window
from agent.schedule.quota import Limit
from agent.units import NS_PER_MS, NS_PER_S

GOOD = """\
output: none
cameras:
  top: {device: /dev/video0, rate: 30}
  left: {device: /dev/video2, group: line-1}
plans:
  inspect: {camera: top, every: 500ms, start: 2s, count: 20, burst: 3, quota: 1/s, priority: 5, client: bench-1}
  lapse: {camera: left, every: 1s, copies: 10, when_busy: {catch_up: 5}}
  once: {camera: left}
quotas:
  agent: 5/s burst 20
  cameras: {left: 100/10s}
  clients: {bench-1: 10/min burst 3}
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text):
        path = Path("plans.yaml")
        path.write_text(text)
        return path

    return write


@pytest.fixture(autouse=True)
def in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_in_words(cli, file):
    result = cli("plan", "check", file(GOOD))
    assert (result.code, result.err) == (0, "")
    for fragment in (
        "plans.yaml: nothing is wrong with it",
        "inspect: every 500ms on camera top, 3 frames a tick",
        "20 in the next hour, 20 in the next day",
        "ends after 20 ticks; its own quota, 1/s: of 2/s it lets 1/s through, the others are refused; ",
        "the quota of client bench-1, 10/min burst 3; the quota of all plans, 5/s burst 20",
        "lapse-0 to lapse-9, 10 plans alike: every 1s each, 10/s together on camera left",
        "36,000 in the next hour, 864,000 in the next day",
        "a tick waits, up to 5 of them",
        "once: once on camera left",
        "1 in the next hour, 1 in the next day",
        "UTC if it is run now",
        "expected load: 12 plans, 12/s ticks while all of them run, 864,021 ticks in the next day",
        "the quota of all plans, 5/s burst 20, refuses what is beyond it",
        "pictures: none are kept",
    ):
        assert fragment in result.out


def test_a_camera_that_is_to_be_found_is_told_by_what_it_is(cli, file):
    path = file(GOOD.replace("/dev/video0", "{serial: A1}"))
    result = cli("plan", "check", path)
    assert result.code == 0
    assert "serial A1" in result.out
    assert cli("plan", "check", path, "--json").document["cameras"][0]["device"] == "serial A1"


def test_ten_thousand_plans_are_told_in_a_few_lines(cli, file):
    text = "cameras: {top: {device: /dev/video0}}\nplans: {many: {camera: top, every: 1s, copies: 10000}}\n"
    result = cli("plan", "check", file(text))
    assert "10,000 plans, 10,000/s ticks" in result.out
    assert "36,000,000 in the next hour" in result.out
    assert len(result.out.splitlines()) < 20


def test_json(cli, file):
    document = cli("plan", "check", file(GOOD), "--json").document
    assert document["problems"] == []
    inspect, lapse, once = document["plans"]
    assert (inspect["names"], inspect["every_ns"], inspect["ticks"]) == (["inspect"], 500 * NS_PER_MS, 20)
    assert inspect["next_ns"] == [2 * NS_PER_S, 2_500 * NS_PER_MS, 3 * NS_PER_S]
    assert [inspect["next_hour"], lapse["next_hour"], once["next_hour"]] == [20, 36_000, 1]
    assert (lapse["count"], lapse["when_busy"], lapse["catch_up"]) == (10, "catch_up", 5)
    assert lapse["next_ns"] == [0, 100 * NS_PER_MS, 200 * NS_PER_MS]
    assert (once["every_ns"], once["ticks"]) == (None, 1)
    assert [camera["name"] for camera in document["cameras"]] == ["top", "left"]
    assert document["cameras"][0]["frames_per_s"] == 6
    assert document["load"]["ticks_per_s"] == 12


def test_more_than_a_camera_gives_is_said(cli, file):
    text = """
cameras: {top: {device: /dev/video0, rate: 10}}
plans: {a: {camera: top, every: 100ms, copies: 3}}
quotas: {cameras: {top: 20/s}}
"""
    out = cli("plan", "check", file(text)).out
    assert "top gives fewer frames than its plans want: those due within one frame share it" in out
    assert "the quota of top, 20/s, refuses what is beyond it" in out


BAD = [
    ("every: 0s", "more than zero"),
    ("every: -1s", "more than zero"),
    ("every: 1ms", "beyond the camera"),
    ("every: 1s, windows: [{from: 100ms, to: 200ms}]", "never opens"),
    ("every: 1s, quota: 0/s", "0"),
    ("every: 1s, camrea: top", "did you mean camera"),
]


@pytest.mark.parametrize(("keys", "told"), BAD)
def test_bad_files(cli, file, keys, told):
    text = f"cameras: {{top: {{device: /dev/video0, rate: 30}}}}\nplans:\n  a: {{camera: top, {keys}}}\n"
    path = file(text)
    result = cli("plan", "check", path)
    assert (result.code, result.out) == (2, "")
    assert "plans.yaml:3: plans.a" in result.err
    assert told in result.err


def test_all_errors_at_once_with_line_and_key(cli, file):
    text = """\
cameras:
  top: {device: /dev/video0}
plans:
  a: {camera: tpo, every: 1s}
  b: {camera: top, every: 10}
  b: {camera: top, every: 1s}
"""
    result = cli("plan", "check", file(text), "--json")
    problems = result.error["problems"]
    assert (result.code, result.out) == (2, "")
    assert {(problem["line"], problem["key"]) for problem in problems} >= {(4, "plans.a.camera"), (5, "plans.b.every")}
    assert any(problem["line"] == 6 for problem in problems)


@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_file_that_is_not_there(cli, tmp_path, verb):
    result = cli("plan", verb, tmp_path / "none.yaml")
    assert result.code == 2
    assert "cannot be read: No such file or directory" in result.err


@pytest.mark.parametrize("options", [("--ticks", "3"), ("--camera-like", "uvc"), ("--every-frame",), ("--simulate",)])
def test_options_of_the_trace_alone_are_refused(cli, file, options):
    result = cli("plan", "check", file(GOOD), *options)
    assert result.code == 2
    assert "belong to --trace" in result.err


def test_help_says_what_there_is(cli):
    for verb in ((), ("check",), ("run",)):
        result = cli("plan", *verb, "--help")
        assert result.code == 0
        assert "plan" in result.out
    assert "camera-agent plan run plans.yaml --simulate --for 10s" in cli("plan", "run", "--help").out


@st.composite
def plans(draw):
    period_ns = draw(st.integers(1, 50))
    windows = []
    for _ in range(draw(st.integers(0, 2))):
        open_ns = draw(st.integers(0, 60))
        length_ns = draw(st.integers(1, 40))
        every_ns = draw(st.none() | st.integers(length_ns, 90))
        windows.append(Window(open_ns, open_ns + length_ns, every_ns))
    return Plan(
        name="a",
        camera="top",
        start_ns=draw(st.integers(0, 100)),
        period_ns=period_ns,
        count=draw(st.none() | st.integers(1, 30)),
        windows=tuple(windows),
    )


@given(plans(), st.integers(1, 400))
def test_ticks_are_counted_as_they_come(plan, span_ns):
    from_ns = plan.start_ns
    instants, found = Instants.of(plan), []
    at_ns = instants.first_at_or_after(from_ns)
    while at_ns is not None and at_ns < from_ns + span_ns and len(found) < (plan.count or 10**9):
        found.append(at_ns)
        at_ns = instants.first_at_or_after(at_ns + 1)
    assert count_ticks(plan, from_ns, span_ns) == Count(len(found))


def test_windows_that_open_all_the_time_are_scaled_up():
    plan = Plan(name="a", camera="top", start_ns=0, period_ns=1_000, windows=(Window(0, 10_000, 20_000),))
    count = count_ticks(plan, 0, DAY_NS)
    assert count.about
    assert count.ticks == pytest.approx(DAY_NS / 2_000, rel=1e-3)
    assert count.text.startswith("about ")


def test_a_one_shot_and_a_plan_to_come():
    one = Plan(name="a", camera="top", start_ns=10)
    assert [count_ticks(one, 0, HOUR_NS).ticks, count_ticks(one, 0, 10).ticks] == [1, 0]


@pytest.mark.parametrize(
    ("per_s", "text"), [(10_000, "10,000/s"), (2, "2/s"), (0.5, "30/min"), (1 / 3600, "1/h"), (0, "0/d")]
)
def test_rates_in_a_unit_that_reads(per_s, text):
    assert rate_text(per_s) == text


def test_limits_as_files_have_them():
    assert limit_text(Limit(5, NS_PER_S)) == "5/s"
    assert limit_text(Limit(100, 10 * NS_PER_S, 20)) == "100/10s burst 20"


def test_plans_alike_are_read_together():
    file = parse_plan_file(GOOD, "x.yaml", now_ns=10**12, realtime_now_ns=10**18)
    readings = read_plans(file, Now(10**12, 10**18))
    assert [len(reading.orders) for reading in readings] == [1, 10, 1]
    assert json.dumps([reading.next_ns for reading in readings])


TRIGGERED = """\
output: none
groups:
  g:
    trigger: {kind: pulse, output: {line: rig-lines:trigger, active: low}, settle: 20ms, cycle: 40ms, input: rig:edge}
    emergency_stop: {line: rig:stop, bias: pull-up}
cameras:
  top: {device: /dev/video0, group: g, exposure: 8ms, trigger: {delay: 12.8us, jitter: 300ns, window: 5ms, wait: 1s}}
  side: {device: /dev/video2, group: g, exposure: 8ms, trigger: {strobe: rig:s}}
plans:
  sets: {group: g, every: 500ms}
  parts: {camera: top, on_edge: {divider: 2, distance: 10ms}}
"""


def test_triggers_in_words(cli, file):
    out = " ".join(cli("plan", "check", file(TRIGGERED)).out.split())
    for told in (
        "sets: every 500ms on group g, a frame of each camera",
        "parts: at one of 2 edges, 10ms apart at least on camera top next as edges come ticks as many as edges come",
        "trigger a pulse of 1ms on line rig-lines:trigger (active low) when a tick is due, 40ms apart at least",
        "first pulse 20ms after all its cameras stream",
        "input line rig:edge",
        "emergency stop line rig:stop (pull-up): it stops every camera of the group, and ends the run",
        "camera top external_edge: exposes 12.8us ± 300ns after the pulse, looked for within ± 5ms, missed after 1s",
        "camera side external_edge: exposes at the pulse, looked for within ± 10ms, missed after 218ms; its strobe is",
        "top /dev/video0 g 2 2/s 2/s",
        "side /dev/video2 g 1 2/s 2/s",
    ):
        assert told in out


@pytest.mark.parametrize(
    ("trigger", "told"),
    [
        ("kind: software", "the cameras' own software triggers when a tick is due, the cameras' frame interval apart"),
        ("kind: edge, input: rig:edge", "somebody else's pulses, seen on its input"),
        ("kind: pwm, pwm: {chip: pwmchip0, every: 1s, width: 1ms}", "pwmchip0 channel 0: a pulse of 1ms every 1s"),
    ],
)
def test_kinds_of_triggers_in_words(cli, file, trigger, told):
    text = (
        f"groups: {{g: {{trigger: {{{trigger}}}}}}}\ncameras: {{a: {{device: /dev/video0, group: g, trigger: {{}}}}}}\n"
    )
    assert told in " ".join(cli("plan", "check", file(text + "plans: {p: {camera: a, every: 1s}}\n")).out.split())


def test_triggers_as_facts(cli, file):
    document = cli("plan", "check", file(TRIGGERED), "--json").document
    (group,) = document["groups"]
    assert group["trigger"]["output"] == "rig-lines:trigger"
    assert (group["trigger"]["pulse_ns"], group["trigger"]["cycle_ns"]) == (1_000_000, 40_000_000)
    assert group["emergency_stop"] == "rig:stop"
    assert (group["cameras"]["top"]["delay_ns"], group["cameras"]["side"]["strobe"]) == (12_800, "rig:s")
    sets, parts = document["plans"]
    assert (sets["camera"], sets["group"], sets["on_edge"]) == (None, "g", None)
    assert (parts["camera"], parts["ticks"], parts["next_ns"]) == ("top", None, [])
    assert parts["on_edge"] == {"divider": 2, "distance_ns": 10_000_000}
