"""The kernel's vivid: its error injectors, its stamps from the future, a control of every type."""

from __future__ import annotations

import errno
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from nodes import KERNEL, set_by_name

from agent.capture.session import Session, State
from agent.capture.settings import Settings
from agent.errors import ControlRefused, ControlValueError, DeviceError, DeviceGone, StreamFault
from agent.units import NS_PER_S
from agent.v4l2.buffers import MemoryKind
from agent.v4l2.controls import enumerate_controls
from agent.v4l2.ioctl import Node
from agent.v4l2.ledger import Loss
from agent.v4l2.names import find_control
from agent.v4l2.snapshot import restore, snapshot
from agent.v4l2.transaction import set_controls, set_manual
from agent.v4l2.uapi import ControlID
from agent.v4l2.values import read_values

SETTINGS = Settings(pixel_format="YUYV", width_px=320, height_px=180, rate=Fraction(30), settle_frames=0)
LIMIT_NS = 10 * NS_PER_S
WRAP = 1 << 32
EVERY_TYPE = {
    "brightness": 77,
    "boolean": 0,
    "integer_32_bits": -(2**31),
    "integer_64_bits": 2**40 + 1,
    "menu": 4,
    "integer_menu": 7,
    "string": "rig",
    "bitmask": 0x8040_2010,
    "test_pattern": 10,
    "button": 1,
}


@pytest.fixture
def vivid(vivid_path):
    """The single-planar vivid with stamps that can be believed; its controls are put back."""
    with Node(KERNEL, vivid_path) as node:
        before = snapshot(node)
    set_by_name(vivid_path, "timestamp_source", "Start of Exposure")
    yield vivid_path
    with Node(KERNEL, vivid_path) as node:
        assert restore(node, before) == ()


@pytest.fixture
def session(vivid):
    with Session(KERNEL, vivid) as opened:
        opened.prepare(SETTINGS)
        yield opened


def inject(session, name):
    set_by_name(session.camera.node.path, name, "press")


def take(session, count):
    frames = []
    for _ in range(count):
        shot = session.take(limit_ns=LIMIT_NS)
        frames.append(shot.frame)
        session.give_back(shot)
    return frames


def assert_works(session):
    """It starts, every buffer comes round, the sums are right, it stops."""
    session.arm()
    frames = take(session, 2 * session.prepared.buffer_count)
    assert {frame.index for frame in frames} == set(range(session.prepared.buffer_count))
    assert session.ledger.balance == 0
    session.disarm()


# ---- stamps


def test_pain_11_stamps_from_the_future_are_noticed_and_replaced(session):
    set_by_name(session.camera.node.path, "timestamp_source", "End of Frame")
    session.prepare(replace(SETTINGS, rate=Fraction(5)))  # 180 ms ahead: nobody dequeues that late
    session.arm()
    frames = take(session, 3)
    assert session.judge.distrusted == 3
    assert "in the future" in session.judge.first_reason
    for frame in frames:
        assert frame.timestamp_ns == frame.dequeued_ns
        assert (frame.timestamp_clock, frame.timestamp_source) == ("monotonic", "dequeue")
        assert frame.uncertainty_ns >= session.prepared.interval_ns


def test_stamps_of_the_start_of_exposure_are_believed(session):
    session.arm()
    frames = take(session, 3)
    assert session.judge.distrusted == 0, session.judge.first_reason
    assert {frame.timestamp_source for frame in frames} == {"soe"}


@pytest.mark.parametrize("bits", ["64 Bit", "32 Bit"])
def test_stamps_that_wrap_are_noticed_and_ours_go_on(session, bits):
    set_by_name(session.camera.node.path, "wrap_timestamp", bits)
    session.arm()
    frames = take(session, 3)
    assert session.judge.distrusted == 3
    assert session.judge.first_reason
    assert all(later.timestamp_ns > earlier.timestamp_ns for earlier, later in pairwise(frames))
    assert {frame.timestamp_source for frame in frames} == {"dequeue"}


# ---- numbers


