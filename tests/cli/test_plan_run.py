"""`plan run`, with real capture processes on simulated cameras: to the end, through faults, and out of it again."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cli.outcome import assert_all_is_whole

REPOSITORY = Path(__file__).parents[2]
TOP = "top: {device: /dev/video0, size: 320x240, rate: 60, settle: 0}"
LEFT = "left: {device: /dev/video2, size: 320x240, rate: 60, settle: 0}"
COUNTS = ("fired", "coalesced", "skipped_busy", "skipped_late", "skipped_not_ready", "skipped_down", "refused_agent",
          "refused_camera", "refused_plan", "refused_client", "cancelled")  # fmt: skip


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(cameras, *plans, output="none"):
        lines = [f"output: {output}", "cameras:", *(f"  {camera}" for camera in cameras), "plans:"]
        path = Path("plans.yaml")
        path.write_text("\n".join([*lines, *(f"  {plan}" for plan in plans), ""]))
        return path

    return write


def assert_sums(account):
    assert account["sums_match"]
    assert account["ticks"] == sum(account[name] for name in COUNTS)
    assert account["fired"] == account["delivered"] + account["failed"] + account["shots_cancelled"]
    assert account["waiting"] == account["under_way"] == 0


def start(*arguments, **options):
    command = (sys.executable, "-m", "agent.cli", "plan", "run", *map(str, arguments), "--simulate")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    return subprocess.Popen(command, env=environment, **options)


def wait_for_requests(path=Path("ticks.jsonl")):
    """Return when a request has ended: plans run. Bounded by the test's time limit."""
    while not path.exists() or not path.stat().st_size:
        time.sleep(0.01)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def started(path):
    """A run of which requests have ended, and its capture processes."""
    process = start(path, "--ticks", "ticks.jsonl", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_requests()
    return process, children(process.pid)


def test_to_the_end_with_everything_written_down(cli, file, tmp_path):
    plans = "a: {camera: top, every: 50ms, count: 6}", "b: {camera: top, every: 50ms, count: 4, store: false}"
    path = file([TOP], *plans, output="photos")
    document = cli("plan", "run", path, "--simulate", "--json", "--plot", "run.svg", "--ticks", "ticks.jsonl").document
    assert (document["ended_by"], document["killed"]) == ("finished", False)
    for account in (*document["plans"], document["total"]):
        assert_sums(account)
    assert [(plan["name"], plan["ticks"], plan["state"]) for plan in document["plans"]] == [
        ("a", 6, "finished"),
        ("b", 4, "finished"),
    ]
    assert document["lateness"]["count"] == document["total"]["fired"]
    assert document["lateness"]["max_ns"] == document["total"]["late_max_ns"]
    assert document["pictures"] == document["plans"][0]["delivered"] == assert_all_is_whole(tmp_path / "photos")
    assert document["folders"] == [str(tmp_path / "photos")]
    (stop,) = document["stops"]
    assert stop["was_on"]
    assert 0 <= stop["to_entry_ns"] <= stop["to_return_ns"]
    lines = [json.loads(line) for line in Path("ticks.jsonl").read_text().splitlines()]
    told = document["total"]["fired"] + document["total"]["skipped_not_ready"]
    assert (len(lines), document["requests_written"], document["requests_lost"]) == (told, told, 0)
    assert len({line["trace_id"] for line in lines}) == len(lines)
    assert ElementTree.parse("run.svg").getroot().tag.endswith("svg")


def test_for_a_time_in_words_with_each_camera_in_a_process_of_its_own(cli, file, tmp_path):
    path = file([TOP, LEFT], "a: {camera: top, every: 50ms}", "b: {camera: left, every: 50ms, quota: 2/s}", output="x")
    result = cli("plan", "run", path, "--simulate", "--for", "500ms", "--output", "photos")
    assert (result.code, result.err) == (0, "")
    for fragment in (
        "plans.yaml: 2 plans, 0.5 s, ended as --for says",
        "(plan)",
        ": the sums match",
        "P99.9 ",
        "stop of top",
        "stop of left",
        "STREAMOFF entered",
        str(tmp_path / "photos" / "left"),
    ):
        assert fragment in result.out
    assert assert_all_is_whole(tmp_path / "photos" / "top")
    assert assert_all_is_whole(tmp_path / "photos" / "left")
    assert not Path("x").exists()


def test_cameras_that_are_named_by_what_they_are(cli, file):
    top, left = TOP.replace("/dev/video0", "{serial: SIM00001}"), LEFT.replace("/dev/video2", "{port: platform-*}")
    path = file([left, top], "a: {camera: top, every: 50ms, count: 2}", "b: {camera: left, every: 50ms, count: 2}")
    document = cli("plan", "run", path, "--simulate", "--json").document
    assert {each["name"]: each["device"] for each in document["cameras"]} == {
        "top": "/dev/video0",
        "left": "/dev/video2",
    }
    assert document["total"]["delivered"] == document["total"]["fired"]


def test_a_camera_that_is_not_there_is_told_with_its_line_before_anything_starts(cli, file):
    path = file([TOP, "left: {device: {serial: SIM00009}}"], "a: {camera: top, every: 50ms, count: 2}")
    result = cli("plan", "run", path, "--simulate")
    assert (result.code, result.out) == (3, "")
    assert "camera-agent: plans.yaml:4: cameras.left.device: no camera has serial SIM00009" in result.err
    assert '/dev/video0 (Bench camera A) is {serial: "SIM00001"}' in result.err


def test_pain_11_a_match_that_two_cameras_fit_is_told_with_what_to_write(cli, file):
    path = file(["top: {device: {model: Bench camera*}}"], "a: {camera: top, every: 50ms, count: 2}")
    result = cli("plan", "run", path, "--simulate")
    assert (result.code, result.out) == (2, "")
    assert "plans.yaml:3: cameras.top.device: 2 cameras have model Bench camera*" in result.err
    assert 'write device: {serial: "SIM00001"} or device: {port: "platform-bench-isp.2"}' in result.err


def test_a_camera_in_fault_is_told_and_the_others_go_on(cli, file):
    missing = "gone: {device: /dev/video7}"
    path = file([TOP, missing], "a: {camera: top, every: 50ms, count: 3}", "b: {camera: gone, every: 50ms, count: 3}")
    result = cli("plan", "run", path, "--simulate")
    assert result.code == 3
    told = "camera gone: there is no device /dev/video7\n  `camera-agent devices` lists what is there\n"
    # once when it was seen, once as what the exit code stands for
    assert result.err == f"{told}camera-agent: {told}"
    assert "3 (camera not ready)" in result.out


def test_no_camera_comes_up(cli, file):
    path = file(["gone: {device: /dev/video7}", "lost: {device: /dev/video8}"], "a: {camera: gone, every: 1s}")
    result = cli("plan", "run", path, "--simulate")
    assert (result.code, result.out) == (3, "")
    lines = result.err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("camera-agent: camera ")
    assert {"/dev/video7", "/dev/video8"} == {word for word in result.err.replace(";", " ").split() if "video" in word}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_cancels_everything(file, number, code):
    path = file([TOP, LEFT], "a: {camera: top, every: 20ms}", "b: {camera: left, every: 20ms}")
    process, capturing = started(path)
    with process:
        process.send_signal(number)
        out, err = process.communicate()
    document = json.loads(out)
    assert (process.returncode, document["ended_by"], document["killed"]) == (code, "signal", False)
    assert json.loads(err)["code"] == "interrupted"
    assert_sums(document["total"])
    assert {plan["state"] for plan in document["plans"]} == {"cancelled"}
    assert {stop["camera"] for stop in document["stops"]} == {"top", "left"}
    assert all(stop["was_on"] and stop["to_return_ns"] > 0 for stop in document["stops"])
    assert len(capturing) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in capturing)


