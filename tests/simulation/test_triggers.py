import itertools
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.camera_user import SENSOR, UVC, User, stepped

from agent.simulation.bench import SOFTWARE_TRIGGER, TRIGGER_DELAY, TRIGGER_MODE, simulated_kernel
from agent.simulation.trigger_log import Fate, Outcome, Source
from agent.v4l2.uapi import ControlFlag, ControlID

MS = 1_000_000
OFF, EDGE, LEVEL, SOFTWARE = range(4)
MANUAL = (ControlID.EXPOSURE_AUTO, 1)
EXPOSURE_80 = (ControlID.EXPOSURE_ABSOLUTE, 80)
"""8 ms."""
CYCLE_NS = 14 * MS
"""Longer than delay, exposure and readout of a camera at `EXPOSURE_80`."""


def without_jitter(profile, **changes):
    return replace(profile, trigger=replace(profile.trigger, jitter_ns=0, **changes))


STEADY = without_jitter(UVC)


@pytest.fixture
def kernel():
    with stepped(STEADY, without_jitter(SENSOR)) as kernel:
        yield kernel


def armed(kernel, mode, place=0, buffers=8):
    user = User(kernel, kernel.cameras[place].path)
    if place == 0:
        assert user.set(MANUAL, EXPOSURE_80)[0] == 0
    assert user.set((TRIGGER_MODE, mode))[0] == 0
    return user.start(buffers)


def stamp_ns(buffer):
    return buffer.timestamp.secs * 1_000_000_000 + buffer.timestamp.usecs * 1000


def waiting(user):
    """All frames that wait, dequeued and queued again: number, stamp, mark."""
    found = []
    while user.poll():
        buffer = user.dequeue()
        found.append((buffer.sequence, stamp_ns(buffer), user.mark(buffer)))
        user.queue(buffer.index)
    return found


def fates(camera):
    return [pulse.fate for pulse in camera.trigger.account().pulses]


def test_no_frame_without_a_pulse_however_long(kernel):
    user = armed(kernel, EDGE)
    kernel.advance(3600 * 1000 * MS)
    assert not user.poll()
    with pytest.raises(ValueError, match="no frame will come"):
        kernel.step(user.camera)


def test_a_pulse_exposes_after_the_delay_and_is_read_out(kernel):
    user = armed(kernel, EDGE)
    kernel.advance(7 * MS)
    at_ns = kernel.clock.now_ns()
    user.camera.pulse(at_ns)
    kernel.step(user.camera)
    start_ns = at_ns + 12_800
    assert kernel.clock.now_ns() == start_ns + 8 * MS + 5 * MS
    [(number, stamp, mark)] = waiting(user)
    assert (number, mark.sequence, mark.exposure_ns) == (0, 0, 8 * MS)
    assert stamp == start_ns // 1000 * 1000
    [exposed] = user.camera.trigger.account().exposures
    assert (exposed.start_ns, exposed.end_ns, exposed.ready_ns) == (start_ns, start_ns + 8 * MS, start_ns + 13 * MS)
    assert (exposed.pulse, exposed.outcome) == (0, Outcome.DELIVERED)


