# SPDX-License-Identifier: GPL-3.0-or-later
import struct

import pytest
from uvc_camera.descriptors import Identity, Speed, string
from uvc_camera.formats import FORMATS, SIZES

CONFIGURATION = 2


def descriptor(bench, kind, index=0, length=4096):
    return bench.control(0x80, 6, kind << 8 | index, 0, length)


def walk(blob):
    while blob:
        yield blob[: blob[0]]
        blob = blob[blob[0] :]


@pytest.mark.parametrize(("speed", "release"), [(Speed.HIGH, 0x0200), (Speed.SUPER, 0x0300)])
def test_the_device_descriptor_announces_a_composite_device(make_bench, speed, release):
    status, data = descriptor(make_bench(speed=speed), 1)
    assert (status, len(data), data[:2]) == (0, 18, b"\x12\x01")
    assert struct.unpack_from("<HBBB", data, 2) == (release, 0xEF, 2, 1)


@pytest.mark.parametrize("speed", list(Speed))
def test_the_configuration_is_whole_and_has_one_bulk_endpoint_and_no_alternate_settings(make_bench, speed):
    _, blob = descriptor(make_bench(speed=speed), CONFIGURATION)
    assert struct.unpack_from("<H", blob, 2) == (len(blob),)
    parts = list(walk(blob))
    interfaces = [part for part in parts if part[1] == 4]
    assert [(part[2], part[3]) for part in interfaces] == [(0, 0), (1, 0)]
    (endpoint,) = (part for part in parts if part[1] == 5)
    assert (endpoint[2], endpoint[3], struct.unpack_from("<H", endpoint, 4)[0]) == (0x81, 2, speed.packet_bytes)
    assert [part[1] for part in parts].count(48) == (speed is Speed.SUPER)


def test_the_class_descriptors_of_an_interface_add_up_to_its_total(bench):
    _, blob = descriptor(bench, CONFIGURATION)
    groups, sizes = [], {}
    for part in walk(blob):
        if part[1] == 4:
            groups.append(part[2])
        if part[1] == 0x24:
            sizes.setdefault(groups[-1], []).append(part)
    control, streaming = sizes[0], sizes[1]
    assert struct.unpack_from("<H", control[0], 5)[0] == sum(map(len, control))
    assert struct.unpack_from("<H", streaming[0], 4)[0] == sum(map(len, streaming))
    assert sum(part[2] in (4, 6) for part in streaming) == len(FORMATS)
    assert sum(part[2] in (5, 7) for part in streaming) == len(FORMATS) * len(SIZES)


def test_a_descriptor_is_cut_to_the_length_asked_for(bench):
    assert descriptor(bench, CONFIGURATION, length=9)[1][:2] == b"\x09\x02"
    assert len(descriptor(bench, CONFIGURATION, length=9)[1]) == 9


def test_strings_name_the_camera(bench):
    assert descriptor(bench, 3)[1] == b"\x04\x03\x09\x04"
    _, device = descriptor(bench, 1)
    manufacturer, product, serial = device[14:17]
    for index, text in ((manufacturer, "camera-agent"), (product, "UVC test camera"), (serial, "S1")):
        assert descriptor(bench, 3, index)[1][2:].decode("utf-16-le") == text


def test_a_camera_without_a_serial_number_has_no_such_string(make_bench):
    bench = make_bench(serial=None)
    assert descriptor(bench, 1)[1][16] == 0
    assert string(Identity(None), 3) is None


def test_what_the_device_does_not_have_is_stalled(bench):
    assert descriptor(bench, 6) == (-32, b"")
    assert descriptor(bench, 15) == (-32, b"")


def test_superspeed_has_a_binary_object_store(make_bench):
    status, data = descriptor(make_bench(speed=Speed.SUPER), 15)
    assert status == 0
    assert struct.unpack_from("<H", data, 2)[0] == len(data) == sum(map(len, walk(data)))


def test_the_rest_of_chapter_9_is_answered(bench):
    assert bench.control(0x80, 8, 0, 0, 1) == (0, b"\0")
    assert bench.control(0x00, 9, 1, 0, 0) == (0, b"")
    assert bench.control(0x80, 8, 0, 0, 1) == (0, b"\1")
    assert bench.control(0x80, 0, 0, 0, 2) == (0, b"\0\0")
    assert bench.control(0x81, 10, 0, 1, 1) == (0, b"\0")
    assert bench.control(0x01, 11, 0, 1, 0) == (0, b"")
    assert bench.control(0x02, 1, 0, 0x81, 0) == (0, b"")
    assert bench.control(0x00, 48, 0, 0, 6, bytes(6)) == (0, b"")
    assert bench.control(0xC0, 1, 0, 0, 1) == (-32, b"")
