import ctypes
import errno

from hypothesis import given
from hypothesis import strategies as st
from simulation.camera_user import User, stepped

from agent.simulation import bench
from agent.simulation.control_spec import integer
from agent.simulation.controls import fit_number
from agent.v4l2 import uapi
from agent.v4l2.uapi import (
    ControlFlag,
    ControlID,
    ControlWhichValue,
    CtrlType,
    EventControlChange,
    EventSubscriptionFlag,
)

AUTO, EXPOSURE, GAIN = ControlID.EXPOSURE_AUTO, ControlID.EXPOSURE_ABSOLUTE, ControlID.GAIN
WHITE = ControlID.WHITE_BALANCE_TEMPERATURE
MANUAL = (AUTO, 1)
COUNT = 3


def test_walk_is_ascending_and_has_every_type(user, sensor):
    ids = user.all_ids()
    assert ids == sorted(ids)
    kinds = {user.describe(i).type for i in ids} | {sensor.describe(i).type for i in sensor.all_ids()}
    assert kinds == {t.value for t in CtrlType if t.value < CtrlType.COMPOUND_TYPES.value}
    assert user.error(user.describe, 0x0098_0999) == errno.EINVAL
    assert user.error(user.describe, ControlFlag.NEXT_COMPOUND) == errno.EINVAL


def test_sparse_menus_have_holes(user, sensor):
    names = {}
    for index in range(5):
        menu = uapi.v4l2_querymenu(id=AUTO, index=index)
        names[index] = user.error(user.call, uapi.VIDIOC_QUERYMENU, menu) or menu.m1.name
    hole = errno.EINVAL
    assert names == {0: hole, 1: b"Manual Mode", 2: hole, 3: b"Aperture Priority Mode", 4: hole}
    item = uapi.v4l2_querymenu(id=ControlID.LINK_FREQ, index=2)
    assert sensor.call(uapi.VIDIOC_QUERYMENU, item).m1.value == 445_500_000
    assert user.set((AUTO, 2)) == (errno.EINVAL, 1, [2])
    assert user.try_((AUTO, 7)) == (errno.ERANGE, 0, [7])


@given(
    st.integers(-200, 400) | st.integers(-(2**31), 2**31 - 1),
    st.integers(1, 50),
    st.integers(-99, 99),
    st.integers(0, 200),
)
def test_integers_are_moved_to_the_nearest_allowed(value, step, low, span):
    spec = integer(1, "", low, low + span, low, step=step)
    fitted = fit_number(spec, value)
    assert low <= fitted <= low + span
    assert (fitted - low) % step == 0
    best = min(range(low, low + span + 1, step), key=lambda allowed: abs(allowed - value))
    assert abs(fitted - value) == abs(best - value)


def test_out_of_range_is_clamped_and_said(user):
    assert user.set((GAIN, 9999))[::2] == (0, [255])
    assert user.get(GAIN)[2] == [255]
    assert user.set(MANUAL, (EXPOSURE, 0))[2] == [1, 1]


def test_error_index(user):
    good = (GAIN, 7)
    bad = (bench.SERIAL_NUMBER, 1)
    assert user.try_(good, bad, good)[:2] == (errno.EACCES, 1)
    assert user.set(good, bad, good)[:2] == (errno.EACCES, COUNT)
    assert user.get(GAIN)[2] == [0]
    assert user.get(GAIN, 0x0098_0999, GAIN)[:2] == (errno.EINVAL, COUNT)
    assert user.get(GAIN, ControlID.DO_WHITE_BALANCE)[:2] == (errno.EACCES, 2)


def test_a_broken_write_names_how_far_it_came(user):
    user.camera.faults.broken_write_at = 1
    assert user.set((GAIN, 7), (ControlID.BRIGHTNESS, 5))[:2] == (errno.EIO, 1)
    user.camera.faults.broken_write_at = None
    assert user.get(GAIN, ControlID.BRIGHTNESS)[2] == [7, 0]


def test_which(user):
    camera_class = uapi.ControlClass.CAMERA
    assert user.set((GAIN, 1), which=camera_class)[:2] == (errno.EINVAL, 1)
    assert user.try_(MANUAL, (GAIN, 1), which=camera_class)[:2] == (errno.EINVAL, 1)
    assert user.set(MANUAL, which=camera_class)[0] == 0
    assert user.get(AUTO, which=ControlWhichValue.DEF_VAL)[2] == [3]
    assert user.set(MANUAL, which=ControlWhichValue.DEF_VAL)[0] == errno.EINVAL
    assert user.get(which=camera_class)[0] == 0
    assert user.get(which=uapi.ControlClass.JPEG)[0] == errno.EINVAL


def test_partner_of_an_automatic_mode(user):
    assert user.describe(EXPOSURE).flags & ControlFlag.INACTIVE
    assert user.set((EXPOSURE, 50))[:2] == (errno.EACCES, 1)
    assert user.try_((EXPOSURE, 50))[0] == 0
    assert user.set((AUTO, 3), (EXPOSURE, 50))[0] == errno.EACCES
    assert user.set(MANUAL, (EXPOSURE, 50))[::2] == (0, [1, 50])
    assert not user.describe(EXPOSURE).flags & ControlFlag.INACTIVE
    assert user.get(EXPOSURE)[2] == [50]


