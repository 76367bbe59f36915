"""Calls of the kernel in words: nothing is changed by looking, and everything that is issued can be told."""

import ctypes
import errno
import os

import pytest

from agent.capture.session import Session
from agent.capture.settings import Settings
from agent.kernel import PROT_READ
from agent.simulation.bench import FIRMWARE, NICKNAME, simulated_kernel
from agent.simulation.clock import ManualClock
from agent.v4l2 import uapi
from agent.v4l2.buffers import MemoryKind
from agent.v4l2.controls import enumerate_controls
from agent.v4l2.decode import _ANSWERED, _ASKED, Names, asked
from agent.v4l2.formats import enumerate_intervals, enumerate_sizes
from agent.v4l2.gain import parse_gain
from agent.v4l2.ioctl import Node
from agent.v4l2.trace import Call, TracingKernel
from agent.v4l2.transaction import set_controls

UVC, SENSOR = "/dev/video0", "/dev/video2"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def simulated(clock):
    with simulated_kernel(clock=clock) as kernel:
        yield kernel


@pytest.fixture
def calls():
    return []


@pytest.fixture
def kernel(simulated, calls, clock):
    return TracingKernel(simulated, calls.append, clock.now_ns)


def texts(calls, *names):
    return [call.text for call in calls if not names or call.name in names]


def take_one(kernel, simulated, path, **settings):
    """A session through one frame, on the traced kernel; the camera's place follows its path."""
    camera = simulated.cameras[0 if path == UVC else 1]
    with Session(kernel, path, read_monotonic_ns=simulated.clock.now_ns) as session:
        session.prepare(Settings(width_px=320, height_px=240, settle_frames=0, **settings))
        session.arm()
        simulated.step(camera)
        shot = session.take_waiting()
        session.give_back(shot)
        return shot.frame


def test_a_session_call_by_call(kernel, simulated, calls):
    take_one(kernel, simulated, UVC, exposure_ns=8_000_000, gain=parse_gain("16"))
    streaming = texts(calls, "VIDIOC_S_FMT", "VIDIOC_REQBUFS", "VIDIOC_S_EXT_CTRLS", "VIDIOC_QBUF", "VIDIOC_DQBUF",
                      "VIDIOC_STREAMON", "VIDIOC_STREAMOFF", "close")  # fmt: skip
    assert streaming[:9] == [
        "VIDIOC_S_FMT type=VIDEO_CAPTURE pixelformat=YUYV size=320x240 -> pixelformat=YUYV size=320x240",
        "VIDIOC_REQBUFS count=4 type=VIDEO_CAPTURE memory=MMAP -> count=4",
        "VIDIOC_S_EXT_CTRLS auto_exposure=1 gain=16 exposure_time_absolute=80",
        *(f"VIDIOC_QBUF index={index} memory=MMAP" for index in range(4)),
        "VIDIOC_STREAMON type=VIDEO_CAPTURE",
        "VIDIOC_DQBUF -> index=0 sequence=0 bytesused=153600 timestamp=1.000000",
    ]
    assert streaming[9:11] == ["VIDIOC_QBUF index=0 memory=MMAP", "VIDIOC_STREAMOFF type=VIDEO_CAPTURE"]
    assert streaming[-2:] == ["VIDIOC_REQBUFS count=0 type=VIDEO_CAPTURE memory=MMAP -> count=0", "close"]


def test_an_exported_buffer_belongs_to_its_camera(kernel, simulated, calls):
    take_one(kernel, simulated, UVC)
    closed = [(call.device, call.text) for call in calls if call.name == "close"]
    assert closed == [*((UVC, f"close index={index} plane=0") for index in (3, 2, 1, 0)), (UVC, "close")]