def test_a_camera_that_stamps_the_end_stamps_the_end_of_the_readout(kernel):
    user = armed(kernel, EDGE, place=1)
    at_ns = kernel.clock.now_ns()
    user.camera.pulse(at_ns)
    kernel.step(user.camera)
    [exposed] = user.camera.trigger.account().exposures
    timing = SENSOR.timing
    assert exposed.ready_ns - exposed.end_ns == int(timing.height_px * timing.line_ns)
    assert [stamp for _, stamp, _ in waiting(user)] == [exposed.ready_ns // 1000 * 1000]


def test_the_delay_control_adds_microseconds(kernel):
    user = armed(kernel, EDGE)
    assert user.set((TRIGGER_DELAY, 250))[0] == 0
    at_ns = kernel.clock.now_ns()
    user.camera.pulse(at_ns)
    assert user.camera.trigger.account().exposures[0].start_ns == at_ns + 12_800 + 250_000


def test_a_pulse_during_exposure_or_readout_is_ignored_and_counted(kernel):
    user = armed(kernel, EDGE)
    camera, at_ns = user.camera, kernel.clock.now_ns()
    ready_ns = at_ns + 12_800 + 13 * MS
    for instant in (at_ns, at_ns + 4 * MS, at_ns + 9 * MS, ready_ns - 1, ready_ns):
        kernel.advance(instant - kernel.clock.now_ns())
        camera.pulse(instant)
    assert fates(camera) == [Fate.EXPOSED, Fate.BUSY, Fate.BUSY, Fate.BUSY, Fate.EXPOSED]
    kernel.advance(CYCLE_NS)
    assert [number for number, *_ in waiting(user)] == [0, 1]
    assert camera.trigger.account().count(Fate.BUSY) == 3


def test_a_pulse_that_is_told_late_is_judged_by_its_own_instant(kernel):
    user = armed(kernel, EDGE)
    at_ns = kernel.clock.now_ns()
    kernel.advance(100 * MS)
    user.camera.pulse(at_ns)
    user.camera.pulse(at_ns + 5 * MS)
    user.camera.pulse(at_ns + 20 * MS)
    assert fates(user.camera) == [Fate.EXPOSED, Fate.BUSY, Fate.EXPOSED]
    kernel.advance(0)
    assert [number for number, *_ in waiting(user)] == [0, 1]


def test_the_exposure_is_as_long_as_the_level(kernel):
    user = armed(kernel, LEVEL)
    at_ns = kernel.clock.now_ns()
    user.camera.level(active=True, at_ns=at_ns)
    user.camera.level(active=True, at_ns=at_ns + MS)
    assert fates(user.camera) == [Fate.OPEN]
    kernel.advance(30 * MS)
    assert not user.poll()
    user.camera.level(active=False, at_ns=at_ns + 30 * MS)
    kernel.step(user.camera)
    [(_, stamp, mark)] = waiting(user)
    assert mark.exposure_ns == 30 * MS + 14_260
    assert stamp == (at_ns + 12_800) // 1000 * 1000
    assert user.camera.trigger.account().pulses[0].width_ns == 30 * MS
    user.camera.pulse(kernel.clock.now_ns(), width_ns=2 * MS)
    kernel.step(user.camera)
    assert [mark.exposure_ns for *_, mark in waiting(user)] == [2 * MS + 14_260]


def test_a_level_that_rises_during_the_readout_exposes_nothing(kernel):
    user = armed(kernel, LEVEL)
    at_ns = kernel.clock.now_ns()
    user.camera.pulse(at_ns, width_ns=MS)
    user.camera.pulse(at_ns + 2 * MS, width_ns=20 * MS)
    assert fates(user.camera) == [Fate.EXPOSED, Fate.BUSY]


def test_the_button_triggers_and_the_line_does_not(kernel):
    user = armed(kernel, SOFTWARE)
    kernel.advance(2 * MS)
    user.camera.pulse(kernel.clock.now_ns())
    at_ns = kernel.clock.now_ns()
    assert user.set((SOFTWARE_TRIGGER, 1))[0] == 0
    kernel.step(user.camera)
    assert [stamp for _, stamp, _ in waiting(user)] == [(at_ns + 12_800) // 1000 * 1000]
    assert fates(user.camera) == [Fate.NOT_LISTENING, Fate.EXPOSED]
    assert user.camera.trigger.account().pulses[1].source is Source.SOFTWARE


def test_the_button_does_nothing_while_the_line_triggers(kernel):
    user = armed(kernel, EDGE)
    user.set((SOFTWARE_TRIGGER, 1))
    assert fates(user.camera) == [Fate.NOT_LISTENING]


def test_a_free_running_camera_sees_pulses_and_runs_on(kernel):
    user = armed(kernel, OFF)
    user.camera.pulse(kernel.clock.now_ns())
    kernel.advance(100 * MS)
    assert [number for number, *_ in waiting(user)] == [0, 1, 2]
    user.off()
    user.camera.pulse(kernel.clock.now_ns())
    assert fates(user.camera) == [Fate.NOT_LISTENING, Fate.NOT_STREAMING]


def test_the_mode_is_held_while_the_camera_streams(kernel):
    user = armed(kernel, EDGE)
    assert user.describe(TRIGGER_MODE).flags & ControlFlag.GRABBED
    assert user.set((TRIGGER_MODE, OFF))[0] == 16  # EBUSY
    user.off()
    assert not user.describe(TRIGGER_MODE).flags & ControlFlag.GRABBED
    assert user.set((TRIGGER_MODE, OFF))[0] == 0


def test_a_mode_the_sensor_does_not_follow(kernel):
    kernel.cameras[0].faults.dead_controls = {TRIGGER_MODE}
    user = armed(kernel, EDGE)
    kernel.advance(50 * MS)
    assert len(waiting(user)) == 2


def test_triggers_are_dropped_doubled_and_late_on_demand(kernel):
    user = armed(kernel, EDGE)
    faults, at_ns = user.camera.faults, kernel.clock.now_ns()
    faults.drop_triggers, faults.double_triggers, faults.late_trigger_ns = 2, 1, 3 * MS
    for number in range(5):
        user.camera.pulse(at_ns + number * 50 * MS)
    kernel.advance(300 * MS)
    account = user.camera.trigger.account()
    assert [pulse.fate for pulse in account.pulses] == [Fate.DROPPED] * 2 + [Fate.EXPOSED] * 3
    assert [pulse.frames for pulse in account.pulses[2:]] == [(0, 1), (2,), (3,)]
    starts = [exposed.start_ns - at_ns - 12_800 for exposed in account.exposures]
    assert starts == [103 * MS, 116 * MS, 150 * MS, 200 * MS]
    assert [number for number, *_ in waiting(user)] == [0, 1, 2, 3]


def test_a_ghost_comes_without_a_pulse_and_not_into_an_exposure(kernel):
    user = armed(kernel, EDGE)
    at_ns = kernel.clock.now_ns()
    assert user.camera.trigger.ghost(at_ns)
    user.camera.pulse(at_ns + MS)
    assert user.camera.trigger.ghost(at_ns + 2 * MS)
    kernel.advance(50 * MS)
    account = user.camera.trigger.account()
    assert [exposed.pulse for exposed in account.exposures] == [None, None]
    assert account.exposures[1].start_ns == account.exposures[0].ready_ns
    assert [pulse.fate for pulse in account.pulses] == [Fate.BUSY]
    assert len(waiting(user)) == 2
    user.off()
    assert not user.camera.trigger.ghost(kernel.clock.now_ns())


def test_a_frame_without_a_buffer_is_lost_and_leaves_a_gap(kernel):
    user = armed(kernel, EDGE, buffers=2)
    for _ in range(3):
        user.camera.pulse(kernel.clock.now_ns())
        kernel.advance(CYCLE_NS)
    outcomes = [exposed.outcome for exposed in user.camera.trigger.account().exposures]
    assert outcomes == [Outcome.DELIVERED, Outcome.DELIVERED, Outcome.LOST]
    waiting(user)
    user.camera.pulse(kernel.clock.now_ns())
    kernel.advance(CYCLE_NS)
    assert [number for number, *_ in waiting(user)] == [3]


def test_a_stop_cuts_what_is_under_way(kernel):
    user = armed(kernel, EDGE)
    user.camera.pulse(kernel.clock.now_ns())
    kernel.advance(MS)
    user.off()
    assert [exposed.outcome for exposed in user.camera.trigger.account().exposures] == [Outcome.CUT]
    user.set((TRIGGER_MODE, LEVEL))
    user.start(2)
    user.camera.level(active=True, at_ns=kernel.clock.now_ns())
    user.off()
    user.camera.level(active=False, at_ns=kernel.clock.now_ns())
    assert fates(user.camera) == [Fate.EXPOSED, Fate.CUT]
    kernel.advance(100 * MS)


def test_a_line_that_is_active_at_the_start_triggers_at_its_next_edge(kernel):
    kernel.cameras[0].level(active=True, at_ns=1)
    user = armed(kernel, EDGE)
    kernel.advance(CYCLE_NS)
    assert not user.poll()
    user.camera.level(active=False, at_ns=kernel.clock.now_ns())
    user.camera.level(active=True, at_ns=kernel.clock.now_ns())
    kernel.advance(CYCLE_NS)
    assert user.poll()


def test_a_camera_that_hangs_or_is_pulled_out(kernel):
    user = armed(kernel, EDGE)
    user.camera.pulse(kernel.clock.now_ns())
    user.camera.faults.frozen = True
    kernel.advance(CYCLE_NS)
    user.camera.pulse(kernel.clock.now_ns())
    assert fates(user.camera) == [Fate.EXPOSED, Fate.DROPPED]
    assert user.camera.trigger.account().exposures[0].outcome is Outcome.CUT
    user.camera.faults.frozen = False
    user.camera.faults.unplug_at_frame = 1
    user.camera.pulse(kernel.clock.now_ns())
    kernel.advance(CYCLE_NS)
    assert not user.camera.plugged
    user.camera.pulse(kernel.clock.now_ns())
    assert fates(user.camera)[-1] is Fate.NOT_STREAMING


def test_edges_out_of_order_are_refused(kernel):
    camera = kernel.cameras[0]
    camera.pulse(100, width_ns=10)
    with pytest.raises(ValueError, match="in order of time"):
        camera.pulse(105)


def test_the_strobe_is_active_during_the_exposure(kernel):
    seen = []
    user = armed(kernel, EDGE)
    user.camera.trigger.strobe.subscribe(lambda active, at_ns: seen.append((active, at_ns, kernel.clock.now_ns())))
    at_ns = kernel.clock.now_ns()
    user.camera.pulse(at_ns)
    kernel.step(user.camera)
    start_ns = at_ns + 12_800
    assert seen == [(True, start_ns, start_ns), (False, start_ns + 8 * MS, start_ns + 8 * MS)]
    user.camera.pulse(kernel.clock.now_ns())
    kernel.advance(MS)
    user.off()
    kernel.advance(0)
    assert [active for active, *_ in seen] == [True, False, True, False]
    assert seen[-1][1] == kernel.clock.now_ns()
    kernel.advance(100 * MS)
    assert len(seen) == 4


def test_the_strobe_follows_a_level(kernel):
    seen = []
    user = armed(kernel, LEVEL)
    user.camera.trigger.strobe.subscribe(lambda active, at_ns: seen.append((active, at_ns)))
    at_ns = kernel.clock.now_ns()
    user.camera.level(active=True, at_ns=at_ns)
    kernel.advance(MS)
    assert seen == [(True, at_ns + 12_800)]
    user.camera.level(active=False, at_ns=at_ns + MS)
    kernel.advance(MS)
    assert seen[1] == (False, at_ns + 12_800 + MS + 14_260)


def test_jitter_is_bounded_and_the_same_each_time():
    starts = []
    for _ in range(2):
        with stepped(UVC) as kernel:
            user = armed(kernel, EDGE)
            at_ns = kernel.clock.now_ns()
            for number in range(50):
                user.camera.pulse(at_ns + number * 50 * MS)
            exposures = user.camera.trigger.account().exposures
            starts.append([exposed.start_ns - at_ns - n * 50 * MS for n, exposed in enumerate(exposures)])
    assert starts[0] == starts[1]
    assert 12_500 <= min(starts[0]) < max(starts[0]) <= 13_100


@pytest.mark.timeout(30)
def test_pulses_in_real_time_on_two_cameras():
    with simulated_kernel(2) as kernel:
        users = [armed(kernel, EDGE, place) for place in range(2)]
        for round_ in range(5):
            at_ns = kernel.clock.now_ns()
            for user in users:
                user.camera.pulse(at_ns)
            for user in users:
                assert user.poll(5000)
                buffer = user.dequeue()
                exposed = user.camera.trigger.account().exposures[round_]
                assert (buffer.sequence, exposed.pulse) == (round_, round_)
                assert 12_500 <= exposed.start_ns - at_ns <= 13_100
                assert kernel.clock.now_ns() >= exposed.ready_ns
                user.queue(buffer.index)
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("simulated-cameras") == 1
        for user in users:
            user.off()


Step = st.one_of(
    st.tuples(st.just("wait"), st.integers(0, 40 * MS)),
    st.tuples(st.just("rise"), st.just(0)),
    st.tuples(st.just("fall"), st.just(0)),
    st.tuples(st.just("pulse"), st.integers(0, 20 * MS)),
    st.tuples(st.just("press"), st.just(0)),
    st.tuples(st.just("ghost"), st.just(0)),
    st.tuples(st.just("drop"), st.integers(1, 3)),
    st.tuples(st.just("double"), st.integers(1, 3)),
    st.tuples(st.just("late"), st.integers(1, 30 * MS)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("take"), st.just(0)),
)


class Story:
    """What was done to a camera, and what it told a program."""

    def __init__(self, kernel, mode):
        self.kernel, self.camera = kernel, kernel.cameras[0]
        self.user = armed(kernel, mode, buffers=4)
        self.told, self.frames, self.seen, self.strobe = kernel.clock.now_ns(), [[]], 0, []
        self.active = False
        self.camera.trigger.strobe.subscribe(lambda active, at_ns: self.strobe.append((active, at_ns)))

    def do(self, what, amount):
        now_ns = max(self.kernel.clock.now_ns(), self.told)
        if what == "wait":
            self.kernel.advance(amount)
        elif what in ("rise", "fall"):
            self.seen += what == "rise" and not self.active
            self.active = what == "rise"
            self.camera.level(self.active, now_ns)
        elif what == "pulse":
            self.seen += not self.active
            self.active = False
            self.camera.pulse(now_ns, amount)
            self.told = now_ns + amount
        elif what == "press":
            self.seen += 1
            assert self.user.set((SOFTWARE_TRIGGER, 1))[0] == 0
        elif what == "ghost":
            self.camera.trigger.ghost(now_ns)
        elif what == "restart":
            self.take()
            self.user.off()
            self.user.maps.clear()
            self.user.start(4)
            self.frames.append([])
        elif what == "take":
            self.take()
        else:
            self._break(what, amount)

    def take(self):
        self.frames[-1] += waiting(self.user)

    def _break(self, what, amount):
        faults = self.camera.faults
        if what == "drop":
            faults.drop_triggers += amount
        elif what == "double":
            faults.double_triggers += amount
        else:
            faults.late_trigger_ns = amount


@settings(max_examples=150, deadline=None)
@given(mode=st.sampled_from((OFF, EDGE, LEVEL, SOFTWARE)), steps=st.lists(Step, max_size=40))
def test_the_log_explains_every_pulse_and_every_frame(mode, steps):
    with stepped(UVC) as kernel:
        story = Story(kernel, mode)
        for step in steps:
            story.do(*step)
        kernel.advance(500 * MS)
        story.take()
        account = story.camera.trigger.account()
        _check_pulses(story, account)
        _check_exposures(story, account, mode)


def _check_pulses(story, account):
    assert account.pulses_seen == len(account.pulses) == story.seen
    made = {(pulse.number, frame) for pulse in account.pulses for frame in pulse.frames}
    exposed = {(e.pulse, e.sequence) for e in account.exposures if e.pulse is not None}
    assert made == exposed
    for pulse in account.pulses:
        assert bool(pulse.frames) == (pulse.fate is Fate.EXPOSED)
        if pulse.fate is Fate.BUSY:
            around = [e for e in account.exposures if e.pulse is None or e.pulse < pulse.number]
            last_open = [p for p in account.pulses[: pulse.number] if p.fate in (Fate.OPEN, Fate.EXPOSED, Fate.CUT)]
            assert last_open or any(pulse.at_ns < e.ready_ns for e in around)


def _check_exposures(story, account, mode):
    for run, told in enumerate(story.frames):
        if mode == OFF:
            continue
        ours = [e for e in account.exposures if e.run == run]
        assert [e.sequence for e in ours] == list(range(len(ours)))
        assert all(a.ready_ns <= b.start_ns for a, b in itertools.pairwise(ours))
        delivered = [e for e in ours if e.outcome is Outcome.DELIVERED]
        assert [number for number, *_ in told] == [e.sequence for e in delivered]
        assert [stamp for _, stamp, _ in told] == [e.start_ns // 1000 * 1000 for e in delivered]
        assert [mark.exposure_ns for *_, mark in told] == [e.end_ns - e.start_ns for e in delivered]
    if not story.active:
        assert all(e.outcome is not Outcome.UNDER_WAY for e in account.exposures)
    changes = [active for active, _ in story.strobe]
    assert changes == [n % 2 == 0 for n in range(len(changes))]
    assert [at_ns for _, at_ns in story.strobe] == sorted(at_ns for _, at_ns in story.strobe)
