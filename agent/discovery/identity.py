"""What a camera is: facts that stay when its node's number changes."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Everything by which one camera can be told from another. None where the system does not say.

    `serial`: the serial number as udev's usb_id has it (ID_SERIAL_SHORT); cheap cameras have none, or all the same.
    `vendor_id`, `product_id`: four hexadecimal digits, lower case. `port`: the place it is plugged into, counted from
    the controller (ID_PATH, `pci-0000:00:14.0-usb-0:2.4:1.0`); the same after every boot. `port_with_revision`: the
    same with the revision of the bus (`usbv3`), where two sockets would share the first one. `usb_position`: bus and
    ports as the kernel counts them today, `1-2.4`. `platform`: the device under /sys/devices, where it is not on USB.
    `bus_info`, `model` (the card), `driver`: as VIDIOC_QUERYCAP has them. `subdevices`: names of the sensors and lenses
    behind it, `imx219 10-0010`.
    """

    serial: str | None = None
    vendor_id: str | None = None
    product_id: str | None = None
    port: str | None = None
    port_with_revision: str | None = None
    usb_position: str | None = None
    platform: str | None = None
    bus_info: str | None = None
    model: str | None = None
    driver: str | None = None
    subdevices: tuple[str, ...] = ()

    @property
    def ports(self) -> tuple[str, ...]:
        """Every name of the place it is plugged into, the one to write down first."""
        names = (self.port, self.port_with_revision, self.platform, self.usb_position)
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def models(self) -> tuple[str, ...]:
        """Every name of what it is."""
        return tuple(name for name in (self.model, *self.subdevices) if name)

    def as_dict(self) -> dict[str, object]:
        """Every fact under its name."""
        return asdict(self)
