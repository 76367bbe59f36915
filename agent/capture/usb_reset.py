"""The last step against a camera that hangs in its driver: reset its USB device.

The ioctl can hang as well (it waits for the driver that hangs), so it runs in a process of its own with a limit:
`python -m agent.capture.usb_reset /dev/bus/usb/001/005`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AgentError

USBDEVFS_RESET = 0x5514
"""_IO('U', 20) of linux/usbdevice_fs.h; the number is the same on every architecture with the usual _IOC layout."""
_SYSFS = Path("/sys")
_MOMENT_MS = 500
"""A killed process that the kernel lets go is gone long before."""
_PROGRAM = (sys.executable, "-m", "agent.capture.usb_reset")


class NotOnUsb(AgentError):
    """The camera's node leads to no USB device: there is nothing to reset. Details: path."""

    code = "not_on_usb"
    exit_code = 3


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """`port`: its place on the bus as the kernel names it, `1-2.4`. `node`: what the reset is asked of."""

    port: str
    node: str


def find_usb_device(path: str, sysfs: Path = _SYSFS) -> UsbDevice:
    """The USB device that the video node `path` belongs to. Raises NotOnUsb.

    /sys/class/video4linux/videoN/device leads to the USB interface, and the device is the next one above it that has
    a bus and a device number (Documentation/ABI/testing/sysfs-bus-usb).
    """
    name = Path(path).resolve().name
    try:
        place = (sysfs / "class" / "video4linux" / name / "device").resolve(strict=True)
    except OSError as error:
        raise _not_on_usb(path, f"{sysfs}/class/video4linux has no {name}") from error
    top = sysfs.resolve()
    for directory in (place, *place.parents):
        if directory == top:
            break
        bus, device = _number(directory / "busnum"), _number(directory / "devnum")
        if bus is not None and device is not None:
            return UsbDevice(directory.name, f"/dev/bus/usb/{bus:03}/{device:03}")
    raise _not_on_usb(path, f"{name} belongs to no USB device")


class UsbReset:
    """One reset under way, in a process of its own. A context manager; `fileno()` is readable when it has ended."""

    def __init__(self, device: UsbDevice, *, program: Sequence[str] = _PROGRAM) -> None:
        """Start it. Raises OSError when no process can be started."""
        self.device = device
        self._process = subprocess.Popen(
            [*program, device.node], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self._pidfd = os.pidfd_open(self._process.pid)

    def __enter__(self) -> UsbReset:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def fileno(self) -> int:
        """The process's pidfd."""
        return self._pidfd

    def outcome(self) -> str | None:
        """What came of it, in words; None while it is under way."""
        status = self._process.poll()
        return None if status is None else _in_words(self.device, status)

    def release(self) -> None:
        """End it; idempotent. One that hangs in the kernel cannot be ended: it goes when the kernel lets it."""
        if self._pidfd < 0:
            return
        self._process.kill()
        waiting = select.poll()
        waiting.register(self._pidfd, select.POLLIN)
        waiting.poll(_MOMENT_MS)
        self._process.poll()
        os.close(self._pidfd)
        self._pidfd = -1


Resetter = Callable[[UsbDevice], UsbReset]
"""Starts a reset; tests hand in their own."""


def reset(node: str) -> int:
    """Reset the device behind `node`; 0, or the errno the kernel answered with."""
    try:
        fd = os.open(node, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        return error.errno or errno.EIO
    try:
        return _ask(fd)
    finally:
        os.close(fd)


def _ask(fd: int) -> int:
    while True:
        try:
            fcntl.ioctl(fd, USBDEVFS_RESET, 0)
        except InterruptedError:
            continue
        except OSError as error:
            return error.errno or errno.EIO
        return 0


def _in_words(device: UsbDevice, status: int) -> str:
    if status == 0:
        return f"USB device {device.port} was reset"
    if status < 0:
        return f"the reset of USB device {device.port} was ended by signal {-status}"
    reason = os.strerror(status)
    if status in (errno.EACCES, errno.EPERM):
        return f"no permission to reset USB device {device.port}: {device.node} must be writable ({reason})"
    return f"USB device {device.port} could not be reset: {reason}"


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _not_on_usb(path: str, why: str) -> NotOnUsb:
    return NotOnUsb(
        f"{path} cannot be reset over USB: {why}", hint="only USB cameras can be: leave usb_reset out", path=path
    )


if __name__ == "__main__":
    sys.exit(reset(sys.argv[1]))
