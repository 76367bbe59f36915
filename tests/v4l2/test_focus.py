"""One run of a camera's autofocus: started, watched, stopped at its limit."""

from __future__ import annotations

import contextlib
import errno
import subprocess
from dataclasses import dataclass, field, replace

import pytest

from agent.errors import ControlHeld, ControlRefused, DeviceError, DeviceGone
from agent.simulation import autofocus
from agent.simulation.autofocus import TAKES_NS
from agent.simulation.bench import sensor_profile, uvc_profile, with_autofocus
from agent.simulation.clock import ManualClock
from agent.simulation.control_spec import bitmask, boolean
from agent.simulation.faults import FocusFault
from agent.simulation.kernel import SimulatedKernel
from agent.units import NS_PER_MS, NS_PER_S
from agent.v4l2.focus import FocusFailed, FocusMissing, Status, focus_once
from agent.v4l2.ioctl import Node
from agent.v4l2.uapi import VIDIOC_G_EXT_CTRLS, VIDIOC_S_EXT_CTRLS, ControlFlag, ControlID

START, STOP, STATUS = ControlID.AUTO_FOCUS_START, ControlID.AUTO_FOCUS_STOP, ControlID.AUTO_FOCUS_STATUS
LOCK = ControlID["_3A_LOCK"]
LIMIT_NS = 3 * NS_PER_S
WITH_FOCUS = with_autofocus(sensor_profile())


class Listener:
    """A kernel that notes what is set, and calls `before[request]` before each such request."""

    def __init__(self, kernel):
        self._kernel = kernel
        self.pressed = []
        self.before = {}

    def __getattr__(self, name):
        return getattr(self._kernel, name)

    def ioctl(self, fd, request, argument):
        if request == VIDIOC_S_EXT_CTRLS.number:
            self.pressed += [argument.controls[i].id for i in range(argument.count)]
        self.before.get(request, lambda: None)()
        return self._kernel.ioctl(fd, request, argument)


@dataclass
class Rig:
    """A camera in a time that only `pause` moves."""

    kernel: SimulatedKernel
    clock: ManualClock
    listener: Listener
    node: Node
    pauses: list[int] = field(default_factory=list)

    @property
    def faults(self):
        return self.kernel.cameras[0].faults

    def pause(self, duration_ns):
        assert duration_ns > 0
        self.pauses.append(duration_ns)
        self.clock.move_to(self.clock.now_ns() + duration_ns)

    def focus(self, limit_ns=LIMIT_NS):
        return focus_once(self.node, limit_ns, self.clock.now_ns, self.pause)


@contextlib.contextmanager
def opened(profile=WITH_FOCUS):
    clock = ManualClock()
    with SimulatedKernel([profile], clock=clock) as kernel:
        listener = Listener(kernel)
        with Node(listener, "/dev/video0") as node:
            yield Rig(kernel, clock, listener, node)


@pytest.fixture
def rig():
    with opened() as rig:
        yield rig


def with_controls(*controls, without=()):
    kept = [control for control in WITH_FOCUS.controls if control.id not in without]
    return replace(WITH_FOCUS, controls=(*kept, *controls))


def test_numbers_are_the_kernels(tmp_path):
    ours = {f"V4L2_AUTO_FOCUS_STATUS_{status.name}": int(status) for status in Status}
    ours |= {f"V4L2_CID_{name}": ControlID[name] for name in ("AUTO_FOCUS_START", "AUTO_FOCUS_STOP")}
    ours |= {"V4L2_CID_AUTO_FOCUS_STATUS": STATUS, "V4L2_CID_3A_LOCK": LOCK, "V4L2_LOCK_FOCUS": 1 << 2}
    ours["V4L2_AUTO_FOCUS_STATUS_IDLE"] = autofocus.IDLE
    source, program = tmp_path / "focus.c", tmp_path / "focus"
    prints = "".join(f'printf("%d\\n", {name});' for name in ours)
    source.write_text(f"#include <stdio.h>\n#include <linux/v4l2-controls.h>\nint main(void) {{ {prints} return 0; }}")
    subprocess.run(["cc", "-o", program, source], check=True)
    assert [int(line) for line in subprocess.check_output([program]).split()] == list(ours.values())
    assert tuple(Status) == (autofocus.BUSY, autofocus.REACHED, autofocus.FAILED)


