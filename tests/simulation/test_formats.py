import errno
from dataclasses import replace

import pytest
from simulation.camera_user import SENSOR, UVC, User, stepped

from agent.simulation.formats import LAYOUTS, StepwiseSizes, nearest_size
from agent.v4l2 import uapi
from agent.v4l2.uapi import Capability, Frmsizetypes, SelectionTarget


def test_capabilities_tell_the_node_from_the_device(kernel, user):
    cap = user.call(uapi.VIDIOC_QUERYCAP, uapi.v4l2_capability())
    assert (cap.driver, cap.card, cap.bus_info) == (b"uvcvideo", b"Bench camera A", b"usb-0000:00:14.0-1")
    assert cap.device_caps & Capability.VIDEO_CAPTURE
    assert not cap.device_caps & Capability.META_CAPTURE
    meta = User(kernel, kernel.cameras[0].metadata_path)
    cap = meta.call(uapi.VIDIOC_QUERYCAP, uapi.v4l2_capability())
    assert cap.device_caps & Capability.META_CAPTURE
    assert not cap.device_caps & Capability.VIDEO_CAPTURE
    assert cap.capabilities & Capability.VIDEO_CAPTURE
    assert meta.error(meta.request) == errno.ENOTTY


def test_formats_and_sizes_end_with_einval(user):
    found = []
    while not user.error(user.call, uapi.VIDIOC_ENUM_FMT, desc := uapi.v4l2_fmtdesc(index=len(found), type=user.type)):
        found.append((uapi.fourcc_text(desc.pixelformat), desc.flags))
    assert found == [("YUYV", 0), ("MJPG", 1)]
    ask = uapi.v4l2_frmsizeenum(index=len(UVC.sizes_px), pixel_format=uapi.fourcc("YUYV"))
    assert user.error(user.call, uapi.VIDIOC_ENUM_FRAMESIZES, ask) == errno.EINVAL
    ask = uapi.v4l2_frmsizeenum(index=0, pixel_format=uapi.fourcc("NV12"))
    assert user.error(user.call, uapi.VIDIOC_ENUM_FRAMESIZES, ask) == errno.EINVAL
    ask = uapi.v4l2_frmivalenum(index=0, pixel_format=uapi.fourcc("YUYV"), width=641, height=480)
    assert user.error(user.call, uapi.VIDIOC_ENUM_FRAMEINTERVALS, ask) == errno.EINVAL


def test_a_format_that_is_not_there_becomes_the_nearest(user):
    pix = user.set_format("RGB3", 1300, 700).fmt.pix
    assert (uapi.fourcc_text(pix.pixelformat), pix.width, pix.height) == ("YUYV", 1280, 720)
    assert (pix.bytesperline, pix.sizeimage) == (2560, 1280 * 720 * 2)
    assert nearest_size([(320, 240), (1920, 1080)], 100, 100) == (320, 240)


def test_two_memory_planes(sensor):
    pix = sensor.set_format("NM12", 640, 480).fmt.pix_mp
    assert pix.num_planes == 2
    assert [(p.sizeimage, p.bytesperline) for p in pix.plane_fmt[:2]] == [(640 * 480, 640), (640 * 240, 640)]
    assert LAYOUTS["NM12"].plane_sizes(640, 480) == (640 * 480, 640 * 240)


def test_try_changes_nothing(user):
    ask = uapi.v4l2_format(type=user.type)
    ask.fmt.pix.width, ask.fmt.pix.height = 1920, 1080
    assert user.call(uapi.VIDIOC_TRY_FMT, ask).fmt.pix.width == 1920
    assert user.call(uapi.VIDIOC_G_FMT, uapi.v4l2_format(type=user.type)).fmt.pix.width == 640


def test_format_is_refused_while_buffers_exist_and_for_the_wrong_type(user):
    user.request()
    assert user.error(user.set_format, "YUYV", 320, 240) == errno.EBUSY
    user.request(0)
    assert user.error(user.set_format, "YUYV", 320, 240) == 0
    assert user.error(user.call, uapi.VIDIOC_G_FMT, uapi.v4l2_format(type=9)) == errno.EINVAL


def test_stepwise_sizes_round_into_the_range():
    steps = StepwiseSizes((64, 32), (1920, 1080), (16, 8))
    with stepped(replace(UVC, stepwise=steps)) as kernel:
        user = User(kernel)
        ask = uapi.v4l2_frmsizeenum(pixel_format=uapi.fourcc("YUYV"))
        assert user.call(uapi.VIDIOC_ENUM_FRAMESIZES, ask).type == Frmsizetypes.STEPWISE
        assert ask.m1.stepwise.step_width == 16
        pix = user.set_format("YUYV", 650, 1).fmt.pix
        assert (pix.width, pix.height) == (640, 32)


def test_interval_is_the_nearest_and_refused_while_streaming(user):
    parm = uapi.v4l2_streamparm(type=user.type)
    parm.parm.capture.timeperframe.numerator, parm.parm.capture.timeperframe.denominator = 1, 50
    frame_time = user.call(uapi.VIDIOC_S_PARM, parm).parm.capture.timeperframe
    assert (frame_time.numerator, frame_time.denominator) == (1, 60)
    user.start()
    assert user.error(user.call, uapi.VIDIOC_S_PARM, parm) == errno.EBUSY


def test_crop_is_fitted_or_refused_by_its_flags(sensor, user):
    crop = uapi.v4l2_selection(type=sensor.type, target=SelectionTarget.CROP)
    crop.r.left, crop.r.top, crop.r.width, crop.r.height = 1000, 11, 3000, 401
    rect = sensor.call(uapi.VIDIOC_S_SELECTION, crop).r
    assert (rect.left, rect.top, rect.width, rect.height) == (0, 10, 1920, 400)
    crop.flags, crop.r.width = 1, 5000
    assert sensor.error(sensor.call, uapi.VIDIOC_S_SELECTION, crop) == errno.ERANGE
    bounds = uapi.v4l2_selection(type=sensor.type, target=SelectionTarget.CROP_BOUNDS)
    assert sensor.call(uapi.VIDIOC_G_SELECTION, bounds).r.width == SENSOR.crop_bounds_px[0]
    assert user.error(user.call, uapi.VIDIOC_G_SELECTION, crop) == errno.ENOTTY


@pytest.mark.parametrize("request_", [uapi.VIDIOC_QUERYCAP, uapi.VIDIOC_STREAMON])
def test_an_argument_of_the_wrong_kind_is_efault(user, request_):
    assert user.error(user.call, request_, 1) == errno.EFAULT


def test_unknown_requests_and_descriptors(kernel, user):
    assert user.error(kernel.ioctl, user.fd, 0x1234, None) == errno.ENOTTY
    user.close()
    assert user.error(kernel.ioctl, user.fd, uapi.VIDIOC_QUERYCAP.number, None) == errno.EBADF
    assert user.error(kernel.open, "/dev/video99", 0) == errno.ENOENT
