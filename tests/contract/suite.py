"""The contract of "a camera": what holds on the simulation, on vivid, on the UVC camera and on any real one.

Imported by a test module that gives the fixture `camera`; nothing here knows which camera it is.
"""

from __future__ import annotations

import ctypes
import errno
import select
import threading
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest

from agent.capture.session import Session, State
from agent.capture.settings import Settings
from agent.capture.shot import Shot
from agent.clock import monotonic_ns
from agent.errors import (
    AgentError,
    ControlValueError,
    DeviceBusy,
    DeviceGone,
    ExposureNotProven,
    FormatUnsupported,
    InputError,
    StateError,
    StreamFault,
)
from agent.pipeline.pixels import luma
from agent.simulation.mark import FrameMark, read_mark
from agent.units import NS_PER_MS, parse_size_bytes
from agent.v4l2 import uapi
from agent.v4l2.allocator import Allocator
from agent.v4l2.buffers import MemoryKind, make_buffer
from agent.v4l2.controls import query_optional
from agent.v4l2.effect import State as EffectState
from agent.v4l2.formats import enumerate_pixel_formats, enumerate_sizes, get_format
from agent.v4l2.ioctl import Node
from agent.v4l2.snapshot import snapshot
from agent.v4l2.transaction import set_controls
from agent.v4l2.values import read_values
from contract.camera import CameraUnderTest, require


@contextmanager
def prepared(camera: CameraUnderTest, settings: Settings | None = None):
    with camera.open() as session:
        session.prepare(settings or camera.settings)
        yield session


@contextmanager
def armed(camera: CameraUnderTest, settings: Settings | None = None):
    with prepared(camera, settings) as session:
        session.arm()
        yield session


def take(session: Session, camera: CameraUnderTest, count: int) -> list[tuple[Shot, FrameMark | None]]:
    """Take frames, read their marks, give them back; the shots' planes must not be read afterwards."""
    taken = []
    for _ in range(count):
        shot = session.take(limit_ns=camera.limit_ns)
        taken.append((shot, read_mark(luma(shot.frame)) if camera.marked else None))
        session.give_back(shot)
    return taken


def found_controls(camera: CameraUnderTest):
    with Node(camera.kernel, camera.path) as node:
        return snapshot(node)


# ---- identity and formats


def test_it_says_what_it_is_and_offers_formats(camera):
    with camera.open() as session:
        node, buffer_type = session.camera.node, session.camera.buffer_type
        assert session.capabilities.card
        assert session.capabilities.kind.startswith("capture")
        offers = enumerate_pixel_formats(node, buffer_type)
        assert get_format(node, buffer_type).pixel_format in {offer.pixel_format for offer in offers}
        assert enumerate_sizes(node, offers[0].pixel_format)


def test_an_unknown_format_or_size_is_refused_and_nothing_changes(camera):
    with camera.open() as session:
        before = get_format(session.camera.node, session.camera.buffer_type)
        with pytest.raises(FormatUnsupported, match="no pixel format XXXX") as caught:
            session.prepare(replace(camera.settings, pixel_format="XXXX"))
        assert before.pixel_format in caught.value.hint
        with pytest.raises(FormatUnsupported):
            session.prepare(replace(camera.settings, width_px=77, height_px=33))
        assert get_format(session.camera.node, session.camera.buffer_type) == before
        assert session.state is State.IDLE


# ---- order of states


def test_verbs_out_of_order_are_refused_by_name(camera):
    with camera.open() as session:
        calls = {"arm": session.arm, "take": lambda: session.take(limit_ns=1), "disarm": session.disarm}
        for verb, call in calls.items():
            with pytest.raises(StateError) as caught:
                call()
            assert caught.value.details["verb"] == verb
            assert caught.value.details["allowed"] == ["prepare"]
        session.prepare(camera.settings)
        session.arm()
        with pytest.raises(StateError, match="cannot arm while the session is armed"):
            session.arm()
        assert take(session, camera, 1)
    with pytest.raises(StateError, match="released"):
        session.prepare(camera.settings)