def test_a_sequence_number_that_wraps_is_no_loss(session):
    set_by_name(session.camera.node.path, "wrap_sequence_number", "on")
    session.prepare(SETTINGS)  # not faster: vivid counts in jiffies, and on a busy machine gives a number twice
    session.arm()
    frames = take(session, 4)
    assert frames[0].sequence >= WRAP - 128
    while frames[-1].sequence > WRAP // 2:
        frames += take(session, 1)
        assert len(frames) < 200, "it did not wrap"
    frames += take(session, 3)
    for earlier, later in pairwise(frames):
        assert later.sequence == (earlier.sequence + 1 + later.lost_before) % WRAP
    assert session.ledger.balance == 0
    assert session.ledger.lost < 128
    assert session.ledger.restarts == 0


def test_dropped_buffers_are_gaps_of_the_driver(session):
    set_by_name(session.camera.node.path, "percentage_of_dropped_buffers", "75")
    session.arm()
    frames = take(session, 8)
    missing = frames[-1].sequence + 1 - len(frames)
    assert missing > 0
    assert session.ledger.lost == missing == sum(frame.lost_before for frame in frames)
    assert session.ledger.losses[Loss.DRIVER_GAP] == missing
    assert session.ledger.balance == 0


# ---- injected errors


def test_a_buffer_with_the_error_flag_is_left_out_and_counted(session):
    session.arm()
    take(session, 2)
    inject(session, "inject_v4l2_buf_flag_error")
    frames = take(session, 6)
    assert session.ledger.losses[Loss.ERROR_FLAG] == 1
    assert sum(frame.lost_before for frame in frames) >= 1
    assert session.ledger.balance == 0
    session.disarm()
    assert_works(session)


def test_refused_buffers_are_an_error_and_the_next_preparation_works(session):
    inject(session, "inject_vidioc_reqbufs_error")
    with pytest.raises(DeviceError, match="mmap") as caught:
        session.prepare(replace(SETTINGS, memory=(MemoryKind.MMAP,)))
    assert caught.value.request == "VIDIOC_REQBUFS"
    assert session.state is State.IDLE
    session.prepare(SETTINGS)
    assert_works(session)


def test_refused_buffers_are_passed_over_where_another_kind_of_memory_is_allowed(session):
    inject(session, "inject_vidioc_reqbufs_error")
    prepared = session.prepare(SETTINGS)
    assert [kind for kind, _ in prepared.passed_over] == [MemoryKind.MMAP_EXPORTED]
    assert_works(session)


def test_a_buffer_refused_before_the_start_stops_the_start(session):
    inject(session, "inject_vidioc_qbuf_error")
    with pytest.raises(DeviceError) as caught:
        session.arm()
    assert (caught.value.request, caught.value.errno) == ("VIDIOC_QBUF", errno.EINVAL)
    assert session.state is State.PREPARED
    assert_works(session)


def test_a_buffer_refused_while_streaming_is_an_error_and_a_restart_brings_it_back(session):
    session.arm()
    shot = session.take(limit_ns=LIMIT_NS)
    inject(session, "inject_vidioc_qbuf_error")
    with pytest.raises(DeviceError) as caught:
        session.give_back(shot)
    assert (caught.value.request, caught.value.errno) == ("VIDIOC_QBUF", errno.EINVAL)
    session.disarm()
    assert_works(session)


def test_a_refused_start_leaves_the_session_prepared(session):
    inject(session, "inject_vidioc_streamon_error")
    with pytest.raises(DeviceError) as caught:
        session.arm()
    assert (caught.value.request, caught.value.errno) == ("VIDIOC_STREAMON", errno.EINVAL)
    assert session.state is State.PREPARED
    assert not session._stream.streaming
    assert_works(session)


def test_a_fatal_error_of_the_queue_is_a_fault_with_a_way_back(session):
    session.arm()
    take(session, 2)
    inject(session, "inject_fatal_streaming_error")
    with pytest.raises(StreamFault, match="broke") as caught:
        take(session, 100)
    assert session.state is State.FAULT
    assert session.fault is caught.value
    session.disarm()
    assert_works(session)


