import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cli.outcome import SignalAt, assert_all_is_whole, assert_let_go

from agent.cli.interruption import Interrupted, Interruption
from agent.simulation.bench import uvc_profile
from agent.simulation.faults import Faults
from agent.simulation.kernel import SimulatedKernel
from agent.v4l2.uapi import VIDIOC_DQBUF, VIDIOC_S_EXT_CTRLS, VIDIOC_STREAMOFF, VIDIOC_STREAMON, ControlID

REPOSITORY = Path(__file__).parents[2]
SIGNALS = [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")]


def capture(cli, folder, kernel, *arguments):
    options = ("--device", "/dev/video0", "--rate", "60", "--count", "1000", "--output", folder)
    return cli("capture", *options, *arguments, on=kernel)


@pytest.mark.parametrize(("number", "code", "name"), SIGNALS)
def test_in_the_middle_of_a_capture(cli, kernel, tmp_path, number, code, name):
    before = [signal.getsignal(number) for number, _, _ in SIGNALS]
    result = capture(cli, tmp_path, SignalAt(kernel, VIDIOC_DQBUF, on_call=9, number=number))
    count = assert_all_is_whole(tmp_path)
    assert count > 0
    assert result.code == code
    assert result.out == ""
    assert result.err == f"camera-agent: stopped by {name}: {count} of 1000 pictures are in {tmp_path}\n"
    assert_let_go(kernel)
    assert [signal.getsignal(number) for number, _, _ in SIGNALS] == before


def test_as_json(cli, kernel, tmp_path):
    result = capture(cli, tmp_path, SignalAt(kernel, VIDIOC_DQBUF, on_call=9), "--json")
    assert (result.code, result.out) == (130, "")
    assert result.error["code"] == "interrupted"


def test_while_preparing_nothing_is_broken_off_and_nothing_started(cli, kernel, tmp_path):
    told = SignalAt(kernel, VIDIOC_S_EXT_CTRLS)
    result = capture(cli, tmp_path, told, "--exposure", "8ms", "--restore-controls")
    assert result.code == 130
    assert "0 of 1000 pictures written" in result.err
    assert assert_all_is_whole(tmp_path) == 0
    assert kernel.cameras[0].controls.number(ControlID.EXPOSURE_AUTO) == 3
    assert VIDIOC_STREAMON.number not in told.requests
    assert_let_go(kernel)


def test_while_stopping_the_stop_is_finished(cli, kernel, tmp_path):
    told = SignalAt(kernel, VIDIOC_STREAMOFF)
    options = ("--device", "/dev/video0", "--count", "2", "--output", tmp_path)
    assert cli("capture", *options, on=told).code == 0
    assert assert_all_is_whole(tmp_path) == 2
    assert_let_go(kernel)


def test_a_second_signal_does_not_wait(cli, kernel, tmp_path):
    result = capture(cli, tmp_path, SignalAt(kernel, VIDIOC_S_EXT_CTRLS, times=2), "--exposure", "8ms")
    assert result.code == 130
    assert_let_go(kernel)


class Hanging(Faults):
    """A camera that hangs from the start; when its third frame should have been there, somebody presses Ctrl-C."""

    asked = 0

    @property
    def frozen(self):
        self.asked += 1
        if self.asked == 3:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return True

    @frozen.setter
    def frozen(self, _):
        pass


def test_a_camera_that_hangs_is_left_at_once(cli, tmp_path):
    with SimulatedKernel([uvc_profile()], faults={0: Hanging()}) as kernel:
        result = capture(cli, tmp_path, kernel, "--timeout", "1min")
        assert result.code == 130
        assert_let_go(kernel)


def test_held_back_outside_of_waiting():
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted), interruption.waiting():
            pytest.fail("not reached")
        with pytest.raises(Interrupted), interruption.checked():
            pytest.fail("not reached")


def test_taken_at_once_while_waiting_and_the_first_signal_counts():
    with Interruption() as interruption:
        with pytest.raises(Interrupted) as caught, interruption.waiting():
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted) as again:
            signal.raise_signal(signal.SIGINT)
    assert caught.value.exit_code == again.value.exit_code == 143


def test_a_signal_that_the_shell_ignores_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            interruption.check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def start(*arguments, **options):
    return subprocess.Popen(
        (sys.executable, "-m", "agent.cli", *map(str, arguments)),
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "100"},
        **options,
    )


def wait_for_line(*logs):
    """Return when each log has a line: the streams run. Bounded by the test's time limit."""
    while not all(log.exists() and log.stat().st_size for log in logs):
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code", "name"), SIGNALS)
def test_a_real_process(tmp_path, number, code, name):
    arguments = ("capture", "--simulate", "--count", 100_000, "--output", tmp_path)
    with start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for_line(tmp_path / "frames.jsonl")
        process.send_signal(number)
        out, err = process.communicate()
    count = assert_all_is_whole(tmp_path)
    assert process.returncode == code
    assert (out, err) == ("", f"camera-agent: stopped by {name}: {count} of 100000 pictures are in {tmp_path}\n")


@pytest.mark.parametrize(("number", "code", "name"), SIGNALS)
def test_a_real_demo_ends_both_cameras(tmp_path, number, code, name):
    arguments = ("demo", "--count", 1000, "--output", tmp_path)
    folders = [tmp_path / "Bench-camera-A", tmp_path / "Bench-camera-B"]
    with start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for_line(*(folder / "frames.jsonl" for folder in folders))
        process.send_signal(number)
        out, err = process.communicate()
    told = "; ".join(f"{assert_all_is_whole(folder)} of 1000 pictures are in {folder}" for folder in folders)
    assert process.returncode == code
    assert (out, err) == ("", f"camera-agent: stopped by {name}: {told}\n")


def test_progress_is_on_the_terminals_stderr_only(tmp_path):
    ours, theirs = pty.openpty()
    arguments = ("capture", "--simulate", "--count", 5, "--output", tmp_path, "--json")
    with start(*arguments[:-1], stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = read_terminal(ours)
        out = process.stdout.read().decode()
    assert "/dev/video0" in shown
    assert "5/5" in shown
    assert "\x1b" not in out
    ours, theirs = pty.openpty()
    with start(*arguments, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = read_terminal(ours)
        document = json.load(process.stdout)
    assert shown == ""
    assert len(document["pictures"]) == 5


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


@pytest.mark.parametrize("arguments", [("devices", "--formats"), ("controls", "/dev/video0"), ("devices", "--json")])
def test_a_reader_that_has_gone_is_no_traceback(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with start(*arguments, "--simulate", stdout=writing, stderr=subprocess.PIPE, text=True) as process:
            _, err = process.communicate()
    finally:
        os.close(writing)
    assert err == ""
    assert process.returncode == 1
