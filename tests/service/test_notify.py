"""What systemd is told, on a real datagram socket."""

import os
import socket
import sys

import pytest
from service.played import camera, played

from agent.errors import AgentError
from agent.service.notify import handed_over, notifier

CONFIG = "cameras:\n  top: {device: {serial: A1}}\nplans:\n  lapse: {camera: top, every: 1s}\n"
TOP = camera("/dev/video0", serial="A1")


@pytest.fixture
def told(tmp_path):
    """Reads what systemd was told since."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    listener.bind(str(tmp_path / "notify"))

    def read():
        found = []
        while True:
            try:
                found.append(dict(line.split("=", 1) for line in listener.recv(4096).decode().splitlines()))
            except BlockingIOError:
                return found

    with listener:
        yield read


@pytest.fixture(params=["systemd-python", "without it"])
def environment(request, tmp_path, monkeypatch):
    if request.param == "without it":
        monkeypatch.setitem(sys.modules, "systemd", None)
    else:
        pytest.importorskip("systemd")
    return {"NOTIFY_SOCKET": str(tmp_path / "notify")}


def test_each_message_as_systemd_wants_it(told, environment):
    tells = notifier(environment)
    tells.ready("1 of 2 cameras\nare there")
    tells.status("1 of 2 cameras\nare there")
    tells.status("2 of 2")
    tells.reloading()
    tells.alive()
    tells.stopping()
    first, second, third, alive, last = told()
    assert first == {"READY": "1", "STATUS": "1 of 2 cameras; are there"}
    assert second == {"STATUS": "2 of 2"}
    assert third["RELOADING"] == "1"
    assert int(third["MONOTONIC_USEC"]) > 0
    assert (alive, last["STOPPING"]) == ({"WATCHDOG": "1"}, "1")
    assert environment == {}
    assert "NOTIFY_SOCKET" not in os.environ


def test_an_abstract_socket_is_told_too():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(f"\0camera-agent-test-{os.getpid()}")
        notifier({"NOTIFY_SOCKET": f"@camera-agent-test-{os.getpid()}"}).ready("")
        assert listener.recv(100).startswith(b"READY=1")


def test_nobody_is_told_where_nobody_listens(tmp_path):
    notifier({}).ready("x")
    notifier({"NOTIFY_SOCKET": str(tmp_path / "nothing")}).ready("x")


@pytest.mark.parametrize(
    ("environment", "watchdog_ns"),
    [
        ({"WATCHDOG_USEC": "5000000"}, 5_000_000_000),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid())}, 5_000_000_000),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_whose_watchdog_it_is(environment, watchdog_ns, tmp_path):
    assert notifier({**environment, "NOTIFY_SOCKET": str(tmp_path / "notify")}).watchdog_ns == watchdog_ns


def test_sockets_are_taken_over_only_where_they_are_ours():
    ours = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0", "LISTEN_FDNAMES": "x", "HOME": "/"}
    assert handed_over(ours) == []
    assert ours == {"HOME": "/"}
    assert handed_over({"LISTEN_PID": "1", "LISTEN_FDS": "2"}) == []
    assert handed_over({}) == []


def test_ready_reloading_and_stopping_of_a_service(told, tmp_path):
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "40000000"}

    async def scene(stage):
        ready, alive = told()
        assert (ready, alive) == ({"READY": "1", "STATUS": "1 of 1 cameras are there, 0 plans run"}, {"WATCHDOG": "1"})
        await stage.ready("top")
        await stage.agent.reload("anna")
        reloading, again = told()
        assert (reloading["RELOADING"], again["READY"]) == ("1", "1")
        stage.write("cameras: [")
        with pytest.raises(AgentError):
            await stage.agent.reload("anna")
        reloading, again = told()
        assert (reloading["RELOADING"], again["READY"]) == ("1", "1")
        assert "the last reload changed nothing: " in again["STATUS"]

    played(tmp_path, CONFIG, TOP, environment=environment)(scene)
    assert [message.get("STOPPING") for message in told()] == ["1"]


def test_a_watchdog_that_is_too_short_is_told_before_anything_starts(told, tmp_path):
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1200000"}
    with pytest.raises(AgentError, match=r"WatchdogSec=1.2s is too short"):
        played(tmp_path, CONFIG, TOP, environment=environment)(None)
    assert told() == []
