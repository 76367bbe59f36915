"""Triggered groups when something comes in between: stops, late loops, slow drivers, lines that refuse."""

import errno
from dataclasses import replace

import pytest
from capture.loop_stage import NAMES, LoopStage
from capture.test_handover import LIMIT
from capture.test_triggered import (
    BUDGET,
    FOLLOW,
    PULSE,
    STOP,
    STOP_ORDER,
    ledger,
    outside,
    seen,
    triggered,
)

from agent.capture import messages as m
from agent.capture.board import Head, Of
from agent.capture.handover import Handover
from agent.capture.order import CameraOrder, GroupOrder, PlanOrder, StageLimits
from agent.capture.pairing import Pairing
from agent.capture.state_word import Phase, read_word
from agent.capture.tick_log import End as TickEnd
from agent.capture.trigger_order import TriggerKind, TriggerOrder
from agent.schedule.account import PLAN_WORDS, State
from agent.schedule.instants import PlanError
from agent.schedule.plan import OnEdge, Plan, WhenBusy
from agent.schedule.scheduler import Scheduler
from agent.trigger.errors import typed_error
from agent.trigger.modes import TriggerMode
from agent.trigger.pulse import PulseOrder
from agent.trigger.pwm_order import PwmOrder
from agent.units import NS_PER_MS, NS_PER_S

SOFTWARE = triggered(TriggerOrder(kind=TriggerKind.SOFTWARE, cycle_ns=50 * NS_PER_MS), TriggerMode.SOFTWARE)
PWM = PwmOrder(chip="pwmchip0", channel=0, period_ns=100 * NS_PER_MS, width_ns=NS_PER_MS)


class Refusing:
    """An output that refuses as often as `left` says; `after`: having done it."""

    def __init__(self, line, left=0):
        self._line, self.left = line, left

    def set(self, active):
        if self.left:
            self.left -= 1
            raise typed_error(errno.EIO, "GPIO_V2_LINE_SET_VALUES", device="bench", line="trigger")
        return self._line.set(active)

    def release(self):
        try:
            self.set(False)
        finally:
            self._line.release()

    def __getattr__(self, name):
        return getattr(self._line, name)


def refusing(**order):
    """A stage and the outputs that were opened."""
    stage, opened = LoopStage(**(order or triggered())), []

    def wrap(line):
        opened.append(Refusing(line))
        return opened[-1]

    stage.wrap_output = wrap
    return stage, opened


def rests(stage, *names):
    """All ticks of these plans have ended."""
    return [stage.account(name).under_way for name in names] == [0] * len(names)


# ---- nobody waits for a pulse that does not come


def test_a_burst_whose_first_pulse_left_ends_when_another_camera_is_stopped():
    with LoopStage(**triggered()) as stage:
        stage.add("p", period_ms=None, burst=4)
        stage.advance(NS_PER_MS)
        stage.ask(m.Cancel, kind="camera", name="side", by="a test")
        stage.advance(10 * NS_PER_S)
        assert rests(stage, "p")
        assert [record.end for record in stage.records] == [TickEnd.NO_PULSE]
        assert stage.words()[Of.FAULTS] == 0


def test_a_burst_ends_when_its_line_refuses_the_second_pulse():
    stage, opened = refusing()
    with stage:
        stage.add("p", period_ms=None, burst=4)
        stage.advance(30 * NS_PER_MS)
        opened[0].left = 1
        stage.advance(10 * NS_PER_S)
        assert rests(stage, "p")
        assert stage.words()[Of.PULSES] == stage.words()[Of.MATCHED] == 1


def test_a_burst_ends_when_a_camera_is_stopped_and_the_line_refuses_to_fall():
    stage, opened = refusing()
    with stage:
        stage.add("p", period_ms=None, burst=4)
        stage.turn()
        opened[0].left = 1
        stage.ask(m.Cancel, kind="camera", name="side", by="a test")
        stage.advance(10 * NS_PER_S)
        assert rests(stage, "p")


def test_a_line_that_refuses_everything_is_a_fault_of_the_trigger_and_comes_back():
    stage, opened = refusing()
    with stage:
        opened[0].left = 10
        stage.add("p", period_ms=100)
        stage.advance(3 * NS_PER_S)
        assert "works" in [told.code for told in stage.of(m.TriggerTold)]
        assert stage.account("p").delivered > 10


