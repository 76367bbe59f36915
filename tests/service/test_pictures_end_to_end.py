"""Pictures of the program itself: real capture processes on simulated cameras, real viewers, the real socket."""

import io
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from service.test_end_to_end import Running

from agent.control.client import Client, Refused

pytestmark = pytest.mark.timeout(180)
WAIT_S = 60


class Onlooker(threading.Thread):
    """Follows a camera's pictures; `seen`: their sequence numbers, and when they came."""

    def __init__(self, path, **query):
        super().__init__()
        self._client, self._query = Client(path, timeout_s=WAIT_S), query
        self._more = threading.Condition()
        self.seen, self.size = [], None

    def run(self):
        for received in self._client.pictures("top", **self._query):
            with Image.open(io.BytesIO(received.data)) as picture:
                picture.load()
                self.size = picture.size
            with self._more:
                self.seen.append((int(received.headers["x-sequence"]), time.monotonic_ns()))
                self._more.notify_all()

    def wait_for_more(self, count):
        with self._more:
            before = len(self.seen)
            assert self._more.wait_for(lambda: len(self.seen) >= before + count, WAIT_S)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        while self.is_alive():
            self._client.abort()
            self.join(0.05)
        self._client.release()


def viewer_of(running):
    """The pid of its only viewer."""
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    (found,) = [int(pid) for pid in children if b"agent.viewing.process" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def test_snapshots_and_streams_from_start_to_end(tmp_path):
    with Running(tmp_path) as running, Client(tmp_path / "control.sock", timeout_s=WAIT_S) as client:
        running.until("/v1/plans/lapse", lambda plan: plan["account"]["delivered"] >= 1)

        # pain 1: what is exposed from now on
        for _ in range(5):
            before_ns = time.monotonic_ns()
            received = client.snapshot("top", timeout="30s")
            assert int(received.headers["x-began-ns"]) >= before_ns
            assert received.headers["x-exposure-ns"] == "8000000"
            assert received.headers["x-camera"] == "top"
        with Image.open(io.BytesIO(client.snapshot("top", width=160, format="png").data)) as picture:
            assert (picture.format, picture.size) == ("PNG", (160, 120))
        with pytest.raises(Refused) as refused:
            client.snapshot("top", width=5000)
        assert refused.value.details["most_width_px"] == 640

        with Onlooker(client.path, rate=30) as large, Onlooker(client.path, rate=5, width=64) as small:
            small.wait_for_more(3)
            assert (large.size, small.size) == ((640, 480), (64, 48))
            viewer = viewer_of(running)  # one for both

            # after a stop was answered no frame is exposed; the streams stay, and go on
            stopped = client.stop("top")
            client.start("top")
            large.wait_for_more(5)

            # a viewer that dies is replaced, and nobody's stream ends
            os.kill(viewer, signal.SIGKILL)
            large.wait_for_more(5)
            small.wait_for_more(2)
            assert viewer_of(running) != viewer

            # so is a capture process
            os.kill(running.pids["top"], signal.SIGKILL)
            large.wait_for_more(5)
            assert stopped["was_on"]

            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(30) == 0, (tmp_path / "log").read_text()
            large.join(WAIT_S)
            small.join(WAIT_S)  # both ended by themselves
        assert subprocess.run(["pgrep", "-f", f"viewing.process.*{tmp_path}"], check=False).returncode != 0


def test_no_picture_comes_of_a_camera_after_its_stop_was_answered(tmp_path):
    with Running(tmp_path) as running, Client(tmp_path / "control.sock", timeout_s=WAIT_S) as client:
        running.until("/v1/plans/lapse", lambda plan: plan["account"]["delivered"] >= 1)
        with Onlooker(client.path, rate=240) as onlooker:
            onlooker.wait_for_more(5)
            client.stop("top")
            with pytest.raises(Refused) as refused:
                client.snapshot("top")
            assert refused.value.code == "wrong_state"
            seen = len(onlooker.seen)
            started_ns = client.start("top")["at_ns"]
            onlooker.wait_for_more(5)
        late = [at_ns for _, at_ns in onlooker.seen[seen:]]
        # one picture may have been on its way between processes when the stop was answered
        assert sum(at_ns < started_ns for at_ns in late) <= 1
