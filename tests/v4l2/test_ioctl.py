"""The one door: EINTR, errno to typed error, and who holds a device."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import errors
from agent.kernel import LinuxKernel, Mapping
from agent.v4l2 import uapi
from agent.v4l2.ioctl import Node, find_holders, retry_eintr, typed_error


class ScriptedKernel(LinuxKernel):
    """Answers ioctls with the scripted errnos, then with success."""

    def __init__(self, *codes):
        self.codes = list(codes)
        self.calls = 0

    def open(self, path, flags):
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def ioctl(self, fd, request, argument):
        self.calls += 1
        if self.codes:
            code = self.codes.pop(0)
            raise OSError(code, os.strerror(code))
        return 0


def test_an_interrupted_request_is_issued_again():
    kernel = ScriptedKernel(errno.EINTR, errno.EINTR)
    with Node(kernel, "/dev/videoX") as node:
        node.call(uapi.VIDIOC_QUERYCAP, uapi.v4l2_capability())
    assert kernel.calls == 3


def test_a_signal_handler_that_raises_ends_the_loop():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retry_eintr(interrupted)


@pytest.mark.parametrize(
    ("code", "request_name", "kind", "hint"),
    [
        (errno.ENODEV, "VIDIOC_DQBUF", errors.DeviceGone, "plug the camera in"),
        (errno.ENXIO, "open", errors.DeviceGone, "plug the camera in"),
        (errno.ENOENT, "open", errors.DeviceNotFound, "devices"),
        (errno.EACCES, "open", errors.DevicePermission, "usermod"),
        (errno.EPERM, "open", errors.DevicePermission, "usermod"),
        (errno.EBUSY, "VIDIOC_REQBUFS", errors.DeviceBusy, "stop that program"),
        (errno.ENOSPC, "VIDIOC_STREAMON", errors.UsbBandwidth, "smaller size"),
        (errno.EACCES, "VIDIOC_S_EXT_CTRLS", errors.DeviceError, "read-only"),
        (errno.ENOSPC, "VIDIOC_QBUF", errors.DeviceError, "kernel log"),
    ],
)
def test_each_errno_has_its_error_and_its_hint(code, request_name, kind, hint):
    error = typed_error(code, request_name, "/dev/video9")
    assert type(error) is kind
    assert (error.errno, error.request, error.device) == (code, request_name, "/dev/video9")
    assert hint in error.hint
    assert "/dev/video9" in error.message
    assert error.as_dict()["code"] == kind.code


def test_pain_12_enospc_at_streamon_does_not_say_disk_full():
    message = typed_error(errno.ENOSPC, uapi.VIDIOC_STREAMON.name, "/dev/video0").message
    assert message.startswith("the USB bus has no bandwidth left")


def test_pain_13_who_holds_a_device_is_named(tmp_path):
    device = tmp_path / "video7"
    device.touch()
    assert find_holders(str(device)) == ()
    code = "import sys; held = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(device)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        (found,) = find_holders(str(device))
        assert f"(pid {holder.pid})" in found
        error = typed_error(errno.EBUSY, "VIDIOC_REQBUFS", str(device))
        assert error.holders == (found,)
        assert found in error.message
        holder.stdin.close()


def test_a_released_node_says_so():
    node = Node(ScriptedKernel(), "/dev/video0")
    node.release()
    node.release()
    with pytest.raises(errors.DeviceGone, match="was closed"):
        node.call(uapi.VIDIOC_QUERYCAP, uapi.v4l2_capability())


def test_a_mapping_outlives_its_release_under_a_view_and_no_longer(tmp_path):
    memory = os.memfd_create("test")
    os.ftruncate(memory, 4096)
    mapping = Mapping(memory, 4096, 0, 3)
    view = mapping.view
    view[0] = 7
    mapping.release()
    mapping.release()
    assert view[0] == 7
    with pytest.raises(ValueError, match="released"):
        _ = mapping.view
    assert f"{mapping.address:x}" in _maps()
    view.release()
    del view
    assert f"{mapping.address:x}-" not in _maps()
    os.close(memory)


def test_a_mapping_holds_no_descriptor():
    """Python's own mmap keeps a duplicate."""
    memory = os.memfd_create("test")
    os.ftruncate(memory, 4096)
    before = set(Path("/proc/self/fd").iterdir())
    mapping = Mapping(memory, 4096, 0, 1)
    assert len(set(Path("/proc/self/fd").iterdir())) == len(before)
    mapping.release()
    os.close(memory)


def _maps():
    with open("/proc/self/maps") as maps:
        return maps.read()
