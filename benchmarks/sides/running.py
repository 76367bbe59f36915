"""The agent as a whole, as `camera-agent serve` starts it, in a folder of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from agent.control.client import Client
from agent.control.errors import AgentUnreachable

PROGRAM = (sys.executable, "-m", "agent.cli", "serve")
HERE = "device: {serial: SIM00001}"
"""The match of a simulated camera; there are two, and this one is a USB camera."""
_ROOT = Path(__file__).resolve().parents[2]
_LIMIT_S = 180.0
"""An emulated processor takes its time to import what an agent needs."""


class Running:
    """A context manager: entered when each camera of `there` streams, as they all do at first. `client`: asks it."""

    def __init__(self, configuration: str, there: Sequence[str], *, simulate: bool = True) -> None:
        """`there`: names of the cameras of the configuration that are there."""
        self._configuration, self._there = configuration, there
        self._simulated = ("--simulate",) if simulate else ()
        self._resources = ExitStack()

    def __enter__(self) -> Running:
        with ExitStack() as resources:
            self.folder = Path(resources.enter_context(tempfile.TemporaryDirectory()))
            self.file, self.socket = self.folder / "config.yaml", self.folder / "control.sock"
            self.file.write_text(self._configuration)
            command = [*PROGRAM, *self._simulated, "--config", str(self.file), "--socket", str(self.socket)]
            log = resources.enter_context((self.folder / "log").open("w"))
            environment = {"PYTHONPATH": str(_ROOT), "PATH": "/usr/bin:/bin", "STATE_DIRECTORY": str(self.folder)}
            self._process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)
            resources.callback(self._end)
            self.client = resources.enter_context(Client(self.socket))
            self._until_ready()
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @property
    def pid(self) -> int:
        """Of the agent."""
        return self._process.pid

    def pid_of(self, group: str) -> int:
        """Of a group's capture process."""
        found = self.client.ask("GET", "/v1/groups")["groups"]
        return int(next(one["pid"] for one in found if one["name"] == group))

    def _until_ready(self) -> None:
        deadline = time.monotonic() + _LIMIT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"the agent is not ready: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            cameras = {one["name"]: one["state"] for one in self.client.cameras()}
        except AgentUnreachable:
            return False
        return all(cameras[name] == "armed" for name in self._there)

    def _end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_LIMIT_S)