def test_the_driver_refuses_what_a_driver_refuses(camera):
    with camera.open() as session:
        node, buffer_type = session.camera.node, session.camera.buffer_type
        kind = ctypes.c_int(buffer_type)
        # uvcvideo gives its queue to who asks for buffers; until then even STREAMOFF is somebody else's
        assert node.attempt(uapi.VIDIOC_STREAMOFF, kind) in (0, errno.EBUSY)
        pool = Allocator(node, buffer_type, preference=(MemoryKind.MMAP,)).allocate(*_size(session, camera), count=3)
        with pool:
            assert node.attempt(uapi.VIDIOC_DQBUF, make_buffer(pool, 0)[0]) in (errno.EINVAL, errno.EAGAIN)
            assert node.attempt(uapi.VIDIOC_QUERYBUF, make_buffer(pool, 31)[0]) == errno.EINVAL
            changed = uapi.v4l2_format(type=buffer_type)
            node.call(uapi.VIDIOC_G_FMT, changed)
            target = changed.fmt.pix_mp if buffer_type == uapi.BufType.VIDEO_CAPTURE_MPLANE else changed.fmt.pix
            target.width, target.height = _another_size(session)
            assert node.attempt(uapi.VIDIOC_S_FMT, changed) == errno.EBUSY
            assert node.attempt(uapi.VIDIOC_STREAMOFF, kind) == 0
        assert node.attempt(uapi.VIDIOC_STREAMON, kind) in (errno.EINVAL, errno.EBUSY)


def test_a_restart_is_warm_and_counts_anew(camera):
    with armed(camera) as session:
        stream = session._stream
        addresses = [plane.mapping.address for buffer in stream.pool for plane in buffer.planes]
        take(session, camera, 2)
        stopped = session.disarm()
        assert stopped.entered_ns <= stopped.returned_ns
        assert session.disarm() is None
        session.arm()
        assert [plane.mapping.address for buffer in stream.pool for plane in buffer.planes] == addresses
        take(session, camera, 2)
        assert session.ledger.balance == 0
        assert session.ledger.delivered == 4


# ---- buffers after STREAMOFF


def test_after_streamoff_every_buffer_is_ours(camera):
    with armed(camera) as session:
        take(session, camera, 2)
        session.disarm()
        pool = session.pool
        for index in range(len(pool)):
            answer, _planes = make_buffer(pool, index)
            session.camera.node.call(uapi.VIDIOC_QUERYBUF, answer)
            assert not answer.flags & (uapi.BufferFlag.QUEUED | uapi.BufferFlag.DONE)


def test_a_frame_held_over_a_restart_stays_whole_and_is_not_filled_again(camera):
    with armed(camera) as session:
        held = session.take(limit_ns=camera.limit_ns)
        before = [plane.copy() for plane in held.frame.planes]
        session.disarm()
        session.arm()
        take(session, camera, 2 * len(session.pool))
        assert all((now == then).all() for now, then in zip(held.frame.planes, before, strict=True))
        session.give_back(held)
        with pytest.raises(StateError, match="given back already"):
            session.give_back(held)
        take(session, camera, len(session.pool))


def test_no_frame_comes_after_streamoff(camera):
    with armed(camera) as session:
        take(session, camera, 1)
        session.disarm()
        with pytest.raises(StateError):
            session.take(limit_ns=camera.limit_ns)
        with pytest.raises(StreamFault):
            session._stream.dequeue()


# ---- who else uses it


def test_a_second_owner_is_told_that_it_is_busy(camera):
    with armed(camera) as first, camera.open() as second:
        with pytest.raises(DeviceBusy, match="busy") as caught:
            second.prepare(camera.settings)
        assert caught.value.exit_code == 5
        assert second.state is State.IDLE
        take(first, camera, 1)


# ---- time and loss


def test_stamps_are_monotonic_and_numbers_rise(camera):
    started_ns = monotonic_ns()
    with armed(camera) as session:
        shots = [shot for shot, _ in take(session, camera, 8)]
        assert (session.judge.distrusted == 0) == camera.trusted_stamps, session.judge.first_reason
    frames = [shot.frame for shot in shots]
    for frame in frames:
        assert started_ns - 1000 <= frame.timestamp_ns <= frame.dequeued_ns <= monotonic_ns()
        assert frame.timestamp_clock == "monotonic"
        assert frame.timestamp_source in (("soe", "eof") if camera.trusted_stamps else ("dequeue", "soe", "eof"))
        assert frame.uncertainty_ns > 0
    for earlier, later in pairwise(frames):
        assert later.sequence == earlier.sequence + 1 + later.lost_before
        assert later.timestamp_ns > earlier.timestamp_ns
    realtime_ns = shots[-1].realtime_ns - shots[0].realtime_ns
    assert abs(realtime_ns - (frames[-1].timestamp_ns - frames[0].timestamp_ns)) < NS_PER_MS


