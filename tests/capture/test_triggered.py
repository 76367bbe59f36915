"""A group of triggered cameras in the real loop: armed, fired, paired, stopped; on the stepped simulation."""

from itertools import pairwise

import pytest
from capture.loop_stage import NAMES, LoopStage

from agent.capture import messages as m
from agent.capture.board import Head, Of
from agent.capture.pulse_log import unpack
from agent.capture.state_word import Phase, read_word
from agent.capture.tick_log import End as TickEnd
from agent.capture.trigger_mode import TriggerWish
from agent.capture.trigger_order import CameraTrigger, StopOrder, TriggerKind, TriggerOrder
from agent.schedule.plan import OnEdge, WhenBusy
from agent.schedule.ring import RingReader
from agent.simulation.trigger_log import Fate
from agent.trigger.budget import Budget
from agent.trigger.lines import Edges, InputOrder, LineRef, OutputOrder
from agent.trigger.modes import TriggerMode
from agent.trigger.pulse import PulseOrder
from agent.trigger.verdicts import Cause, End
from agent.units import NS_PER_MS, NS_PER_S, NS_PER_US

TRIGGER, EDGE, STOP = (LineRef("bench", name) for name in ("trigger", "edge", "stop"))
BUDGET = Budget(delay_ns=12_800, jitter_ns=300, window_ns=5 * NS_PER_MS, wait_ns=60 * NS_PER_MS)
PULSE = TriggerOrder(
    kind=TriggerKind.PULSE,
    output=OutputOrder(line=TRIGGER, consumer="test"),
    pulse=PulseOrder(width_ns=NS_PER_MS),
    cycle_ns=40 * NS_PER_MS,
)
FOLLOW = TriggerOrder(kind=TriggerKind.EDGE, input=InputOrder(line=EDGE, consumer="test", falling=False))
STOP_ORDER = StopOrder(input=InputOrder(line=STOP, consumer="test"))


def triggered(trigger=PULSE, mode=TriggerMode.EXTERNAL_EDGE, budget=BUDGET, **more):
    camera = CameraTrigger(budget=budget, wish=TriggerWish(mode=mode), **more)
    return {"trigger": trigger, "camera_trigger": camera}


def ledger(stage):
    """What the ring of pulses has, all of it."""
    return [unpack(record) for record in RingReader(stage.board.pulses).read()[0]]


def ends(stage, camera="top"):
    return [record.end for record in ledger(stage) if record.camera == NAMES.index(camera)]


def seen(stage, camera="top"):
    """The camera's own account."""
    return stage.cameras[camera].trigger.account()


# ---- arm means armed (E2)


def test_a_tick_is_one_pulse_and_one_frame_of_each_camera():
    with LoopStage(**triggered()) as stage:
        stage.add("p", period_ms=100, count=5)
        stage.advance(700 * NS_PER_MS)
        account = stage.account("p")
        assert (account.ticks, account.delivered, account.failed) == (5, 5, 0)
        for name in NAMES:
            words = stage.words(name)
            assert (words[Of.PULSES], words[Of.MATCHED], words[Of.SPURIOUS]) == (5, 5, 0)
            # stamps are whole microseconds, rounded down
            assert -1_300 <= words[Of.RESIDUAL_MIN_NS] <= words[Of.RESIDUAL_MAX_NS] <= 300
            assert [exposed.pulse for exposed in seen(stage, name).exposures] == [0, 1, 2, 3, 4]
        assert stage.board.words[Head.PULSES] == 5
        assert stage.taken("side") == 0, "nobody wanted its frames"


def test_no_pulse_leaves_before_the_trigger_has_settled():
    with LoopStage(**triggered(PULSE.__class__(**{**_fields(PULSE), "settle_ns": 200 * NS_PER_MS}))) as stage:
        stage.add("p", period_ms=50, count=6)
        stage.advance(400 * NS_PER_MS)
        account = stage.account("p")
        assert account.skipped_not_ready == 4
        assert account.delivered == 2
        assert seen(stage).pulses_seen == 2


