"""Control events: what changed, who changed it, and what was merged away."""

from __future__ import annotations

import errno
import select

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DeviceError, DeviceGone
from agent.simulation.bench import FIRMWARE, NICKNAME, simulated_kernel
from agent.v4l2.controls import enumerate_controls
from agent.v4l2.events import ControlEvent, ControlEvents, OtherEvent
from agent.v4l2.ioctl import Node
from agent.v4l2.transaction import set_controls
from agent.v4l2.uapi import (
    VIDIOC_DQEVENT,
    VIDIOC_SUBSCRIBE_EVENT,
    ControlFlag,
    ControlID,
    EventControlChange,
    EventType,
)

UVC, SENSOR = "/dev/video0", "/dev/video2"
AUTO, EXPOSURE, GAIN, BRIGHTNESS = (
    ControlID.EXPOSURE_AUTO,
    ControlID.EXPOSURE_ABSOLUTE,
    ControlID.GAIN,
    ControlID.BRIGHTNESS,
)
VALUE, FLAGS, RANGE = EventControlChange.VALUE, EventControlChange.FLAGS, EventControlChange.RANGE


class Scripted:
    """A kernel whose DQEVENT answers from a list: an errno, or a function that fills the event."""

    def __init__(self, kernel, answers):
        self._kernel, self._answers = kernel, list(answers)

    def __getattr__(self, name):
        return getattr(self._kernel, name)

    def ioctl(self, fd, request, argument):
        if request != VIDIOC_DQEVENT.number:
            return self._kernel.ioctl(fd, request, argument)
        answer = self._answers.pop(0) if self._answers else errno.ENOENT
        if isinstance(answer, int):
            raise OSError(answer, "scripted")
        answer(argument)
        return None


def numbered(sequence, kind=EventType.CTRL):
    def fill(argument):
        argument.type, argument.sequence, argument.pending, argument.id = kind, sequence, 1, GAIN

    return fill


@pytest.fixture
def kernel():
    with simulated_kernel() as bench:
        yield bench


@pytest.fixture
def ours(kernel):
    with Node(kernel, UVC) as node:
        yield node


@pytest.fixture
def theirs(kernel):
    with Node(kernel, UVC) as node:
        yield node


def test_a_change_by_somebody_else_is_told(ours, theirs):
    with ControlEvents(ours) as events:
        events.subscribe(GAIN)
        set_controls(theirs, {GAIN: 9})
        (event,) = events.drain()
    assert isinstance(event, ControlEvent)
    assert (event.id, event.changes, event.value) == (GAIN, VALUE, 9)
    assert (event.minimum, event.maximum, event.step) == (0, 255, 1)
    assert event.timestamp_ns > 0
    assert (event.sequence, event.pending, event.missed_before) == (0, 0, 0)


def test_an_automatic_mode_changes_the_flags_of_its_partner(ours, theirs):
    with ControlEvents(ours) as events:
        assert events.subscribe_all(enumerate_controls(ours)) == ()
        set_controls(theirs, {AUTO: 1})
        told = {event.id: event for event in events.drain()}
    assert told[AUTO].changes & VALUE
    assert told[EXPOSURE].changes == FLAGS
    assert not told[EXPOSURE].flags & ControlFlag.INACTIVE


def test_a_range_change_is_told(kernel):
    with Node(kernel, SENSOR) as ours, Node(kernel, SENSOR) as theirs, ControlEvents(ours) as events:
        events.subscribe(ControlID.EXPOSURE)
        set_controls(theirs, {ControlID.VBLANK: 1000})
        (event,) = events.drain()
        assert event.changes & RANGE
        assert event.maximum == 1080 + 1000 - 4


def test_wide_values_and_bitmasks(kernel, ours, theirs):
    with ControlEvents(ours) as events:
        events.subscribe_with_state(FIRMWARE)
        events.subscribe(NICKNAME)
        assert events.drain()[0].value == 0
        set_controls(theirs, {FIRMWARE: -(2**39), NICKNAME: "Ada"})
        wide, text = sorted(events.drain(), key=lambda event: -event.id)
    assert wide.value == -(2**39)
    assert text.id == NICKNAME


