"""Finding the USB device behind a camera, and resetting it in a process of its own."""

import errno
import select
import sys

import pytest

from agent.capture.usb_reset import NotOnUsb, UsbDevice, UsbReset, find_usb_device, reset

DEVICE = UsbDevice("1-2.4", "/dev/bus/usb/001/005")


@pytest.fixture
def sysfs(tmp_path):
    """A USB camera as video0 behind a hub, and a platform camera as video2."""
    top = tmp_path / "sys"
    port = top / "devices" / "pci0000:00" / "usb1" / "1-2" / "1-2.4"
    interface = port / "1-2.4:1.0"
    interface.mkdir(parents=True)
    for directory, bus, device in ((port, 1, 5), (port.parent, 1, 3), (port.parent.parent, 1, 1)):
        (directory / "busnum").write_text(f"{bus}\n")
        (directory / "devnum").write_text(f"{device}\n")
    platform = top / "devices" / "platform" / "bench-isp"
    platform.mkdir(parents=True)
    for name, device in (("video0", interface), ("video2", platform)):
        node = top / "class" / "video4linux" / name
        node.mkdir(parents=True)
        (node / "device").symlink_to(device)
    return top


def test_the_device_itself_is_found_not_its_hub(sysfs):
    assert find_usb_device("/dev/video0", sysfs) == DEVICE


def test_a_link_to_the_node_leads_to_it(sysfs, tmp_path):
    (tmp_path / "video0").touch()
    link = tmp_path / "by-id" / "usb-Bench_camera"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "video0")
    assert find_usb_device(str(link), sysfs) == DEVICE


@pytest.mark.parametrize(("path", "why"), [("/dev/video2", "no USB device"), ("/dev/video9", "has no video9")])
def test_what_is_not_on_usb_is_said(sysfs, path, why):
    with pytest.raises(NotOnUsb, match=why) as caught:
        find_usb_device(path, sysfs)
    assert caught.value.details["path"] == path


def test_a_device_that_went_meanwhile_is_said(sysfs):
    for directory in (sysfs / "devices" / "pci0000:00" / "usb1").rglob("devnum"):
        directory.unlink()
    with pytest.raises(NotOnUsb):
        find_usb_device("/dev/video0", sysfs)


def wait_for(process):
    poll = select.poll()
    poll.register(process, select.POLLIN)
    assert poll.poll(30_000)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("0", "was reset"),
        (str(errno.EACCES), "must be writable"),
        (str(errno.ENODEV), "could not be reset: No such device"),
        ("__import__('os').kill(__import__('os').getpid(), 9)", "ended by signal 9"),
    ],
)
def test_the_outcome_is_told(code, words):
    with UsbReset(DEVICE, program=(sys.executable, "-c", f"raise SystemExit({code})")) as process:
        wait_for(process)
        assert words in process.outcome()


def test_a_reset_that_hangs_is_under_way_until_it_is_ended():
    hanging = (sys.executable, "-c", "import signal; signal.pause()")
    with UsbReset(DEVICE, program=hanging) as process:
        assert process.outcome() is None
    assert "signal 9" in process.outcome()
    process.release()


def test_the_program_asks_the_kernel(tmp_path):
    assert reset(str(tmp_path / "nothing")) == errno.ENOENT
    assert reset("/dev/null") == errno.ENOTTY
    with UsbReset(UsbDevice("1-2", "/dev/null")) as process:
        wait_for(process)
        assert "Inappropriate ioctl" in process.outcome()
