import ctypes
import errno
import fcntl
import mmap
import os
import select
import threading
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import simplejpeg
from simulation.camera_user import SENSOR, UVC, User, stepped

from agent.kernel import Mapping
from agent.simulation.bench import simulated_kernel, with_large_sizes
from agent.simulation.formats import StepwiseSizes
from agent.simulation.mark import read_mark
from agent.simulation.memory import page_align
from agent.v4l2 import uapi
from agent.v4l2.uapi import BufferFlag, ControlID, Memory

MANUAL = (ControlID.EXPOSURE_AUTO, 1)
EXPOSURE = ControlID.EXPOSURE_ABSOLUTE
MS = 1_000_000


def stamp_ns(buffer):
    return buffer.timestamp.secs * 1_000_000_000 + buffer.timestamp.usecs * 1000


def test_frames_come_at_their_times_with_numbers_and_marks(user):
    user.set(MANUAL, (EXPOSURE, 80), (ControlID.GAIN, 3))
    begin = user.kernel.clock.now_ns()
    user.start()
    for number in range(40):
        buffer, mark = user.frame()
        assert buffer.sequence == mark.sequence == number
        assert (mark.exposure_ns, mark.gain) == (8 * MS, 3)
        start = begin + int(Fraction(number, 30) * 1_000_000_000)
        assert stamp_ns(buffer) == start // 1000 * 1000
        assert user.kernel.clock.now_ns() == start + 8 * MS
        assert (buffer.bytesused, buffer.field) == (640 * 480 * 2, uapi.Field.NONE)
        wanted = BufferFlag.TIMESTAMP_MONOTONIC | BufferFlag.TSTAMP_SRC_SOE | BufferFlag.MAPPED
        assert buffer.flags == wanted


def test_a_sensor_that_stamps_the_end(sensor):
    begin = sensor.kernel.clock.now_ns()
    sensor.start()
    buffer, mark = sensor.frame()
    assert stamp_ns(buffer) == (begin + mark.exposure_ns) // 1000 * 1000
    assert buffer.flags & BufferFlag.TSTAMP_SRC_MASK == BufferFlag.TSTAMP_SRC_EOF
    assert sensor.planes(buffer)[0][2] == 1280 * 720 * 3 // 2


