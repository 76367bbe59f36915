import errno
import select
import threading
from itertools import pairwise

import pytest
from simulation.camera_user import User, stepped
from simulation.test_streaming import stamp_ns

from agent.simulation.bench import simulated_kernel
from agent.simulation.faults import Faults, StampFault
from agent.v4l2.uapi import BufferFlag, ControlID


def test_an_errno_on_the_nth_call_once_or_always(user):
    faults = user.camera.faults
    faults.refuse("VIDIOC_REQBUFS", errno.ENOMEM, on_call=2)
    assert [user.error(user.request) for _ in range(3)] == [0, errno.ENOMEM, 0]
    faults.refuse("VIDIOC_STREAMON", errno.ENOSPC, every=True)
    assert [user.error(user.on) for _ in range(2)] == [errno.ENOSPC] * 2
    faults.allow("VIDIOC_STREAMON")
    assert user.error(user.on) == 0
    faults.refuse("open", errno.EACCES)
    assert user.error(User, user.kernel) == errno.EACCES


def test_faults_from_the_start():
    faults = Faults()
    faults.refuse("VIDIOC_QUERYBUF", errno.EIO)
    with stepped(faults={0: faults}) as kernel:
        user = User(kernel)
        user.request()
        assert user.error(user.query, 0) == errno.EIO


def test_lost_broken_and_short_frames(user):
    faults = user.camera.faults
    faults.lost_frames, faults.broken_frames, faults.short_frames = range(1, 3), {3}, {4}
    user.start()
    seen = []
    for _ in range(6):
        user.kernel.step(user.camera)
        if user.poll() & select.POLLIN:
            buffer = user.dequeue()
            seen.append((buffer.sequence, bool(buffer.flags & BufferFlag.ERROR), buffer.bytesused))
            user.queue(buffer.index)
    whole = 640 * 480 * 2
    assert seen == [(0, False, whole), (3, True, whole), (4, False, whole // 2), (5, False, whole)]


def test_stamps(user):
    user.start()
    faults = user.camera.faults
    true = stamp_ns(user.frame()[0])
    faults.stamp = StampFault.REALTIME
    assert stamp_ns(user.frame()[0]) - true > 10**18
    faults.stamp = StampFault.ZERO
    buffer, _ = user.frame()
    assert (stamp_ns(buffer), buffer.flags & BufferFlag.TIMESTAMP_MASK) == (0, BufferFlag.TIMESTAMP_MONOTONIC)
    faults.stamp = StampFault.UNKNOWN
    assert user.frame()[0].flags & BufferFlag.TIMESTAMP_MASK == BufferFlag.TIMESTAMP_UNKNOWN
    faults.stamp = StampFault.NONE
    user.frame()
    faults.stamp = StampFault.BACKWARDS
    stamps = [stamp_ns(user.frame()[0]) for _ in range(4)]
    assert any(later < earlier for earlier, later in pairwise(stamps))


def test_frozen(user):
    user.start()
    user.frame()
    user.camera.faults.frozen = True
    user.kernel.advance(1_000_000_000)
    assert user.error(user.dequeue) == errno.EAGAIN
    user.camera.faults.frozen = False
    assert user.frame()[0].sequence == 1


def test_unplug_at_a_frame_and_at_a_call(kernel, user, sensor):
    user.camera.faults.unplug_at_frame = 2
    user.start(4)
    kernel.advance(1_000_000_000)
    assert user.poll() & select.POLLHUP
    assert not user.camera.plugged
    sensor.camera.faults.unplug_at_call = "VIDIOC_STREAMON"
    assert sensor.error(sensor.start) == errno.ENODEV
    assert kernel.video_nodes() == []


def test_buffers_the_driver_should_not_have_given(user):
    user.start()
    user.kernel.step(user.camera, 3)
    user.camera.faults.wrong_index = 31
    assert user.dequeue().index == 31
    assert user.dequeue().index == 1
    user.camera.faults.repeat_buffer = True
    assert user.dequeue().index == 1


def test_a_failed_queue_says_eio_until_it_is_stopped(user):
    user.start()
    user.camera.fail_queue()
    assert user.error(user.dequeue) == user.error(user.queue, 0) == errno.EIO
    user.off()
    user.queue(0)
    assert user.error(user.on) == 0


@pytest.mark.parametrize("end", ["release", "unplug"])
def test_a_hanging_streamoff(user, end):
    user.start()
    gate = user.camera.faults.hold("VIDIOC_STREAMOFF")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(user.error(user.off)))
    thread.start()
    assert gate.entered.wait(10)
    user.kernel.advance(1_000_000_000)
    assert user.error(user.dequeue) == errno.EAGAIN  # no frames while the driver stops
    assert not answers
    (gate.release if end == "release" else user.camera.unplug)()
    thread.join()
    assert answers == [0 if end == "release" else errno.ENODEV]


def test_a_slow_control_does_not_hold_up_others(kernel, user):
    other = User(kernel)
    gate = user.camera.faults.hold("VIDIOC_S_EXT_CTRLS", for_ns=60_000_000_000)
    thread = threading.Thread(target=user.set, args=[(ControlID.GAIN, 3)])
    thread.start()
    assert gate.entered.wait(10)
    assert other.get(ControlID.GAIN)[2] == [0]
    gate.release()
    thread.join()
    assert other.get(ControlID.GAIN)[2] == [3]


def test_a_slow_call_ends_by_itself(user):
    user.camera.faults.hold("VIDIOC_S_EXT_CTRLS", for_ns=1)
    assert user.set((ControlID.GAIN, 3))[0] == 0


def test_release_frees_whoever_hangs():
    with simulated_kernel(1) as kernel:
        user = User(kernel)
        user.start()
        gate = user.camera.faults.hold("VIDIOC_STREAMOFF")
        thread = threading.Thread(target=user.error, args=[user.off])
        thread.start()
        assert gate.entered.wait(10)
    thread.join()
