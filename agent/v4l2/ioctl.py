"""The one door to the kernel: every ioctl on a node passes here, and every errno becomes a typed error here.

Two ways through: `call` raises a typed error; `attempt` returns the errno for the requests whose refusal is an
answer (the end of an enumeration, an option a driver lacks).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from agent.errors import DeviceBusy, DeviceError, DeviceGone, DeviceNotFound, DevicePermission, UsbBandwidth
from agent.kernel import Kernel, Mapping
from agent.v4l2.uapi import VIDIOC_STREAMON, Request

R = TypeVar("R")


class Node:
    """An open device node: descriptor, path, and the door for its ioctls.

    A context manager; `release()` is idempotent. Not locked: the kernel serialises, one owner decides the order.
    """

    def __init__(self, kernel: Kernel, path: str, flags: int = os.O_RDWR | os.O_NONBLOCK) -> None:
        """Open `path`. Raises DeviceNotFound, DevicePermission, DeviceBusy, DeviceError."""
        self.kernel = kernel
        self.path = path
        try:
            self._fd: int | None = retry_eintr(kernel.open, path, flags)
        except OSError as error:
            raise typed_error(error.errno or 0, "open", path) from error

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def fd(self) -> int:
        """The descriptor. Raises DeviceGone after release."""
        if self._fd is None:
            raise DeviceGone(
                f"{self.path} was closed",
                hint="open the camera again",
                device=self.path,
                request="open",
                errno=errno.EBADF,
            )
        return self._fd

    def release(self) -> None:
        """Close the descriptor; the last close of a streaming node is itself a STREAMOFF."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self.kernel.close(fd)

    def call(self, request: Request, argument: Any) -> None:
        """Issue `request`, changing `argument` in place. Raises the typed error of its errno."""
        code = self.attempt(request, argument)
        if code:
            raise typed_error(code, request.name, self.path)

    def attempt(self, request: Request, argument: Any) -> int:
        """Issue `request`; 0, or the errno the kernel answered with."""
        while True:
            try:
                self.kernel.ioctl(self.fd, request.number, argument)
            except InterruptedError:  # see retry_eintr, written out here: this is the path of every frame
                continue
            except OSError as error:
                return error.errno or errno.EIO
            return 0

    def mmap(self, length: int, offset: int, protection: int) -> Mapping:
        """Map `length` bytes at `offset`. Raises DeviceError."""
        try:
            return self.kernel.mmap(self.fd, length, offset, protection)
        except OSError as error:
            raise typed_error(error.errno or 0, "mmap", self.path) from error


def retry_eintr(function: Callable[..., R], *arguments: Any) -> R:
    """Call `function` again as long as a signal interrupts it.

    CPython before 3.14 does not retry EINTR in fcntl.ioctl by itself (PEP 475 left it out). A signal whose handler
    raises ends the loop with that exception.
    """
    while True:
        try:
            return function(*arguments)
        except InterruptedError:
            continue


def typed_error(code: int, request: str, device: str) -> DeviceError:
    """The error for `code` answered to `request` on `device`, with what to do next."""
    reason = f"{request} on {device}: {os.strerror(code)}"
    if code in (errno.ENODEV, errno.ENXIO):
        return DeviceGone(
            f"{device} is gone ({reason})",
            hint="plug the camera in again; `camera-agent devices` lists what is there",
            device=device,
            request=request,
            errno=code,
        )
    if code == errno.EBUSY:
        return _busy(request, device)
    if code == errno.ENOSPC and request == VIDIOC_STREAMON.name:
        # uvcvideo: no alternate setting with enough bandwidth is left on the bus; not a full disk
        return UsbBandwidth(
            f"the USB bus has no bandwidth left for the stream of {device} ({reason})",
            hint="use a smaller size, a lower rate or MJPG, or move a camera to another USB controller",
            device=device,
            request=request,
            errno=code,
        )
    if request == "open" and code == errno.ENOENT:
        return DeviceNotFound(
            f"there is no device {device}",
            hint="`camera-agent devices` lists what is there",
            device=device,
            request=request,
            errno=code,
        )
    if request == "open" and code in (errno.EACCES, errno.EPERM):
        return DevicePermission(
            f"no permission to open {device}",
            hint="add yourself to its group (usually: sudo usermod -aG video $USER) and log in again",
            device=device,
            request=request,
            errno=code,
        )
    return DeviceError(
        f"the driver refused: {reason} ({errno.errorcode.get(code, code)})",
        hint=_GENERAL_HINTS.get(code, "look into the kernel log: journalctl -k"),
        device=device,
        request=request,
        errno=code,
    )


_GENERAL_HINTS = {
    errno.EINVAL: "the driver does not accept this argument or not in this state",
    errno.ENOTTY: "the driver has no such request: is this a camera?",
    errno.EIO: "the camera does not answer: unplug it and plug it in again, then look into journalctl -k",
    errno.EPIPE: "the camera stalled the request: unplug it and plug it in again",
    errno.ETIMEDOUT: "the camera did not answer in time: unplug it and plug it in again",
    errno.ENOMEM: "not enough memory for the buffers: use fewer or smaller ones",
    errno.EACCES: "the control is read-only or held by an automatic mode",
    errno.EMFILE: "too many open files: raise LimitNOFILE",
}


def _busy(request: str, device: str) -> DeviceBusy:
    holders = find_holders(device)
    who = f"held by {', '.join(holders)}" if holders else "held by another program (as root, its name could be told)"
    return DeviceBusy(
        f"{device} is busy ({request}): {who}",
        hint="stop that program, or wait for it to finish; fuser -v shows all of them",
        device=device,
        request=request,
        holders=holders,
    )


def find_holders(device: str) -> tuple[str, ...]:
    """The other processes that have `device` open, as `name (pid N)`, as far as /proc lets us see."""
    try:
        wanted = os.stat(device)
    except OSError:
        return ()
    holders = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        if _holds(process, wanted):
            holders.append(f"{_name_of(process)} (pid {process.name})")
    return tuple(sorted(holders))


def _holds(process: Path, wanted: os.stat_result) -> bool:
    try:
        with os.scandir(process / "fd") as entries:
            return any(_is_same(entry, wanted) for entry in entries)
    except OSError:  # another user's process, or one that just ended
        return False


def _is_same(entry: os.DirEntry[str], wanted: os.stat_result) -> bool:
    try:
        found = entry.stat()
    except OSError:  # closed meanwhile
        return False
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)


def _name_of(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "?"
