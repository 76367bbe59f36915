"""Crop, on the simulated sensor that has it and the UVC camera that has not."""

from agent.simulation.bench import sensor_profile, uvc_profile
from agent.simulation.clock import ManualClock
from agent.simulation.kernel import SimulatedKernel
from agent.v4l2.crop import Rectangle, get_crop, set_crop
from agent.v4l2.ioctl import Node
from agent.v4l2.uapi import SelectionTarget


def test_a_crop_is_set_within_its_bounds_and_read_back():
    with (
        SimulatedKernel([sensor_profile()], clock=ManualClock()) as kernel,
        Node(kernel, kernel.cameras[0].path) as node,
    ):
        assert get_crop(node, SelectionTarget.CROP_BOUNDS) == Rectangle(0, 0, 1920, 1080)
        granted = set_crop(node, Rectangle(320, 180, 1280, 720))
        assert granted == Rectangle(320, 180, 1280, 720) == get_crop(node)


def test_a_camera_that_does_not_crop_has_none():
    with (
        SimulatedKernel([uvc_profile()], clock=ManualClock()) as kernel,
        Node(kernel, kernel.cameras[0].path) as node,
    ):
        assert get_crop(node) is None
