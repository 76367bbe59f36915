# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's virtual USB host controller (drivers/usb/usbip/vhci_sysfs.c): its ports, attach and detach.

One directory serves every controller: attach and detach are controller 0's files, ports are numbered across all.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .descriptors import Speed
from .errors import AttachError

VHCI = Path("/sys/devices/platform/vhci_hcd.0")
_FREE = 4  # VDEV_ST_NULL (drivers/usb/usbip/usbip_common.h)
_HUBS = {"hs": Speed.HIGH, "ss": Speed.SUPER}
_DEVICE_ID = 0x0001_0002  # bus 1, device 2 of a server that does not exist; the kernel only echoes it


@dataclass(frozen=True)
class Port:
    """A line of the status file. `bus_id` is the device's name under /sys/bus/usb/devices, None until it is known."""

    number: int
    speed: Speed
    state: int
    bus_id: str | None

    @property
    def free(self) -> bool:
        """Nothing is attached here."""
        return self.state == _FREE


def parse_status(text: str) -> list[Port]:
    """The ports in one status file: `hub port sta spd dev sockfd local_busid`, a header line first."""
    rows = [line.split() for line in text.splitlines()]
    return [
        Port(int(row[1]), _HUBS[row[0]], int(row[2]), None if row[6] == "0-0" else row[6])
        for row in rows
        if len(row) >= 7 and row[0] in _HUBS
    ]


class Socket(Protocol):
    """Where a camera is plugged in."""

    def attach(self, kernel_end: socket.socket) -> int:
        """Hand the kernel its end of the stream; the number of the port taken. Raises: AttachError."""

    def detach(self, port: int) -> None:
        """Free the port; a port that is free already is no error."""


class Vhci:
    """Plugs cameras into ports of one speed: a given port, or with None the first that is free."""

    def __init__(self, speed: Speed, port: int | None = None, root: Path = VHCI) -> None:
        self._speed = speed
        self._port = port
        self._root = root

    def ports(self) -> list[Port]:
        """Every port of every controller. Raises: AttachError without the module."""
        try:
            files = sorted(self._root.glob("status*"), key=lambda each: (len(each.name), each.name))
            texts = [each.read_text() for each in files]
        except OSError as error:
            raise AttachError(f"vhci status: {error}", hint="modprobe vhci-hcd, and run as root") from error
        if not texts:
            raise AttachError(f"there is no {self._root}", hint="modprobe vhci-hcd")
        return [port for text in texts for port in parse_status(text)]

    def attach(self, kernel_end: socket.socket) -> int:
        """Take a port; when another camera is quicker (EBUSY), the next free one. Raises: AttachError."""
        for port in self.ports():
            if not (port.free if self._port is None else port.number == self._port) or port.speed is not self._speed:
                continue
            if self._write("attach", f"{port.number} {kernel_end.fileno()} {_DEVICE_ID} {int(self._speed)}"):
                return port.number
        wanted = f"{self._speed.name.lower()}-speed port" if self._port is None else f"port {self._port}"
        raise AttachError(f"no free {wanted}", hint="detach another camera, or see the status file of vhci_hcd.0")

    def detach(self, port: int) -> None:
        """Free the port."""
        self._write("detach", str(port))

    def _write(self, name: str, text: str) -> bool:
        """True when the kernel took it, False when the port is busy or already free (EBUSY, EINVAL)."""
        try:
            (self._root / name).write_text(text)
        except OSError as error:
            if error.errno == errno.EBUSY or (name == "detach" and error.errno == errno.EINVAL):
                return False
            raise AttachError(f"{self._root / name}: {error}", hint="run as root; dmesg says more") from error
        return True
