"""`record` as a person has it: what it writes, what it says, how it ends; against an agent that is played."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from client.stage import wait_until
from pipeline.synthetic import camera_jpeg, frame_of, jpeg_frame
from recording.played import PlayedAgent
from recording.test_writing import assert_true, files, lines

from agent.config.recording_words import CODECS, EVENTS, FORMATS, ON_FULL
from agent.frames.values import Target as SubscribedTo
from agent.pipeline.video import VideoCodec
from agent.recording.order import OnFull, RecordFormat, Target, Trigger

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def played(tmp_path):
    with PlayedAgent(tmp_path, frame_of("YUYV")) as agent:
        yield agent


@pytest.fixture
def record(cli, played, tmp_path):
    def call(*arguments):
        return cli("record", *arguments, "--socket", played.control, "--output", tmp_path / "out")

    return call


def test_the_words_of_the_configuration_are_those_of_orders():
    assert tuple(RecordFormat) == FORMATS
    assert tuple(VideoCodec) == CODECS
    assert tuple(OnFull) == ON_FULL
    assert tuple(Trigger) == EVENTS
    assert {kind.word for kind in SubscribedTo} == set(Target)


def test_pictures_with_their_index_and_what_it_came_to(record, tmp_path, played):
    result = record("top", "--count", "5", "--template", "{camera}/{number:04d}")
    assert (result.code, result.err) == (0, "")
    assert files(tmp_path / "out") == [f"top/000{number}.jpg" for number in range(5)]
    assert len(lines(tmp_path / "out")) == 5
    assert re.search(r"frames +5 in ", result.out)
    assert "frames.jsonl" in result.out
    assert (played.subscribed[0].name, played.subscribed[0].every) == ("top", True)


@pytest.mark.parametrize("format_", ["png", "tiff", "raw", "mp4", "mkv"])
def test_other_formats(record, tmp_path, format_):
    if format_ in ("mp4", "mkv"):
        pytest.importorskip("av")
    result = record("top", "--count", "4", "--format", format_, "--json")
    assert result.code == 0
    assert result.document["stored"] == 4
    assert result.document["folder"] == str(tmp_path / "out")
    assert len(lines(tmp_path / "out")) == 4


def test_segments_of_a_cameras_jpegs(cli, tmp_path):
    pytest.importorskip("av")
    with PlayedAgent(tmp_path, jpeg_frame(camera_jpeg())) as agent:
        arguments = ("--format", "mkv", "--duration", "500ms", "--segment", "200ms", "--output", tmp_path / "out")
        assert cli("record", "top", *arguments, "--socket", agent.control).code == 0
    assert len(files(tmp_path / "out")) == 3
    assert_true(tmp_path / "out")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("format_", ["jpg", "mkv"])
def test_a_signal_finishes_every_file(played, tmp_path, number, format_):
    pytest.importorskip("av")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "agent.cli", "record", "top", "--format", format_, "--json"]
    command += ["--socket", str(played.control), "--output", str(out)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: (out / "frames.jsonl").exists() and len(lines(out)) > 5, 60)
        process.send_signal(number)
        said, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + number
    assert json.loads(said)["stored"] == len(lines(out))
    assert json.loads(told.splitlines()[-1])["code"] == "interrupted"
    assert_true(out)


def test_sigusr1_is_an_event(played, tmp_path):
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "agent.cli",
        "record",
        "top",
        "--on",
        "signal",
        "--before",
        "100ms",
        "--after",
        "50ms",
    ]
    command += ["--socket", str(played.control), "--output", str(out)]
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: played.lent > 30, 60)
        assert files(out) == []
        process.send_signal(signal.SIGUSR1)
        wait_until(lambda: len(lines(out)) > 5, 60)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert re.search(r"events +1\b", said)
    stamps = [line["timestamp_ns"] for line in lines(out)]
    assert max(stamps) - min(stamps) <= 150_000_000


CONFIGURATION = """
cameras: {top: {device: /dev/video0}}
recordings: {night: {camera: top, folder: %s, format: png}}
"""


def test_a_recording_of_the_configuration(cli, played, tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIGURATION % (tmp_path / "night"))
    command = [
        sys.executable,
        "-m",
        "agent.cli",
        "record",
        "--name",
        "night",
        "--config",
        str(tmp_path / "config.yaml"),
    ]
    process = subprocess.Popen(
        [*command, "--socket", str(played.control)], env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: (tmp_path / "night" / "frames.jsonl").exists() and lines(tmp_path / "night"), 60)
    finally:
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert files(tmp_path / "night")[0].endswith(".png")
    wrong = cli("record", "--name", "nigth", "--config", tmp_path / "config.yaml", "--socket", played.control)
    assert wrong.code == 2
    assert "did you mean night" in wrong.err


@pytest.mark.parametrize(("arguments", "told"), [
    ((), "one of CAMERA, --group, --plan and --name"),
    (("top", "--group", "g"), "one of CAMERA, --group, --plan and --name"),
    (("--name", "night", "--count", "3"), "stands in the configuration"),
    (("top", "--template", "{camra}-{number}"), "did you mean {camera}"),
    (("top", "--template", "../{number}"), "leads out of its folder"),
    (("top", "--segment", "10min"), "neither codec nor segments"),
    (("top", "--before", "5s"), "say on which"),
    (("top", "--on", "noise", "--before", "5s"), "write edge"),
    (("top", "--limit", "20"), "no unit"),
    (("top", "--format", "mp4", "--codec", "ffv1"), "mkv"),
])  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_made(cli, tmp_path, arguments, told):
    result = cli("record", *arguments, *(() if "--name" in arguments else ("--output", tmp_path / "out")))
    assert result.code == 2
    assert told in result.err
    assert not (tmp_path / "out").exists()


def test_without_an_agent(cli, tmp_path):
    result = cli("record", "top", "--socket", tmp_path / "control.sock", "--output", tmp_path / "out", "--json")
    assert result.code == 3
    assert result.error["code"] == "agent_unreachable"
    assert not (tmp_path / "out").exists()


def test_without_pyav(cli, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    result = cli("record", "top", "--format", "mkv", "--output", tmp_path / "out")
    assert result.code == 2
    assert "camera-agent[video]" in result.err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = cli("record", "top", "--index", "parquet", "--output", tmp_path / "out")
    assert "camera-agent[parquet]" in result.err