def test_a_second_signal_does_not_wait(file):
    path = file([TOP], "a: {camera: top, every: 20ms}")
    process, capturing = started(path)
    with process:
        # it will not answer the cancel
        os.kill(capturing[0], signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    document = json.loads(out)
    assert (process.returncode, document["killed"]) == (130, True)
    assert "the capture processes were killed" in json.loads(err)["message"]
    total = document["total"]
    assert total["ticks"] == sum(total[name] for name in COUNTS) + total["waiting"]
    assert min(total["waiting"], total["under_way"]) >= 0
    assert {plan["state"] for plan in document["plans"]} == {"cut off"}
    assert document["cameras"][0]["state"].startswith("off, was armed")
    assert not Path(f"/proc/{capturing[0]}").exists()


def test_a_capture_process_that_dies_is_replaced_and_it_is_said(file):
    path = file([TOP], "a: {camera: top, every: 20ms}")
    process, capturing = started(path)
    with process:
        os.kill(capturing[0], signal.SIGKILL)
        size = Path("ticks.jsonl").stat().st_size
        while children(process.pid) in ([], capturing) or Path("ticks.jsonl").stat().st_size <= size + 1000:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate()
    document = json.loads(out)
    assert process.returncode == 143
    assert any("was killed by SIGKILL" in told for told in document["told"])
    assert any("was started again" in told for told in document["told"])
    assert document["total"]["skipped_down"] > 0
    assert_sums(document["total"])


def test_the_table_is_on_the_terminal_only(file):
    path = file([TOP], "a: {camera: top, every: 50ms, count: 8}")
    ours, theirs = pty.openpty()
    with start(path, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = read_terminal(ours)
        out = process.stdout.read().decode()
    assert "starting the cameras" in shown
    assert "running" in shown
    assert "lateness P50" in shown
    assert "\x1b" not in out
    assert "all plans are finished" in out


def test_nothing_but_the_document_with_json(file):
    path = file([TOP], "a: {camera: top, every: 50ms, count: 2}")
    ours, theirs = pty.openpty()
    with start(path, "--json", stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = read_terminal(ours)
        document = json.load(process.stdout)
    assert (shown, document["ended_by"]) == ("", "finished")


def read_terminal(fd):
    """All that is written to a terminal until its other end is closed."""
    shown = b""
    try:
        while select.select([fd], [], []):
            shown += os.read(fd, 65536)
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(fd)
    return shown.decode()


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--sample", "failures"), 2, "--sample chooses what goes into --ticks"),
        (("--sample", "often", "--ticks", "t.jsonl"), 2, "'often' is no choice of requests"),
        (("--plot", "run.pdf"), 2, "neither an SVG nor a PNG"),
        (("--for", "10"), 2, "--for"),
        (("--for", "0s"), 2, "not more than zero"),
        (("--output", "photos"), 2, "says output: none"),
        (("--ticks", "plans.yaml"), 7, "File exists"),
    ],
)
def test_bad_input_starts_nothing(cli, file, options, code, told):
    path = file([TOP], "a: {camera: top, every: 1s}")
    before = path.read_text()
    result = cli("plan", "run", path, "--simulate", *options)
    assert (result.code, result.out) == (code, "")
    assert told in result.err
    assert sorted(entry.name for entry in Path().iterdir()) == ["plans.yaml"]
    assert path.read_text() == before
