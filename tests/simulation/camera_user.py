"""A program that uses a video node by bare ioctls, for the tests of the simulation."""

import ctypes
import os
import select

import numpy as np

from agent.simulation.bench import sensor_profile, uvc_profile
from agent.simulation.clock import ManualClock
from agent.simulation.kernel import SimulatedKernel
from agent.simulation.mark import read_mark
from agent.v4l2 import uapi
from agent.v4l2.uapi import ControlFlag, CtrlType, Memory

UVC, SENSOR = uvc_profile(), sensor_profile()


def stepped(*profiles, **options):
    """A kernel whose time stands still; by default with one UVC-like camera."""
    return SimulatedKernel(profiles or (UVC,), clock=ManualClock(), **options)


class User:
    """One open of a node. Everything raises OSError as the kernel would."""

    def __init__(self, kernel, path=None, flags=os.O_RDWR | os.O_NONBLOCK):
        self.kernel = kernel
        self.camera = next(c for c in kernel.cameras if path in (None, *(f"/dev/video{n}" for n in c.numbers)))
        self.fd = kernel.open(path or self.camera.path, flags)
        self.mplane = self.camera.profile.multiplanar
        self.type = uapi.BufType.VIDEO_CAPTURE_MPLANE if self.mplane else uapi.BufType.VIDEO_CAPTURE
        self.memory = Memory.MMAP
        self.maps = {}

    def call(self, request, argument):
        self.kernel.ioctl(self.fd, request.number, argument)
        return argument

    def error(self, function, *arguments, **named):
        """The errno a call fails with, 0 if it does not."""
        try:
            function(*arguments, **named)
        except OSError as error:
            return error.errno
        return 0

    def close(self):
        self.maps.clear()
        self.kernel.close(self.fd)

    def buffer(self, index=0):
        buffer = uapi.v4l2_buffer(index=index, type=self.type, memory=self.memory)
        if self.mplane:
            planes = (uapi.v4l2_plane * 8)()
            buffer.m.planes = ctypes.cast(planes, type(buffer.m.planes))
            buffer.length = 8
        return buffer

    def set_format(self, code, width, height):
        format_ = uapi.v4l2_format(type=self.type)
        into = format_.fmt.pix_mp if self.mplane else format_.fmt.pix
        into.pixelformat, into.width, into.height = uapi.fourcc(code), width, height
        return self.call(uapi.VIDIOC_S_FMT, format_)

    def request(self, count=3, memory=None):
        self.memory = self.memory if memory is None else memory
        request = uapi.v4l2_requestbuffers(count=count, type=self.type, memory=self.memory)
        return self.call(uapi.VIDIOC_REQBUFS, request)

    def query(self, index):
        return self.call(uapi.VIDIOC_QUERYBUF, self.buffer(index))

    def planes(self, buffer):
        if self.mplane:
            return [(p.length, p.m.mem_offset, p.bytesused) for p in buffer.m.planes[: buffer.length]]
        return [(buffer.length, buffer.m.offset, buffer.bytesused)]

    def map(self, index):
        found = self.planes(self.query(index))
        self.maps[index] = [self.kernel.mmap(self.fd, length, offset, 3) for length, offset, _ in found]
        return self.maps[index]

    def queue(self, index):
        return self.call(uapi.VIDIOC_QBUF, self.buffer(index))

    def dequeue(self):
        return self.call(uapi.VIDIOC_DQBUF, self.buffer())

    def on(self):
        self.call(uapi.VIDIOC_STREAMON, ctypes.c_int(self.type))

    def off(self):
        self.call(uapi.VIDIOC_STREAMOFF, ctypes.c_int(self.type))

    def start(self, count=3):
        """Buffers made, mapped and queued, streaming."""
        for index in range(self.request(count).count):
            self.map(index)
            self.queue(index)
        self.on()
        return self

    def frame(self):
        """The next frame, stepped to, dequeued and queued again: the buffer and the mark in its picture."""
        self.kernel.step(self.camera)
        buffer = self.dequeue()
        mark = self.mark(buffer)
        self.queue(buffer.index)
        return buffer, mark

    def mark(self, buffer):
        picture = self.camera.picture
        width, height = picture.width_px, picture.height_px
        pixels = np.frombuffer(self.maps[buffer.index][0].view, np.uint8)
        step = 2 if picture.layout.code == "YUYV" else 1
        return read_mark(pixels[: width * height * step].reshape(height, width * step)[:, ::step])

    def poll(self, wait_ms=0):
        poller = select.poll()
        poller.register(self.fd, select.POLLIN | select.POLLPRI)
        return dict(poller.poll(wait_ms)).get(self.fd, 0)

    def controls(self, request, items, which=0):
        """One G/S/TRY_EXT_CTRLS; the errno, error_idx and the values."""
        controls = (uapi.v4l2_ext_control * max(1, len(items)))()
        texts = []
        for control, (control_id, value) in zip(controls, items, strict=False):
            control.id = control_id
            spec = self.camera.controls.spec(control_id)
            if isinstance(value, bytes):
                texts.append(ctypes.create_string_buffer(value, 64))
                control.m1.string = ctypes.cast(texts[-1], type(control.m1.string))
                control.size = len(value) + 1 if request is not uapi.VIDIOC_G_EXT_CTRLS else 64
            elif spec is not None and spec.type == CtrlType.INTEGER64:
                control.m1.value64 = value
            else:
                control.m1.value = value
        argument = uapi.v4l2_ext_controls(count=len(items), controls=controls)
        argument.m1.which = which
        code = self.error(self.call, request, argument)
        values = [
            ctypes.string_at(ctypes.cast(c.m1.string, ctypes.c_void_p).value)
            if isinstance(v, bytes)
            else c.m1.value64
            if (s := self.camera.controls.spec(i)) is not None and s.type == CtrlType.INTEGER64
            else c.m1.value
            for c, (i, v) in zip(controls, items, strict=False)
        ]
        return code, argument.error_idx, values

    def set(self, *items, **named):
        return self.controls(uapi.VIDIOC_S_EXT_CTRLS, items, **named)

    def try_(self, *items, **named):
        return self.controls(uapi.VIDIOC_TRY_EXT_CTRLS, items, **named)

    def get(self, *ids, **named):
        return self.controls(uapi.VIDIOC_G_EXT_CTRLS, [(i, 0) for i in ids], **named)

    def describe(self, control_id):
        return self.call(uapi.VIDIOC_QUERY_EXT_CTRL, uapi.v4l2_query_ext_ctrl(id=control_id))

    def all_ids(self):
        found, last = [], 0
        while True:
            try:
                last = self.describe(last | ControlFlag.NEXT_CTRL | ControlFlag.NEXT_COMPOUND).id
            except OSError:
                return found
            found.append(last)

    def subscribe(self, control_id, flags=0, event_type=uapi.EventType.CTRL):
        argument = uapi.v4l2_event_subscription(type=event_type, id=control_id, flags=flags)
        self.call(uapi.VIDIOC_SUBSCRIBE_EVENT, argument)

    def event(self):
        return self.call(uapi.VIDIOC_DQEVENT, uapi.v4l2_event())

    def export(self, index=0, plane=0, flags=os.O_RDWR | os.O_CLOEXEC):
        argument = uapi.v4l2_exportbuffer(type=self.type, index=index, plane=plane, flags=flags)
        return self.call(uapi.VIDIOC_EXPBUF, argument).fd