def test_no_pulse_leaves_while_a_camera_of_the_group_does_not_stream():
    with LoopStage(**triggered()) as stage:
        stage.add("p", period_ms=50, count=2, start_ns=stage.clock.now_ns() + 50 * NS_PER_MS)
        stage.ask(m.Cancel, kind="camera", name="side", by="a test")
        stage.advance(200 * NS_PER_MS)
        assert stage.account("p").skipped_not_ready == 2
        assert seen(stage).pulses_seen == 0
        stage.ask(m.StartCamera, camera="side")
        stage.settle()
        stage.add("q", period_ms=50, count=2)
        stage.advance(200 * NS_PER_MS)
        assert stage.account("q").delivered == 2


def test_a_line_that_is_stuck_active_is_told_and_nothing_is_fired():
    class Stuck:
        def __init__(self, line):
            self._line = line

        def is_active(self):
            return True

        def __getattr__(self, name):
            return getattr(self._line, name)

    stage = LoopStage(**triggered())
    stage.wrap_output = Stuck
    with stage:
        stage.add("p", period_ms=50, count=3)
        stage.advance(200 * NS_PER_MS)
        assert stage.account("p").skipped_not_ready == 3
        assert "trigger_not_idle" in [told.code for told in stage.of(m.TriggerTold)]
        assert seen(stage).pulses_seen == 0


def test_the_trigger_mode_is_proven_and_put_back_at_the_end():
    with LoopStage(**triggered()) as stage:
        camera = stage.cameras["top"]
        mode_id = camera.profile.trigger.mode_id
        assert camera.controls.number(mode_id) == 1
    assert camera.controls.number(mode_id) == 0


def test_a_camera_that_does_not_take_the_mode_is_a_fault_and_never_pulsed():
    stage = LoopStage(**triggered())
    stage.prepare_camera = lambda camera: setattr(camera.faults, "ignored_controls", {camera.profile.trigger.mode_id})
    with stage:
        assert read_word(stage.words()[Of.WORD])[0] is Phase.FAULT
        assert stage.of(m.CameraChanged)[-1].code == "trigger_mode_not_proven"
        assert not stage.streams()


# ---- pulses are shared, queued and never closer than a cycle


def test_ticks_that_are_due_together_share_one_pulse():
    with LoopStage(**triggered()) as stage:
        stage.add("a", "b", period_ms=100, count=3)
        stage.advance(400 * NS_PER_MS)
        assert [stage.account(name).delivered for name in "ab"] == [3, 3]
        assert seen(stage).pulses_seen == 3


def test_a_burst_is_a_train_of_pulses_a_cycle_apart():
    with LoopStage(**triggered()) as stage:
        stage.add("p", period_ms=None, burst=4)
        stage.advance(400 * NS_PER_MS)
        assert (stage.account("p").delivered, stage.account("p").frames) == (1, 4)
        times = [pulse.at_ns for pulse in seen(stage).pulses]
        assert [after - before >= 40 * NS_PER_MS for before, after in pairwise(times)] == [True] * 3


def test_a_tick_within_the_cycle_of_the_last_pulse_waits_for_its_end():
    with LoopStage(**triggered()) as stage:
        stage.add("a", period_ms=None)
        stage.add("b", period_ms=None, start_ns=stage.clock.now_ns() + 20 * NS_PER_MS)
        stage.advance(300 * NS_PER_MS)
        assert [stage.account(name).delivered for name in "ab"] == [1, 1]
        first, second = seen(stage).pulses
        assert second.at_ns - first.at_ns >= 40 * NS_PER_MS


def test_both_cameras_of_the_group_as_a_set():
    with LoopStage(**triggered()) as stage:
        stage.add("p", camera="g", period_ms=100, count=4)
        stage.advance(600 * NS_PER_MS)
        account = stage.account("p")
        assert (account.delivered, account.frames) == (4, 8)
        words = stage.board.words
        assert (words[Head.SETS], words[Head.SETS_INCOMPLETE]) == (4, 0)
        assert 0 <= words[Head.SKEW_NS] <= words[Head.SKEW_MAX_NS] <= 1_600


