"""`snapshot` and `preview`, against a real server with a pretending agent, the latter in a terminal."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest
from control.pretend import PretendPictures, picture
from control.thread_desk import serving_in_a_thread
from pipeline.synthetic import camera_jpeg

from agent.cli.terminal import Terminal
from agent.control.picture import Look, Picture
from agent.viewing.errors import SizeUnsupported

REPOSITORY = Path(__file__).parents[2]
JPEG = camera_jpeg()


@pytest.fixture
def desk(tmp_path):
    with serving_in_a_thread(tmp_path) as made:
        made.agent.shows = (Picture(JPEG, picture(4711).facts),)
        yield made


@pytest.fixture
def asked(cli, desk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: cli(*arguments, "--socket", desk.path)


# -- snapshot ------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_a_file_named_by_camera_and_time(asked, tmp_path):
    result = asked("snapshot", "top")
    assert result.code == 0, result.err
    (path,) = tmp_path.glob("top-*.jpg")
    assert path.name == "top-20010909T014640.000Z.jpg"
    assert path.read_bytes() == picture().data
    assert result.out == f"{path.name}  640x480, frame 7, exposed 100ns\n"


def test_what_is_asked_for_goes_to_the_agent(asked, desk, tmp_path):
    arguments = ("--width", "64", "--quality", "55", "--after", "123", "--timeout", "2s")
    result = asked("snapshot", "top", "-o", "a.PNG", *arguments, "--json")
    assert result.document["path"] == "a.PNG"
    assert result.document["media"] == "image/png"
    assert (result.document["sequence"], result.document["gain"]) == (7, None)
    assert result.document["frame_trace_ids"] == ["ab", "cd"]
    assert desk.agent.asked == [("snapshot", "top", Look(kind="png", width_px=64, quality=55), 123, 2 * 10**9)]


def test_a_file_is_replaced_only_by_force(asked, desk, tmp_path):
    (tmp_path / "a.jpg").write_text("mine")
    refused = asked("snapshot", "top", "--output", "a.jpg")
    assert refused.code == 2
    assert "--force" in refused.err
    assert not desk.agent.asked
    assert (tmp_path / "a.jpg").read_text() == "mine"
    assert asked("snapshot", "top", "--output", "a.jpg", "--force").code == 0
    assert (tmp_path / "a.jpg").read_bytes() == picture().data
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".jpg"] == ["a.jpg"]
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_is_not_there(asked):
    assert asked("snapshot", "top", "--output", "no/a.jpg").code == 7
    assert asked("snapshot", "top", "--output", "no/a.jpg", "--force").code == 7


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("none",), 3, "side, top"),
        (("top", "--output", "a.bmp"), 2, ".png"),
        (("top", "--format", "bmp"), 2, "png"),
        (("top", "--quality", "101"), 2, "1<=x<=100"),
        (("top", "--width", "0"), 2, "x>=1"),
        (("top", "--after", "soon"), 2, "after"),
        (("top", "--output", "-", "--json"), 2, "standard output"),
        ((), 2, "camera"),
    ],
)
def test_bad_input_is_one_clear_error(asked, tmp_path, arguments, code, told):
    result = asked("snapshot", *arguments)
    assert result.code == code
    assert told in result.err.lower()
    assert not list(tmp_path.glob("*.jpg"))


def test_a_picture_on_standard_output(desk):
    told = run(desk, "snapshot", "top", "--output", "-")
    assert (told.returncode, told.stdout) == (0, picture().data)


def test_what_the_agent_refuses_keeps_its_exit_code(asked, desk):
    desk.agent.fails["snapshot"] = SizeUnsupported("too large", hint="smaller", most_width_px=3)
    result = asked("snapshot", "top", "--json")
    assert result.code == 2
    assert result.error["code"] == "size_unsupported"
    assert result.error["most_width_px"] == 3


# -- preview -------------------------------------------------------------------------------------------------------


def environment(desk, **more):
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "CAMERA_AGENT_SOCKET": str(desk.path), **more}


def run(desk, *arguments):
    command = (sys.executable, "-m", "agent.cli", *arguments)
    return subprocess.run(command, env=environment(desk), capture_output=True, stdin=subprocess.DEVNULL, check=False)


class Screen:
    """A program in a terminal of 40 x 12 cells."""

    def __init__(self, desk, *arguments, answer=b"\x1b[?62c", **more):
        self.ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 40, 400, 240))
        self.before = termios.tcgetattr(self._theirs)
        self.seen = b""
        self._answer = answer
        more = {"COLORTERM": "truecolor", "TERM_PROGRAM": "", "LC_TERMINAL": "", **more}
        self.process = subprocess.Popen(
            (sys.executable, "-m", "agent.cli", "preview", "top", *arguments),
            env=environment(desk, **more),
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        os.close(self.ours)
        os.close(self._theirs)

    def until(self, text):
        while text not in self.seen:
            ready, _, _ = select.select([self.ours], [], [], 30)
            assert ready, self.seen
            self.seen += os.read(self.ours, 1 << 16)
            if b"\x1b[c" in self.seen and self._answer:
                os.write(self.ours, self._answer)
                self._answer = b""

    def ends(self):
        """Its exit code; the screen, the cursor and the modes are as they were."""
        self.until(b"\x1b[?1049l")
        code = self.process.wait(30)
        assert self.seen.endswith(b"\x1b[0m\x1b[?25h\x1b[?1049l")
        assert termios.tcgetattr(self._theirs) == self.before
        return code


@pytest.mark.parametrize(
    ("answer", "drawn"),
    [
        (b"\x1b_Gi=31;OK\x1b\\\x1b[?62;4c", b"\x1b_Ga=T"),
        (b"\x1b[?62;4c", b"\x1bP7;1q"),
        (b"\x1b[?62c", "▀".encode()),
    ],
)
def test_a_preview_is_drawn_as_the_terminal_can(desk, answer, drawn):
    with Screen(desk, answer=answer) as screen:
        screen.until(b"frame 4711")
        assert drawn in screen.seen
        os.write(screen.ours, b"q")
        assert screen.ends() == 0
        assert (b"a=d,d=I" in screen.seen) == (b"\x1b_Ga=T" in screen.seen)
    assert desk.agent.asked[-1][0] == "view"
    desk.wait(lambda: desk.agent.views[0].closed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_the_terminal_as_it_was(desk, number, code):
    with Screen(desk, "--graphics", "blocks") as screen:
        screen.until(b"frame 4711")
        screen.process.send_signal(number)
        assert screen.ends() == code


def test_a_camera_smaller_than_the_terminal_is_shown_as_it_is(desk):
    async def view(name, look, rate):
        desk.agent.note("view", name, look, rate)
        if look.width_px is not None:
            raise SizeUnsupported("too large", hint="smaller")
        desk.agent.views.append(PretendPictures(desk.agent.shows))
        return desk.agent.views[-1]

    desk.agent.view = view
    with Screen(desk, "--rate", "3") as screen:
        screen.until(b"frame 4711")
        os.write(screen.ours, b"q")
        assert screen.ends() == 0
    looks = [(one[2], one[3]) for one in desk.agent.asked if one[0] == "view"]
    assert looks == [(Look(width_px=40), 3), (Look(), 3)]


def test_a_camera_that_is_off_is_told_of_until_it_is_on(desk):
    desk.agent.shows = ()
    with Screen(desk) as screen:
        screen.until(b"top is idle, no picture comes")
        desk.call(desk.agent.views[0].waiting.put_nowait, Picture(JPEG, replace(picture(12).facts)))
        screen.until(b"frame 12")
        os.write(screen.ours, b"q")
        assert screen.ends() == 0


def test_when_the_agent_ends_the_pictures_it_is_said(desk):
    desk.agent.shows = (*desk.agent.shows, None)
    with Screen(desk) as screen:
        assert screen.ends() == 1
        assert b"ended the pictures of top" in screen.process.stderr.read()


def test_an_unknown_camera_leaves_the_screen_alone(desk):
    told = subprocess.run(
        ("script", "-qec", f"{sys.executable} -m agent.cli preview none", "/dev/null"),
        env=environment(desk),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert told.returncode == 3
    assert b"\x1b[?1049h" not in told.stdout


def test_without_a_terminal_it_says_what_else_there_is(desk):
    told = run(desk, "preview", "top")
    assert told.returncode == 2
    assert b"--output" in told.stderr


def test_one_picture_in_a_file_and_in_a_window(desk, tmp_path, monkeypatch):
    opener = tmp_path / "bin" / "xdg-open"
    opener.parent.mkdir()
    opener.write_text('#!/bin/sh\ncp "$1" opened.jpg\n')
    opener.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{opener.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert run(desk, "preview", "top", "--output", "a.png").stdout == b"a.png\n"
    assert desk.agent.asked[-1][2].kind == "png"
    assert run(desk, "preview", "top", "--output", "a.png").returncode == 2
    assert json.loads(run(desk, "preview", "top", "--output", "b.jpg", "--json").stdout)["sequence"] == 7
    assert run(desk, "preview", "top", "--json").returncode == 2
    told = run(desk, "preview", "top", "--open")
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "opened.jpg").read_bytes() == picture().data
    opener.write_text("#!/bin/sh\nexit 3\n")
    assert run(desk, "preview", "top", "--open").returncode == 2


def test_a_terminal_that_does_not_answer_is_not_waited_for():
    ours, theirs = pty.openpty()
    try:
        with Terminal(theirs, theirs) as terminal:
            assert terminal.graphics({"TERM": "xterm"}, limit_ns=1) == "blocks-256"
            assert terminal.graphics({"TERM_PROGRAM": "iTerm.app"}) == "iterm2"
            assert terminal.size() == (80, 24, (10, 20))
            assert terminal.typed() == b""
            for key in (termios.VSUSP, termios.VQUIT):  # Ctrl-Z and Ctrl-\ would leave the screen as it is
                assert termios.tcgetattr(theirs)[6][key] == b"\0"
            os.write(ours, b"x")
            select.select([theirs], [], [], 10)
            assert terminal.typed() == b"x"
    finally:
        os.close(ours)
        os.close(theirs)
