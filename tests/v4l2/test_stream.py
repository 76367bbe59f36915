"""Streaming against a driver that misbehaves, and the allocator against one that offers little."""

import errno
import select
from dataclasses import replace

import pytest

from agent.capture.session import Session, State
from agent.capture.settings import Settings
from agent.errors import DeviceBusy, DeviceError, DeviceGone, InputError, StreamFault, UsbBandwidth
from agent.simulation.bench import uvc_profile
from agent.simulation.clock import ManualClock
from agent.simulation.faults import StampFault
from agent.simulation.kernel import SimulatedKernel
from agent.units import NS_PER_S
from agent.v4l2 import uapi
from agent.v4l2.allocator import Allocator
from agent.v4l2.buffers import MemoryKind
from agent.v4l2.ioctl import Node
from agent.v4l2.ledger import Loss

LIMIT_NS = NS_PER_S


class Bench:
    """A simulated UVC camera under a clock that stands still, and an armed session on it."""

    def __init__(self, **changes):
        self.clock = ManualClock()
        self.kernel = SimulatedKernel([replace(uvc_profile(), **changes)], clock=self.clock)
        (self.camera,) = self.kernel.cameras
        self.faults = self.camera.faults
        self.session = Session(self.kernel, self.camera.path, read_monotonic_ns=self.clock.now_ns)
        self.session.prepare(Settings(settle_frames=0))

    def __enter__(self):
        self.session.arm()
        return self

    def __exit__(self, *_):
        self.session.release()
        self.kernel.release()

    def frames(self, count):
        self.kernel.step(self.camera, count)

    def take(self, **options):
        shot = self.session.take(limit_ns=0, **options)
        self.session.give_back(shot)
        return shot

    def take_all(self, count):
        taken = []
        for _ in range(count):
            self.frames(1)
            taken.append(self.take())
        return taken


def test_nothing_to_dequeue_is_no_frame_and_no_wait():
    with Bench() as bench:
        assert bench.session._stream.dequeue() is None
        with pytest.raises(StreamFault, match="no frame within"):
            bench.take()
        assert bench.session.state is State.FAULT
        assert not bench.session._stream.streaming


@pytest.mark.parametrize("fault", ["wrong_index", "repeat_buffer"])
def test_a_driver_that_hands_out_nonsense_is_a_fault_and_not_believed(fault):
    with Bench() as bench:
        bench.frames(2)
        held = bench.session.take(limit_ns=0)
        setattr(bench.faults, fault, 31 if fault == "wrong_index" else True)
        with pytest.raises(StreamFault, match="the driver returned buffer"):
            bench.take()
        assert held.frame.planes[0].size


def test_damaged_and_short_frames_are_accounted_for_and_not_handed_on():
    with Bench() as bench:
        bench.faults.broken_frames, bench.faults.short_frames = {1}, {2}
        bench.frames(4)
        assert [bench.take().frame.sequence for _ in range(2)] == [0, 3]
        assert bench.session.ledger.losses[Loss.ERROR_FLAG] == 2
        assert bench.session.ledger.balance == 0


class UnfilledBuffers:
    """A kernel whose next DQBUFs return buffers without a frame, as uvcvideo returns its queue when an URB fails."""

    def __init__(self, kernel, count):
        self._kernel = kernel
        self._left = count

    def __getattr__(self, name):
        return getattr(self._kernel, name)

    def ioctl(self, fd, request, argument):
        result = self._kernel.ioctl(fd, request, argument)
        if request == uapi.VIDIOC_DQBUF.number and self._left:
            self._left -= 1
            argument.flags |= uapi.BufferFlag.ERROR
            argument.sequence = argument.timestamp.secs = argument.timestamp.usecs = 0
        return result


def test_buffers_returned_unfilled_invent_no_number_and_no_loss():
    with Bench() as bench:
        bench.take_all(5)
        bench.session.camera.node.kernel = UnfilledBuffers(bench.kernel, 3)
        bench.frames(4)
        shot = bench.take()
        ledger = bench.session.ledger
        assert ledger.unfilled == 3
        assert (shot.frame.sequence, shot.frame.lost_before) == (8, 3)
        assert (ledger.lost, ledger.balance, ledger.restarts) == (3, 0, 0)
        assert bench.session.judge.distrusted == 0


