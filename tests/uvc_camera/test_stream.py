# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
import simplejpeg
from uvc_camera.controls import AUTO_EXPOSURE, EXPOSURE, GAIN, MODE_MANUAL
from uvc_camera.descriptors import Speed
from uvc_camera.errors import ProtocolError
from uvc_camera.faults import Fault
from uvc_camera.formats import FORMATS, SIZES

from agent.simulation.mark import read_mark

MS = 1_000_000
YUYV, QVGA = 1, 2
FRAME_ID, END, ERROR = 1, 2, 0x40


def luma(name, size, data):
    shape = (size.height_px, size.width_px)
    if name == "mjpeg":
        return simplejpeg.decode_jpeg(data, "GRAY")[:, :, 0]
    if name == "yuyv":
        return np.frombuffer(data, np.uint8).reshape(*shape, 2)[:, :, 0]
    return np.frombuffer(data, np.uint8)[: shape[0] * shape[1]].reshape(shape)


def mark_of(data):
    return read_mark(luma("yuyv", SIZES[QVGA - 1], data))


def manual(bench, exposure):
    bench.set(AUTO_EXPOSURE, MODE_MANUAL)
    bench.set(EXPOSURE, exposure)


@pytest.mark.parametrize("size", SIZES, ids=lambda each: f"{each.width_px}x{each.height_px}")
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("speed", list(Speed), ids=lambda each: each.name)
def test_pictures_of_every_format_arrive_whole_and_say_who_they_are(make_bench, name, size, speed):
    bench = make_bench(speed=speed)
    bench.commit(list(FORMATS).index(name) + 1, SIZES.index(size) + 1)
    for number, (_, data) in enumerate(bench.run(2)):
        if name != "mjpeg":
            assert len(data) == FORMATS[name].bytes_for(size.width_px, size.height_px)
        mark = read_mark(luma(name, size, data))
        note = bench.notes.of("frame")[number]
        assert (mark.sequence, mark.exposure_ns, mark.gain) == (note["number"], note["exposure_ns"], note["gain"])
        assert mark.sequence == number


def test_the_frame_id_toggles_and_the_end_is_marked_once(bench):
    bench.commit(YUYV, QVGA)
    ids = []
    for flags, _ in bench.run(4):
        assert len({flag & FRAME_ID for flag in flags}) == 1
        assert [bool(flag & END) for flag in flags] == [False] * (len(flags) - 1) + [True]
        ids.append(flags[0] & FRAME_ID)
    assert ids in ([0, 1, 0, 1], [1, 0, 1, 0])


def test_the_header_goes_out_at_the_start_of_exposure_and_the_data_at_its_end(bench):
    manual(bench, 100)
    bench.commit(YUYV, QVGA)
    bench.urb(), bench.urb()
    began = bench.clock.now_ns
    (header,) = bench.turn(5)
    assert header[3] in (b"\x02\x80", b"\x02\x81")
    assert bench.device.due_ns == began + 10 * MS
    bench.clock.now_ns += 10 * MS
    (first,) = bench.turn()
    assert len(first[3]) == 16384


def test_starts_lie_on_absolute_deadlines(bench):
    manual(bench, 50)
    bench.commit(YUYV, QVGA, 100_000)
    bench.run(20)
    starts = [note["start_ns"] for note in bench.notes.of("frame")]
    assert np.diff(starts).tolist() == [10 * MS] * 19


def test_an_exposure_longer_than_the_interval_slows_the_camera_down(bench):
    manual(bench, 500)
    bench.commit(YUYV, QVGA, 333_333)
    bench.run(4)
    starts = [note["start_ns"] for note in bench.notes.of("frame")]
    assert np.diff(starts).tolist() == [50 * MS] * 3


@pytest.mark.parametrize("latency", [0, 1, 2, 5])
def test_a_new_exposure_shows_after_the_latency_and_the_mark_says_so(make_bench, latency):
    bench = make_bench(latency_frames=latency)
    manual(bench, 50)
    bench.commit(YUYV, QVGA)

    frames = bench.run(3, urbs=1)
    assert {mark_of(data).exposure_ns for _, data in frames} == {5 * MS}
    bench.set(EXPOSURE, 80)
    frames = bench.run(latency + 2, urbs=1)
    assert [mark_of(data).exposure_ns for _, data in frames] == [5 * MS] * latency + [8 * MS] * 2


def test_the_picture_gets_brighter_with_exposure_and_gain_and_saturates(make_bench):
    def brightness(exposure, gain):
        bench = make_bench()
        manual(bench, exposure)
        bench.set(GAIN, gain)
        bench.commit(YUYV, QVGA)
        ((_, data),) = bench.run(1)
        return luma("yuyv", SIZES[QVGA - 1], data)[120:].mean()

    assert brightness(83, 16) < brightness(166, 16) < brightness(166, 32) < brightness(5000, 255) == 255


def test_on_its_own_the_exposure_wanders_slowly_and_never_beyond_the_interval(bench):
    bench.commit(YUYV, QVGA, 100_000)
    bench.run(100)
    exposures = [note["exposure_ns"] for note in bench.notes.of("frame")]
    assert len(set(exposures)) > 10
    assert max(exposures) <= 10 * MS
    assert np.abs(np.diff(exposures[3:])).max() <= MS // 5