def test_every_frame_is_accounted_for_when_the_consumer_is_slow(camera):
    with armed(camera) as session:
        count = len(session.pool)
        held = [session.take(limit_ns=camera.limit_ns) for _ in range(count)]
        assert len({shot.frame.index for shot in held}) == count
        with pytest.raises(StreamFault, match="no frame within"):
            session.take(limit_ns=_intervals(session, 3))
        for shot in held:
            session.give_back(shot)
        session.disarm()
        session.arm()
        take(session, camera, 3)
        assert session.ledger.balance == 0


def test_a_gap_made_by_the_consumer_is_the_consumers(camera):
    with armed(camera) as session:
        shots = [session.take(limit_ns=camera.limit_ns) for _ in range(len(session.pool))]
        _let_pass(session, 4)
        for shot in shots:
            session.give_back(shot)
        take(session, camera, 4)
        losses = {cause.value: count for cause, count in session.ledger.losses.items() if count}
        assert losses.get("consumer overrun", 0) >= 1, losses
        assert session.ledger.balance == 0


def test_pixels_and_metadata_belong_together(camera):
    if not camera.marked:
        pytest.skip(f"the pictures of {camera.name} carry no mark: to run this, use the simulation or the UVC camera")
    with armed(camera) as session:
        marks = [(shot.frame.sequence, mark) for shot, mark in take(session, camera, 12)]
    assert all(mark is not None for _, mark in marks)
    behind = [(mark.sequence - sequence) % (1 << 32) for sequence, mark in marks]
    assert behind == sorted(behind), "a picture came with the number of a later one"
    if camera.numbered_by_camera:
        assert len(set(behind)) == 1


# ---- exposure


def test_exposure_is_locked_proven_and_in_the_picture(camera):
    exposure_ns, _ = require(camera.exposures_ns, "exposure", camera)
    with prepared(camera, replace(camera.settings, exposure_ns=exposure_ns)) as session:
        granted = session.prepared
        assert granted.exposure.granted_ns == exposure_ns == granted.exposure_ns
        assert not granted.found_exposure.automatic
        assert not granted.differences
        session.arm()
        for shot, mark in take(session, camera, 6):
            assert shot.exposure_ns == exposure_ns
            if camera.marked:
                assert mark == FrameMark(mark.sequence, exposure_ns, shot.gain)


def test_an_exposure_between_two_steps_is_granted_with_the_reason(camera):
    off_grid_ns = require(camera.off_grid_ns, "exposure steps", camera)
    with prepared(camera, replace(camera.settings, exposure_ns=off_grid_ns)) as session:
        report = session.prepared.exposure
        assert report.granted_ns != report.asked_ns == off_grid_ns
        assert "step" in {reason.code for reason in report.why}
        assert session.prepared.differences


def test_an_exposure_outside_the_range_is_refused_and_leaves_everything(camera):
    beyond_ns = require(camera.beyond_ns, "exposure range", camera)
    before = found_controls(camera)
    with camera.open() as session, pytest.raises(ControlValueError, match="out of range") as caught:
        session.prepare(replace(camera.settings, exposure_ns=beyond_ns))
    assert "to" in caught.value.hint
    assert found_controls(camera).values == before.values


def test_asking_for_exposure_of_a_camera_without_one_is_said(camera):
    if camera.exposures_ns is not None:
        pytest.skip(f"{camera.name} has an exposure control: to run this, use vivid")
    with camera.open() as session, pytest.raises(InputError, match="no exposure control"):
        session.prepare(replace(camera.settings, exposure_ns=8 * NS_PER_MS))


