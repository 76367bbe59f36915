"""The verbs that ask a running agent, against a real server with a pretending agent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from control.thread_desk import serving_in_a_thread

REPOSITORY = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "agent.cli")


@pytest.fixture
def desk(tmp_path):
    with serving_in_a_thread(tmp_path) as made:
        yield made


@pytest.fixture
def asked(cli, desk):
    return lambda *arguments: cli(*arguments, "--socket", desk.path)


def test_status(asked, desk):
    result = asked("status")
    assert result.code == 0
    assert "well" in result.out
    assert str(desk.path) in result.out
    assert "2: 2 idle" in result.out
    assert asked("status", "--json").document["health"]["healthy"] is True


def test_status_of_an_agent_that_is_not_well_is_1(asked, desk):
    async def health():
        found = {"healthy": False, "version": "0", "pid": 7, "since_ns": 0, "now_ns": 3_723 * 10**9}
        return found | {"problems": ["camera top: fault"]}

    desk.agent.health = health
    result = asked("status")
    assert result.code == 1
    assert "up 01:02:03" in result.out
    assert "! camera top: fault" in result.out


def test_cameras(asked):
    result = asked("cameras")
    assert result.code == 0
    assert "/dev/video0" in result.out
    assert [one["name"] for one in asked("cameras", "--json").document["cameras"]] == ["side", "top"]
    assert "serial: top" in asked("cameras", "top").out


def test_start_stop_and_stop_all(asked, desk):
    assert asked("start", "top", "side").out == "top: armed\nside: armed\n"
    assert asked("start", "top").out == "top: was armed already\n"
    assert asked("stop", "top").out.startswith("top: stream off, STREAMOFF took 0.0 ms")
    assert asked("stop", "top").out == "top: its stream was off\n"
    assert asked("stop", "side", "--json").document["returned_ns"]
    assert asked("stop", "--all").out.startswith("everything: 1 plan cancelled")
    assert desk.agent.asked[-1][:3] == ("cancel", "all", "")
    assert asked("stop").code == 2
    assert asked("stop", "top", "--all").code == 2


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (("lapse", "camera=top", "every=500ms", "count=20"), {"camera": "top", "every": "500ms", "count": 20}),
        (("lapse", "camera=top", "store=false", "priority=-1"), {"camera": "top", "store": False, "priority": -1}),
    ],
)
def test_a_plan_is_added_by_its_keys(asked, desk, arguments, sent):
    assert asked("plan", "add", *arguments, "--client", "lab").out == "started lapse\n"
    method, plans, _by, client = desk.agent.asked[-1]
    assert (method, plans, client) == ("add_plans", {"lapse": sent}, "lab")


def test_plans_are_added_from_a_file(asked, desk, tmp_path):
    file = tmp_path / "plans.yaml"
    file.write_text("plans:\n  a: {camera: top, every: 1s}\n  b: {camera: side, every: 2s, count: 3}\n")
    assert asked("plan", "add", "--file", file).out == "started a, b\n"
    assert asked("plan", "add", "--file", file, "b").out == "started b\n"
    assert desk.agent.asked[-1][1] == {"b": {"camera": "side", "every": "2s", "count": 3}}
    assert "it has a, b" in asked("plan", "add", "--file", file, "c").err
    file.write_text("plans: [")
    assert "plan check" in asked("plan", "add", "--file", file).err
    assert asked("plan", "add", "--file", tmp_path / "none").code == 2


def test_plans_are_listed_changed_and_cancelled(asked):
    asked("plan", "add", "lapse", "camera=top")
    assert "lapse" in asked("plan", "list").out
    assert asked("plan", "list", "--json").document["plans"][0]["name"] == "lapse"
    assert asked("plan", "set", "lapse", "--priority", "5").out == "lapse: every 1ns, priority 5\n"
    assert asked("plan", "set", "lapse").code == 2
    assert asked("plan", "cancel", "lapse").out == "lapse: 1 plan cancelled\n"
    assert asked("plan", "cancel", "--client", "lab").code == 0
    assert asked("plan", "cancel").code == 2


@pytest.mark.parametrize("words", [(), ("a=b",), ("lapse", "camera"), ("lapse", "a=1", "a=2")])
def test_a_plan_that_is_written_wrongly_is_not_sent(asked, desk, words):
    assert asked("plan", "add", *words).code == 2
    assert desk.agent.asked == []


def test_a_picture_of_a_frame_from_now_on(asked, desk):
    result = asked("capture", "top", "--exposure", "8ms", "--gain", "6.5dB", "--count", "2", "--timeout", "1500us")
    assert result.code == 0
    assert result.out.splitlines()[0].startswith("/pictures/top.jpg  frame 7, exposed ")
    expected = {"exposure_ns": 8_000_000, "gain": "6.5dB", "timeout_ns": 1_500_000}
    assert [one[3] for one in desk.agent.asked] == [expected] * 2
    assert asked("capture", "top", "--json").document["pictures"][0]["sequence"] == 7


@pytest.mark.parametrize("option", [("--device", "/dev/video0"), ("--simulate",), ("--output", "x"), ("--every", "1s")])
def test_options_of_a_camera_that_is_opened_here_are_refused(asked, desk, option):
    result = asked("capture", "top", *option)
    assert result.code == 2
    assert option[0] in result.err
    assert desk.agent.asked == []


def test_events_are_told_in_lines(asked, desk):
    for number in range(4):
        data = {"camera": "top", "n": number, "cause": "it went", "hint": ""}
        desk.call(desk.agent.broadcast.publish, f"k{number % 2}.x", 1_500_000_000 * number, data)
    result = asked("events", "--after", "0", "--count", "2", "--kind", "k1")
    first, second = result.out.splitlines()
    assert first.split() == ["2", "1.500000", "k1.x", "camera=top", "n=1", 'cause="it', 'went"']
    assert second.split()[0] == "4"
    lines = asked("events", "--after", "1", "--count", "2", "--json").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [2, 3]


def test_top_without_a_terminal_looks_once(asked, desk):
    asked("plan", "add", "lapse", "camera=top")
    desk.agent.plan_table["lapse"]["account"] = {
        "ticks": 22,
        "delivered": 20,
        "skipped_busy": 2,
        "failed": 0,
        "bytes": 9,
    }
    result = asked("top")
    assert result.code == 0
    assert "22 ticks: 20 delivered, 2 skipped busy\n" in result.out
    assert set(asked("top", "--json").document) == {"stats", "cameras", "plans"}


def test_quotas(asked, desk):
    assert "30/s" in asked("quota").out
    assert "5/s burst 2" in asked("quota", "camera/top", "5/s burst 2").out
    assert desk.agent.quota_table["camera/top"] == "5/s burst 2"
    assert asked("quota", "camera/top").code == 2
    assert asked("quota", "camera/none", "5/s").code == 3


def test_release_stop(asked):
    assert asked("release-stop", "top").out == "top: released\n"


def test_errors_of_the_agent_end_as_its_own(asked):
    result = asked("start", "none")
    assert result.code == 3
    assert result.err == "camera-agent: there is no camera none\n  there are: side, top\n"
    error = asked("stop", "none", "--json").error
    assert (error["code"], error["status"]) == ("not_found", 404)


@pytest.mark.parametrize("verb", [("status",), ("stop", "--all"), ("events",), ("top",), ("plan", "list")])
def test_without_an_agent_it_is_said_how_to_start_one(cli, tmp_path, verb):
    result = cli(*verb, "--socket", tmp_path / "none")
    assert result.code == 3
    assert "no agent answers" in result.err
    assert "systemctl start camera-agent" in result.err


@pytest.mark.parametrize(
    ("line", "found"),
    [("stop t", ["top"]), ("capture ", ["side", "top"]), ("plan cancel l", ["lapse"]), ("release-stop ", ["top"])],
)
def test_names_are_completed(desk, asked, line, found):
    asked("plan", "add", "lapse", "camera=top")
    words = f"camera-agent {line}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "CAMERA_AGENT_SOCKET": str(desk.path),
        "_CAMERA_AGENT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        (sys.executable, "-m", "agent.cli"), capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split() == [f"plain,{name}" for name in found]


def test_completion_without_an_agent_is_silent(tmp_path):
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "CAMERA_AGENT_SOCKET": str(tmp_path / "none"),
        "_CAMERA_AGENT_COMPLETE": "bash_complete",
        "COMP_WORDS": "camera-agent stop ",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        (sys.executable, "-m", "agent.cli"), capture_output=True, text=True, env=environment, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_who_looks_on_is_told_in_top():
    from agent.cli.top import clients_text

    figures = {"clients": 2, "client_frames": 900, "client_skipped": 14, "client_revoked": 1, "client_copied": 0}
    assert clients_text(figures) == "2, 14 skipped, 1 revoked"
    assert clients_text(figures | {"clients": 0}) == clients_text(None) == "-"
