"""Cameras out of nodes, and identities out of what udev and sysfs say."""

from dataclasses import replace

import pytest
from discovery.sockets import Unit, nodes_of

from agent.discovery.camera import cameras_of
from agent.discovery.facts import is_video_node, read_node
from agent.discovery.identity import Identity
from agent.discovery.node import Answer, Node


def node(number, parent="/sys/devices/platform/vivid.0", **facts):
    given = {"index": 0, "captures": True, "made_us": number} | facts
    sys_path = f"{parent}/video4linux/video{number}"
    return Node(path=f"/dev/video{number}", sys_path=sys_path, parent=parent, devnum=81 << 8 | number, **given)


def answer(bus_info, captures=True):
    return Answer(captures=captures, driver="vivid", model="vivid", bus_info=bus_info)


def test_pain_11_a_camera_is_the_same_whatever_number_its_node_has():
    unit = Unit(1, "Bench camera", "A1")
    [first] = cameras_of(nodes_of({3: unit}))
    [_, second] = cameras_of(nodes_of({2: Unit(2, "Other", None), 3: unit}))
    assert first.path != second.path
    assert first.identity == second.identity


def test_the_metadata_node_of_a_camera_belongs_to_it_and_is_not_chosen():
    capture, metadata = nodes_of({1: Unit(1, "Bench camera", "A1")})
    for order in ([capture, metadata], [metadata, capture]):
        [camera] = cameras_of(order)
        assert camera.path == "/dev/video0"
        assert camera.nodes == (capture, metadata)


def test_a_metadata_node_that_was_made_first_is_not_chosen_either():
    [camera] = cameras_of([node(0, captures=False), node(1, index=1)])
    assert camera.path == "/dev/video1"


def test_of_several_nodes_that_capture_the_lowest_index_is_the_camera():
    [camera] = cameras_of([node(4, index=2), node(7, index=0), node(5, index=1, captures=False)])
    assert camera.path == "/dev/video7"
    assert len(camera.nodes) == 3


def test_a_device_that_captures_nothing_is_no_camera():
    assert cameras_of([node(0, captures=False), node(1, index=1, captures=None)]) == []


def test_two_functions_of_one_usb_device_are_two_cameras():
    colour, infrared = "/sys/devices/usb1/1-5/1-5:1.0", "/sys/devices/usb1/1-5/1-5:1.2"
    found = cameras_of([node(0, colour), node(1, colour, index=1, captures=False), node(2, infrared)])
    assert [camera.path for camera in found] == ["/dev/video0", "/dev/video2"]