def test_a_host_that_fetches_nothing_makes_the_camera_miss_pictures(bench):
    bench.commit(YUYV, QVGA)
    bench.urb()
    bench.turn()
    for _ in range(6):
        bench.clock.now_ns = max(bench.clock.now_ns, bench.device.due_ns)
        bench.turn()
    assert sum(note["count"] for note in bench.notes.of("missed")) == 5
    numbers = [mark_of(data).sequence for _, data in bench.run(3)[1:]]
    assert numbers[0] < numbers[1]


def test_a_process_that_slept_counts_what_it_missed(bench):
    bench.commit(YUYV, QVGA)
    bench.run(1)
    bench.clock.now_ns = bench.device.due_ns + 10 * 33_333_300 + 1
    bench.run(1)
    assert [note["count"] for note in bench.notes.of("missed")] == [10]
    assert [note["number"] for note in bench.notes.of("frame")] == [0, 11]


def test_queued_urbs_are_given_back_and_answered_ones_are_not(bench):
    bench.commit(YUYV, QVGA)
    urbs = [bench.urb() for _ in range(5)]
    ((_, answered, status, _),) = bench.turn(4)
    assert (answered, status) == (urbs[0], 0)
    unlinks = [bench.kernel.unlink(victim) for victim in urbs]
    expected = [(4, unlinks[0], 0, b"")] + [(4, each, -104, b"") for each in unlinks[1:]]
    assert bench.turn() == expected
    bench.clock.now_ns += 1_000 * MS
    assert bench.turn() == []
    assert [note["cause"] for note in bench.notes.of("stop")] == ["unlink"]
    assert [note["number"] for note in bench.notes.of("cut")] == [0]


def test_a_stop_is_seen_when_no_urb_was_queued(bench):
    bench.commit(YUYV, QVGA)
    bench.run(1, urbs=1)
    bench.control(0x02, 1, 0, 0x81, 0)
    assert [note["cause"] for note in bench.notes.of("stop")] == ["clear_halt"]
    assert bench.device.due_ns is None


def test_urbs_without_a_commit_start_nothing(bench):
    bench.urb()
    bench.turn()
    assert bench.device.due_ns is None


def test_numbers_run_on_over_streams_and_replugging(bench):
    bench.commit(YUYV, QVGA)
    bench.run(2)
    bench.device.unplug()
    bench.device.plug()
    bench.commit(YUYV, QVGA)
    bench.run(1)
    numbers = [note["number"] for note in bench.notes if note["kind"] in ("frame", "cut")]
    assert numbers == sorted(set(numbers))


def test_a_short_frame_ends_early(bench):
    bench.commit(YUYV, QVGA)
    bench.device.faults.order(Fault("short_frame", count=1, keep_bytes=1000))
    sizes = [len(data) for _, data in bench.run(2)]
    assert sizes == [1000, 320 * 240 * 2]
    assert bench.notes.of("frame")[0]["faults"] == ("short_frame",)


def test_the_error_bit_is_in_every_header_of_the_frame(bench):
    bench.commit(YUYV, QVGA)
    bench.device.faults.order(Fault("error_bit", count=2))
    marked = [{bool(flag & ERROR) for flag in flags} for flags, _ in bench.run(3)]
    assert marked == [{True}, {True}, {False}]


def test_a_dropped_frame_leaves_a_gap_in_the_numbers_only(bench):
    bench.commit(YUYV, QVGA)
    bench.device.faults.order(Fault("drop_frame", count=1))
    frames = bench.run(2)
    assert [mark_of(data).sequence for _, data in frames] == [1, 2]
    assert frames[0][0][0] & FRAME_ID != frames[1][0][0] & FRAME_ID
    assert [note["number"] for note in bench.notes.of("dropped")] == [0]


def test_one_urb_can_be_failed(bench):
    bench.commit(YUYV, QVGA)
    bench.device.faults.order(Fault("urb_error", count=1))
    first = bench.urb()
    bench.urb()
    assert bench.turn(1) == [(3, first, -71, b"")]
    assert [note["number"] for note in bench.notes.of("cut")] == [0]


def test_held_pictures_stop_the_data_but_not_the_controls(bench):
    bench.commit(YUYV, QVGA)
    bench.run(2)
    bench.device.faults.order(Fault("hold_pictures"))
    for _ in range(5):
        bench.clock.now_ns = max(bench.clock.now_ns, bench.device.due_ns)
        assert bench.turn() == []
    assert bench.get(GAIN) == 16
    bench.device.faults.clear()
    bench.run(2)
    assert bench.notes.of("dropped")[0]["faults"] == ["hold_pictures"]


def test_a_frozen_camera_answers_nothing_until_it_is_released(bench):
    bench.commit(YUYV, QVGA)
    bench.run(2)
    bench.device.order_fault("freeze", {})
    urb = bench.urb()
    unlink = bench.kernel.unlink(urb)
    bench.clock.now_ns += 5_000 * MS
    assert bench.turn(5) == []
    assert bench.device.due_ns is None
    bench.device.clear_fault(None)
    assert (4, unlink) in [answer[:2] for answer in bench.turn(5)]


def test_a_transfer_to_an_endpoint_that_is_not_there_ends_the_connection(bench):
    bench.kernel.submit(5, True, 10)
    with pytest.raises(ProtocolError):
        bench.turn()
    assert bench.kernel.detached == [3]