def test_pain_15_a_camera_that_misses_a_pulse_makes_an_incomplete_set_never_a_shifted_one():
    with LoopStage(**triggered()) as stage:
        stage.add("p", camera="g", period_ms=100, count=5, when_busy=WhenBusy.SKIP)
        stage.advance(250 * NS_PER_MS)
        stage.cameras["side"].faults.drop_triggers = 1
        stage.advance(500 * NS_PER_MS)
        account = stage.account("p")
        assert (account.delivered, account.failed) == (4, 1)
        assert stage.board.words[Head.SETS_INCOMPLETE] == 1
        assert [record.end for record in stage.records if record.end is not TickEnd.DELIVERED] == [TickEnd.INCOMPLETE]
        # pulse by pulse: each matched frame is of its own pulse, by the camera's own account
        for name in NAMES:
            of_pulse = {exposed.sequence: exposed.pulse for exposed in seen(stage, name).exposures}
            for record in ledger(stage):
                if record.camera == NAMES.index(name) and record.end is End.MATCHED:
                    assert of_pulse[record.frame] == record.pulse


# ---- the ledger (E3, E4)


def test_pain_2_a_pulse_without_a_frame_ends_its_tick_within_the_wait():
    with LoopStage(**triggered()) as stage:
        stage.cameras["top"].faults.drop_triggers = 1
        stage.add("p", period_ms=None)
        stage.advance(BUDGET.wait_ns + 5 * NS_PER_MS)
        assert stage.account("p").failed == 1
        assert [record.end for record in stage.records] == [TickEnd.NO_MATCH]
        assert ends(stage) == [End.MISSED]
        assert stage.streams(), "one miss does not restart a stream"


def test_pain_3_no_trigger_for_a_long_time_is_no_fault():
    with LoopStage(**triggered()) as stage:
        stage.advance(60 * NS_PER_S)
        assert read_word(stage.words()[Of.WORD]) == (Phase.ARMED, False, False)
        assert stage.words()[Of.FAULTS] == 0
        stage.add("p", period_ms=None)
        stage.advance(100 * NS_PER_MS)
        assert stage.account("p").delivered == 1


def test_pulses_that_are_never_answered_are_a_fault_and_the_stream_comes_back():
    with LoopStage(**triggered()) as stage:
        stage.cameras["top"].faults.drop_triggers = 3
        stage.add("p", period_ms=100)
        stage.advance(350 * NS_PER_MS)
        assert stage.words()[Of.FAULTS] == 1
        stage.advance(2 * NS_PER_S)
        assert read_word(stage.words()[Of.WORD])[0] is Phase.ARMED
        before = stage.account("p").delivered
        stage.advance(NS_PER_S)
        assert stage.account("p").delivered >= before + 9


def test_pain_4_a_ghost_is_counted_and_nobody_gets_it():
    with LoopStage(**triggered()) as stage:
        stage.add("p", period_ms=100, count=4)
        stage.advance(150 * NS_PER_MS)
        stage.cameras["top"].trigger.ghost(stage.clock.now_ns() + 20 * NS_PER_MS)
        stage.advance(400 * NS_PER_MS)
        assert stage.words()[Of.SPURIOUS] == 1
        account = stage.account("p")
        assert (account.delivered, account.frames) == (4, 4)
        assert stage.words()[Of.TAKEN] == 4


def test_two_frames_for_one_pulse_are_named():
    with LoopStage(**triggered()) as stage:
        stage.cameras["top"].faults.double_triggers = 1
        stage.add("p", period_ms=200, count=2)
        stage.advance(500 * NS_PER_MS)
        assert stage.account("p").delivered == 2
        assert stage.words()[Of.SPURIOUS] + stage.words()[Of.AMBIGUOUS_FRAMES] == 1