def test_numbers_of_pulses_are_not_used_twice_by_a_successor():
    stage, opened = refusing()
    with stage:
        stage.add("p", period_ms=100)
        stage.advance(250 * NS_PER_MS)
        opened[0].left = 1
        stage.advance(3 * NS_PER_S)
        last = max(record.pulse for record in ledger(stage) if record.pulse is not None)
        assert stage.board.words[Head.PULSES] == last + 1
        assert stage.words()[Of.PULSES] == last + 1


def test_who_waits_for_the_next_edge_is_told_when_a_camera_of_the_group_stops():
    with LoopStage(**triggered(FOLLOW)) as stage:
        stage.add("p", period_ms=None)
        stage.advance(NS_PER_S)
        stage.ask(m.Cancel, kind="camera", name="side", by="a test")
        for _ in range(3):
            outside(stage)
            stage.advance(100 * NS_PER_MS)
        stage.ask(m.StartCamera, camera="side")
        outside(stage)
        stage.advance(10 * NS_PER_S)
        assert rests(stage, "p")
        assert [record.end for record in stage.records] == [TickEnd.NO_PULSE]
        assert stage.words()[Of.FAULTS] == 0


def test_pulses_of_others_are_accounted_for_by_a_camera_that_streams_while_another_does_not():
    with LoopStage(**triggered(FOLLOW)) as stage:
        stage.ask(m.Cancel, kind="camera", name="side", by="a test")
        for _ in range(3):
            outside(stage)
            stage.advance(100 * NS_PER_MS)
        words = stage.words()
        assert (words[Of.PULSES], words[Of.MATCHED], words[Of.SPURIOUS]) == (3, 3, 0)
        assert stage.words("side")[Of.PULSES] == 0
        assert stage.board.words[Head.SETS_INCOMPLETE] == 0


def test_an_edge_whose_frame_has_gone_is_not_waited_for():
    with LoopStage(**triggered(FOLLOW)) as stage:
        stage.publisher.get_ready()
        stage.add("p", period_ms=None, on_edge=OnEdge(), when_busy=WhenBusy.COALESCE, store=True)
        outside(stage)
        stage.advance(100 * NS_PER_MS)
        outside(stage)
        stage.advance(100 * NS_PER_MS)
        stage.publisher.give_back()
        stage.settle()
        assert stage.account("p").delivered == 1
        stage.advance(10 * NS_PER_S)
        assert stage.words()[Of.FAULTS] == 0, "no trigger is no fault"
        outside(stage)
        stage.advance(100 * NS_PER_MS)
        stage.publisher.give_back()
        stage.settle()
        assert stage.account("p").delivered == 2


def test_a_camera_that_breaks_of_the_very_pulse_a_tick_is_given():
    budget = replace(BUDGET, wait_ns=400 * NS_PER_MS)
    trigger = replace(PULSE, cycle_ns=2 * NS_PER_MS)
    with LoopStage(capacity=128, **triggered(trigger, budget=budget)) as stage:
        for camera in stage.cameras.values():
            camera.faults.drop_triggers = 1000
        for place in range(80):
            start_ns = stage.clock.now_ns() + place * 3 * NS_PER_MS
            stage.send(m.AddPlans, orders=(stage.plan(f"p{place}", period_ms=None, start_ns=start_ns),))
        stage.settle()
        stage.advance(300 * NS_PER_MS)
        assert stage.words()[Of.FAULTS] == 1
        stage.advance(10 * NS_PER_S)
        assert sum(account.under_way for account in stage.accounts()) == 0


# ---- a loop that is late


def test_a_loop_that_sleeps_past_the_end_of_a_pulse_fires_the_next_one():
    with LoopStage(**triggered()) as stage:
        stage.add("a", period_ms=None)
        stage.add("b", period_ms=None, start_ns=stage.clock.now_ns() + 50 * NS_PER_MS)
        stage.kernel.advance(55 * NS_PER_MS)
        stage.settle()
        assert stage.of(m.TriggerTold) == []
        assert (stage.account("a").delivered, seen(stage).pulses_seen) == (1, 2)
        stage.advance(100 * NS_PER_MS)
        assert stage.account("b").delivered == 1