def test_automatic_exposure_moves_by_itself(user):
    user.start()
    seen = {(user.frame(), user.get(EXPOSURE)[2][0])[1] for _ in range(30)}
    assert len(seen) > 3
    assert all(80 <= value <= 120 for value in seen)


def test_text_and_wide_numbers(user):
    assert user.set((bench.NICKNAME, b"left"), (bench.FIRMWARE, -(2**39)))[0] == 0
    code, _, values = user.controls(uapi.VIDIOC_G_EXT_CTRLS, [(bench.NICKNAME, b""), (bench.FIRMWARE, 0)])
    assert (code, values) == (0, [b"left", -(2**39)])
    assert user.set((bench.NICKNAME, b"x" * 17))[0] == errno.ERANGE
    small = (uapi.v4l2_ext_control * 1)()
    text = ctypes.create_string_buffer(2)
    small[0].id, small[0].size = bench.NICKNAME, 2
    small[0].m1.string = ctypes.cast(text, type(small[0].m1.string))
    ask = uapi.v4l2_ext_controls(count=1, controls=small)
    assert user.error(user.call, uapi.VIDIOC_G_EXT_CTRLS, ask) == errno.ENOSPC
    assert small[0].size == 17


def test_grabbed_and_disabled(user):
    user.camera.set_grabbed(GAIN, grabbed=True)
    assert user.set((GAIN, 1))[0] == errno.EBUSY
    assert user.try_((GAIN, 1))[0] == 0
    user.camera.set_grabbed(GAIN, grabbed=False)
    user.camera.set_disabled(GAIN, disabled=True)
    assert user.get(GAIN)[0] == errno.EINVAL
    assert user.describe(GAIN).flags & ControlFlag.DISABLED


def test_frame_counter_is_volatile(user):
    user.start()
    before = user.get(bench.FRAME_COUNTER)[2][0]
    user.frame()
    assert user.get(bench.FRAME_COUNTER)[2][0] == before + 1


def test_events_go_to_others_unless_feedback_is_wanted(kernel, user):
    other = User(kernel)
    user.subscribe(GAIN)
    other.subscribe(GAIN)
    user.set((GAIN, 9))
    assert user.error(user.event) == errno.ENOENT
    event = other.event()
    assert (event.id, event.u.ctrl.value, event.u.ctrl.changes) == (GAIN, 9, EventControlChange.VALUE)
    user.call(uapi.VIDIOC_UNSUBSCRIBE_EVENT, uapi.v4l2_event_subscription(type=3, id=GAIN))
    user.subscribe(GAIN, EventSubscriptionFlag.ALLOW_FEEDBACK)
    user.set((GAIN, 9))
    assert user.error(user.event) == errno.ENOENT  # nothing changed
    user.set((GAIN, 10))
    assert user.event().u.ctrl.value == 10


def test_one_event_waits_per_control_and_gathers_changes(kernel, user):
    other = User(kernel)
    other.subscribe(EXPOSURE)
    other.subscribe(GAIN)
    user.set(MANUAL)
    user.set((GAIN, 1))
    user.set((EXPOSURE, 77))
    first, second = other.event(), other.event()
    assert (first.id, first.pending, second.id) == (GAIN, 1, EXPOSURE)
    assert second.u.ctrl.changes == EventControlChange.VALUE | EventControlChange.FLAGS
    assert (second.u.ctrl.value, second.sequence) == (77, 2)
    assert other.error(other.event) == errno.ENOENT


def test_initial_event_and_refused_subscriptions(user):
    user.subscribe(GAIN, EventSubscriptionFlag.SEND_INITIAL)
    user.subscribe(ControlID.DO_WHITE_BALANCE, EventSubscriptionFlag.SEND_INITIAL)
    changes = [user.event().u.ctrl.changes for _ in range(2)]
    assert changes == [EventControlChange.VALUE | EventControlChange.FLAGS, EventControlChange.FLAGS]
    assert user.error(user.subscribe, 0x0098_0999) == errno.EINVAL
    assert user.error(user.subscribe, GAIN, 0, uapi.EventType.EOS) == errno.EINVAL


def test_vblank_moves_the_range_of_exposure_and_the_rate(sensor):
    sensor.subscribe(ControlID.EXPOSURE)
    sensor.set((ControlID.EXPOSURE, 2000))
    assert sensor.set((ControlID.VBLANK, 45))[0] == 0
    event = sensor.event()
    assert event.u.ctrl.changes == EventControlChange.RANGE | EventControlChange.VALUE
    assert (event.u.ctrl.maximum, event.u.ctrl.value) == (1121, 1121)
    assert sensor.describe(ControlID.EXPOSURE).maximum == 1121
    frame_time = sensor.call(uapi.VIDIOC_G_PARM, uapi.v4l2_streamparm(type=sensor.type)).parm.capture.timeperframe
    assert (frame_time.numerator, frame_time.denominator) == (1, 60)


def test_ignored_and_dead_controls():
    with stepped() as kernel:
        user = User(kernel)
        user.camera.faults.ignored_controls = {GAIN}
        assert user.set((GAIN, 9))[::2] == (0, [9])
        assert user.get(GAIN)[2] == [0]
        user.camera.faults.ignored_controls = ()
        user.camera.faults.dead_controls = {GAIN}
        user.set(MANUAL, (GAIN, 9))
        assert user.get(GAIN)[2] == [9]
        user.start()
        assert [user.frame()[1].gain for _ in range(4)] == [0] * 4
