# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera as the kernel shows it: from the port of the virtual host controller to /dev/videoN.

udev's events are waited for, with a deadline; sysfs says what is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyudev

from .descriptors import Speed
from .errors import NodeTimeout
from .vhci import Vhci

_USB_DEVICES = Path("/sys/bus/usb/devices")
_CAPTURE_INDEX = "0"  # uvcvideo registers the capture node first, its metadata node second
Found = TypeVar("Found")


class UdevEvents:
    """What udev announces about USB and video devices from now on. Open it before causing what to wait for."""

    def __init__(self) -> None:
        self._context = pyudev.Context()
        self._monitor = pyudev.Monitor.from_netlink(self._context)
        for subsystem in ("usb", "video4linux"):
            self._monitor.filter_by(subsystem)
        self._monitor.start()

    def wait_for(self, probe: Callable[[], Found | None], timeout_s: float, what: str) -> Found:
        """Probe now and after every event until it finds something. Raises: NodeTimeout."""
        deadline = time.monotonic() + timeout_s
        while (found := probe()) is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise NodeTimeout(f"{what}: not within {timeout_s} s", hint="dmesg tells what the driver found")
            self._monitor.poll(timeout=left_s)
        return found

    def announced(self, node: Path) -> bool:
        """True when udev has finished with this node: its links and permissions are set."""
        device = pyudev.Devices.from_name(self._context, "video4linux", node.name)
        return bool(device.is_initialized)


def capture_node(port: int) -> Path | None:
    """The capture node of the camera on that port, as far as the kernel has got."""
    bus_id = next((each.bus_id for each in Vhci(Speed.HIGH).ports() if each.number == port), None)
    if bus_id is None:
        return None
    for entry in sorted(_USB_DEVICES.glob(f"{bus_id}/{bus_id}:1.0/video4linux/video*")):
        if _read(entry / "index") == _CAPTURE_INDEX:
            return Path("/dev") / entry.name
    return None


def port_is_free(port: int) -> bool:
    """The host controller has let the camera go."""
    return any(each.free for each in Vhci(Speed.HIGH).ports() if each.number == port)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # gone between the listing and the reading
        return ""
