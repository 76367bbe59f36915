"""A snapshot over HTTP: from a frame's stamp to its JPEG in the asker's hands, beside a client that makes it itself."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic_ns

from agent.client import connect
from agent.frames.values import SOCKET_NAME
from agent.pipeline.encode import Encoder, PictureKind
from benchmarks.common import MissingTool, compare
from benchmarks.environment import describe
from benchmarks.f5_opencv import frame_of
from benchmarks.result import Comparison, Measured
from benchmarks.stats import percentile

RATE = 15
PICTURES = 30
ROUNDS = 10
_WIDTH_PX, _HEIGHT_PX = 640, 480
_CONFIG = f"""
cameras:
  top: {{device: {{serial: SIM00001}}, size: {_WIDTH_PX}x{_HEIGHT_PX}, rate: {RATE}, format: YUYV}}
"""
_SNAPSHOT = "/v1/cameras/top/snapshot?after=now"
_LIMIT_S = 60
_ROOT = Path(__file__).resolve().parent.parent


def main(folder: Path) -> None:
    """Measure and write H-snapshot.json. Raises MissingTool where the agent gives no snapshots."""
    with tempfile.TemporaryDirectory() as scratch, _agent(Path(scratch)) as path:
        control = _Connection(path)
        _start_camera(control)
        compare(
            _row(), lambda: _by_http(control), lambda: _by_client(path.with_name(SOCKET_NAME)), folder, rounds=ROUNDS
        )
        control.close()


class _Connection(http.client.HTTPConnection):
    """HTTP on a unix socket, kept alive."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_LIMIT_S)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def ask(self, method: str, path: str) -> tuple[http.client.HTTPResponse, bytes]:
        """The whole answer."""
        self.request(method, path)
        response = self.getresponse()
        return response, response.read()


@contextmanager
def _agent(folder: Path) -> Iterator[Path]:
    """The agent with a simulated camera; its control socket."""
    config, path = folder / "config.yaml", folder / "control.sock"
    config.write_text(_CONFIG)
    command = [sys.executable, "-c", "from agent.cli.main import main; main()", "serve", "--simulate"]
    command += ["--config", str(config), "--socket", str(path)]
    with (folder / "log").open("w") as log, subprocess.Popen(command, cwd=_ROOT, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + _LIMIT_S
            while not path.is_socket():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ChildProcessError(f"the agent does not listen: {(folder / 'log').read_text()[-500:]}")
                time.sleep(0.1)
            yield path
        finally:
            process.terminate()


def _start_camera(control: _Connection) -> None:
    """Until it gives snapshots. Raises MissingTool, TimeoutError."""
    deadline = time.monotonic() + _LIMIT_S
    while True:
        started, _ = control.ask("PUT", "/v1/cameras/top/stream")
        response, told = control.ask("GET", _SNAPSHOT)
        if response.status == http.client.OK:
            return
        if json.loads(told).get("code") == "not_found" and started.status == http.client.OK:
            raise MissingTool("this agent gives no snapshots")
        if time.monotonic() > deadline:
            raise TimeoutError(f"no snapshot: {told.decode()}")
        time.sleep(0.2)


def _by_http(control: _Connection) -> Measured:
    """One request after another."""
    ways_ns = []
    for _ in range(PICTURES):
        response, picture = control.ask("GET", _SNAPSHOT)
        now_ns = monotonic_ns()
        if response.status != http.client.OK:
            raise ValueError(picture.decode())
        ways_ns.append(now_ns - int(response.headers["x-timestamp-ns"]))
    return Measured(percentile(ways_ns, 50), len(ways_ns), ways_ns)


def _by_client(frames: Path) -> Measured:
    """The newest frame each time, encoded as the agent does it."""
    encoder, ways_ns = Encoder(PictureKind.JPEG), []
    with connect("top", socket=frames, timeout_s=_LIMIT_S) as feed:
        for number, frame in enumerate(feed, -1):
            picture = b"".join(encoder.encode(frame_of(frame.image)))  # type: ignore[arg-type]
            if number >= 0 and picture:
                ways_ns.append(monotonic_ns() - frame.timestamp_ns)
            if len(ways_ns) == PICTURES:
                break
    return Measured(percentile(ways_ns, 50), len(ways_ns), ways_ns)


def _row() -> Comparison:
    return Comparison(
        name="H-snapshot",
        row="J3",
        what=f"A {_WIDTH_PX}x{_HEIGHT_PX} snapshot over HTTP of a simulated camera",
        measure="a frame's stamp to its JPEG in the asker's hands, P50",
        unit="ns",
        ours="GET /v1/cameras/top/snapshot on the control socket, one after another on one connection",
        peer="the Python client, which makes the JPEG itself with the same encoder",
        against="client",
        gate=None,
        moonshot=None,
        where="host",
        repeat="make bench",
        notes=(
            "The stamp is of the start of exposure: exposure and readout are in it for both.",
            "Agent, capture process with its simulated camera, viewer and asker share one processor.",
        ),
        environment=describe(),
    )
