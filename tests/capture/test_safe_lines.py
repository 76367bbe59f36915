"""Lines of a capture process that died in the middle of a pulse: safe before its successor starts."""

import signal

import pytest
from capture.acting import LIMITS, Theatre
from trigger.fake_pwm import FakePwm

from agent.capture.messages import Quit, TriggerTold
from agent.capture.order import CameraOrder, GroupOrder
from agent.capture.process_messages import ProcessStarted
from agent.capture.safe_lines import make_safe
from agent.capture.trigger_order import TriggerKind, TriggerOrder
from agent.simulation.clock import ManualClock
from agent.simulation.line_level import LineChip
from agent.simulation.lines import SimulatedLines
from agent.trigger.errors import LineBusy
from agent.trigger.lines import InputOrder, LineRef, OutputOrder
from agent.trigger.pwm import PwmOut
from agent.trigger.pwm_order import PwmOrder
from agent.units import NS_PER_S

LINE = LineRef("bench", "trigger")


class DeadMansLines:
    """A chip whose line keeps the level at which its process died, as most do. `did`: what happened, in order."""

    def __init__(self, chip, left_high=True):
        self.chip = chip
        self.did = []
        chip.on_level(LINE, lambda high, _at_ns: self.did.append("high" if high else "low"))
        chip.pull(LINE, left_high)
        self.did.clear()

    def open_output(self, order):
        self.did.append(f"taken by {order.consumer}")
        return self.chip.open_output(order)

    def open_input(self, order):
        raise NotImplementedError


@pytest.fixture
def chip():
    with SimulatedLines([LineChip(label="bench", names=("trigger",))], clock=ManualClock()) as made:
        yield made


def order(trigger):
    camera = CameraOrder(name="top", path="/dev/video0")
    return GroupOrder(name="g", cameras=(camera,), limits=LIMITS, plan_capacity=8, trigger=trigger)


def pulse(**output):
    return TriggerOrder(kind=TriggerKind.PULSE, output=OutputOrder(line=LINE, consumer="camera-agent", **output))


def stage_on(lines, trigger):
    return Theatre(order(trigger), make_safe=lambda group: make_safe(lines, group))


def test_a_process_that_is_killed_in_a_pulse_leaves_its_line_safe_before_the_next_one_starts(chip):
    lines = DeadMansLines(chip)
    with stage_on(lines, pulse()) as stage:
        stage.beat(NS_PER_S)
        assert lines.did == []
        stage.actor.die(-signal.SIGKILL)
        stage.go()
        assert lines.did[:2] == ["taken by camera-agent", "low"]
        assert len(stage.of(ProcessStarted)) == 1
        assert stage.of(TriggerTold) == []
        stage.go(NS_PER_S)
        assert len(stage.of(ProcessStarted)) == 2


@pytest.mark.parametrize(
    ("output", "left_high", "level"),
    [
        ({}, True, "low"),
        ({"active_low": True}, False, "high"),
        ({"safe_active": True}, False, "high"),
        ({"active_low": True, "safe_active": True}, True, "low"),
    ],
)
def test_the_safe_level_is_the_orders_own(chip, output, left_high, level):
    lines = DeadMansLines(chip, left_high)
    assert make_safe(lines, order(pulse(**output))) == []
    assert lines.did[1] == level
    assert not chip.lines("bench")[0].used


def test_a_line_that_somebody_else_took_is_told_and_the_process_is_replaced_all_the_same(chip):
    lines = DeadMansLines(chip)
    held = chip.open_output(OutputOrder(line=LINE, consumer="somebody"))
    with stage_on(lines, pulse()) as stage:
        stage.beat(NS_PER_S)
        stage.actor.die(1)
        stage.go(NS_PER_S)
        (told,) = stage.of(TriggerTold)
        assert (told.code, told.camera) == ("line_busy", "")
        assert "not made safe" in told.told
        assert "somebody" in told.told
        assert len(stage.of(ProcessStarted)) == 2
    held.release()


def test_a_process_that_ended_as_it_was_told_left_its_line_safe_itself(chip):
    lines = DeadMansLines(chip)
    with stage_on(lines, pulse()) as stage:
        stage.beat(NS_PER_S)
        stage.ask(Quit, by="a test")
        stage.actor.die(0)
        stage.go()
        assert stage.supervisor.finished
    assert lines.did == []


def test_processes_that_are_killed_at_the_end_leave_their_lines_safe(chip):
    lines = DeadMansLines(chip)
    with stage_on(lines, pulse()) as stage:
        stage.beat(NS_PER_S)
    assert lines.did[:2] == ["taken by camera-agent", "low"]
    assert stage.group.unsafe == ()


def test_one_that_cannot_be_killed_still_has_its_line(chip):
    lines = DeadMansLines(chip)
    with stage_on(lines, pulse()) as stage:
        stage.obeys = False
        stage.actor.obeys = False
        assert not stage.group.release()
        assert lines.did == []


def test_groups_without_outputs_touch_nothing(chip):
    lines = DeadMansLines(chip)
    watched = TriggerOrder(kind=TriggerKind.EDGE, input=InputOrder(line=LINE, consumer="test"))
    for trigger in (None, watched, TriggerOrder(kind=TriggerKind.SOFTWARE)):
        assert make_safe(lines, order(trigger)) == []
    assert lines.did == []


# ---- PWM outputs stay exported, and on, when their process dies


PWM = PwmOrder(chip="pwmchip0", channel=1, period_ns=10_000_000, width_ns=1_000_000)


def test_a_pwm_output_that_was_left_on_is_made_inactive_first_then_off_and_let_go(chip, tmp_path):
    pwm = FakePwm(tmp_path)
    dead = PwmOut(PWM, root=pwm.root, files=pwm)
    dead.start()
    pwm.writes.clear()
    trigger = TriggerOrder(kind=TriggerKind.PWM, pwm=PWM)
    lines = DeadMansLines(chip)

    def take(wanted):
        return PwmOut(wanted, root=pwm.root, files=pwm, adopts=True)

    assert make_safe(lines, order(trigger), take) == []
    assert pwm.writes[:3] == [("export", "1"), ("duty_cycle", "0"), ("enable", "0")]
    channel = pwm.channels[1]
    assert (channel.enable, channel.duty_cycle, channel.exported) == (0, 0, False)
    with PwmOut(PWM, root=pwm.root, files=pwm):
        assert channel.exported


def test_a_pwm_output_of_a_driver_is_not_adopted(tmp_path):
    pwm = FakePwm(tmp_path)
    pwm.channels[1].held_by_driver = True
    with pytest.raises(LineBusy):
        PwmOut(PWM, root=pwm.root, files=pwm, adopts=True)
