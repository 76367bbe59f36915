"""Simulated cameras never set a module parameter of the machine they run on."""

from agent.capture.order import CameraOrder, GroupOrder
from agent.capture.trigger_mode import TriggerWish
from agent.capture.trigger_order import CameraTrigger
from agent.cli.simulated_modes import sensors_without_modules, without_modules
from agent.trigger.budget import Budget
from agent.trigger.modes import ModeSwitch, ModuleSetting, TriggerEntry, TriggerMode

BUDGET = Budget(delay_ns=0, jitter_ns=0, window_ns=1, wait_ns=1)
BY_MODULE = TriggerEntry(
    name="mine",
    source="a test",
    sensor="mine",
    switches=(ModeSwitch(mode=TriggerMode.EXTERNAL_EDGE, module=ModuleSetting("mine", "trigger", 1)),),
)
BY_ITSELF = TriggerEntry(
    name="own", source="a test", sensor="own", switches=(ModeSwitch(mode=TriggerMode.EXTERNAL_EDGE),)
)


def camera(name, sensor, *entries):
    wish = TriggerWish(mode=TriggerMode.EXTERNAL_EDGE, sensor=sensor)
    return CameraOrder(name=name, path="/dev/video0", trigger=CameraTrigger(budget=BUDGET, wish=wish, entries=entries))


def test_entries_and_sensors_of_modules_are_left_away_and_others_stay():
    free = CameraOrder(name="free", path="/dev/video1")
    cameras = camera("a", "mine", BY_MODULE, BY_ITSELF), camera("b", "imx477"), camera("c", "own", BY_ITSELF), free
    group = GroupOrder(name="g", cameras=cameras)
    found = without_modules(group).cameras
    assert [each.trigger and each.trigger.wish.sensor for each in found] == ["", "", "own", None]
    assert [each.trigger.entries for each in found[:3]] == [(BY_ITSELF,), (), (BY_ITSELF,)]
    assert list(sensors_without_modules([group])) == [("a", "mine"), ("b", "imx477")]