def test_stopping_ends_open_pulses_with_the_reason_and_the_line_is_inactive():
    with LoopStage(**triggered()) as stage:
        stage.add("p", period_ms=100)
        stage.advance(1)
        assert stage.lines.level(TRIGGER)
        answer = stage.ask(m.Cancel, kind="all", name="", by="a test")
        assert isinstance(answer, m.Done)
        assert not stage.lines.level(TRIGGER)
        assert [(record.end, record.cause) for record in ledger(stage)] == [(End.MISSED, Cause.STOPPED)] * 2
        assert stage.account("p").shots_cancelled == 1
        pulses = seen(stage).pulses_seen
        stage.advance(NS_PER_S)
        assert seen(stage).pulses_seen == pulses


def test_the_cameras_own_account_and_the_ledger_agree_under_faults():
    with LoopStage(**triggered()) as stage:
        stage.add("p", period_ms=80)
        faults = stage.cameras["top"].faults
        for round_ in range(12):
            if round_ % 4 == 1:
                faults.drop_triggers = 1
            if round_ % 4 == 2:
                faults.double_triggers = 1
            stage.advance(240 * NS_PER_MS)
        stage.ask(m.Cancel, kind="all", name="", by="a test")
        stage.advance(100 * NS_PER_MS)
        own = seen(stage)
        words = stage.words()
        assert own.pulses_seen == words[Of.PULSES]
        open_ = words[Of.PULSES] - sum(words[of] for of in (Of.MATCHED, Of.MISSED, Of.LATE, Of.AMBIGUOUS))
        assert open_ == 0
        dropped = {pulse.number for pulse in own.pulses if pulse.fate in (Fate.DROPPED, Fate.BUSY)}
        missed = {record.pulse for record in ledger(stage) if record.camera == 0 and record.end is End.MISSED
                  and record.cause is not Cause.STOPPED and not record.explained}  # fmt: skip
        assert missed == dropped
        of_pulse = {(exposed.run, exposed.sequence): exposed.pulse for exposed in own.exposures}
        for record in ledger(stage):
            if record.camera == 0 and record.end is End.MATCHED:
                assert of_pulse[0, record.frame] == record.pulse


# ---- lines that fail


def test_a_line_that_vanishes_is_told_its_ticks_are_refused_and_it_comes_back():
    with LoopStage(**triggered()) as stage:
        stage.add("p", period_ms=100)
        stage.advance(250 * NS_PER_MS)
        delivered = stage.account("p").delivered
        stage.lines.unplug("bench")
        stage.advance(500 * NS_PER_MS)
        assert "line_gone" in [told.code for told in stage.of(m.TriggerTold)]
        account = stage.account("p")
        assert account.delivered <= delivered + 1
        assert account.skipped_not_ready >= 3
        stage.lines.plug("bench")
        stage.advance(3 * NS_PER_S)
        assert stage.of(m.TriggerTold)[-1].code == "works"
        assert stage.account("p").delivered > delivered + 5


def test_a_line_that_somebody_holds_is_told_by_whom():
    stage = LoopStage(**triggered())
    stage.hold = OutputOrder(line=TRIGGER, consumer="somebody")
    with stage:
        stage.add("p", period_ms=100, count=2)
        stage.advance(300 * NS_PER_MS)
        told = stage.of(m.TriggerTold)[-1]
        assert told.code == "line_busy"
        assert "somebody" in told.told
        assert stage.account("p").skipped_not_ready == 2


# ---- triggers of others


def follow(**more):
    return triggered(FOLLOW, **more)


def outside(stage, at=None):
    """Somebody else's pulse."""
    stage.lines.pull(EDGE, True)
    for camera in stage.cameras.values():
        camera.level(True, stage.clock.now_ns())
    stage.settle()
    stage.advance(NS_PER_MS)
    stage.lines.pull(EDGE, False)
    for camera in stage.cameras.values():
        camera.level(False, stage.clock.now_ns())
    stage.settle()