def test_several_planes(kernel, simulated, calls):
    frame = take_one(kernel, simulated, SENSOR, pixel_format="NM12")
    assert [text.partition(" -> ")[2] for text in texts(calls, "VIDIOC_S_FMT")] == [
        "pixelformat=NM12 size=320x240 planes=2"
    ]
    assert "VIDIOC_QUERYBUF index=0 -> plane0=76800@0 plane1=38400@77824" in texts(calls)
    used = sum(plane.size for plane in frame.planes)
    assert any(f"bytesused={used} " in text for text in texts(calls, "VIDIOC_DQBUF"))
    assert any(text.startswith("VIDIOC_EXPBUF index=0 plane=1 -> fd=") for text in texts(calls))


@pytest.mark.parametrize("kind", [MemoryKind.DMA_HEAP, MemoryKind.UDMABUF])
def test_memory_that_is_imported(kernel, simulated, calls, kind):
    take_one(kernel, simulated, UVC, memory=(kind,))
    told = texts(calls)
    assert any("memory=DMABUF fd=" in text for text in texts(calls, "VIDIOC_QBUF"))
    assert [text for text in told if text.startswith("DMA_BUF_IOCTL_SYNC")] == [
        "DMA_BUF_IOCTL_SYNC flags=START|READ",
        "DMA_BUF_IOCTL_SYNC flags=END|READ",
    ]
    name = "DMA_HEAP_IOCTL_ALLOC" if kind is MemoryKind.DMA_HEAP else "UDMABUF_CREATE"
    assert any(text.startswith(name) for text in told)


def test_what_a_camera_offers(kernel, calls):
    with Node(kernel, UVC) as node:
        enumerate_sizes(node, "YUYV")
        enumerate_intervals(node, "YUYV", 320, 240)
    told = texts(calls)
    assert "VIDIOC_ENUM_FRAMESIZES index=1 pixel_format=YUYV -> size=320x240" in told
    assert "VIDIOC_ENUM_FRAMESIZES index=4 pixel_format=YUYV -> EINVAL" in told
    assert "VIDIOC_ENUM_FRAMEINTERVALS index=1 pixel_format=YUYV size=320x240 -> interval=1/60" in told


def test_controls_have_the_names_the_camera_gives_them(kernel, calls):
    with Node(kernel, UVC) as node:
        node.attempt(uapi.VIDIOC_QUERY_EXT_CTRL, uapi.v4l2_query_ext_ctrl(id=uapi.ControlID.EXPOSURE_ABSOLUTE))
        node.attempt(uapi.VIDIOC_QUERY_EXT_CTRL, uapi.v4l2_query_ext_ctrl(id=uapi.ControlID.EXPOSURE_ABSOLUTE))
        enumerate_controls(node)
    told = texts(calls, "VIDIOC_QUERY_EXT_CTRL", "VIDIOC_QUERYMENU")
    assert told[0].startswith("VIDIOC_QUERY_EXT_CTRL id=V4L2_CID_EXPOSURE_ABSOLUTE -> id=exposure_time_absolute ")
    assert told[0].endswith("control_type=INTEGER range=1..5000/1 default=100 flags=INACTIVE")
    assert told[1].startswith("VIDIOC_QUERY_EXT_CTRL id=exposure_time_absolute -> ")
    assert told[2].startswith("VIDIOC_QUERY_EXT_CTRL next_after=0 -> id=user_controls control_type=CTRL_CLASS")
    assert told[3].startswith("VIDIOC_QUERY_EXT_CTRL next_after=user_controls -> id=brightness ")
    assert "VIDIOC_QUERYMENU id=power_line_frequency index=1 -> name='50 Hz'" in told


def test_text_and_wide_values(kernel, calls):
    with Node(kernel, UVC) as node:
        enumerate_controls(node)
        set_controls(node, {NICKNAME: "bench"})
        set_controls(node, {FIRMWARE: -(2**35) - 1})
    assert texts(calls, "VIDIOC_S_EXT_CTRLS") == [
        "VIDIOC_S_EXT_CTRLS nickname='bench'",
        "VIDIOC_S_EXT_CTRLS firmware_word=-34359738369",
    ]