def test_a_pulse_that_is_wider_than_the_interval_of_its_cameras_is_no_fault():
    trigger = replace(PULSE, cycle_ns=None, pulse=PulseOrder(width_ns=200 * NS_PER_MS))
    with LoopStage(**triggered(trigger)) as stage:
        stage.add("p", period_ms=100)
        stage.advance(2 * NS_PER_S)
        assert [told.code for told in stage.of(m.TriggerTold)] == []
        assert stage.account("p").delivered >= 8


# ---- software triggers


def test_a_software_trigger_that_the_driver_refuses_ends_its_ticks():
    with LoopStage(**SOFTWARE) as stage:
        stage.add("p", camera="g", period_ms=None)
        stage.add("q", period_ms=None, camera="side")
        stage.advance(500 * NS_PER_MS)
        stage.cameras["side"].faults.refuse("VIDIOC_S_EXT_CTRLS")
        stage.add("r", camera="g", period_ms=None)
        stage.add("s", camera="side", period_ms=None)
        stage.advance(10 * NS_PER_S)
        assert rests(stage, "r", "s")
        words = stage.board.words
        assert (words[Head.SETS], words[Head.SETS_INCOMPLETE]) == (1, 1)
        assert [told.code for told in stage.of(m.TriggerTold)][-1] == "works"
        stage.add("t", camera="g", period_ms=None)
        stage.advance(500 * NS_PER_MS)
        assert stage.account("t").delivered == 1


def test_a_software_trigger_waits_for_an_exposure_that_is_being_set():
    with LoopStage(**SOFTWARE) as stage:
        number = stage.send(m.Expose, camera="top", exposure_ns=5 * NS_PER_MS)
        stage.turn()
        stage.send(m.AddPlans, orders=(stage.plan("p", camera="g", period_ms=None),))
        stage.turn()
        stage.turn()
        stage.settle()
        assert isinstance(stage.answer(number), m.Done)
        stage.advance(300 * NS_PER_MS)
        assert stage.account("p").delivered == 1
        assert stage.of(m.TriggerTold) == []


def press(stage):
    """A tick was fired, and the thread of `top` has the trigger: what it was given."""
    stage.send(m.AddPlans, orders=(stage.plan("p", period_ms=None),))
    stage.turn()
    if stage.helpers["slow top"].job is None:
        stage.turn()
    assert stage.helpers["slow top"].job is not None


@pytest.mark.parametrize("has_left", [False, True])
def test_a_software_trigger_that_returns_after_a_cancel_does_not_keep_the_loop_awake(has_left):
    with LoopStage(**SOFTWARE) as stage:
        press(stage)
        helper = stage.helpers["slow top"]
        (job, then) = helper.job
        result = job() if has_left else None
        helper.job = (lambda: result, then) if has_left else (job, then)
        stage.cancel()
        stage.turn()
        for name in ("stopper top", "stopper side"):
            stage.helpers[name].work()
        stage.turn()
        stage.advance(NS_PER_S)
        words = stage.words()
        assert words[Of.PULSES] == words[Of.MISSED] == has_left
        assert rests(stage, "p")
        assert stage.account("p").shots_cancelled == 1
        assert seen(stage).pulses_seen == has_left, "no pulse leaves after a cancel"


def test_a_software_trigger_that_hangs_is_a_fault_of_its_camera():
    with LoopStage(limits=StageLimits(frame_ns=NS_PER_S), **SOFTWARE) as stage:
        press(stage)
        (job, then), helper = stage.helpers["slow top"].job, stage.helpers["slow top"]
        helper.job = None
        stage.advance(2 * NS_PER_S)
        assert rests(stage, "p")
        assert stage.words()[Of.FAULTS] == 1
        helper.job = (job, then)
        stage.advance(5 * NS_PER_S)
        assert read_word(stage.words()[Of.WORD])[0] is Phase.ARMED


def test_a_frame_that_is_there_before_its_software_trigger_returned_is_its_own():
    with LoopStage(**SOFTWARE) as stage:
        press(stage)
        helper = stage.helpers["slow top"]
        job, then = helper.job
        result = job()
        helper.job = None
        stage.advance(100 * NS_PER_MS)
        assert stage.words()[Of.FRAMES] == 1
        helper.job = (lambda: result, then)
        stage.settle()
        words = stage.words()
        assert (words[Of.MATCHED], words[Of.SPURIOUS]) == (1, 0)
        assert stage.account("p").delivered == 1


