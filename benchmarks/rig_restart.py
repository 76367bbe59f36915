# SPDX-License-Identifier: GPL-3.0-or-later
"""R1: SIGKILL to ready again under systemd, beside a unit in Python that does nothing but say that it is ready."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# started as a file, Python puts this folder first; the package is in the one above
sys.path[0] = str(ROOT := Path(__file__).resolve().parent.parent)

from benchmarks import vivid  # noqa: E402
from benchmarks.common import compare  # noqa: E402
from benchmarks.environment import describe  # noqa: E402
from benchmarks.result import Comparison, Measured  # noqa: E402

UNITS = Path("/run/systemd/system")
ROUNDS = 10
_LIMIT_S = 300
_NS_PER_US = 1000
_EMPTY = """
import os, signal, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    address = os.environ["NOTIFY_SOCKET"]
    notify.sendto(b"READY=1", address.replace("@", "\\0", 1) if address.startswith("@") else address)
signal.pause()
"""
_UNIT = """
[Unit]
Description={name}
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={command}
WorkingDirectory={folder}
Environment=PYTHONPATH={root} STATE_DIRECTORY={folder}
Restart=always
RestartSec=0
TimeoutStartSec=300
"""


def main(folder: Path) -> None:
    """Measure and write R1.json."""
    with tempfile.TemporaryDirectory() as scratch:
        configuration, empty = Path(scratch) / "config.yaml", Path(scratch) / "empty.py"
        configuration.write_text(
            f"cameras:\n  top: {{device: {vivid.find_vivid()}}}\n"
            "plans:\n  lapse: {camera: top, every: 1s, store: false}\n"
        )
        empty.write_text(_EMPTY)
        serve = f"-m agent.cli serve --config {configuration} --socket {scratch}/control.sock"
        with unit("benchmark-agent", serve, scratch) as agent, unit("benchmark-empty", str(empty), scratch) as nothing:
            compare(_row(), lambda: killed(agent), lambda: killed(nothing), folder, rounds=ROUNDS)


@contextmanager
def unit(name: str, arguments: str, folder: str) -> Iterator[str]:
    """A running unit of this Python with these arguments. Raises CalledProcessError when it does not become ready."""
    path = UNITS / f"{name}.service"
    command = f"{sys.executable} {arguments}"
    path.write_text(_UNIT.format(name=name, command=command, folder=folder, root=ROOT))
    try:
        _systemctl("daemon-reload")
        _systemctl("start", path.name)
        yield path.name
    finally:
        subprocess.run(["systemctl", "stop", path.name], check=False)
        path.unlink()
        _systemctl("daemon-reload")


def killed(name: str) -> Measured:
    """From SIGKILL until systemd had its READY=1, by systemd's own clock, which is CLOCK_MONOTONIC in microseconds."""
    before = _shown(name)
    killed_ns = time.monotonic_ns()
    os.kill(int(before["MainPID"]), signal.SIGKILL)
    deadline = time.monotonic() + _LIMIT_S
    while True:
        now = _shown(name)
        if now["ActiveState"] == "active" and now["MainPID"] not in ("0", before["MainPID"]):
            took_ns = int(now["ActiveEnterTimestampMonotonic"]) * _NS_PER_US - killed_ns
            return Measured(took_ns, 1, [took_ns])
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} did not come back: {now}")
        time.sleep(0.2)  # asking costs what the unit needs to begin


def _shown(name: str) -> dict[str, str]:
    keys = "MainPID,ActiveState,ActiveEnterTimestampMonotonic"
    told = _systemctl("show", name, f"--property={keys}")
    return dict(line.split("=", 1) for line in told.splitlines())


def _systemctl(*arguments: str) -> str:
    return subprocess.run(["systemctl", *arguments], check=True, capture_output=True, text=True).stdout


def _row() -> Comparison:
    return Comparison(
        name="R1",
        row="R1",
        what="A unit of systemd is killed with SIGKILL and started again",
        measure="SIGKILL to READY=1",
        unit="ns",
        ours="the agent with a camera (vivid) and a plan; ready when its socket answers and its processes are started",
        peer="a unit in Python that sends READY=1 and waits",
        against="empty unit",
        gate=3,
        moonshot=1.3,
        where="rig",
        repeat="make rig BENCH=1",
        notes=(
            "Type=notify and RestartSec=0 for both. When it was ready systemd says: ActiveEnterTimestampMonotonic.",
        ),
        environment=describe(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
