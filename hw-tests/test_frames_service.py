"""Frames of the installed service, for programs of other users: who may, what they see, and that they keep no camera.

All of it is looked at from outside: a client's own words, systemctl, v4l2-ctl, and the record that the camera keeps.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from installed import (
    CONFIGURATION,
    DOOR,
    LIMIT_S,
    SERVICE,
    SOCKET,
    attempt,
    cursor,
    get,
    install,
    journal,
    made_package,
    main_pid,
    purge,
    shell,
    show,
    until,
)
from witness import Witness

from agent.units import NS_PER_MS

pytestmark = pytest.mark.timeout(900)

FRAMES = SOCKET.with_name("frames.sock")
READER = Path(__file__).with_name("frame_reader.py")
STRANGER = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
MEMBER = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=camera-agent")
SMALL, LARGE = (320, 240), (640, 480)


@pytest.fixture(scope="module")
def installed(pytestconfig):
    if not pytestconfig.getoption("--rig") or not Path("/tree/wheels").is_dir():
        pytest.skip("no virtual rig: to run this, `make rig`")
    install(made_package())
    try:
        yield
    finally:
        (Path(os.environ.get("RIG_RESULTS", "/tmp")) / "frames-journal.txt").write_text(journal())
        purge()


def configure(size=SMALL):
    """One camera, with an exposure that is in the mark."""
    width, height = size
    camera = f"{{device: {{serial: RIG0001}}, format: YUYV, size: {width}x{height}, exposure: 8ms}}"
    CONFIGURATION.write_text(f"cameras:\n  top: {camera}\n")


@pytest.fixture
def uvc_camera(installed, plugged):
    """The rig's, plugged in and behaving. Its controls are left alone: they are the agent's."""
    plugged.clear_faults()
    if plugged.port is None:
        plugged.plug()
    return plugged


@pytest.fixture
def service(uvc_camera):
    """Enabled and running, with one camera that streams. It goes on from test to test."""
    configure()
    if show("ActiveState") != "active":
        shell("systemctl", "enable", "--now", SERVICE)
    else:
        shell("systemctl", "reload", SERVICE)
    until(lambda: camera()["state"] == "armed", "camera armed")


def camera():
    return get("/v1/cameras/top")


def group_pid():
    [group] = get("/v1/groups")["groups"]
    return group["pid"]


class Reader:
    """A client as a process of a member of the group, or of whom `under` makes it. A context manager."""

    def __init__(self, *, under=MEMBER, **wanted):
        wanted = {"target": "top", "lease_s": 10, "timeout_s": LIMIT_S, **wanted}
        command = [*under, sys.executable, READER, json.dumps(wanted)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1, env=ENVIRONMENT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self._process.stdout.close()

    def hear(self, is_wanted=lambda _: True):
        """The next of its lines that is wanted."""
        while True:
            ready, _, _ = select.select([self._process.stdout], [], [], LIMIT_S)
            assert ready, f"the client says nothing\n{journal()[-6000:]}"
            line = self._process.stdout.readline()
            assert line, "the client has ended"
            said = json.loads(line)
            if is_wanted(said):
                return said

    def reconnected(self, times=1):
        """The first whole frame after so many new connections."""
        return self.hear(lambda said: said.get("reconnects", 0) >= times and "mark" in said)

    def kill(self):
        self._process.kill()
        self._process.wait()


ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


# ---- who, and what


def test_the_frame_socket_is_the_groups_and_a_stranger_does_not_come_in(service):
    about = FRAMES.stat()
    assert (FRAMES.owner(), FRAMES.group(), oct(about.st_mode & 0o777)) == ("camera-agent", "camera-agent", "0o660")
    with Reader(under=STRANGER) as stranger:
        said = stranger.hear()
        assert said["code"] == "not_allowed", said
        assert "group" in said["hint"]
    with Reader(target="bottom") as wrong:
        said = wrong.hear()
        assert said["code"] == "not_found", said
        assert "top" in said["hint"], said


def test_a_member_sees_what_the_camera_drew_and_nothing_is_copied(service, uvc_camera):
    witness = Witness(uvc_camera)
    before = camera()
    with Reader(every=True) as reader:
        seen = [reader.hear() for _ in range(10)]
        assert camera()["clients"] == before["clients"] + 1
    until(lambda: camera()["clients"] == before["clients"], "client counted out")
    until(lambda: seen[-1]["mark"][0] in witness.frames, "last frame in the record")
    frames = witness.frames
    for said in seen:
        number, exposure_ns, gain = said["mark"]
        own = frames[number]
        assert said["exposure_ns"] == exposure_ns == own["exposure_ns"] == 8 * NS_PER_MS
        assert gain == own["gain"]
        assert own["start_ns"] <= said["timestamp_ns"]
    numbers = [said["mark"][0] for said in seen]
    assert numbers == sorted(set(numbers))
    counts = get("/v1/stats")["cameras"]["top"]
    assert (counts["client_copied"], counts["client_frames"] >= 10) == (0, True), counts


# ---- while frames are lent


def test_unplugged_and_back_while_lent_the_client_goes_on(service, uvc_camera):
    agent = main_pid()
    with Reader() as reader, Reader(hold=True) as holder:
        reader.hear(), holder.hear()
        uvc_camera.unplug()
        until(lambda: camera()["state"] in ("gone", "absent"), "camera gone")
        uvc_camera.plug()
        until(lambda: camera()["state"] == "armed", "camera armed")
        number = Witness(uvc_camera)
        reader.hear(lambda said: "mark" in said and said["mark"][0] in number.frames)
    assert main_pid() == agent


def test_another_size_by_reload_while_lent_arrives_and_leaves_no_ebusy(service, uvc_camera):
    since, agent = cursor(), main_pid()
    with Reader() as reader, Reader(hold=True) as holder:
        assert reader.hear()["size"] == list(SMALL)
        holder.hear()
        configure(LARGE)
        shell("systemctl", "reload", SERVICE)
        reader.hear(lambda said: said.get("size") == list(LARGE))
    assert main_pid() == agent
    assert "EBUSY" not in journal(since)


def test_a_capture_process_killed_while_lent_is_replaced(service, uvc_camera):
    since, agent, group = cursor(), main_pid(), group_pid()
    with Reader() as reader, Reader(hold=True) as holder:
        reader.hear(), holder.hear()
        os.kill(group, signal.SIGKILL)
        reader.reconnected()
    assert (main_pid(), group_pid() != group) == (agent, True)
    assert "EBUSY" not in journal(since)


def test_an_agent_killed_while_lent_comes_back_with_its_camera(service, uvc_camera):
    since, agent = cursor(), main_pid()
    with Reader() as reader, Reader(hold=True) as holder:
        reader.hear(), holder.hear()
        os.kill(agent, signal.SIGKILL)
        reader.reconnected()
    assert main_pid() not in (0, agent)
    assert "EBUSY" not in journal(since)


def test_g3_stopped_while_lent_the_camera_is_free_and_a_client_starts_the_agent_again(service, uvc_camera):
    with Reader(hold=True, reconnect=False) as holder:
        holder.hear()
        shell("systemctl", "stop", SERVICE)
        kinds = [entry["kind"] for entry in uvc_camera.log_entries("start", "stop")]
        assert kinds[-1] == "stop"
        command = ["v4l2-ctl", "-d", uvc_camera.node, "--set-fmt-video=width=640,height=480"]
        done = attempt(*command, "--stream-mmap=3", "--stream-count=2")
        assert done.returncode == 0, done
    assert show("ActiveState") == "inactive"
    assert show("ActiveState", DOOR) == "active"
    with Reader() as reader:
        assert reader.hear()["size"] == list(SMALL)
    assert show("ActiveState") == "active"