# ---- PWM


class StillPwm:
    """A channel that pulses nobody; `on` while it is on."""

    def __init__(self, order):
        self.on = False

    def start(self):
        self.on = True

    def stop(self):
        self.on = False

    def release(self):
        self.on = False


def by_pwm(settle_ns=0):
    """A stage, and the channels that were taken."""
    taken = []

    def open_pwm(order):
        taken.append(StillPwm(order))
        return taken[-1]

    trigger = TriggerOrder(kind=TriggerKind.PWM, pwm=PWM, settle_ns=settle_ns)
    return LoopStage(open_pwm=open_pwm, **triggered(trigger)), taken


def test_a_pwm_is_switched_on_when_the_cameras_have_settled():
    stage, taken = by_pwm(settle_ns=500 * NS_PER_MS)
    with stage:
        stage.advance(400 * NS_PER_MS)
        assert [pwm.on for pwm in taken] == [False]
        assert stage.board.words[Head.PULSES] == 0
        stage.advance(150 * NS_PER_MS)
        assert [pwm.on for pwm in taken] == [True]
        stage.ask(m.Cancel, kind="camera", name="side", by="a test")
        assert [pwm.on for pwm in taken] == [False]


def test_predicted_pulses_are_told_before_the_frames_of_a_late_loop():
    stage, _ = by_pwm()
    with stage:
        stage.advance(250 * NS_PER_MS)
        before = stage.words()[Of.SPURIOUS]
        # the hardware pulses by itself
        at_ns = stage.loop.lines.trigger.next_ns
        stage.kernel.advance(at_ns - stage.clock.now_ns())
        for camera in stage.cameras.values():
            camera.level(True, at_ns)
            camera.level(False, at_ns + NS_PER_MS)
        stage.kernel.advance(50 * NS_PER_MS)
        stage.settle()
        assert stage.words()[Of.SPURIOUS] == before
        assert stage.words()[Of.MATCHED] == 1


# ---- the emergency stop


def test_a_press_that_is_not_seen_yet_is_not_swallowed_by_a_release():
    with LoopStage(emergency_stop=STOP_ORDER, **triggered()) as stage:
        number = stage.send(m.ReleaseStop)
        events = stage.events()
        stage.lines.pull(STOP, True)
        stage.lines.pull(STOP, False)
        stage.loop.turn(events)
        stage.settle()
        assert stage.is_answered(number)
        assert len(stage.of(m.EmergencyStopped)) == 1
        assert not any(stage.streams(name) for name in NAMES)


def test_a_release_of_a_stop_that_is_not_latched_leaves_a_line_that_is_gone_to_the_loop():
    with LoopStage(emergency_stop=STOP_ORDER, **triggered()) as stage:
        stage.send(m.ReleaseStop)
        events = stage.events()
        stage.lines.unplug("bench")
        stage.loop.turn(events)
        stage.settle()
        assert len(stage.of(m.EmergencyStopped)) == 1
        assert not any(stage.streams(name) for name in NAMES)


# ---- plans of a triggered group


def test_the_end_of_a_plan_leaves_the_cameras_on_that_the_trigger_needs_for_another():
    with LoopStage(**triggered()) as stage:
        stage.add("a", period_ms=100)
        stage.add("b", camera="side", period_ms=100)
        stage.advance(250 * NS_PER_MS)
        answer = stage.ask(m.Cancel, kind="plan", name="b", by="a test")
        assert answer.facts.still_on == ("side",)
        delivered = stage.account("a").delivered
        stage.advance(NS_PER_S)
        assert stage.account("a").delivered >= delivered + 9
        stage.ask(m.Cancel, kind="plan", name="a", by="a test")
        assert not stage.streams("top")


def test_plans_on_edges_that_ended_are_forgotten_without_an_edge():
    with LoopStage(capacity=4, **triggered(FOLLOW)) as stage:
        stage.add("keep", period_ms=None)
        for _ in range(20):
            stage.add("p", camera="g", period_ms=None, on_edge=OnEdge())
            stage.ask(m.Cancel, kind="plan", name="p", by="a test")
        assert len(stage.loop.plans._edges) <= 4