@pytest.mark.parametrize("asked", [True, False])
def test_cameras_of_one_platform_device_are_told_apart(asked):
    """vivid has all its instances on vivid.0; the index begins anew for each."""
    nodes = [node(0), node(1, index=1, captures=False), node(2), node(3, index=1, captures=False)]
    if asked:
        buses = ("platform:vivid-000", "platform:vivid-001")
        nodes = [each.told(answer(buses[n // 2], bool(each.captures))) for n, each in enumerate(nodes)]
    found = cameras_of(nodes)
    assert [[each.path for each in camera.nodes] for camera in found] == [
        ["/dev/video0", "/dev/video1"],
        ["/dev/video2", "/dev/video3"],
    ]


def test_nodes_that_were_asked_are_grouped_by_bus_even_when_made_alternately():
    a, b = answer("platform:vivid-000"), answer("platform:vivid-001")
    nodes = [node(0).told(a), node(1).told(b), node(2, index=1).told(a), node(3, index=1).told(b)]
    assert [[each.path[-1] for each in camera.nodes] for camera in cameras_of(nodes)] == [["0", "2"], ["1", "3"]]


def test_what_a_node_says_counts_for_more_than_what_udev_wrote_down():
    told = node(0, captures=None, identity=Identity(model="Bench_camera", serial="A1")).told(answer("platform:x"))
    assert (told.captures, told.identity.model, told.identity.serial) == (True, "vivid", "A1")
    assert told.identity.bus_info == "platform:x"
    assert node(0).told(None) == node(0)


def test_an_answer_outlives_an_event_that_does_not_tell_it():
    asked = node(0, captures=None).told(answer("platform:x"))
    renewed = node(0, captures=None, links=("/dev/mine",)).renewed(asked)
    assert (renewed.captures, renewed.identity.bus_info, renewed.links) == (True, "platform:x", ("/dev/mine",))


# ---- from udev and sysfs


class Device:
    """A device as pyudev has it, in a sysfs of our own."""

    def __init__(self, place, properties=(), usb=None):
        self.sys_path = str(place)
        self.device_node = f"/dev/{place.name}"
        self.device_number = 81 << 8
        self.device_links = ["/dev/v4l/by-id/b", "/dev/v4l/by-id/a"]
        self.properties = dict(properties)
        self._usb = usb

    def find_parent(self, subsystem, device_type=None):
        assert (subsystem, device_type) == ("usb", "usb_device")
        return self._usb


PROPERTIES = {
    "ID_SERIAL_SHORT": "A1",
    "ID_VENDOR_ID": "046d",
    "ID_MODEL_ID": "0825",
    "ID_PATH": "pci-0000:00:14.0-usb-0:2.4:1.0",
    "ID_PATH_WITH_USB_REVISION": "pci-0000:00:14.0-usbv2-0:2.4:1.0",
    "ID_V4L_PRODUCT": "Bench camera",
    "ID_V4L_CAPABILITIES": ":capture:",
    "USEC_INITIALIZED": "123456",
}


@pytest.fixture
def usb_camera(tmp_path):
    """The sysfs of a UVC camera behind a hub."""
    usb = tmp_path / "pci0000:00" / "0000:00:14.0" / "usb1" / "1-2" / "1-2.4"
    place = usb / "1-2.4:1.0" / "video4linux" / "video0"
    place.mkdir(parents=True)
    (usb / "devpath").write_text("2.4\n")
    (usb / "serial").write_text("A1-from-sysfs\n")
    (usb / "idVendor").write_text("046d\n")
    (place / "index").write_text("0\n")
    (place / "name").write_text("Bench camera: Bench\n")
    (place.parent.parent / "driver").symlink_to(tmp_path / "uvcvideo")
    return place, Device(usb)


def test_the_identity_of_a_usb_camera_is_read_without_opening_it(usb_camera):
    place, usb = usb_camera
    found = read_node(Device(place, PROPERTIES, usb))
    assert (found.index, found.captures, found.made_us) == (0, True, 123456)
    assert found.parent == str(place.parent.parent)
    assert found.links == ("/dev/v4l/by-id/a", "/dev/v4l/by-id/b")
    assert found.identity == Identity(
        serial="A1",
        vendor_id="046d",
        product_id="0825",
        port="pci-0000:00:14.0-usb-0:2.4:1.0",
        port_with_revision="pci-0000:00:14.0-usbv2-0:2.4:1.0",
        usb_position="1-2.4",
        bus_info="usb-0000:00:14.0-2.4",
        model="Bench camera",
        driver="uvcvideo",
    )


def test_without_udev_sysfs_has_serial_port_and_name(usb_camera):
    place, usb = usb_camera
    found = read_node(Device(place, {}, usb))
    assert (found.captures, found.made_us) == (None, None)
    assert (found.identity.serial, found.identity.model) == ("A1-from-sysfs", "Bench camera: Bench")
    assert found.identity.ports == ("1-2.4",)


def test_a_csi_camera_is_known_by_its_platform_device_and_its_sensor(tmp_path):
    bridge = tmp_path / "fe801000.csi"
    for name, card in (("video0", "unicam-image"), ("v4l-subdev0", "imx219 10-0010")):
        (bridge / "video4linux" / name).mkdir(parents=True)
        (bridge / "video4linux" / name / "name").write_text(card)
    device = Device(bridge / "video4linux" / "video0", {"ID_PATH": "platform-fe801000.csi"})
    identity = read_node(device).identity
    assert identity.ports == ("platform-fe801000.csi", str(bridge))
    assert identity.models == ("unicam-image", "imx219 10-0010")
    assert identity.bus_info is None


def test_a_device_that_vanishes_while_it_is_read_gives_what_the_event_said(tmp_path):
    found = read_node(Device(tmp_path / "1-1:1.0" / "video4linux" / "video3", PROPERTIES))
    assert (found.index, found.captures, found.identity.serial) == (0, True, "A1")
    unmade = Device(tmp_path / "video3", PROPERTIES)
    unmade.device_node = None
    assert read_node(unmade) is None


@pytest.mark.parametrize(("name", "is_one"), [("video0", True), ("video12", True), ("v4l-subdev0", False),
                                              ("vbi0", False), ("video", False), ("radio0", False)])  # fmt: skip
def test_only_video_nodes_count(name, is_one):
    assert is_video_node(f"/sys/class/video4linux/{name}") is is_one


def test_a_node_made_anew_at_the_same_path_is_another_one():
    assert node(0).key != replace(node(0), made_us=99).key


def test_a_node_that_is_missing_is_not_replaced_by_one_of_the_next_camera():
    """The metadata node of the first has been removed."""
    found = cameras_of([node(0), node(2), node(3, index=1, captures=False)])
    assert [[each.path[-1] for each in camera.nodes] for camera in found] == [["0"], ["2", "3"]]
