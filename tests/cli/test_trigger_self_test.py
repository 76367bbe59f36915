"""`trigger self-test` with a real capture process on simulated cameras, and each verdict by itself."""

import json
import os
import signal
from pathlib import Path

import pytest

from agent.capture.life import leave_lines
from agent.capture.order import CameraOrder, GroupOrder
from agent.capture.settings import Settings
from agent.capture.trigger_mode import TriggerWish
from agent.capture.trigger_order import CameraTrigger, StopOrder, TriggerKind, TriggerOrder
from agent.cli.interruption import Interrupted
from agent.cli.plan_processes import usual_ways
from agent.cli.trigger_self_test import run_and_report
from agent.cli.trigger_test_run import SelfTest, TestWish
from agent.cli.trigger_verdict import SelfTestFailed
from agent.errors import AgentError, InputError
from agent.trigger.budget import Budget
from agent.trigger.lines import InputOrder, LineRef, OutputOrder
from agent.trigger.modes import TriggerMode
from agent.trigger.pulse import PulseOrder
from agent.units import NS_PER_MS, NS_PER_S, parse_rate

# the sensor's stamps are those of the end of the frame: its exposure is only known to begin before
BUDGET = Budget(delay_ns=12_800, jitter_ns=40 * NS_PER_MS, window_ns=60 * NS_PER_MS, wait_ns=NS_PER_S)
WISH = TestWish(count=4, every_ns=200 * NS_PER_MS, limit_ns=NS_PER_S)
SETTINGS = Settings(width_px=320, height_px=240, rate=parse_rate("60"), settle_frames=0)


def pulse_on(line="trigger", width_ns=NS_PER_MS):
    output = OutputOrder(line=LineRef("bench", line), consumer="test")
    return TriggerOrder(
        kind=TriggerKind.PULSE, output=output, pulse=PulseOrder(width_ns=width_ns), cycle_ns=40 * NS_PER_MS
    )


FOLLOW = TriggerOrder(kind=TriggerKind.EDGE, input=InputOrder(line=LineRef("bench", "edge"), consumer="test"))


def group(trigger, *, budget=BUDGET, free=False, stop=None):
    how = None if free else CameraTrigger(budget=budget, wish=TriggerWish(mode=TriggerMode.EXTERNAL_EDGE))
    paths = {"top": "/dev/video0", "side": "/dev/video2"}
    cameras = tuple(CameraOrder(name=name, path=path, settings=SETTINGS, trigger=how) for name, path in paths.items())
    return GroupOrder(name="line-1", cameras=cameras, trigger=trigger, emergency_stop=stop)


def a_test(trigger, wish=WISH, **order):
    told = []
    test = SelfTest(group(trigger, **order), wish, usual_ways(simulate=True), lambda words, _hint: told.append(words))
    test.heard = told
    return test


