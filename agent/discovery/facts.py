"""What udev and sysfs know of a video node, as a `Node`.

Properties come from udev's 60-persistent-v4l.rules (v4l_id, usb_id, path_id); where udev is not running, sysfs has the
serial number, the port and the name as well, but not whether a node captures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from agent.discovery.identity import Identity
from agent.discovery.node import Node

_DEVICES = "/sys/devices/"
_CAPTURE = ":capture:"
_DIGITS = 19


class UdevDevice(Protocol):
    """What is used of a `pyudev.Device`."""

    @property
    def sys_path(self) -> str:
        """Its place in sysfs."""
        ...

    @property
    def device_node(self) -> str | None:
        """Its path in /dev."""
        ...

    @property
    def device_number(self) -> int:
        """Major and minor."""
        ...

    @property
    def device_links(self) -> Iterable[str]:
        """Symbolic links to the node."""
        ...

    @property
    def properties(self) -> Mapping[str, str]:
        """What udev's rules found out."""
        ...

    def find_parent(self, subsystem: str, device_type: str | None = None) -> UdevDevice | None:
        """The nearest device above it of this kind."""
        ...


def is_video_node(sys_path: str) -> bool:
    """Whether it is a node to capture from, by its name: not a subdevice, radio, vbi or touch node."""
    return PurePosixPath(sys_path).name.removeprefix("video").isdecimal()


def read_node(device: UdevDevice) -> Node | None:
    """A video node; None when it has no file in /dev yet."""
    path, place = device.device_node, PurePosixPath(device.sys_path)
    if path is None:
        return None
    properties = device.properties
    parent = place.parent.parent
    capabilities = properties.get("ID_V4L_CAPABILITIES")
    return Node(
        path=path,
        sys_path=str(place),
        parent=str(parent),
        devnum=device.device_number,
        index=_number(_attribute(place, "index")) or 0,
        captures=None if capabilities is None else _CAPTURE in capabilities,
        made_us=_number(properties.get("USEC_INITIALIZED")),
        links=tuple(sorted(device.device_links)),
        identity=_identity(device, place, parent),
    )


def _identity(device: UdevDevice, place: PurePosixPath, parent: PurePosixPath) -> Identity:
    properties = device.properties
    usb = device.find_parent("usb", "usb_device")
    position = None if usb is None else PurePosixPath(usb.sys_path)
    return Identity(
        serial=_property(properties, "ID_SERIAL_SHORT") or _of_usb(position, "serial"),
        vendor_id=_property(properties, "ID_USB_VENDOR_ID", "ID_VENDOR_ID") or _of_usb(position, "idVendor"),
        product_id=_property(properties, "ID_USB_MODEL_ID", "ID_MODEL_ID") or _of_usb(position, "idProduct"),
        port=_property(properties, "ID_PATH"),
        port_with_revision=_property(properties, "ID_PATH_WITH_USB_REVISION"),
        usb_position=None if position is None else position.name,
        platform=str(parent).removeprefix(_DEVICES) if position is None else None,
        bus_info=None if position is None else _usb_bus_info(position),
        model=_property(properties, "ID_V4L_PRODUCT") or _attribute(place, "name"),
        driver=_driver(parent),
        subdevices=_subdevices(parent),
    )


def _number(text: str | None) -> int | None:
    """Of 64 bits at most; None where there is none."""
    return int(text) if text and text.isdecimal() and len(text) <= _DIGITS else None


def _property(properties: Mapping[str, str], *names: str) -> str | None:
    return next((found for name in names if (found := properties.get(name))), None)


def _attribute(place: PurePosixPath, name: str) -> str | None:
    """A file of sysfs; None when it is not there, or not any more."""
    try:
        return Path(place, name).read_text(errors="replace").strip() or None
    except OSError:
        return None


def _of_usb(position: PurePosixPath | None, name: str) -> str | None:
    return None if position is None else _attribute(position, name)


def _usb_bus_info(position: PurePosixPath) -> str | None:
    """What usb_make_path() writes (include/linux/usb.h): the controller's name and the ports from it on."""
    ports = _attribute(position, "devpath")
    hub = next((above for above in position.parents if above.name.removeprefix("usb").isdecimal()), None)
    return None if ports is None or hub is None else f"usb-{hub.parent.name}-{ports}"


def _driver(parent: PurePosixPath) -> str | None:
    try:
        return Path(parent, "driver").readlink().name
    except OSError:
        return None


def _subdevices(parent: PurePosixPath) -> tuple[str, ...]:
    """Names of the subdevices that the same bridge has registered: a sensor on CSI has no other name here."""
    names = (_attribute(PurePosixPath(place), "name") for place in Path(parent, "video4linux").glob("v4l-subdev*"))
    return tuple(sorted(name for name in names if name))