def test_a_new_exposure_shows_two_frames_later(user):
    user.set(MANUAL, (EXPOSURE, 80))
    user.start()
    user.frame()
    user.set((EXPOSURE, 40))
    assert [user.frame()[1].exposure_ns // MS for _ in range(4)] == [8, 8, 4, 4]


def test_an_exposure_longer_than_the_interval_slows_the_camera(user):
    user.set(MANUAL, (EXPOSURE, 1000))
    user.start()
    stamps = [stamp_ns(user.frame()[0]) for _ in range(3)]
    assert np.diff(stamps).tolist() == [100 * MS, 100 * MS]


def test_brightness_follows_exposure_and_gain(user):
    user.set(MANUAL)
    means = []
    for exposure, gain in ((20, 0), (80, 0), (80, 128)):
        user.set((EXPOSURE, exposure), (ControlID.GAIN, gain))
        user.start()
        buffer, _ = user.frame()
        means.append(np.frombuffer(user.maps[buffer.index][0].view, np.uint8)[::2].mean())
        user.off()
        user.maps.clear()
    assert means[0] + 10 < means[1] < means[2] - 10


@pytest.mark.parametrize("profile", [with_large_sizes(UVC), with_large_sizes(SENSOR)], ids=["uvc", "sensor"])
def test_the_mark_survives_every_format_and_size(profile):
    with stepped(profile) as kernel:
        user = User(kernel)
        for code in profile.formats:
            for width, height in profile.sizes_px:
                user.set_format(code, width, height)
                user.start(2)
                kernel.step(user.camera)
                buffer = user.dequeue()
                mark = _jpeg_mark(user, buffer) if code == "MJPG" else user.mark(buffer)
                assert (code, width, mark.sequence) == (code, width, 0)
                user.off()
                user.maps.clear()
                user.request(0)


def _jpeg_mark(user, buffer):
    code = bytes(user.maps[buffer.index][0].view[: buffer.bytesused])
    return read_mark(simplejpeg.decode_jpeg(code, "GRAY")[:, :, 0])


def test_a_missing_buffer_is_a_gap(user):
    user.start(2)
    user.kernel.step(user.camera, 5)
    assert [user.dequeue().sequence for _ in range(2)] == [0, 1]
    user.queue(0)
    user.kernel.step(user.camera)
    assert user.dequeue().sequence == 5


def test_order_of_states(user):
    assert user.error(user.on) == errno.EINVAL
    assert user.error(user.off) == 0
    assert user.error(user.dequeue) == errno.EINVAL
    assert user.request(1).count == UVC.minimum_buffers
    user.queue(0)
    assert user.error(user.queue, 0) == errno.EINVAL
    assert user.error(user.queue, 9) == errno.EINVAL
    assert user.query(0).flags & BufferFlag.QUEUED
    user.off()
    assert not user.query(0).flags & BufferFlag.QUEUED
    user.on()
    user.on()
    assert user.error(user.request, 3) == errno.EBUSY
    assert user.error(user.dequeue) == errno.EAGAIN
    user.off()
    assert user.error(user.dequeue) == errno.EINVAL
    user.memory = Memory.USERPTR
    assert user.error(user.queue, 0) == errno.EINVAL


def test_stopping_gives_all_buffers_back_and_numbers_begin_again(user):
    user.start()
    user.kernel.step(user.camera, 2)
    assert user.query(0).flags & BufferFlag.DONE
    user.off()
    assert [user.query(i).flags & (BufferFlag.QUEUED | BufferFlag.DONE) for i in range(3)] == [0] * 3
    for index in range(3):
        user.queue(index)
    user.on()
    assert user.frame()[0].sequence == 0


def test_the_second_opener_may_set_but_not_stream(kernel, user):
    user.start()
    other = User(kernel)
    for refused in (other.request, other.on, other.off, other.dequeue):
        assert other.error(refused) == errno.EBUSY
    assert other.error(other.queue, 0) == errno.EBUSY
    assert other.error(other.set_format, "YUYV", 320, 240) == errno.EBUSY
    assert other.query(0).flags & BufferFlag.QUEUED
    assert other.set((ControlID.GAIN, 4))[0] == 0
    user.close()
    assert other.error(other.request) == 0


def test_mapping_checks_and_outlives_the_buffer(kernel, user):
    user.request()
    [(length, offset, _)] = user.planes(user.query(1))
    assert user.error(kernel.mmap, user.fd, length, offset + 1, 3) == errno.EINVAL
    assert user.error(kernel.mmap, user.fd, page_align(length) + 1, offset, 3) == errno.EINVAL
    assert user.error(kernel.mmap, user.fd, length, offset, mmap.PROT_WRITE) == errno.EINVAL
    assert not user.query(1).flags & BufferFlag.MAPPED
    [mapping] = user.map(1)
    assert user.query(1).flags & BufferFlag.MAPPED
    mapping.view[0] = 7
    user.camera.unplug()
    assert mapping.view[0] == 7


def test_buffers_in_use_can_only_be_freed_as_orphans():
    for orphans, expected in ((True, 0), (False, errno.EBUSY)):
        with stepped(replace(UVC, orphans=orphans)) as kernel:
            user = User(kernel)
            answer = user.request()
            assert bool(answer.capabilities & uapi.V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS) == orphans
            fd = user.export()
            assert user.error(user.request, 0) == expected
            os.close(fd)
            assert user.error(user.request, 0) == 0


def test_exports_share_the_memory_with_their_own_access(kernel, user):
    user.request()
    [own] = user.map(0)
    own.view[5] = 99
    fd = user.export(flags=os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert Mapping(fd, own.length, 0, mmap.PROT_READ).view[5] == 99
        assert user.error(Mapping, fd, own.length, 0, mmap.PROT_READ | mmap.PROT_WRITE) == errno.EACCES
        assert not os.get_inheritable(fd)
        kernel.ioctl(fd, uapi.DMA_BUF_IOCTL_SYNC.number, uapi.dma_buf_sync(flags=uapi.DMA_BUF_SYNC_READ))
        nothing = uapi.dma_buf_sync(flags=uapi.DMA_BUF_SYNC_END)
        assert user.error(kernel.ioctl, fd, uapi.DMA_BUF_IOCTL_SYNC.number, nothing) == errno.EINVAL
    finally:
        os.close(fd)
    assert user.error(user.export, 9) == errno.EINVAL
    assert user.error(user.export, 0, 1) == errno.EINVAL
    assert user.error(user.export, 0, 0, 1 << 30) == errno.EINVAL


def test_frames_in_memory_of_the_program(user):
    length = 640 * 480 * 2
    memory = np.zeros(length, np.uint8)
    user.request(memory=Memory.USERPTR)
    buffer = user.buffer(0)
    buffer.m.userptr, buffer.length = memory.ctypes.data, length - 1
    assert user.error(user.call, uapi.VIDIOC_QBUF, buffer) == errno.EINVAL
    buffer.length, buffer.m.userptr = length, 4096
    assert user.error(user.call, uapi.VIDIOC_QBUF, buffer) == errno.EFAULT
    buffer.m.userptr = memory.ctypes.data
    user.call(uapi.VIDIOC_QBUF, buffer)
    user.on()
    user.kernel.step(user.camera)
    done = user.dequeue()
    assert done.m.userptr == memory.ctypes.data
    assert read_mark(memory.reshape(480, 1280)[:, ::2]).sequence == 0


def test_frames_in_a_dmabuf(kernel, user):
    length = page_align(640 * 480 * 2)
    heap = kernel.open("/dev/dma_heap/system", os.O_RDWR)
    ask = uapi.dma_heap_allocation_data(len=length, fd_flags=os.O_RDWR | os.O_CLOEXEC)
    kernel.ioctl(heap, uapi.DMA_HEAP_IOCTL_ALLOC.number, ask)
    user.request(memory=Memory.DMABUF)
    buffer = user.buffer(0)
    buffer.m.fd = ask.fd
    user.call(uapi.VIDIOC_QBUF, buffer)
    small = user.buffer(1)
    small.m.fd = os.memfd_create("small")
    os.ftruncate(small.m.fd, 4096)
    assert user.error(user.call, uapi.VIDIOC_QBUF, small) == errno.EINVAL
    user.on()
    kernel.step(user.camera)
    assert user.dequeue().m.fd == ask.fd
    memory = kernel.mmap(ask.fd, length, 0, mmap.PROT_READ)
    picture = np.frombuffer(memory.view, np.uint8)[: 640 * 480 * 2].reshape(480, 1280)
    assert read_mark(picture[:, ::2]).sequence == 0
    for fd in (ask.fd, small.m.fd, heap):
        kernel.close(fd)


def test_udmabuf_wants_sealed_whole_pages(kernel, user):
    device = kernel.open("/dev/udmabuf", os.O_RDWR)
    memory = os.memfd_create("m", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(memory, 8192)
    ask = uapi.udmabuf_create(memfd=memory, flags=uapi.UDMABUF_FLAGS_CLOEXEC, size=8192)
    number = uapi.UDMABUF_CREATE.number
    assert user.error(kernel.ioctl, device, number, ask) == errno.EINVAL
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    fd = kernel.ioctl(device, number, ask)
    kernel.ioctl(fd, uapi.DMA_BUF_IOCTL_SYNC.number, uapi.dma_buf_sync(flags=uapi.DMA_BUF_SYNC_READ))
    ask.size = 100
    assert user.error(kernel.ioctl, device, number, ask) == errno.EINVAL
    for opened in (fd, memory, device):
        kernel.close(opened)


def test_what_a_driver_does_not_have():
    with stepped(replace(UVC, userptr=False, dmabuf=False, expbuf=False), devices=()) as kernel:
        user = User(kernel)
        assert user.error(user.request, 2, Memory.USERPTR) == errno.EINVAL
        assert user.error(user.request, 2, Memory.DMABUF) == errno.EINVAL
        assert user.request(2, Memory.MMAP).capabilities & 7 == uapi.V4L2_BUF_CAP_SUPPORTS_MMAP
        assert user.error(user.export) == errno.ENOTTY
        assert user.error(kernel.open, "/dev/udmabuf", 0) == errno.ENOENT


def test_more_and_larger_buffers(user):
    user.request(2)
    create = uapi.v4l2_create_buffers(count=2, memory=Memory.MMAP)
    create.format.type = user.type
    user.call(uapi.VIDIOC_G_FMT, create.format)
    create.format.fmt.pix.sizeimage *= 2
    assert user.call(uapi.VIDIOC_CREATE_BUFS, create).index == 2
    assert user.query(3).length == 640 * 480 * 4
    offsets = [user.query(i).m.offset for i in range(4)]
    assert len(set(offsets)) == 4
    create.format.fmt.pix.sizeimage = 100
    assert user.error(user.call, uapi.VIDIOC_CREATE_BUFS, create) == errno.EINVAL


def test_planes_must_have_room(sensor):
    sensor.set_format("NM12", 320, 240)
    sensor.request()
    buffer = sensor.buffer(0)
    buffer.length = 1
    assert sensor.error(sensor.call, uapi.VIDIOC_QUERYBUF, buffer) == errno.EINVAL
    buffer.length, buffer.m.planes = 8, None
    assert sensor.error(sensor.call, uapi.VIDIOC_QBUF, buffer) == errno.EINVAL


def test_poll_shows_frames_events_and_the_unplug(kernel, user):
    other = User(kernel)
    user.subscribe(ControlID.GAIN)
    user.start()
    assert user.poll() == 0
    other.set((ControlID.GAIN, 1))
    assert user.poll() & select.POLLPRI
    kernel.step(user.camera, 2)
    assert user.poll() == select.POLLIN | select.POLLPRI
    user.event()
    assert user.poll() == select.POLLIN
    user.dequeue()
    assert user.poll() == select.POLLIN
    user.dequeue()
    assert user.poll() == 0
    kernel.step(user.camera)
    user.off()
    assert user.poll() == 0
    user.camera.unplug()
    assert user.poll() == select.POLLIN | select.POLLPRI | select.POLLERR | select.POLLHUP


def test_an_unplug_wakes_whoever_polls(user):
    user.start()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(user.poll(10_000)))
    thread.start()
    user.camera.unplug()
    thread.join()
    assert seen[0]
    assert user.poll() & select.POLLHUP
    assert user.error(user.dequeue) == user.error(user.query, 0) == user.error(user.off) == errno.ENODEV
    assert user.error(user.event) == user.error(user.set_format, "YUYV", 320, 240) == errno.ENODEV
    assert user.error(user.kernel.mmap, user.fd, 1, 0, 1) == errno.ENODEV


@pytest.mark.parametrize("end", ["off", "unplug", "frame"])
def test_a_blocked_dqbuf_wakes(kernel, end):
    user = User(kernel, flags=os.O_RDWR)
    user.start()
    answers = []
    inside = threading.Event()

    def wait():
        inside.set()
        answers.append(user.error(user.dequeue))

    thread = threading.Thread(target=wait)
    thread.start()
    inside.wait()
    {"off": user.off, "unplug": user.camera.unplug, "frame": lambda: kernel.step(user.camera)}[end]()
    thread.join()
    assert answers[0] in {"off": (errno.EINVAL,), "unplug": (errno.EINVAL, errno.ENODEV), "frame": (0,)}[end]


def test_a_number_still_held_is_not_given_again(kernel, user):
    camera = user.camera
    camera.unplug()
    assert kernel.video_nodes() == ["/dev/video2"]
    camera.plug()
    assert kernel.video_nodes() == ["/dev/video1", "/dev/video2", "/dev/video3"]
    assert camera.path == "/dev/video1"
    user.close()
    camera.unplug()
    camera.plug()
    assert camera.path == "/dev/video0"


def test_in_real_time_frames_are_paced_and_nothing_is_left_running():
    before = threading.active_count()
    with simulated_kernel() as kernel:
        users = [User(kernel, camera.path).start() for camera in kernel.cameras]
        stamps = {user.fd: [] for user in users}
        for user in users:
            while len(stamps[user.fd]) < 4:
                assert user.poll(5000) & select.POLLIN
                buffer = user.dequeue()
                stamps[user.fd].append((stamp_ns(buffer) - int(1e9 / 30 * buffer.sequence)) // 10_000)
                user.queue(buffer.index)
        assert threading.active_count() == before + 1
        assert all(max(each) - min(each) <= 1 for each in stamps.values())
        users[0].off()
        assert threading.active_count() == before + 1
        users[1].off()
        assert threading.active_count() == before
        users[0].start()
        kernel.cameras[0].unplug()
        assert threading.active_count() == before


def test_stepping_needs_a_stream_and_a_clock(kernel, user):
    with pytest.raises(ValueError, match="does not stream"):
        kernel.step(user.camera)
    with simulated_kernel(1) as real, pytest.raises(ValueError, match="real time"):
        real.advance(1)


def test_the_wrong_buffer_type(user):
    assert user.error(user.call, uapi.VIDIOC_STREAMON, ctypes.c_int(9)) == errno.EINVAL
    user.request()
    user.type = 9
    assert user.error(user.queue, 0) == errno.EINVAL


def test_the_smallest_pictures_go_without_a_mark():
    with stepped(replace(UVC, stepwise=StepwiseSizes((16, 16), (64, 64), (2, 2)))) as kernel:
        user = User(kernel)
        user.set_format("YUYV", 16, 16)
        user.start()
        assert user.frame()[1] is None


def test_a_blocked_dqevent_wakes_when_the_kernel_ends():
    with stepped() as kernel:
        user = User(kernel, flags=os.O_RDWR)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(user.error(user.event)))
        thread.start()
    thread.join()
    assert answers[0] in (errno.ENODEV, errno.EBADF)


def test_the_same_dmabuf_is_mapped_once(user):
    fd = os.memfd_create("frames")
    os.ftruncate(fd, page_align(640 * 480 * 2))
    user.request(memory=Memory.DMABUF)
    seen = set()
    user.on()
    for _ in range(3):
        buffer = user.buffer(0)
        buffer.m.fd = fd
        user.call(uapi.VIDIOC_QBUF, buffer)
        seen.add(user.camera.queue.buffers[0].planes[0].memory)
        user.kernel.step(user.camera)
        user.dequeue()
    assert len(seen) == 1
    os.close(fd)