def test_an_integer_menu_and_a_bitmask(kernel, calls):
    with Node(kernel, SENSOR) as node:
        controls = {control.slug: control for control in enumerate_controls(node)}
        set_controls(node, {controls["test_row_mask"].id: 0x0F})
    assert "VIDIOC_QUERYMENU id=link_frequency index=2 -> value=445500000" in texts(calls)
    assert texts(calls, "VIDIOC_S_EXT_CTRLS") == ["VIDIOC_S_EXT_CTRLS test_row_mask=0x0000000f"]


def test_a_refusal_is_told_and_passed_on(kernel, calls, clock):
    clock.move_to(5_000_000_000)
    with pytest.raises(FileNotFoundError):
        kernel.open("/dev/video9", os.O_RDWR)
    assert calls == [
        Call(5_000_000_000, 5_000_000_000, "open", "/dev/video9", (("path", "/dev/video9"),), (), "ENOENT"),
    ]
    assert calls[0].text == "open path=/dev/video9 -> ENOENT"
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        kernel.ioctl(987, uapi.VIDIOC_STREAMOFF.number, ctypes.c_int(1))
    assert caught.value.errno == errno.EBADF
    assert (calls[1].device, calls[1].text) == ("fd 987", "VIDIOC_STREAMOFF type=VIDEO_CAPTURE -> EBADF")
    with pytest.raises(OSError, match="Bad file descriptor"):
        kernel.mmap(987, 4096, 0, PROT_READ)
    with pytest.raises(OSError, match="Bad file descriptor"):
        kernel.close(987)
    assert texts(calls[2:]) == ["mmap length=4096 offset=0 -> EBADF", "close -> EBADF"]


def test_a_request_nobody_knows(kernel, calls):
    with Node(kernel, UVC) as node, pytest.raises(OSError, match="Inappropriate ioctl"):
        kernel.ioctl(node.fd, 0xC0FFEE, ctypes.c_int(1))
    assert calls[1].text == "ioctl 0x00c0ffee type=VIDEO_CAPTURE -> ENOTTY"


def test_a_descriptor_is_forgotten_when_it_is_closed(kernel, calls):
    fd = kernel.open(UVC, os.O_RDWR)
    kernel.close(fd)
    again = kernel.open(SENSOR, os.O_RDWR)
    kernel.ioctl(again, uapi.VIDIOC_QUERYCAP.number, uapi.v4l2_capability())
    kernel.close(again)
    with pytest.raises(OSError, match="Bad file descriptor"):
        kernel.close(again)
    assert [call.device for call in calls] == [UVC, UVC, SENSOR, SENSOR, SENSOR, f"fd {again}"]


def test_looking_changes_nothing(kernel, simulated):
    """Two devices seen through the tracer and without it answer alike."""
    for traced in (kernel, simulated):
        with Node(traced, UVC) as node:
            argument = uapi.v4l2_format(type=uapi.BufType.VIDEO_CAPTURE)
            node.call(uapi.VIDIOC_G_FMT, argument)
            assert (argument.fmt.pix.width, argument.fmt.pix.height) == (640, 480)
    assert kernel.video_nodes() == simulated.video_nodes()


def test_every_request_with_a_structure_is_decoded():
    """What is issued and decoded nowhere would be a hole in the trace."""
    plain = {uapi.VIDIOC_STREAMON, uapi.VIDIOC_STREAMOFF}
    missing = [
        request.name
        for request in uapi.REQUESTS.values()
        if request not in plain and request.number not in _ASKED and request.number not in _ANSWERED
    ]
    assert missing == []


@pytest.mark.parametrize("request_", [r for r in uapi.REQUESTS.values() if r.structure], ids=lambda r: r.name)
def test_an_empty_structure_breaks_no_decoder(request_):
    assert isinstance(asked(request_.number, request_.structure(), Names()), tuple)