def test_a_gap_of_the_driver_is_the_drivers():
    with Bench() as bench:
        bench.faults.lost_frames = {2, 3}
        shots = bench.take_all(1)
        bench.frames(1)
        shots.append(bench.take())
        bench.frames(3)
        shots.append(bench.take())
        assert [shot.frame.sequence for shot in shots] == [0, 1, 4]
        assert shots[-1].frame.lost_before == 2
        assert bench.session.ledger.losses[Loss.DRIVER_GAP] == 2
        assert bench.session.ledger.losses[Loss.OVERRUN] == 0


@pytest.mark.parametrize("hold", [True, False], ids=["held by us", "done but not dequeued"])
def test_a_gap_of_the_consumer_is_the_consumers(hold):
    """Both starve the driver: frames we hold, and finished ones we did not come for."""
    with Bench() as bench:
        count = len(bench.session.pool)
        bench.frames(count)
        shots = [bench.session.take(limit_ns=0) for _ in range(count)] if hold else []
        bench.frames(3)
        for shot in shots:
            bench.session.give_back(shot)
        if not hold:
            for _ in range(count):
                bench.take()
        bench.frames(1)
        assert bench.take().frame.lost_before == 3
        assert bench.session.ledger.losses[Loss.OVERRUN] == 3
        assert bench.session.ledger.losses[Loss.DRIVER_GAP] == 0


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (StampFault.ZERO, "does not stamp"),
        (StampFault.UNKNOWN, "does not stamp"),
        (StampFault.BACKWARDS, "before the frame before it"),
    ],
)
def test_stamps_that_cannot_be_true_are_replaced_by_the_time_of_dequeueing(fault, why):
    with Bench() as bench:
        bench.take_all(2)
        bench.faults.stamp = fault
        shots = bench.take_all(4)
        assert why in bench.session.judge.first_reason
        distrusted = [shot.frame for shot in shots if shot.frame.timestamp_source == "dequeue"]
        assert len(distrusted) == bench.session.judge.distrusted > 0
        assert all(frame.timestamp_ns == frame.dequeued_ns for frame in distrusted)


def test_pain_1_only_a_frame_exposed_after_the_call_is_taken():
    with Bench() as bench:
        bench.frames(3)
        asked_ns = bench.clock.now_ns()
        bench.frames(2)
        shot = bench.take(after_ns=asked_ns)
        assert shot.frame.timestamp_ns >= asked_ns
        assert bench.session.ledger.losses[Loss.SKIPPED] >= 3
        assert shot.frame.lost_before == 0


def test_pain_12_no_usb_bandwidth_is_said_and_the_session_can_try_again():
    bench = Bench()
    bench.faults.refuse("VIDIOC_STREAMON", errno.ENOSPC)
    with pytest.raises(UsbBandwidth):
        bench.session.arm()
    assert bench.session.state is State.PREPARED
    with bench:
        assert bench.take_all(1)


def test_a_broken_queue_is_a_fault_and_disarm_is_the_way_back():
    with Bench() as bench:
        bench.camera.fail_queue()
        with pytest.raises(StreamFault, match="broke") as caught:
            bench.take()
        assert bench.session.fault is caught.value
        bench.session.disarm()
        bench.session.arm()
        assert bench.session.fault is None
        assert bench.take_all(2)


def test_an_unplug_at_any_request_is_gone_and_releases_all():
    for request in ("VIDIOC_QBUF", "VIDIOC_DQBUF", "VIDIOC_STREAMOFF"):
        with Bench() as bench:
            bench.frames(2)
            bench.faults.unplug_at_call = request
            if request == "VIDIOC_STREAMOFF":
                assert bench.session.disarm() is not None
            else:
                with pytest.raises(DeviceGone):
                    bench.take()


