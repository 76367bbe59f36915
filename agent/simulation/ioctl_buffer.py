"""Buffers and streaming: REQBUFS, QUERYBUF, EXPBUF, QBUF, DQBUF, STREAMON, STREAMOFF, as videobuf2-v4l2.c has them."""

from __future__ import annotations

import errno
import os
from typing import Any

from agent.simulation.camera import SimulatedCamera
from agent.simulation.faults import StampFault
from agent.simulation.ioctl_format import buffer_type, check_type
from agent.simulation.memory import SharedMemory
from agent.simulation.open_file import OpenFile
from agent.simulation.queue import Buffer, BufferState
from agent.simulation.refusal import refusal
from agent.v4l2 import uapi
from agent.v4l2.uapi import BufferFlag, Field, Memory

_STATE_FLAGS = {
    BufferState.DEQUEUED: 0,
    BufferState.QUEUED: int(BufferFlag.QUEUED),
    BufferState.DONE: int(BufferFlag.DONE),
    BufferState.ERROR: int(BufferFlag.DONE | BufferFlag.ERROR),
}


def reqbufs(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_REQBUFS: count 0 frees, and gives up the ownership of the queue."""
    supported = _supported_memory(camera)
    argument.capabilities = _buffer_capabilities(camera)
    check_type(camera, argument.type)
    if argument.memory not in supported:
        raise refusal(errno.EINVAL)
    camera.check_queue_free(file)
    picture = camera.picture
    lengths = picture.layout.plane_sizes(picture.width_px, picture.height_px)
    argument.count = camera.queue.allocate(argument.count, argument.memory, lengths)
    camera.owner = file if argument.count else None
    camera.refresh()


def create_bufs(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_CREATE_BUFS: more buffers, at least as large as the format in force needs; count 0 only asks."""
    argument.capabilities = _buffer_capabilities(camera)
    argument.index = len(camera.queue.buffers)
    check_type(camera, argument.format.type)
    if argument.memory not in _supported_memory(camera):
        raise refusal(errno.EINVAL)
    camera.check_queue_free(file)
    picture = camera.picture
    least = picture.layout.plane_sizes(picture.width_px, picture.height_px)
    asked = _asked_sizes(camera, argument.format.fmt)
    if len(asked) != len(least) or any(size < need for size, need in zip(asked, least, strict=True)):
        raise refusal(errno.EINVAL)
    if argument.count:
        argument.count = camera.queue.extend(argument.count, argument.memory, asked)
        camera.owner = file


def querybuf(camera: SimulatedCamera, _file: OpenFile, argument: Any) -> None:
    """VIDIOC_QUERYBUF: allowed to everybody."""
    buffer = _named_buffer(camera, argument)
    _fill(camera, argument, buffer)


def expbuf(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_EXPBUF: a descriptor with its own access mode, only of MMAP buffers."""
    camera.check_queue_free(file)
    if not camera.profile.expbuf:
        raise refusal(errno.ENOTTY)
    allowed = os.O_CLOEXEC | os.O_ACCMODE
    if argument.type != buffer_type(camera) or argument.flags & ~allowed or camera.queue.memory != Memory.MMAP:
        raise refusal(errno.EINVAL)
    buffer = camera.queue.find(argument.index)
    if argument.plane >= len(buffer.planes):
        raise refusal(errno.EINVAL)
    memory = buffer.planes[argument.plane].memory
    if not isinstance(memory, SharedMemory):
        raise refusal(errno.EINVAL)
    argument.fd = memory.export(argument.flags)
    os.set_inheritable(argument.fd, not argument.flags & os.O_CLOEXEC)


def qbuf(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_QBUF."""
    camera.check_queue_free(file)
    buffer = _named_buffer(camera, argument)
    if argument.memory != camera.queue.memory:
        raise refusal(errno.EINVAL)
    camera.queue.enqueue(buffer.index, _given_planes(camera, argument, buffer))
    _fill(camera, argument, buffer)


def dqbuf(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_DQBUF: EAGAIN with O_NONBLOCK and nothing finished; without, wait for a frame or the end of the stream."""
    camera.check_queue_free(file)
    check_type(camera, argument.type)
    queue = camera.queue
    if camera.profile.multiplanar and queue.buffers:
        _check_planes(argument, queue.buffers[0])
    buffer = queue.dequeue()
    if buffer is None:
        if not file.descriptor.blocking:
            raise refusal(errno.EAGAIN)
        camera.lock.wait_for(lambda: queue.finished or not queue.streaming or queue.failed)
        buffer = queue.dequeue()
        if buffer is None:
            raise refusal(errno.EINVAL)
    _hand_out(camera, argument, buffer)
    camera.refresh()


def streamon(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_STREAMON: nothing if already streaming."""
    camera.check_queue_free(file)
    check_type(camera, argument.value)
    if not camera.queue.streaming:
        camera.queue.start()
        camera.start_stream()


def streamoff(camera: SimulatedCamera, file: OpenFile, argument: Any) -> None:
    """VIDIOC_STREAMOFF: also without a stream every queued buffer is given back."""
    camera.check_queue_free(file)
    check_type(camera, argument.value)
    camera.stop_stream()


def _supported_memory(camera: SimulatedCamera) -> set[int]:
    profile = camera.profile
    switches = ((Memory.MMAP, profile.mmap), (Memory.USERPTR, profile.userptr), (Memory.DMABUF, profile.dmabuf))
    return {int(memory) for memory, on in switches if on}


def _buffer_capabilities(camera: SimulatedCamera) -> int:
    profile = camera.profile
    bits = (
        (uapi.V4L2_BUF_CAP_SUPPORTS_MMAP, profile.mmap),
        (uapi.V4L2_BUF_CAP_SUPPORTS_USERPTR, profile.userptr),
        (uapi.V4L2_BUF_CAP_SUPPORTS_DMABUF, profile.dmabuf),
        (uapi.V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS, profile.orphans),
    )
    return sum(bit for bit, on in bits if on)


def _asked_sizes(camera: SimulatedCamera, asked: Any) -> list[int]:
    if not camera.profile.multiplanar:
        return [asked.pix.sizeimage]
    return [asked.pix_mp.plane_fmt[index].sizeimage for index in range(min(asked.pix_mp.num_planes, 8))]


def _named_buffer(camera: SimulatedCamera, argument: Any) -> Buffer:
    check_type(camera, argument.type)
    buffer = camera.queue.find(argument.index)
    if camera.profile.multiplanar:
        _check_planes(argument, buffer)
    return buffer


def _check_planes(argument: Any, buffer: Buffer) -> None:
    # __verify_planes_array: the array must be there and hold all planes
    if not argument.m.planes or not len(buffer.planes) <= argument.length <= uapi.VIDEO_MAX_PLANES:
        raise refusal(errno.EINVAL)


def _given_planes(camera: SimulatedCamera, argument: Any, buffer: Buffer) -> list[tuple[int, int]]:
    userptr = camera.queue.memory == Memory.USERPTR
    if not camera.profile.multiplanar:
        return [(argument.m.userptr if userptr else argument.m.fd, argument.length)]
    planes = [argument.m.planes[index] for index in range(len(buffer.planes))]
    return [(plane.m.userptr if userptr else plane.m.fd, plane.length) for plane in planes]


def _hand_out(camera: SimulatedCamera, argument: Any, buffer: Buffer) -> None:
    _fill(camera, argument, buffer)
    buffer.state = BufferState.DEQUEUED
    # vb2_dqbuf: "V4L2_BUF_FLAG_DONE must be cleared" after DQBUF
    argument.flags &= ~int(BufferFlag.DONE)
    wrong = camera.faults.take_wrong_index()
    if wrong is not None:
        argument.index = wrong
    if camera.faults.take_repeat():
        argument.index = camera.last_index
    camera.last_index = buffer.index


def _fill(camera: SimulatedCamera, argument: Any, buffer: Buffer) -> None:
    """`__fill_v4l2_buffer`."""
    memory = camera.queue.memory
    unknown = camera.faults.stamp is StampFault.UNKNOWN
    argument.index, argument.memory, argument.field = buffer.index, memory, Field.NONE
    argument.flags = _STATE_FLAGS[buffer.state] | (0 if unknown else camera.profile.stamp_flags)
    if memory == Memory.MMAP and buffer.in_use:
        argument.flags |= int(BufferFlag.MAPPED)
    seconds, rest_ns = divmod(buffer.stamp_ns, 1_000_000_000)
    argument.timestamp.secs, argument.timestamp.usecs = seconds, rest_ns // 1000
    argument.sequence = buffer.sequence
    argument.bytesused = 0
    if not camera.profile.multiplanar:
        plane = buffer.planes[0]
        argument.bytesused, argument.length = plane.bytesused, plane.length
        _put_address(argument.m, "offset", memory, plane.address)
        return
    argument.length = len(buffer.planes)
    for index, plane in enumerate(buffer.planes):
        into = argument.m.planes[index]
        into.bytesused, into.length, into.data_offset = plane.bytesused, plane.length, 0
        _put_address(into.m, "mem_offset", memory, plane.address)


def _put_address(into: Any, offset_name: str, memory: int, address: int) -> None:
    if memory == Memory.MMAP:
        setattr(into, offset_name, address)
    elif memory == Memory.USERPTR:
        into.userptr = address
    else:
        into.fd = address