def test_the_period_of_a_plan_on_edges_cannot_be_set():
    with LoopStage(**triggered(FOLLOW)) as stage:
        stage.add("p", period_ms=None, on_edge=OnEdge())
        answer = stage.ask(m.SetPeriod, plan="p", period_ns=100 * NS_PER_MS)
        assert isinstance(answer, m.Refused)
        stage.advance(NS_PER_S)
        assert stage.account("p").ticks == 0


def test_a_set_of_cameras_of_which_some_run_free_is_refused():
    with LoopStage(**triggered(), cameras=("top",)) as stage:
        answer = stage.ask(m.AddPlans, orders=(stage.plan("p", camera="g"),))
        assert isinstance(answer, m.Refused)


def test_a_cancel_while_no_process_is_there_leaves_on_what_a_plan_of_the_group_needs():
    cameras = (CameraOrder(name="top", path="/dev/video0"), CameraOrder(name="side", path="/dev/video2"))
    plans = {
        name: PlanOrder(plan=Plan(name=name, camera=camera, start_ns=0), quota=LIMIT)
        for name, camera in (("one", "top"), ("set", "g"))
    }
    handover = Handover(GroupOrder(name="g", cameras=cameras))
    handover.answered(m.AddPlans(id=1, orders=tuple(plans.values())), m.Done(re=1, at_ns=0, facts={"one": 0, "set": 1}))
    assert handover.cancel(m.Cancel(id=2, kind="plan", name="one", by="a test")) == (1, ())
    assert handover.assignment().left_off == ()
    assert handover.cancel(m.Cancel(id=3, kind="plan", name="set", by="a test")) == (1, ("top", "side"))


def test_pulses_that_were_open_when_a_process_died_have_missed():
    with LoopStage(**triggered()) as stage:
        stage.add("p", period_ms=None)
        stage.turn()
        assert (stage.words()[Of.PULSES], stage.words()[Of.MISSED]) == (1, 0)
        pairing = stage.loop.units["top"].pairing
        Pairing(BUDGET, stage.words(), pairing._log, lambda *_: None, lambda _: None, has_strobe=False)
        assert stage.words()[Of.MISSED] == 1


def test_a_plan_on_edges_goes_on_in_the_next_process_and_has_no_period_there_either():
    words = memoryview(bytearray(8 * PLAN_WORDS)).cast("q")
    plan = Plan(name="p", camera="top", start_ns=0, on_edge=OnEdge(), count=3)
    dead = Scheduler(words, capacity=1, ageing_ns=1)
    run = dead.add(plan, 0)
    dead.fired(dead.edge(run, 10), 10)
    scheduler = Scheduler(words, capacity=1, ageing_ns=1)
    run = scheduler.adopt(plan, 0, 20)
    with pytest.raises(PlanError):
        scheduler.set_period("p", 5, 30)
    assert scheduler.due(1_000, 10) == []
    for at_ns in (40, 50):
        tick = scheduler.edge(run, at_ns)
        scheduler.fired(tick, at_ns)
        scheduler.delivered(tick, at_ns, 1, 0)
    account = run.account()
    assert (account.state, account.ticks, account.failed, account.delivered) == (State.FINISHED, 3, 1, 2)


def test_the_stop_is_pressed_while_the_cameras_are_started_and_somebody_cancels():
    with LoopStage(emergency_stop=STOP_ORDER, **triggered()) as stage:
        stage.ask(m.Cancel, kind="all", name="", by="a test")
        for name in NAMES:
            stage.send(m.StartCamera, camera=name)
        stage.turn()
        assert stage.helpers["slow top"].job is not None
        cancel = stage.cancel()
        stage.lines.pull(STOP, True)
        stage.turn()
        stage.settle()
        assert isinstance(stage.answer(cancel), m.Done)
        assert len(stage.of(m.EmergencyStopped)) == 1
        assert not any(stage.streams(name) for name in NAMES)
        stage.lines.pull(STOP, False)
        stage.settle()
        assert isinstance(stage.ask(m.ReleaseStop), m.Done)
        stage.add("p", camera="g", period_ms=None)
        stage.advance(300 * NS_PER_MS)
        assert stage.streams("top")
        assert stage.account("p").ticks == 1