def test_our_own_changes_raise_no_event(ours):
    with ControlEvents(ours) as events:
        events.subscribe(GAIN)
        set_controls(ours, {GAIN: 9})
        assert events.drain() == ()


def test_waiting_events_wake_a_poll(ours, theirs):
    poll = select.poll()
    poll.register(ours.fd, select.POLLPRI)
    with ControlEvents(ours) as events:
        events.subscribe(GAIN)
        assert not poll.poll(0)
        set_controls(theirs, {GAIN: 9})
        assert poll.poll(1000)
        events.drain()
        assert not poll.poll(0)


def test_merged_events_are_counted(ours, theirs):
    with ControlEvents(ours) as events:
        events.subscribe(GAIN)
        events.subscribe(BRIGHTNESS)
        for value in range(1, 6):
            set_controls(theirs, {GAIN: value})
        set_controls(theirs, {BRIGHTNESS: 1})
        gain, brightness = events.drain()
        assert (gain.value, gain.missed_before, gain.pending) == (5, 4, 1)
        assert brightness.missed_before == 0
        assert events.missed == 4


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.sampled_from([0, 0xFFFF_FFF0]))
def test_every_gap_in_the_sequence_is_counted_even_across_its_wrap(steps, start):
    sequences = [start]
    for step in steps:
        sequences.append((sequences[-1] + step) & 0xFFFF_FFFF)
    with simulated_kernel() as bench, Node(Scripted(bench, map(numbered, sequences)), UVC) as node:
        events = ControlEvents(node)
        events._last_sequence = (start - 1) & 0xFFFF_FFFF
        drained = events.drain()
    assert [event.missed_before for event in drained] == [0, *(step - 1 for step in steps)]
    assert events.missed == sum(steps) - len(steps)


def test_a_number_that_goes_back_is_no_loss(kernel):
    with Node(Scripted(kernel, [numbered(0), numbered(7), numbered(3)]), UVC) as node:
        events = ControlEvents(node)
        assert [event.missed_before for event in events.drain()] == [0, 6, 0]


def test_events_of_another_sort_pass_through(kernel):
    with Node(Scripted(kernel, [numbered(0, EventType.EOS), numbered(1)]), UVC) as node:
        other, ours = ControlEvents(node).drain()
    assert isinstance(other, OtherEvent)
    assert other.type == EventType.EOS
    assert isinstance(ours, ControlEvent)


def test_what_the_driver_has_no_events_for_is_returned(kernel, ours):
    kernel.cameras[0].faults.refuse(VIDIOC_SUBSCRIBE_EVENT.name, errno.EINVAL, on_call=2)
    with ControlEvents(ours) as events:
        controls = enumerate_controls(ours)
        assert events.subscribe_all(controls) == (controls[1],)
    kernel.cameras[0].faults.refuse(VIDIOC_SUBSCRIBE_EVENT.name, errno.ENOTTY)
    with pytest.raises(DeviceError):
        ControlEvents(ours).subscribe(GAIN)


def test_after_unsubscribing_nothing_is_told(ours, theirs):
    events = ControlEvents(ours)
    events.subscribe(GAIN)
    events.subscribe(BRIGHTNESS)
    events.unsubscribe(GAIN)
    set_controls(theirs, {GAIN: 9})
    assert events.drain() == ()
    events.release()
    events.release()
    set_controls(theirs, {BRIGHTNESS: 9})
    assert events.drain() == ()


def test_an_unplugged_camera(kernel, ours):
    events = ControlEvents(ours)
    events.subscribe(GAIN)
    kernel.cameras[0].unplug()
    with pytest.raises(DeviceGone):
        events.drain()
    with pytest.raises(DeviceGone):
        events.subscribe(GAIN)
    events.release()
