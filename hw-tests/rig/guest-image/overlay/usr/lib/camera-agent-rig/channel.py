# SPDX-License-Identifier: GPL-3.0-or-later
"""Guest end of the rig's command channel: runs shell commands the host sends over a virtio-serial port.

One JSON object a line, in both directions. The host sends ``{"id": 1, "command": "..."}`` or ``{"cancel": 1}``;
the guest answers ``{"ready": true}`` when it is asked to ``{"hello": true}``, ``{"id": 1, "out": "..."}`` for each
piece of output and ``{"id": 1, "exit": 0}`` at the end. One command runs at a time.
"""

from __future__ import annotations

import codecs
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path

PORT = Path("/dev/virtio-ports/rig")
APPEARS_WITHIN_S = 60.0
PIECE_BYTES = 65536


class Channel:
    """The port, the unfinished line read from it, and the one command under way."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pending = b""
        self._process: subprocess.Popen[bytes] | None = None
        self._number = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def serve(self) -> None:
        """Serves commands for as long as the guest lives."""
        while True:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            if self._process is not None and self._process.stdout is not None:
                poll.register(self._process.stdout, select.POLLIN)
            for fd, events in poll.poll():
                if fd == self._fd:
                    self._read_port(events)
                else:
                    self._read_output()

    def _read_port(self, events: int) -> None:
        data = os.read(self._fd, PIECE_BYTES) if events & select.POLLIN else b""
        if not data:  # The host is not connected: the port stays in that state without blocking.
            self._cancel()
            time.sleep(0.1)
            return
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, message: dict[str, object]) -> None:
        if "hello" in message:
            self._send({"ready": True})
        elif "cancel" in message:
            self._cancel()
        else:
            self._start(int(str(message["id"])), str(message["command"]))

    def _start(self, number: int, command: str) -> None:
        self._cancel()
        self._number = number
        self._decoder.reset()
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/root",
        )

    def _read_output(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        data = os.read(process.stdout.fileno(), PIECE_BYTES)
        text = self._decoder.decode(data, final=not data)
        if text:
            self._send({"id": self._number, "out": text})
        if not data:
            self._send({"id": self._number, "exit": process.wait()})
            process.stdout.close()
            self._process = None

    def _cancel(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _send(self, message: dict[str, object]) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]


def open_port() -> int:
    """Waits for udev to name the port, then opens it."""
    deadline = time.monotonic() + APPEARS_WITHIN_S
    while not PORT.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return os.open(PORT, os.O_RDWR | os.O_CLOEXEC)


if __name__ == "__main__":
    Channel(open_port()).serve()