def test_it_waits_until_focus_is_reached(rig):
    report = rig.focus()
    assert (report.device, report.took_ns) == ("/dev/video0", TAKES_NS)
    assert rig.listener.pressed == [START]
    assert max(rig.pauses) <= 20 * NS_PER_MS


def test_it_can_be_run_again_and_old_news_is_not_believed(rig):
    rig.focus()
    # a firmware that takes the command late: the first looks still see the end of the run before
    rig.faults.dead_controls = {START}
    with pytest.raises(FocusFailed, match="did not begin within 100ms"):
        rig.focus(100 * NS_PER_MS)
    rig.faults.dead_controls = ()
    assert rig.focus().took_ns == TAKES_NS


def test_an_end_that_stays_the_same_is_believed_in_time(rig):
    """A camera that was in focus, and is again before anybody looks."""
    rig.focus()
    rig.faults.dead_controls = {START, STOP}
    assert rig.focus().took_ns == 200 * NS_PER_MS


def test_it_says_that_it_failed(rig):
    rig.faults.focus = FocusFault.FAILS
    with pytest.raises(FocusFailed, match="/dev/video0 failed after 400 ms") as caught:
        rig.focus()
    assert "light" in caught.value.hint
    assert "set focus_absolute by hand" in caught.value.hint
    assert caught.value.details == {"device": "/dev/video0", "limit_ns": LIMIT_NS, "status": 4, "stopped": False}
    assert rig.listener.pressed == [START]


def test_at_its_limit_it_is_stopped(rig):
    rig.faults.focus = FocusFault.NEVER_ENDS
    limit_ns = 3 * NS_PER_S + 1
    start_ns = rig.clock.now_ns()
    with pytest.raises(FocusFailed, match=r"did not reach focus within 3\.000000001s; it was stopped") as caught:
        rig.focus(limit_ns)
    assert rig.clock.now_ns() - start_ns == limit_ns
    assert rig.listener.pressed == [START, STOP]
    assert caught.value.details["stopped"] is True
    assert rig.kernel.cameras[0].autofocus.status() == autofocus.IDLE


def test_the_last_look_is_at_the_limit(rig):
    assert rig.focus(TAKES_NS).took_ns == TAKES_NS
    with pytest.raises(FocusFailed):
        rig.focus(TAKES_NS - 1)


def test_a_press_that_blocks_is_within_the_limit(rig):
    rig.faults.focus = FocusFault.NEVER_ENDS
    rig.listener.before[VIDIOC_S_EXT_CTRLS.number] = lambda: rig.clock.move_to(rig.clock.now_ns() + LIMIT_NS)
    with pytest.raises(FocusFailed, match="within 3s"):
        rig.focus()
    assert rig.pauses == []


def test_without_a_button_to_stop_it_or_with_one_refused():
    with opened(with_controls(without={STOP})) as rig:
        rig.faults.focus = FocusFault.NEVER_ENDS
        with pytest.raises(FocusFailed, match="could not be stopped"):
            rig.focus()
        assert rig.listener.pressed == [START]
    with opened() as rig:
        rig.faults.focus = FocusFault.NEVER_ENDS
        rig.faults.refuse(VIDIOC_S_EXT_CTRLS.name, errno.EBUSY, on_call=2)
        with pytest.raises(FocusFailed, match="could not be stopped"):
            rig.focus()
        assert rig.listener.pressed == [START, STOP]


def test_one_that_never_begins_may_need_a_stream(rig):
    rig.faults.dead_controls = {START}
    with pytest.raises(FocusFailed, match="did not begin within 3s") as caught:
        rig.focus()
    assert "only while they stream" in caught.value.hint
    assert caught.value.details["status"] == 0


