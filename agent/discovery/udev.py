"""udev through pyudev: the list of video nodes, and events about them. The only module that knows pyudev."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pyudev

from agent.discovery.camera import Camera, cameras_of
from agent.discovery.facts import is_video_node, read_node
from agent.discovery.node import Ask, Node
from agent.discovery.source import EventsLost, Record
from agent.errors import AgentError

_CONTROL = Path("/run/udev/control")
"""There while udevd runs."""
_NODES = Path("/sys/class/video4linux")
_SEQUENCE = Path("/sys/kernel/uevent_seqnum")
_ENDED = frozenset(("remove", "unbind"))
VIDEO = "video4linux"
USB = "usb"


def udev_runs() -> bool:
    """Whether udevd is there: without it, as in most containers, no event comes."""
    return _CONTROL.exists()


class UdevMissing(AgentError):
    """udevd is not running, or its library is not there: nobody would tell what is plugged in."""

    code = "udev_missing"


def require_udev() -> None:
    """Raises UdevMissing."""
    if not udev_runs():
        hint = "run it on the machine itself, or let the container see its /run/udev"
        raise UdevMissing("udev is not running here, so nothing that is plugged in would be told", hint=hint)


def _context() -> pyudev.Context:
    try:
        return pyudev.Context()
    except ImportError as error:
        raise UdevMissing(f"libudev cannot be loaded: {error}", hint="install it: apt-get install libudev1") from error


def list_cameras(ask: Ask | None = None) -> list[Camera]:
    """The cameras that are there now; each node is asked with `ask`, where one is given. Raises UdevMissing."""
    nodes = Devices().list_nodes()
    return cameras_of(nodes if ask is None else [node.told(ask(node.path)) for node in nodes])


class Devices:
    """Video nodes in sysfs and udev's database. Without udevd there is less to know, but it is final."""

    def __init__(self) -> None:
        self._context = _context()

    def list_nodes(self) -> list[Node]:
        """All video nodes that udev has finished with; those that vanish meanwhile are left out."""
        try:
            places = [place.resolve() for place in _NODES.iterdir()]
        except FileNotFoundError:  # no driver has registered a class yet
            return []
        found = (self.look(str(place)) for place in places)
        return [node for node in found if node is not None]

    def look(self, sys_path: str) -> Node | None:
        """One node as it is now; None when it is not there, or udev has not finished with it."""
        if not is_video_node(sys_path):
            return None
        try:
            device = pyudev.Devices.from_sys_path(self._context, sys_path)
        except pyudev.DeviceNotFoundError:
            return None
        return read_node(device) if device.is_initialized or not udev_runs() else None


class UdevSource:
    """Events of video nodes and USB interfaces. A `Source` and a context manager; one owner, one thread."""

    def __init__(self, *, buffer_bytes: int | None = None) -> None:
        """`buffer_bytes`: the socket's receive buffer, None: as the system has it. Raises UdevMissing, OSError."""
        self._devices = Devices()
        self._monitor = pyudev.Monitor.from_netlink(_context(), source="udev")
        self._monitor.filter_by(VIDEO)
        self._monitor.filter_by(USB, "usb_interface")
        if buffer_bytes is not None:
            self._monitor.set_receive_buffer_size(buffer_bytes)
        self._socket: socket.socket | None = socket.socket(fileno=os.dup(self._monitor.fileno()))

    def __enter__(self) -> UdevSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Close the netlink socket."""
        if self._socket is not None:
            self._socket.close()
        self._socket = self._monitor = None

    def start(self) -> None:
        """From here on no event is missed without `EventsLost`."""
        self._monitor.start()

    def fileno(self) -> int:
        """The netlink socket."""
        return int(self._monitor.fileno())

    def sequence(self) -> int:
        """The number of the last event that the kernel has sent out."""
        try:
            return int(_SEQUENCE.read_text())
        except OSError:  # a kernel without it: every event counts as new
            return 0

    def list_nodes(self) -> list[Node]:
        """All video nodes that udev has finished with."""
        return self._devices.list_nodes()

    def look(self, sys_path: str) -> Node | None:
        """One node as it is now."""
        return self._devices.look(sys_path)

    def receive(self) -> Record | None:
        """The next event, None when there is none yet; never waits. Raises EventsLost.

        pyudev's poll() answers an overrun with an OSError without a number and leaves it pending for ever. So the
        socket is asked first: SO_ERROR tells it and clears it (socket(7)).
        """
        self._raise_lost()
        try:
            device = self._monitor.poll(timeout=0)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise EventsLost from error
            self._raise_lost()
            raise
        return None if device is None else _record(device)

    def _raise_lost(self) -> None:
        if self._socket is None:
            raise ValueError("this source was released")
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == errno.ENOBUFS:
            raise EventsLost
        if code:
            raise OSError(code, os.strerror(code), "udev monitor")


def _record(device: pyudev.Device) -> Record:
    action, sys_path = str(device.action), str(device.sys_path)
    is_node = device.subsystem == VIDEO and is_video_node(sys_path)
    return Record(
        action=action,
        subsystem=str(device.subsystem),
        sys_path=sys_path,
        sequence=int(device.sequence_number),
        node=read_node(device) if is_node and action not in _ENDED else None,
    )