# ---- controls


def chosen(node, names):
    controls = enumerate_controls(node)
    return {find_control(node.path, controls, name): value for name, value in names.items()}


def test_controls_of_every_type_are_set_as_one(vivid):
    with Node(KERNEL, vivid) as node:
        values = chosen(node, EVERY_TYPE)
        before = read_values(node, list(values))
        report = set_controls(node, values)
    assert len(report.changes) == len(values)
    for change in report.changes:
        assert change.asked == values[change.control]
        assert change.after == (None if change.control.slug == "button" else change.asked)
        assert change.before == before.get(change.control.id)
    with Node(KERNEL, vivid) as node:
        now = read_values(node, list(values))
    assert now == {control.id: value for control, value in values.items() if control.slug != "button"}


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        ("menu", 2, ControlValueError, "hole of the menu"),
        ("integer_menu", 9, ControlValueError, "out of range"),
        ("string", "much too long", ControlValueError, "13 bytes"),
        ("bitmask", 1, ControlValueError, "bits the control does not know"),
        ("u8_pixel_array", 1, ControlValueError, "arrays"),
        ("read_only_integer_32_bits", 1, ControlRefused, "read-only"),
        ("gain", 1, ControlRefused, "gain_automatic"),
    ],
)
def test_one_bad_value_leaves_all_the_others_as_they_were(vivid, name, value, error, words):
    with Node(KERNEL, vivid) as node:
        before = snapshot(node).values
        with pytest.raises(error) as caught:
            set_controls(node, chosen(node, {**EVERY_TYPE, name: value}))
        assert words in f"{caught.value} {caught.value.hint}"
        assert snapshot(node).values == before


def test_a_restored_snapshot_leaves_nothing_different(vivid):
    with Node(KERNEL, vivid) as node:
        before = snapshot(node)
        set_manual(node, {ControlID.GAIN: 12, **chosen(node, EVERY_TYPE)})
        changed = snapshot(node).values
        assert changed.items() >= {c.id: value for c, value in chosen(node, EVERY_TYPE).items() if c.readable}.items()
        assert changed[ControlID.AUTOGAIN] == 0
        assert restore(node, before) == ()
        assert snapshot(node).values == before.values


# ---- the end of a session


@pytest.mark.parametrize("kind", [MemoryKind.MMAP_EXPORTED, MemoryKind.DMA_HEAP], ids=lambda kind: kind.value)
@pytest.mark.parametrize("broken", [False, True], ids=["stopped", "broken"])
def test_a_released_session_leaves_nothing_mapped(vivid, kind, broken):
    """A mapping of the node keeps it open in the kernel: no suspend, no unloading."""
    before = mapped()
    session = Session(KERNEL, vivid)
    try:
        session.prepare(replace(SETTINGS, memory=(kind,)))
        session.arm()
        take(session, 2)
        assert len(mapped()) == len(before) + session.prepared.buffer_count
        if broken:
            inject(session, "inject_fatal_streaming_error")
            with pytest.raises(StreamFault):
                take(session, 100)
    finally:
        session.release()
    assert mapped() == before


def mapped():
    """This process's mappings of cameras and of DMABUFs."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in lines if "/dev/video" in line or "dmabuf" in line]


# ---- the end of the camera


def test_a_disconnected_camera_ends_the_wait_and_is_let_go_so_that_it_can_come_back(vivid):
    """vivid connects again when the last one who had it open has closed it, mappings included."""
    with Session(KERNEL, vivid) as session:
        session.prepare(SETTINGS)
        session.arm()
        held = session.take(limit_ns=LIMIT_NS)
        inject(session, "disconnect")
        with pytest.raises(DeviceGone):
            take(session, 100)
        assert session.state is State.FAULT
        assert held.frame.planes[0].mean() > 0
        del held  # the view of a frame keeps the memory, and that the node
        with pytest.raises(DeviceGone) as caught:
            Session(KERNEL, vivid)
        assert caught.value.exit_code == 3
    with Session(KERNEL, vivid) as session:
        session.prepare(SETTINGS)
        assert_works(session)
