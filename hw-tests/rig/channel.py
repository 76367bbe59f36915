# SPDX-License-Identifier: GPL-3.0-or-later
"""Host end of the command channel: runs shell commands in the guest and passes their output on.

The protocol is described where its other end is, in guest-image/overlay/usr/lib/camera-agent-rig/channel.py.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from rig.errors import GuestLost, TimeLimitExceeded

#: How often a wait looks whether QEMU still lives.
LOOK_EVERY_S = 0.5
#: A cancelled command is killed at once; its end is reported in far less.
CANCELLED_WITHIN_S = 10.0


class Channel:
    """A connection to the guest. Not to be shared between threads.

    Args:
        path: the unix socket of QEMU's character device.
        check: called while waiting; raises if the guest is gone.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        self._check = check
        self._pending = b""
        self._number = time.monotonic_ns()  # never one that an earlier connection used
        self._socket = socket.socket(socket.AF_UNIX)
        self._connect(path)

    def _connect(self, path: Path) -> None:
        """QEMU makes the socket shortly after it started."""
        while True:
            try:
                self._socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                self._check()
                time.sleep(0.02)
        self._socket.settimeout(LOOK_EVERY_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnects; a command still under way in the guest is killed there."""
        self._socket.close()

    def wait_ready(self, deadline: float) -> None:
        """Waits until the guest answers.

        Raises:
            TimeLimitExceeded: it did not by ``deadline`` (a time of ``time.monotonic()``).
            GuestLost: it ended.
        """
        self._send({"hello": True})
        for message in self._messages(deadline):
            if message.get("ready"):
                return

    def run(self, command: str, deadline: float, on_output: Callable[[str], None]) -> int:
        """Runs one shell command and returns its exit status.

        Raises:
            TimeLimitExceeded: it ran past ``deadline``; it was killed.
            GuestLost: the guest ended meanwhile.
        """
        self._number += 1
        self._send({"id": self._number, "command": command})
        try:
            return self._follow(deadline, on_output)
        except (TimeLimitExceeded, KeyboardInterrupt):
            self._send({"cancel": self._number})
            self._follow(time.monotonic() + CANCELLED_WITHIN_S, on_output)
            raise

    def _follow(self, deadline: float, on_output: Callable[[str], None]) -> int:
        for message in self._messages(deadline):
            if message.get("id") != self._number:
                continue
            if "out" in message:
                on_output(str(message["out"]))
            if "exit" in message:
                return int(str(message["exit"]))
        raise GuestLost("the guest fell silent")

    def send_last(self, command: str) -> None:
        """Sends a command that ends the guest: no answer is to be expected."""
        self._send({"id": self._number + 1, "command": command})

    def _send(self, message: dict[str, object]) -> None:
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise GuestLost("the guest no longer listens") from error

    def _messages(self, deadline: float) -> Iterator[dict[str, object]]:
        """Messages as they come, until the deadline."""
        while True:
            *lines, self._pending = self._pending.split(b"\n")
            yield from (json.loads(line) for line in lines)
            if time.monotonic() > deadline:
                raise TimeLimitExceeded("the guest's time is up")
            self._pending += self._received()

    def _received(self) -> bytes:
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            self._check()
            return b""
        except OSError as error:
            raise GuestLost("the guest is gone") from error
        if not data:
            raise GuestLost("the guest is gone: panic, power-off or QEMU's end")
        return data