def test_a_sensor_without_power_is_not_started(rig):
    rig.faults.refuse(VIDIOC_G_EXT_CTRLS.name, errno.EBUSY, every=True)
    with pytest.raises(FocusFailed, match="not ready") as caught:
        rig.focus()
    assert "only while they stream" in caught.value.hint
    assert rig.listener.pressed == []


def test_another_error_of_the_status_is_told_as_it_is(rig):
    rig.faults.refuse(VIDIOC_G_EXT_CTRLS.name, errno.EIO, every=True)
    with pytest.raises(DeviceError, match="auto_focus_status"):
        rig.focus()
    assert rig.listener.pressed == []


def test_a_status_that_fails_on_the_way_stops_it(rig):
    rig.faults.refuse(VIDIOC_G_EXT_CTRLS.name, errno.EIO, on_call=4)
    with pytest.raises(DeviceError) as caught:
        rig.focus()
    assert caught.value.errno == errno.EIO
    assert rig.listener.pressed == [START, STOP]


def test_a_start_the_driver_refuses(rig):
    rig.faults.refuse(VIDIOC_S_EXT_CTRLS.name, errno.EIO)
    with pytest.raises(ControlRefused):
        rig.focus()
    assert rig.listener.pressed == [START]
    assert rig.pauses == []


@pytest.mark.parametrize("at_stop", [False, True])
def test_an_unplugged_camera(rig, at_stop):
    rig.faults.focus = FocusFault.NEVER_ENDS
    pulled_ns = rig.clock.now_ns() + (LIMIT_NS if at_stop else NS_PER_S)

    def pull():
        if rig.clock.now_ns() >= pulled_ns:
            rig.kernel.cameras[0].unplug()

    rig.listener.before[(VIDIOC_S_EXT_CTRLS if at_stop else VIDIOC_G_EXT_CTRLS).number] = pull
    with pytest.raises(DeviceGone):
        rig.focus()
    assert rig.listener.pressed == ([START, STOP] if at_stop else [START])


@pytest.mark.parametrize(
    ("control", "state", "remedy"),
    [
        (boolean(ControlID.FOCUS_AUTO, "Focus, Automatic Continuous", 1), "is on", "to off first"),
        (bitmask(LOCK, "3A Lock", 0b111, 0b101), "is 0x00000005", "to 0x00000001 first"),
    ],
)
def test_it_is_not_started_while_something_holds_the_focus(control, state, remedy):
    with opened(with_controls(control)) as rig:
        with pytest.raises(
            ControlHeld, match=f"auto_focus_start of /dev/video0 cannot be used while .* {state}"
        ) as caught:
            rig.focus()
        assert remedy in caught.value.hint
        assert rig.listener.pressed == []
    with opened(with_controls(replace(control, default=0))) as rig:
        assert rig.focus().took_ns == TAKES_NS


@pytest.mark.parametrize(
    ("profile", "hint"),
    [
        (uvc_profile(), "it has no control of its focus at all: turn the lens by hand"),
        (with_controls(without={START, STOP, STATUS}), "it has focus_absolute"),
        (with_controls(without={STATUS}), "it has focus_absolute, auto_focus_start, auto_focus_stop"),
        (
            with_controls(
                bitmask(STATUS, "Auto Focus, Status", 0b111, 0, flags=ControlFlag.WRITE_ONLY), without={STATUS, STOP}
            ),
            "it has focus_absolute, auto_focus_start, auto_focus_status",
        ),
        (with_controls(without={START}), "it has focus_absolute, auto_focus_stop, auto_focus_status"),
    ],
)
def test_a_camera_without_one_says_what_it_has(profile, hint):
    with opened(profile) as rig:
        with pytest.raises(FocusMissing, match="/dev/video0 has no autofocus") as caught:
            rig.focus()
        assert caught.value.hint == hint
        assert rig.listener.pressed == []
