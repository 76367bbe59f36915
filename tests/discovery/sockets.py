"""Cameras and the sockets they are in, as hypothesis makes them up, and the nodes that udev would show for them."""

from dataclasses import dataclass

from hypothesis import strategies as st

from agent.discovery.camera import cameras_of
from agent.discovery.identity import Identity
from agent.discovery.node import Node

MODELS = ("Bench camera", "Microscope")
SOCKETS = range(1, 9)


@dataclass(frozen=True)
class Unit:
    """A camera somebody can carry around; `number` is a sticker on it that no computer sees."""

    number: int
    model: str
    serial: str | None


def nodes_of(plugged, order=None):
    """Nodes of the units by socket. `order`: sockets in the order they were enumerated, which gives /dev/videoN."""
    nodes = []
    for place, socket in enumerate(order or sorted(plugged)):
        unit = plugged[socket]
        parent = f"/sys/devices/pci0000:00/0000:00:14.0/usb1/1-{socket}/1-{socket}:1.0"
        identity = Identity(
            serial=unit.serial,
            vendor_id="046d",
            product_id="0825",
            port=f"pci-0000:00:14.0-usb-0:{socket}:1.0",
            usb_position=f"1-{socket}",
            bus_info=f"usb-0000:00:14.0-{socket}",
            model=unit.model,
            driver="uvcvideo",
        )
        for index, number in enumerate((2 * place, 2 * place + 1)):
            node = Node(
                path=f"/dev/video{number}",
                sys_path=f"{parent}/video4linux/video{number}",
                parent=parent,
                devnum=81 << 8 | number,
                index=index,
                captures=index == 0,
                made_us=1000 + number,
                identity=identity,
            )
            nodes.append(node)
    return nodes


def cameras_in(plugged, order=None):
    return cameras_of(nodes_of(plugged, order))


def socket_of(camera):
    return int(camera.identity.usb_position.removeprefix("1-"))


@st.composite
def units(draw, least=1):
    """Some with a serial number of their own, some with none, some with one that the factory gave all of them."""
    kinds = st.tuples(st.sampled_from(MODELS), st.sampled_from(("own", "none", "factory")))
    drawn = draw(st.lists(kinds, min_size=least, max_size=len(SOCKETS)))
    serials = {"none": None, "factory": "SN0001"}
    return [Unit(n, model, serials.get(kind, f"OWN{n:03}")) for n, (model, kind) in enumerate(drawn)]


@st.composite
def benches(draw, least=1):
    """Units, each in a socket, and the order in which they were found."""
    found = draw(units(least))
    sockets = draw(st.permutations(SOCKETS))[: len(found)]
    return dict(zip(sockets, found, strict=True)), draw(st.permutations(sockets))