def test_each_pulse_brings_a_frame_of_each_camera(capsys):
    test = a_test(pulse_on())
    run_and_report(test, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["passed"]
    assert (document["kind"], document["line"], document["asked"], document["pulses"]) == (
        "pulse",
        "bench:trigger",
        4,
        4,
    )
    assert (document["sets"], document["sets_incomplete"]) == (4, 0)
    assert [camera["camera"] for camera in document["cameras"]] == ["top", "side"]
    for camera in document["cameras"]:
        assert (camera["pulses"], camera["frames"], camera["matched"], camera["spurious"]) == (4, 4, 4, 0)
        assert camera["missed"] == {}
        assert camera["delay"]["count"] == camera["residual"]["count"] == 4
        assert camera["delay"]["min_ns"] - camera["residual"]["min_ns"] == BUDGET.delay_ns
        assert camera["jitter_ns"] == camera["delay"]["max_ns"] - camera["delay"]["min_ns"]
        assert camera["verdict"]["code"] == "passed"


def test_people_get_a_block_for_each_camera(capsys):
    run_and_report(a_test(pulse_on(), TestWish(count=2, every_ns=100 * NS_PER_MS, limit_ns=NS_PER_S)), as_json=False)
    out = capsys.readouterr().out
    for fragment in ("top (/dev/video0): PASS", "side (/dev/video2): PASS", "group line-1, pulse: PASS", "2 matched",
                     "delay ", "jitter ", "residual ", "uncertainty "):  # fmt: skip
        assert fragment in out


def test_a_camera_that_does_not_keep_its_budget_fails_the_test(capsys):
    narrow = Budget(delay_ns=100 * NS_PER_MS, jitter_ns=1, window_ns=150 * NS_PER_MS, wait_ns=NS_PER_S)
    with pytest.raises(SelfTestFailed) as caught:
        run_and_report(
            a_test(pulse_on(), TestWish(count=1, every_ns=NS_PER_S, limit_ns=1), budget=narrow), as_json=False
        )
    assert caught.value.details["failures"] == {"camera top": "out_of_budget", "camera side": "out_of_budget"}
    assert "top (/dev/video0): FAIL" in capsys.readouterr().out


def test_a_line_that_goes_nowhere_fails_with_what_to_look_at(capsys):
    with pytest.raises(SelfTestFailed) as caught:
        run_and_report(a_test(pulse_on("stop"), TestWish(count=2, every_ns=100 * NS_PER_MS, limit_ns=1)), as_json=True)
    assert caught.value.exit_code == 9
    assert caught.value.details["failures"] == {
        "camera top": "no_frame",
        "camera side": "no_frame",
        "group line-1": "incomplete_sets",
    }
    assert "trigger mode" in caught.value.hint
    document = json.loads(capsys.readouterr().out)
    assert not document["passed"]
    assert [camera["missed"] for camera in document["cameras"]] == [{"no frame": 2}] * 2


def test_pulses_of_others_are_waited_for_no_longer_than_asked():
    with pytest.raises(SelfTestFailed, match="no pulse came on bench:edge in time"):
        run_and_report(a_test(FOLLOW, TestWish(count=1, every_ns=1, limit_ns=300 * NS_PER_MS)), as_json=True)


def test_a_line_that_is_not_there_is_its_own_error():
    test = a_test(pulse_on("nowhere"), TestWish(count=1, every_ns=100 * NS_PER_MS, limit_ns=1))
    test.carry_out()
    assert test.pulses == 0
    assert test.error.code == "line_not_found"
    assert test.error.exit_code == 3


def test_an_emergency_stop_that_cannot_be_read_is_what_ends_it(capsys):
    stop = StopOrder(input=InputOrder(line=LineRef("bench", "nowhere"), consumer="test"))
    with pytest.raises(AgentError, match="emergency stop of group line-1 was pressed") as caught:
        run_and_report(a_test(pulse_on(), stop=stop), as_json=True)
    assert caught.value.code == "emergency_stop"
    assert json.loads(capsys.readouterr().out)["pulses"] == 0


@pytest.mark.parametrize(("times", "ended"), [(1, "all streams are off"), (2, "the capture process was killed")])
def test_ctrl_c_ends_it_with_everything_off(times, ended):
    test = a_test(pulse_on(), TestWish(count=1_000, every_ns=100 * NS_PER_MS, limit_ns=1))
    sent = []

    def turn():
        if test.pulses and not sent:
            sent.append(os.getpid())
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    test.on_turn = turn
    with pytest.raises(Interrupted) as caught:
        test.carry_out()
    assert caught.value.exit_code == 130
    assert f"after {test.pulses} of 1000 pulses; {ended}" in caught.value.told


def test_only_on_this_machine_there_are_lines_that_outlive_a_process():
    assert usual_ways(simulate=True).make_safe is leave_lines
    (error,) = usual_ways(simulate=False).make_safe(group(pulse_on()))
    assert error.code in ("chip_not_found", "line_permission")


# ---- bad input


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"trigger": None}, "has no trigger"),
        ({"trigger": TriggerOrder(input=FOLLOW.input)}, "has no trigger"),
        ({"trigger": pulse_on(), "free": True}, "they run free"),
    ],
)
def test_a_group_that_cannot_be_tested(order, told):
    with pytest.raises(InputError, match=told):
        a_test(**order)


def test_pulses_closer_than_the_trigger_can_send_them():
    for trigger, every_ns in ((pulse_on(), 39 * NS_PER_MS), (pulse_on(width_ns=30 * NS_PER_MS), 30 * NS_PER_MS)):
        with pytest.raises(InputError, match="cannot come every"):
            a_test(trigger, TestWish(count=1, every_ns=every_ns, limit_ns=1))


def test_the_verb_names_the_groups_of_the_file(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plans.yaml").write_text("output: none\ncameras:\n  top: {device: /dev/video0}\nplans:\n  a: {camera: top}\n")
    result = cli("trigger", "self-test", "plans.yaml", "tpo", "--simulate", "--json")
    assert result.code == 2
    assert result.error["known"] == ["top"]
    result = cli("trigger", "self-test", "plans.yaml", "top", "--simulate")
    assert (result.code, result.out) == (2, "")
    assert "group top has no trigger to be tested" in result.err


def test_the_trigger_of_a_plan_file(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plans.yaml").write_text("""\
output: none
groups:
  line-1: {trigger: {kind: pulse, output: "bench:trigger", pulse: 1ms, cycle: 100ms}, emergency_stop: "bench:stop"}
cameras:
  top: {device: /dev/video0, group: line-1, exposure: 8ms, trigger: {delay: 12.8us}}
  side: {device: /dev/video2, group: line-1, exposure: 5ms, trigger: {readout: 16ms}}
plans:
  sets: {group: line-1, every: 200ms}
""")
    wishes = ("--count", "3", "--every", "200ms", "--simulate", "--json")
    result = cli("trigger", "self-test", "plans.yaml", "line-1", *wishes)
    assert result.code == 0, result
    found = [(each["camera"], each["pulses"], each["matched"]) for each in result.document["cameras"]]
    assert found == [("top", 3, 3), ("side", 3, 3)]