def test_the_stream_does_not_start_on_an_exposure_somebody_changed(camera):
    exposure_ns, _ = require(camera.exposures_ns, "exposure", camera)
    with prepared(camera, replace(camera.settings, exposure_ns=exposure_ns)) as session:
        report = session.prepared.exposure
        with Node(camera.kernel, camera.path) as other:
            auto = query_optional(other, uapi.ControlID.EXPOSURE_AUTO)
            if auto is None:
                set_controls(other, {report.control: report.value + report.control.step})
            else:
                automatic = next(item.number for item in auto.menu if item.number != uapi.ExposureAutoType.MANUAL)
                set_controls(other, {auto: automatic})
        with pytest.raises(ExposureNotProven):
            session.arm()
        assert session.state is State.PREPARED
        assert not session._stream.streaming


def test_a_camera_that_ignores_the_exposure_is_caught_before_the_stream(camera):
    exposures_ns = require(camera.exposures_ns, "exposure", camera)
    ignore = require(camera.ignore_exposure, "way to make it ignore settings", camera)
    with camera.open() as session:
        session.prepare(replace(camera.settings, exposure_ns=exposures_ns[0]))
        ignore()
        with pytest.raises(ExposureNotProven):
            session.prepare(replace(camera.settings, exposure_ns=exposures_ns[1]))
        assert session.state is State.IDLE


def test_the_first_frame_with_a_new_exposure_is_named(camera):
    """Pain 6: exposure lands on the wrong frame."""
    first_ns, second_ns = require(camera.exposures_ns, "exposure", camera)
    with armed(camera, replace(camera.settings, exposure_ns=first_ns)) as session:
        take(session, camera, 6)
        session.expose(second_ns)
        taken = take(session, camera, 12)
        verdict = session.verdict
    assert verdict.state in (EffectState.FOUND, EffectState.ASSUMED)
    for shot, mark in taken:
        if camera.marked and shot.exposure_ns is not None:
            assert mark.exposure_ns == shot.exposure_ns
        if camera.marked and shot.frame.sequence >= verdict.sequence:
            assert mark.exposure_ns == second_ns
        if camera.marked and verdict.state is EffectState.FOUND and shot.frame.sequence < verdict.sequence:
            assert mark.exposure_ns == first_ns
    assert taken[-1][0].exposure_ns == second_ns


# ---- controls


def test_refused_controls_leave_everything_as_it_was(camera):
    before = found_controls(camera)
    controls = [c for c in before.controls if c.kind.value == "integer" and not c.inactive and c.maximum < 2**31 - 1]
    assert controls, "a camera without one settable integer"
    other, wrong = controls[0], controls[-1]
    value = before.values[other.id]
    with Node(camera.kernel, camera.path) as node:
        changed = other.minimum if value != other.minimum else other.minimum + other.step
        with pytest.raises(AgentError) as caught:
            set_controls(node, {wrong: wrong.maximum + wrong.step, **({} if other is wrong else {other: changed})})
        assert caught.value.hint
    after = found_controls(camera)
    assert {k: v for k, v in after.values.items() if k in before.values} == before.values


def test_controls_are_put_back_when_asked(camera):
    before = found_controls(camera)
    chosen = next(c for c in before.controls if c.kind.value == "integer" and not c.inactive and c.maximum > c.minimum)
    with camera.open() as session:
        session.restore_on_release()
        node = session.camera.node
        changed = chosen.minimum if before.values[chosen.id] != chosen.minimum else chosen.minimum + chosen.step
        set_controls(node, {chosen: changed})
        assert read_values(node, [chosen])[chosen.id] == changed
    assert found_controls(camera).values == before.values


# ---- memory


@pytest.mark.parametrize("kind", MemoryKind, ids=lambda kind: kind.value)
def test_each_kind_of_memory_carries_frames(camera, kind):
    if kind not in camera.memory_kinds:
        pytest.skip(f"{camera.name} does not offer {kind.value}: to run this, {camera.lacks}")
    with armed(camera, replace(camera.settings, memory=(kind,))) as session:
        assert session.prepared.memory is kind
        for shot, mark in take(session, camera, 6):
            assert len(shot.frame.planes) == len(session.prepared.format.planes)
            if not session.prepared.format.compressed:
                for plane, layout in zip(shot.frame.planes, session.prepared.format.planes, strict=True):
                    assert plane.nbytes == layout.size_bytes
            assert mark is not None or not camera.marked
        exported = [plane.dmabuf for buffer in session.pool for plane in buffer.planes]
        shareable = kind in (MemoryKind.MMAP_EXPORTED, MemoryKind.DMA_HEAP, MemoryKind.UDMABUF)
        assert all((fd is not None) == shareable for fd in exported)