def test_a_buffer_the_driver_does_not_take_back_is_a_fault():
    with Bench() as bench:
        bench.frames(1)
        shot = bench.session.take(limit_ns=0)
        bench.faults.refuse("VIDIOC_QBUF", errno.EIO)
        with pytest.raises(DeviceError, match="VIDIOC_QBUF"):
            bench.session.give_back(shot)
        assert bench.session.state is State.FAULT
        assert bench.camera.stream is None
        bench.session.disarm()
        bench.session.arm()
        assert bench.take_all(5)


def test_a_streamoff_the_driver_refuses_is_told():
    with Bench() as bench:
        bench.faults.refuse("VIDIOC_STREAMOFF", errno.EIO)
        with pytest.raises(DeviceError, match="VIDIOC_STREAMOFF"):
            bench.session.disarm()


def test_the_descriptor_is_readable_exactly_when_a_frame_waits():
    with Bench() as bench:
        poll = select.poll()
        poll.register(bench.session._stream.fileno(), select.POLLIN)
        assert poll.poll(0) == []
        bench.frames(1)
        assert poll.poll(0)
        bench.take()
        assert poll.poll(0) == []


@pytest.mark.parametrize("broken", [False, True], ids=["stopped", "broken"])
def test_a_released_session_leaves_nothing_mapped(broken):
    bench = Bench()
    finalizers = [plane.mapping._finalizer for buffer in bench.session.pool for plane in buffer.planes]
    with bench:
        bench.take_all(2)
        if broken:
            bench.camera.fail_queue()
            with pytest.raises(StreamFault):
                bench.take()
    assert finalizers
    assert not any(finalizer.alive for finalizer in finalizers)


# ---- the allocator


def test_what_a_driver_does_not_offer_is_passed_over_with_the_reason():
    bench = Bench(expbuf=False, dmabuf=False)
    with bench:
        prepared = bench.session.prepared
        assert prepared.memory is MemoryKind.MMAP
        assert [kind for kind, _ in prepared.passed_over] == [
            MemoryKind.MMAP_EXPORTED, MemoryKind.DMA_HEAP, MemoryKind.UDMABUF
        ]  # fmt: skip
        assert "export" in prepared.passed_over[0][1]


def test_missing_allocators_of_the_machine_are_passed_over():
    kernel = SimulatedKernel([replace(uvc_profile(), expbuf=False)], clock=ManualClock(), devices=())
    with kernel, Session(kernel, "/dev/video0") as session:
        reasons = dict(session.prepare(Settings()).passed_over)
        assert "/dev/dma_heap/system" in reasons[MemoryKind.DMA_HEAP]
        assert "/dev/udmabuf" in reasons[MemoryKind.UDMABUF]


def test_no_usable_memory_names_every_reason():
    kernel = SimulatedKernel([replace(uvc_profile(), userptr=False)], clock=ManualClock())
    with kernel, Session(kernel, "/dev/video0") as session:
        with pytest.raises(DeviceError, match="userptr: the driver does not stream from USERPTR"):
            session.prepare(Settings(memory=(MemoryKind.USERPTR,)))
        assert session.prepare(Settings()).memory is MemoryKind.MMAP_EXPORTED


@pytest.mark.parametrize("granularity", [0, -4096, 1000, 4097])
def test_a_granularity_is_whole_pages(granularity):
    with (
        SimulatedKernel([uvc_profile()], clock=ManualClock()) as kernel,
        Node(kernel, "/dev/video0") as node,
        pytest.raises(InputError, match="whole number of pages"),
    ):
        Allocator(node, uapi.BufType.VIDEO_CAPTURE, granularity_bytes=granularity)


def test_a_driver_without_orphans_refuses_while_an_export_is_held_and_says_busy():
    bench = Bench(orphans=False)
    with bench:
        view = bench.session.pool.buffers[0].planes[0].view
        bench.session.disarm()
        with pytest.raises(DeviceBusy):
            bench.session.prepare(Settings())
        del view
