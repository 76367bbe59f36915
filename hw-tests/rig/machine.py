# SPDX-License-Identifier: GPL-3.0-or-later
"""One guest from boot to power-off, or kept alive between two calls of the rig."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rig import qemu
from rig.channel import Channel
from rig.errors import GuestLost, TimeLimitExceeded
from rig.image import Image
from rig.progress import say

#: Half a minute under software emulation; several times that on a machine that is busy with other things.
BOOT_LIMIT_S = 300.0
CONSOLE_TAIL_LINES = 60
#: From inside, at once: everything worth keeping was written to the host before.
POWER_OFF = "systemctl poweroff --force --force"


@dataclass(frozen=True)
class Place:
    """The two folders of a rig on this machine: what the guest gets and what it leaves."""

    tree: Path
    results: Path

    @classmethod
    def at(cls, results: Path) -> Place:
        """The place whose results go to this folder."""
        return cls(tree=results.with_name(f"{results.name}-tree"), results=results)

    @property
    def console(self) -> Path:
        """What the kernel wrote to its first serial port."""
        return self.results / "console.log"

    @property
    def memory(self) -> Path:
        """Remembers the machine that runs here, for the next call."""
        return self.results / "machine.json"

    def console_tail(self) -> str:
        """The last lines the kernel wrote to its console."""
        if not self.console.exists():
            return ""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-CONSOLE_TAIL_LINES:])


class Machine:
    """A running guest with its command channel."""

    def __init__(self, place: Place, pid: int, socket: Path) -> None:
        self._place = place
        self._pid = pid
        self._socket = socket
        self._kept = False
        self._channel: Channel | None = None

    @classmethod
    def boot(cls, image: Image, place: Place, *, terminal: bool) -> Machine:
        """Starts a guest; ``wait_ready`` tells when it can be used."""
        # A unix socket's path holds 107 characters, which a folder of results may exceed.
        socket = Path(tempfile.mkdtemp(prefix="rig-")) / "channel"
        layout = qemu.Layout(place.tree, place.results, socket, place.console)
        command = qemu.command_line(image, layout, qemu.accelerator(image), terminal=terminal)
        pid = qemu.start(command, place.results / "qemu.log", terminal=terminal).pid
        machine = cls(place, pid, socket)
        machine._remember()
        return machine

    @classmethod
    def kept(cls, place: Place) -> Machine | None:
        """The guest an earlier call left running here on purpose; one left by accident is ended."""
        try:
            known = json.loads(place.memory.read_text())
        except (OSError, ValueError):
            return None
        if not qemu.is_qemu(known["pid"]) or not Path(known["socket"]).exists():
            return None
        machine = cls(place, known["pid"], Path(known["socket"]))
        if not known["kept"]:
            machine.stop()
            return None
        machine._kept = True
        return machine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._channel is not None:
            self._channel.close()
        if not self._kept:
            self.stop()

    def wait_ready(self) -> None:
        """Connects and waits until the guest takes commands.

        Raises:
            GuestLost: it ended, or was not ready in time.
        """
        started = time.monotonic()
        self._channel = Channel(self._socket, self._check)
        try:
            self._channel.wait_ready(started + BOOT_LIMIT_S)
        except TimeLimitExceeded as error:
            raise GuestLost(f"the guest was not ready within {BOOT_LIMIT_S:.0f} s") from error
        say("boot", f"ready after {time.monotonic() - started:.1f} s")

    def run(self, command: str, deadline: float, on_output: Callable[[str], None]) -> int:
        """Runs a shell command in the guest; see ``Channel.run``."""
        if self._channel is None:
            raise GuestLost("not connected to the guest")
        return self._channel.run(command, deadline, on_output)

    @property
    def is_kept(self) -> bool:
        """Whether the guest goes on when this process is done with it."""
        return self._kept

    def keep(self) -> None:
        """Leaves the guest running when this process is done with it."""
        self._kept = True
        self._remember()

    def power_off(self) -> None:
        """Asks the guest to end; ``stop`` is for one that does not."""
        if self._channel is not None:
            self._channel.send_last(POWER_OFF)
            qemu.wait_gone(self._pid, qemu.ENDS_WITHIN_S)
        self.stop()

    def stop(self) -> None:
        """Ends QEMU, however the guest is. May be called again."""
        self._kept = False
        qemu.end(self._pid)
        self._place.memory.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)
        if self._socket.parent.exists():
            self._socket.parent.rmdir()

    def _check(self) -> None:
        qemu.require_alive(self._pid, self._place.console)

    def _remember(self) -> None:
        known = {"pid": self._pid, "socket": str(self._socket), "kept": self._kept}
        self._place.memory.write_text(json.dumps(known))