def test_an_edge_starts_a_plan_and_its_frame_is_that_of_the_edge():
    with LoopStage(**follow()) as stage:
        stage.add("p", period_ms=None, on_edge=OnEdge())
        for _ in range(4):
            outside(stage)
            stage.advance(100 * NS_PER_MS)
        account = stage.account("p")
        assert (account.ticks, account.delivered) == (4, 4)
        assert ends(stage) == [End.MATCHED] * 4
        assert stage.board.words[Head.EDGES] == 4


def test_every_second_edge_and_none_too_close():
    with LoopStage(**follow()) as stage:
        stage.add("p", period_ms=None, on_edge=OnEdge(divider=2, distance_ns=50 * NS_PER_MS))
        for _ in range(5):
            outside(stage)
            stage.advance(100 * NS_PER_MS)
        assert stage.account("p").ticks == 3


def test_a_timed_plan_on_a_trigger_of_others_waits_for_the_next_pulse_however_long():
    with LoopStage(**follow()) as stage:
        stage.add("p", period_ms=None)
        stage.advance(20 * NS_PER_S)
        assert stage.account("p").under_way == 1
        outside(stage)
        stage.advance(100 * NS_PER_MS)
        assert stage.account("p").delivered == 1


def test_an_edge_starts_plans_of_cameras_that_run_free():
    with LoopStage(trigger=TriggerOrder(input=FOLLOW.input)) as stage:
        stage.add("p", period_ms=None, on_edge=OnEdge())
        stage.advance(200 * NS_PER_MS)
        assert stage.account("p").ticks == 0
        at_ns = stage.clock.now_ns()
        outside(stage)
        stage.advance(100 * NS_PER_MS)
        assert stage.account("p").delivered == 1
        assert stage.records[-1].due_ns == at_ns


def test_a_plan_on_edges_needs_a_line():
    with LoopStage() as stage:
        answer = stage.ask(m.AddPlans, orders=(stage.plan("p", period_ms=None, on_edge=OnEdge()),))
        assert isinstance(answer, m.Refused)
        assert "input" in answer.hint


def test_the_cameras_own_software_trigger():
    with LoopStage(**triggered(TriggerOrder(kind=TriggerKind.SOFTWARE, cycle_ns=50 * NS_PER_MS),
                               TriggerMode.SOFTWARE)) as stage:  # fmt: skip
        stage.add("p", camera="g", period_ms=100, count=3)
        stage.advance(600 * NS_PER_MS)
        assert (stage.account("p").delivered, stage.account("p").frames) == (3, 6)
        assert ends(stage) == [End.MATCHED] * 3


# ---- the emergency stop (G3)


def test_an_edge_stops_every_stream_in_the_same_turn_and_stays_latched():
    with LoopStage(emergency_stop=STOP_ORDER, **triggered()) as stage:
        stage.add("p", period_ms=100)
        stage.advance(250 * NS_PER_MS)
        pressed_ns = stage.clock.now_ns()
        stage.lines.pull(STOP, True)
        stage.turn()
        assert [stage.helpers[f"stopper {name}"].job is not None for name in NAMES] == [True, True], (
            "STREAMOFF is asked"
        )
        stage.settle()
        (told,) = stage.of(m.EmergencyStopped)
        assert told.pressed_ns == pressed_ns
        assert [report.was_on for report in told.facts.cameras] == [True, True]
        assert not any(stage.streams(name) for name in NAMES)
        assert not stage.lines.level(TRIGGER)
        for kind, what in ((m.StartCamera, {"camera": "top"}), (m.AddPlans, {"orders": (stage.plan("q"),)})):
            answer = stage.ask(kind, **what)
            assert (type(answer), answer.code) == (m.Refused, "emergency_stop")


def test_it_is_released_when_the_line_is_and_somebody_says_so():
    with LoopStage(emergency_stop=STOP_ORDER, **triggered()) as stage:
        stage.lines.pull(STOP, True)
        stage.settle()
        refused = stage.ask(m.ReleaseStop)
        assert (type(refused), refused.code) == (m.Refused, "emergency_stop")
        stage.lines.pull(STOP, False)
        stage.settle()
        assert stage.ask(m.StartCamera, camera="top").code == "emergency_stop", "it is latched"
        assert isinstance(stage.ask(m.ReleaseStop), m.Done)
        stage.add("p", period_ms=100, count=1)
        stage.advance(300 * NS_PER_MS)
        assert stage.streams("top")
        assert len(stage.of(m.EmergencyStopped)) == 1


