# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual UVC camera for tests: a process of its own, plugged in, misbehaving and recorded at will."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from .errors import OrderError, UvcCameraError
from .record import next_number, next_pulse, read_entries

if TYPE_CHECKING:
    from .nodes import UdevEvents

_ORDER_TIMEOUT_S = 10.0
_NODE_TIMEOUT_S = 20.0  # under software emulation; the driver takes 0.4 s there
_START_TIMEOUT_S = 60.0  # numpy alone takes seconds to import there, on a busy machine half a minute


class UvcCamera:
    """One camera. Use it as a context manager: entering starts the process and plugs the camera in, leaving ends both.

    `serial=None` makes a camera without a serial number. `formats` and `sizes` are names such as "yuyv" and
    "640x480"; None offers all. With a `trigger_line` ("rig-lines:trigger") the control `privacy` is its switch for
    trigger mode; a `strobe_line` is high while it exposes. Needs root and the module vhci-hcd. For one thread.
    """

    def __init__(
        self,
        serial: str | None = None,
        *,
        speed: str = "high",
        port: int | None = None,
        product: str | None = None,
        manufacturer: str | None = None,
        formats: Sequence[str] | None = None,
        sizes: Sequence[str] | None = None,
        latency_frames: int = 2,
        trigger_line: str | None = None,
        strobe_line: str | None = None,
        log: Path | None = None,
        node_timeout_s: float = _NODE_TIMEOUT_S,
    ) -> None:
        self._options = {"serial": serial, "speed": speed, "port": port, "product": product,
                         "manufacturer": manufacturer, "formats": formats and ",".join(formats),
                         "sizes": sizes and ",".join(sizes), "latency-frames": latency_frames,
                         "trigger-line": trigger_line, "strobe-line": strobe_line}  # fmt: skip
        self._node_timeout_s = node_timeout_s
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._given_log = log
        self._log: Path | None = log
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None
        self._node: Path | None = None
        self.port: int | None = None

    def __enter__(self) -> UvcCamera:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def open(self) -> None:
        """Start the process, plug the camera in, wait for its node. Raises: UvcCameraError with nothing left behind."""
        try:
            if self._directory is None:
                self._directory = tempfile.TemporaryDirectory(prefix="uvc-camera-", dir=_runtime_directory())
            self._log = self._given_log or Path(self._directory.name) / "camera.jsonl"
            self._log.touch()
            self.plug()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Unplug, end the process. Idempotent; the record of a `log` of one's own stays."""
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        self.port, self._node = None, None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    @property
    def node(self) -> Path:
        """The capture node, /dev/videoN. Raises: OrderError while unplugged."""
        if self._node is None:
            raise OrderError("the camera is not plugged in", hint="call plug()")
        return self._node

    @property
    def pid(self) -> int:
        """The camera's process. Raises: OrderError before `open`."""
        return self._running().pid

    @property
    def log(self) -> Path:
        """The camera's own record. Raises: OrderError before `open`."""
        if self._log is None:
            raise OrderError("the camera has no record yet", hint="call open()")
        return self._log

    def log_entries(self, *kinds: str) -> list[dict[str, object]]:
        """The camera's own record so far, all of it or only the `kinds` named (`uvc_camera.record` lists them)."""
        return [entry for entry in read_entries(self.log) if not kinds or entry["kind"] in kinds]

    def plug(self) -> Path:
        """Plug in and wait until udev has announced the node, which is returned. Restarts a process that is gone."""
        from .nodes import UdevEvents, capture_node

        events = UdevEvents()
        if self._process is None or self._process.poll() is not None:
            self._spawn()
        port = self._order("plug")["port"]
        if not isinstance(port, int):
            raise OrderError(f"the camera did not say its port: {port!r}")
        self.port = port

        def announced_node() -> Path | None:
            node = capture_node(port)
            return node if node is not None and events.announced(node) else None

        self._node = events.wait_for(announced_node, self._node_timeout_s, f"a video node on port {port}")
        return self._node

    def unplug(self) -> None:
        """Pull the cable and wait until the host controller noticed. Works on a frozen camera too."""
        events = self._watch_port()
        self._order("unplug")
        self._wait_for_free_port(events)

    def fault(self, name: str, **arguments: object) -> None:
        """Bring a fault into force (`uvc_camera.faults` lists them). After "gone" the process is dead; see `plug`."""
        if name != "gone":
            self._order("fault", name=name, **arguments)
            return
        events = self._watch_port()
        process = self._running()
        self._send({"do": "fault", "name": name, **arguments})
        process.wait(timeout=_ORDER_TIMEOUT_S)
        self._wait_for_free_port(events)

    def clear_faults(self, name: str | None = None) -> None:
        """Lift one fault, or all. The pictures go on; a frozen camera answers what has piled up."""
        self._order("clear", name=name)

    def trigger_mode(self, on: bool, line: str | None = None, **response: str | int) -> None:
        """The switch at the camera itself; a `line` wires its trigger input anew.

        `response`: edge (rising, falling), delay_ns, jitter_ns, readout_ns, seed (`uvc_camera.trigger_input`).
        """
        self._order("trigger_mode", on=on, line=line, **response)

    def _spawn(self) -> None:
        if self._process is not None:
            _end(self._process)
        if self._orders is not None:
            self._orders.close()
        if self._directory is None:
            raise OrderError("the camera is closed", hint="call open()")
        control = Path(self._directory.name) / "orders"
        given = [f"--{name}={value}" for name, value in self._options.items() if value is not None]
        before = read_entries(self.log)  # a process started anew counts on
        command = [sys.executable, "-m", "uvc_camera", f"--log={self.log}", f"--control={control}", "--unplugged",
                   f"--first-number={next_number(before)}", f"--first-pulse={next_pulse(before)}",
                   "--leash", *given]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()
        )
        _await_ready(self._process)
        self._orders = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._orders.settimeout(_ORDER_TIMEOUT_S)
        self._orders.connect(str(control))

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise OrderError("the camera is not running", hint="call open()")
        return self._process

    def _send(self, order: Mapping[str, object]) -> socket.socket:
        if self._orders is None:
            raise OrderError("the camera is not running", hint="call open()")
        try:
            self._orders.sendall(json.dumps(order).encode() + b"\n")
        except OSError as error:
            raise OrderError(f"the camera's process is gone: {error}", hint="call plug()") from error
        return self._orders

    def _order(self, do: str, **words: object) -> dict[str, object]:
        orders = self._send({"do": do, **words})
        line = b""
        while not line.endswith(b"\n"):
            part = orders.recv(4096)
            if not part:
                raise OrderError(f"the camera ended instead of answering {do}")
            line += part
        answer: dict[str, object] = json.loads(line)
        if not answer["ok"]:
            raise OrderError(str(answer["message"]))
        return answer

    def _watch_port(self) -> UdevEvents:
        from .nodes import UdevEvents

        return UdevEvents()

    def _wait_for_free_port(self, events: UdevEvents) -> None:
        from .nodes import port_is_free

        port, self.port, self._node = self.port, None, None
        if port is not None:
            events.wait_for(lambda: port_is_free(port) or None, self._node_timeout_s, f"port {port} to be free")


def _runtime_directory() -> str | None:
    """A tmpfs where there is one: the record must not wait for a disk."""
    return "/run" if os.access("/run", os.W_OK) else None


def _environment() -> dict[str, str]:
    """The child finds this package and `agent` wherever the parent found them."""
    package = Path(__file__).resolve().parents[1]
    paths = [str(package), str(package.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _await_ready(process: subprocess.Popen[bytes]) -> None:
    """The child's first line says it listens. Raises: UvcCameraError with what it printed instead."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    stdout = _pipe(process.stdout)
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(stdout.fileno(), 4096) if ready else b""
        if not part:
            _end(process, keep_pipes=True)
            said = _pipe(process.stderr).read().decode(errors="replace").strip()
            _close_pipes(process)
            raise UvcCameraError(f"the camera did not start: {said or 'it said nothing'}")
        line += part


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise OrderError("the camera was started without pipes")
    return pipe


def _end(process: subprocess.Popen[bytes], keep_pipes: bool = False) -> None:
    """Ask, then insist."""
    process.terminate()
    try:
        process.wait(timeout=_ORDER_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if not keep_pipes:
        _close_pipes(process)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
