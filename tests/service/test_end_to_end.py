"""The program itself, with real capture processes on simulated cameras, over the real socket."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(180)
CONFIG = """
output: photos
cameras:
  top: {device: {serial: SIM00001}, exposure: 8ms}
  left: {device: {port: platform-*}}
plans:
  lapse: {camera: top, every: 200ms}
  slow: {camera: left, every: 400ms}
"""


class Connection(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Running:
    """`camera-agent serve --simulate` as systemd would start it: notified, with its socket handed over."""

    def __init__(self, folder):
        self.folder = folder
        self.config = folder / "config.yaml"
        self.config.write_text(CONFIG)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(folder / "notify"))
        self._notify.settimeout(60)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(folder / "control.sock"))
        self._listener.listen()
        self._log = (folder / "log").open("w")
        self.process = None

    def __enter__(self):
        # the descriptor has to be 3, and LISTEN_PID that of the program: a shell stands in for systemd
        fd = self._listener.fileno()
        program = "import sys; from agent.cli.main import main; sys.argv[0] = 'camera-agent'; main()"
        script = f'exec 3<&{fd}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" -c "$1" serve --simulate --config "$2"'
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": "8000000"}
        self.process = subprocess.Popen(
            ["bash", "-c", script, sys.executable, program, str(self.config)],
            pass_fds=[fd],
            cwd=self.folder,
            env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            stderr=self._log,
        )
        self.told("READY")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._notify.close()
        self._listener.close()
        self._log.close()

    def told(self, key):
        """Wait until systemd is told it."""
        while True:
            lines = dict(line.split("=", 1) for line in self._notify.recv(4096).decode().splitlines())
            if key in lines:
                return lines

    def ask(self, method, path, body=None):
        connection = Connection(self.folder / "control.sock")
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def get(self, path):
        status, document = self.ask("GET", path)
        assert status == 200, document
        return document

    def until(self, path, condition):
        deadline = time.monotonic() + 60
        while not condition(document := self.get(path)):
            assert time.monotonic() < deadline, (document, (self.folder / "log").read_text())
            select.select([], [], [], 0.05)
        return document

    @property
    def pids(self):
        return {group["name"]: group["pid"] for group in self.get("/v1/groups")["groups"]}

    def pictures(self, camera):
        return sorted((self.folder / "photos" / camera).glob("*.jpg"))


def test_from_start_to_end(tmp_path):
    with Running(tmp_path) as running:
        running.until("/v1/plans", lambda found: {plan["state"] for plan in found["plans"]} == {"running"})
        running.until("/v1/plans/lapse", lambda plan: plan["account"]["delivered"] >= 3)
        assert len(running.pictures("top")) >= 3
        pids = running.pids

        # a plan over the socket, and its pictures
        status, _ = running.ask("POST", "/v1/plans", {"plans": {"extra": {"camera": "left", "every": "100ms"}}})
        assert status in (200, 201)
        running.until("/v1/plans/extra", lambda plan: plan["account"]["delivered"] >= 2)

        # pain 1: a picture exposed after the request, whole when it answers
        before_ns = time.monotonic_ns()
        status, shot = running.ask("POST", "/v1/cameras/top/captures", {})
        assert status in (200, 201), shot
        assert before_ns < shot["asked_ns"] <= shot["due_ns"] <= shot["exposed_ns"] + shot["uncertainty_ns"]
        assert Path(shot["path"]).read_bytes()[:2] == b"\xff\xd8"
        assert shot["trace_id"] in shot["record"]["trace_ids"]

        # a changed plan: nothing else notices
        running.config.write_text(CONFIG.replace("every: 400ms", "every: 300ms").replace("  lapse:", "  other:"))
        status, told = running.ask("POST", "/v1/config/reload")
        assert (status, told["problems"]) == (200, [])
        assert told["took_ns"] < 800_000_000
        assert running.pids == pids
        assert running.get("/v1/plans/slow")["period_ns"] == 300_000_000
        running.until("/v1/plans/other", lambda plan: plan["account"]["delivered"] >= 1)

        # a bad file changes nothing, whoever asks
        running.config.write_text("cameras: [")
        status, refused = running.ask("POST", "/v1/config/reload")
        assert (status, refused["code"]) == (422, "bad_config")
        running.told("RELOADING")
        running.process.send_signal(signal.SIGHUP)
        while "the last reload changed nothing" not in running.told("READY")["STATUS"]:
            pass
        assert running.pids == pids

        # a camera that is off takes a picture, and is off again
        status, stop = running.ask("DELETE", "/v1/cameras/left/stream")
        assert (status, stop["was_on"], stop["plans"]) == (200, True, 2)
        assert stop["asked_ns"] <= stop["entered_ns"] <= stop["returned_ns"]
        status, shot = running.ask("POST", "/v1/cameras/left/captures", {})
        assert status in (200, 201), shot
        running.until("/v1/cameras/left", lambda camera: camera["state"] in ("prepared", "idle"))

        # what its process alone can tell
        (exposure,) = [each for each in running.get("/v1/cameras/top/controls")["controls"] if each["id"] == 0x9A0902]
        assert exposure["value"] == 80
        assert running.get("/v1/stats")["cameras"]["top"]["stored"] >= 3

        running.told("WATCHDOG")
        children = set(pids.values())
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0, (tmp_path / "log").read_text()
        running.told("STOPPING")
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
        assert (tmp_path / "control.sock").exists()  # systemd's


def test_a_capture_process_that_is_killed_is_replaced_and_nothing_is_left_when_the_agent_is(tmp_path):
    with Running(tmp_path) as running:
        running.until("/v1/plans/lapse", lambda plan: plan["account"]["delivered"] >= 1)
        first = running.pids["top"]
        os.kill(first, signal.SIGKILL)
        running.until("/v1/groups", lambda found: running.pids["top"] not in (first, None))
        delivered = running.get("/v1/plans/lapse")["account"]["delivered"]
        running.until("/v1/plans/lapse", lambda plan: plan["account"]["delivered"] > delivered)
        assert running.get("/v1/plans/lapse")["state"] == "running"
        left = running.pids.values()
        running.process.kill()
        running.process.wait()
        deadline = time.monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in left):
            assert time.monotonic() < deadline
            select.select([], [], [], 0.05)