@pytest.mark.parametrize("kind", [MemoryKind.MMAP, MemoryKind.DMA_HEAP], ids=lambda kind: kind.value)
def test_the_pools_granularity_can_be_set(camera, kind):
    if kind not in camera.memory_kinds:
        pytest.skip(f"{camera.name} does not offer {kind.value}: to run this, {camera.lacks}")
    granularity = parse_size_bytes("4MiB")
    with armed(camera, replace(camera.settings, memory=(kind,), granularity_bytes=granularity)) as session:
        lengths = [plane.mapping.length for buffer in session.pool for plane in buffer.planes]
        assert all(length % granularity == 0 for length in lengths)
        take(session, camera, 2)


def test_the_best_memory_is_picked_and_what_was_passed_over_is_said(camera):
    with prepared(camera) as session:
        assert session.prepared.memory is camera.memory_kinds[0]
        assert [kind for kind, _ in session.prepared.passed_over] == [
            kind for kind in MemoryKind if list(MemoryKind).index(kind) < list(MemoryKind).index(camera.memory_kinds[0])
        ]


# ---- faults of the stream


def test_no_frame_within_the_limit_is_a_fault_with_a_way_back(camera):
    freeze = require(camera.freeze, "way to make it stop sending", camera)
    with armed(camera) as session:
        take(session, camera, 2)
        freeze()
        with pytest.raises(StreamFault, match="no frame within"):
            _take_for_ever(session, _intervals(session, 10))
        assert session.state is State.FAULT
        assert isinstance(session.fault, StreamFault)
        require(camera.thaw, "way to make it send again", camera)()
        session.disarm()
        session.arm()
        take(session, camera, 2)


def test_pain_10_an_unplug_while_waiting_ends_the_wait_and_everything_is_released(camera):
    unplug = require(camera.unplug, "way to unplug it by program", camera)
    plug = require(camera.plug, "way to plug it in by program", camera)
    with armed(camera) as session:
        take(session, camera, 2)
        held = session.take(limit_ns=camera.limit_ns)
        puller = threading.Thread(target=unplug)
        puller.start()
        with pytest.raises(DeviceGone, match="gone"):
            _take_for_ever(session, camera.limit_ns)
        puller.join()
        assert session.state is State.FAULT
        assert held.frame.planes[0].nbytes == sum(held.frame.planes[0].shape)
        assert held.frame.planes[0].mean() >= 0
        with pytest.raises(StateError):
            session.arm()
    camera.path = plug()
    with armed(camera) as session:
        take(session, camera, 3)


# ---- helpers


def _size(session: Session, camera: CameraUnderTest) -> tuple[int, int, str]:
    present = get_format(session.camera.node, session.camera.buffer_type)
    wanted = camera.settings
    return (
        wanted.width_px or present.width_px,
        wanted.height_px or present.height_px,
        wanted.pixel_format or present.pixel_format,
    )


def _another_size(session: Session) -> tuple[int, int]:
    present = get_format(session.camera.node, session.camera.buffer_type)
    for size in enumerate_sizes(session.camera.node, present.pixel_format):
        smallest = (size.min_width_px, size.min_height_px)
        if smallest != (present.width_px, present.height_px):
            return smallest
    pytest.skip("the camera has one size only: to run this, use one with two")


def _take_for_ever(session: Session, limit_ns: int) -> None:
    while True:
        session.give_back(session.take(limit_ns=limit_ns))


def _intervals(session: Session, count: int) -> int:
    return count * (session.prepared.interval_ns or 100 * NS_PER_MS)


def _let_pass(session: Session, intervals: int) -> None:
    """Wait on a descriptor that will not speak: the time itself is what is tested here."""
    select.select([], [], [], _intervals(session, intervals) / 1e9)


__all__ = [name for name in dir() if name.startswith("test_")]