def test_a_press_whose_two_edges_the_kernel_merged_into_one_stops_as_well():
    class Merging:
        def __init__(self, line):
            self._line = line

        def read(self):
            edges, lost = self._line.read()
            return Edges(edges[-1:], lost)

        def __getattr__(self, name):
            return getattr(self._line, name)

    stage = LoopStage(emergency_stop=STOP_ORDER)
    stage.wrap_input = Merging
    with stage:
        stage.lines.pull(STOP, True)
        stage.lines.pull(STOP, False)
        stage.settle()
        assert len(stage.of(m.EmergencyStopped)) == 1
        assert not stage.streams()
        assert isinstance(stage.ask(m.ReleaseStop), m.Done)
        stage.ask(m.StartCamera, camera="top")
        assert stage.streams(), "the edges of the press were not another one"


def test_pressed_from_the_beginning_nothing_is_started():
    stage = LoopStage(emergency_stop=STOP_ORDER, **triggered())
    stage.pulled = STOP
    with stage:
        assert not any(stage.streams(name) for name in NAMES)
        assert len(stage.of(m.EmergencyStopped)) == 1


def test_a_stop_line_that_vanishes_stops_as_well():
    with LoopStage(emergency_stop=STOP_ORDER) as stage:
        assert stage.streams()
        stage.lines.unplug("bench")
        stage.settle()
        assert not stage.streams()
        (told,) = stage.of(m.EmergencyStopped)
        assert "cannot be read" in told.why
        stage.lines.plug("bench")
        stage.advance(2 * NS_PER_S)
        assert not stage.streams()
        assert isinstance(stage.ask(m.ReleaseStop), m.Done)


# ---- timing budgets


def test_a_delay_out_of_budget_is_alarmed_once_and_its_end_as_well():
    budget = Budget(delay_ns=12_800, jitter_ns=300, window_ns=15 * NS_PER_MS, wait_ns=90 * NS_PER_MS)
    with LoopStage(**triggered(budget=budget)) as stage:
        stage.add("p", period_ms=100)
        camera = stage.cameras["top"]
        stage.advance(300 * NS_PER_MS)
        for _ in range(3):
            camera.faults.late_trigger_ns = 10 * NS_PER_MS
            stage.advance(100 * NS_PER_MS)
        stage.advance(3 * NS_PER_S)
        told = [told.code for told in stage.of(m.TriggerTold) if told.camera == "top"]
        assert told == ["out_of_budget", "back_in_budget"]
        assert stage.words()[Of.OUT_OF_BUDGET] == 3
        assert stage.board.delays(0).count == stage.words()[Of.MATCHED]


def test_a_strobe_line_measures_the_delay_itself():
    strobe = InputOrder(line=LineRef("bench", "strobe-0"), consumer="test")
    with LoopStage(**triggered(strobe=strobe), cameras=("top",)) as stage:
        stage.add("p", period_ms=100, count=5)
        stage.advance(700 * NS_PER_MS)
        words = stage.words()
        assert words[Of.STROBES] == 5
        assert 12_500 <= words[Of.STROBE_NS] <= 13_100
        assert stage.board.delays(0).count == 5


def _fields(order):
    return {name: getattr(order, name) for name in order.__slots__}


@pytest.mark.parametrize("width_ns", [50 * NS_PER_US, 10 * NS_PER_MS])
def test_pulses_are_as_wide_as_asked(width_ns):
    trigger = TriggerOrder(**{**_fields(PULSE), "pulse": PulseOrder(width_ns=width_ns)})
    with LoopStage(**triggered(trigger)) as stage:
        stage.add("p", period_ms=100, count=2)
        stage.advance(300 * NS_PER_MS)
        assert [pulse.width_ns for pulse in seen(stage).pulses] == [width_ns, width_ns]
