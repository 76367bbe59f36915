from dataclasses import replace

import pytest
from trigger.sysfs import make_parameter

from agent.capture.software_trigger import SoftwareTrigger
from agent.capture.trigger_mode import (
    TriggerWish,
    enter_trigger_mode,
    identify,
    leave_trigger_mode,
    prove_trigger_mode,
)
from agent.errors import ControlHeld, ControlValueError, DeviceGone
from agent.simulation.bench import SOFTWARE_TRIGGER, TRIGGER_DELAY, TRIGGER_MODE, sensor_profile, uvc_profile
from agent.simulation.clock import ManualClock
from agent.simulation.control_spec import boolean, button, menu
from agent.simulation.faults import Faults
from agent.simulation.kernel import SimulatedKernel
from agent.simulation.trigger_log import Fate
from agent.trigger.mode_errors import (
    ModuleNotLoaded,
    ModuleParameterFixed,
    TriggerModeNotProven,
    TriggerModeUnknown,
    TriggerOptionUnknown,
)
from agent.trigger.modes import (
    Activation,
    ControlName,
    ControlSetting,
    ModeSwitch,
    ModuleSetting,
    TriggerEntry,
    TriggerMode,
)
from agent.trigger.registry import KNOWN, Registry
from agent.v4l2.ioctl import Node
from agent.v4l2.trace import TracingKernel

ALLIED_CONTROLS = (
    boolean(0x009A_092F, "Trigger Mode", 0),
    menu(
        0x009A_0930,
        "Trigger Activation",
        {0: "Rising Edge", 1: "Falling Edge", 2: "Any Edge", 3: "Level High", 4: "Level Low"},
        2,
    ),
    menu(0x009A_0931, "Trigger Source", {0: "Line 0", 1: "Line 1", 2: "Line 2", 3: "Line 3", 4: "Software"}, 1),
    button(0x009A_0932, "Trigger Software"),
)
PLAIN = replace(uvc_profile(), card="Integrated Camera", trigger=None, controls=uvc_profile().controls[:-3])
ALLIED = replace(PLAIN, driver="tegra-video", card="vi-output", controls=PLAIN.controls + ALLIED_CONTROLS)


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def opened(faults):
    """Opens a camera of a profile: its node; the kernel is `node.kernel`."""
    kernels = []

    def open_(profile):
        kernel = SimulatedKernel([profile], clock=ManualClock(), faults={0: faults})
        node = Node(kernel, kernel.cameras[0].path)
        kernels.append((kernel, node))
        return node

    yield open_
    for kernel, node in kernels:
        node.release()
        kernel.release()


def values_of(node, *ids):
    return [node.kernel.cameras[0].controls.number(control_id) for control_id in ids]


def store(node, control_id, value):
    """As another program would."""
    camera = node.kernel.cameras[0]
    with camera.lock:
        camera.controls.store(control_id, value)


def wish(mode, **options):
    return TriggerWish(mode=TriggerMode(mode), **options)


@pytest.mark.parametrize("make", [uvc_profile, sensor_profile], ids=["A", "B"])
@pytest.mark.parametrize(
    ("mode", "value"), [("internal", 0), ("external_edge", 1), ("external_level", 2), ("software", 3)]
)
def test_a_bench_camera_enters_every_mode_and_is_put_back(opened, make, mode, value):
    node = opened(make())
    store(node, TRIGGER_MODE, 2)
    entered = enter_trigger_mode(node, wish(mode))
    assert values_of(node, TRIGGER_MODE) == [value]
    assert (entered.entry.name, entered.is_own) == ("bench", False)
    assert [(change.before, change.after) for change in entered.changes] == [(2, value)]
    prove_trigger_mode(node, entered)
    leave_trigger_mode(node, entered)
    assert values_of(node, TRIGGER_MODE) == [2]


def test_a_delay_is_set_in_the_steps_of_its_control(opened):
    node = opened(uvc_profile())
    entered = enter_trigger_mode(node, wish("external_edge", delay_ns=250_000))
    assert values_of(node, TRIGGER_MODE, TRIGGER_DELAY) == [1, 250]
    leave_trigger_mode(node, entered)
    assert values_of(node, TRIGGER_MODE, TRIGGER_DELAY) == [0, 0]
    with pytest.raises(ControlValueError, match="in steps of 1000 ns") as caught:
        enter_trigger_mode(node, wish("external_edge", delay_ns=250_500))
    assert "250000 ns or 251000 ns" in caught.value.hint
    with pytest.raises(ControlValueError):
        enter_trigger_mode(node, wish("external_edge", delay_ns=10**12))
    assert values_of(node, TRIGGER_MODE) == [0]


@pytest.mark.parametrize("options", [{"debounce_ns": 1000}, {"activation": Activation.RISING}])
def test_an_option_the_camera_has_no_control_for(opened, options):
    node = opened(uvc_profile())
    with pytest.raises(TriggerOptionUnknown, match="is a bench"):
        enter_trigger_mode(node, wish("external_edge", **options))
    assert values_of(node, TRIGGER_MODE) == [0]


@pytest.mark.parametrize(
    ("mode", "activation", "expected"),
    [
        ("internal", None, [0, 2, 1]),
        ("external_edge", None, [1, 0, 0]),
        ("external_edge", Activation.RISING, [1, 0, 0]),
        ("external_edge", Activation.FALLING, [1, 1, 0]),
        ("external_level", Activation.RISING, [1, 3, 0]),
        ("external_level", Activation.FALLING, [1, 4, 0]),
        ("software", None, [1, 2, 4]),
    ],
)
def test_a_vendor_with_three_controls(opened, mode, activation, expected):
    node = opened(ALLIED)
    entered = enter_trigger_mode(node, wish(mode, activation=activation))
    assert entered.entry.name == "allied-vision-alvium-csi2"
    assert values_of(node, 0x009A_092F, 0x009A_0930, 0x009A_0931) == expected
    leave_trigger_mode(node, entered)
    assert values_of(node, 0x009A_092F, 0x009A_0930, 0x009A_0931) == [0, 2, 1]


def test_an_unknown_camera_is_left_alone(opened):
    node = opened(PLAIN)
    with pytest.raises(TriggerModeUnknown, match="Integrated Camera"):
        enter_trigger_mode(node, wish("external_edge"))


def test_a_control_that_is_ignored_is_not_proven(opened, faults):
    node = opened(uvc_profile())
    faults.ignored_controls = {TRIGGER_MODE}
    with pytest.raises(TriggerModeNotProven, match="trigger_mode is 0, not 1") as caught:
        enter_trigger_mode(node, wish("external_edge"))
    assert caught.value.details["mismatches"] == {"trigger_mode": {"asked": 1, "read": 0}}


def test_the_proof_notices_what_changed_since(opened):
    node = opened(uvc_profile())
    entered = enter_trigger_mode(node, wish("external_edge"))
    store(node, TRIGGER_MODE, 0)
    with pytest.raises(TriggerModeNotProven, match="any more"):
        prove_trigger_mode(node, entered)


def test_what_cannot_be_put_back_is_told(opened, faults):
    node = opened(uvc_profile())
    entered = enter_trigger_mode(node, wish("external_edge"))
    faults.ignored_controls = {TRIGGER_MODE}
    with pytest.raises(TriggerModeNotProven, match="not as it was before"):
        leave_trigger_mode(node, entered)


def test_a_camera_that_is_held_or_gone(opened):
    node = opened(uvc_profile())
    camera = node.kernel.cameras[0]
    camera.set_grabbed(TRIGGER_MODE, grabbed=True)
    with pytest.raises(ControlHeld):
        enter_trigger_mode(node, wish("external_edge"))
    camera.unplug()
    with pytest.raises(DeviceGone):
        enter_trigger_mode(node, wish("external_edge"))


def test_a_camera_that_decides_itself(opened):
    own = TriggerEntry(
        name="own",
        source="here",
        card="Integrated",
        switches=(ModeSwitch(mode=TriggerMode.EXTERNAL_EDGE),),
    )
    node = opened(PLAIN)
    entered = enter_trigger_mode(node, wish("external_edge"), registry=KNOWN.before([own]))
    assert entered.is_own
    prove_trigger_mode(node, entered)
    leave_trigger_mode(node, entered)


def test_a_camera_that_reuses_the_privacy_control(opened):
    privacy = (*PLAIN.controls, boolean(0x009A_0910, "Privacy", 0))
    node = opened(replace(PLAIN, card="DFK 72BUC02", controls=privacy))
    assert enter_trigger_mode(node, wish("external_edge")).entry.name == "the-imaging-source-privacy"
    assert values_of(node, 0x009A_0910) == [1]
    with pytest.raises(TriggerModeUnknown):
        enter_trigger_mode(opened(replace(PLAIN, controls=privacy)), wish("external_edge"))


def test_a_sensor_by_its_module_parameter(opened, tmp_path):
    path = make_parameter(tmp_path, "imx296", "trigger_mode", 0)
    node = opened(PLAIN)
    entered = enter_trigger_mode(node, wish("external_level", sensor="imx296"), modules=tmp_path)
    assert path.read_text().strip() == "1"
    assert entered.module == (ModuleSetting("imx296", "trigger_mode", 1), 0)
    prove_trigger_mode(node, entered)
    path.write_text("0\n")
    with pytest.raises(TriggerModeNotProven, match=r"imx296\.trigger_mode is 0, not 1"):
        prove_trigger_mode(node, entered)
    path.write_text("1\n")
    leave_trigger_mode(node, entered)
    assert path.read_text().strip() == "0"


def test_a_sensor_whose_level_is_fixed(opened, tmp_path):
    make_parameter(tmp_path, "imx296", "trigger_mode", 0)
    node = opened(PLAIN)
    level = wish("external_level", sensor="imx296", activation=Activation.FALLING)
    assert enter_trigger_mode(node, level, modules=tmp_path).module is not None
    with pytest.raises(TriggerOptionUnknown) as caught:
        enter_trigger_mode(node, replace(level, activation=Activation.RISING), modules=tmp_path)
    assert caught.value.hint == "leave it away, or ask for falling"


def test_a_sensor_whose_module_is_not_loaded_or_fixed(opened, tmp_path):
    node = opened(PLAIN)
    with pytest.raises(ModuleNotLoaded):
        enter_trigger_mode(node, wish("external_level", sensor="imx296"), modules=tmp_path)
    make_parameter(tmp_path, "imx477", "trigger_mode", 0, 0o444)
    with pytest.raises(ModuleParameterFixed, match="fixed") as caught:
        enter_trigger_mode(node, wish("external_edge", sensor="imx477"), modules=tmp_path)
    assert "options imx477 trigger_mode=2" in caught.value.hint


def test_controls_are_put_back_when_the_module_fails(opened, tmp_path):
    both = TriggerEntry(
        name="both",
        source="here",
        drivers=frozenset({"uvcvideo"}),
        switches=(
            ModeSwitch(
                mode=TriggerMode.EXTERNAL_EDGE,
                settings=(ControlSetting(ControlName("trigger_mode"), 1),),
                module=ModuleSetting("absent", "mode", 1),
            ),
        ),
    )
    node = opened(uvc_profile())
    with pytest.raises(ModuleNotLoaded):
        enter_trigger_mode(node, wish("external_edge"), registry=Registry([both]), modules=tmp_path)
    assert values_of(node, TRIGGER_MODE) == [0]


def test_the_software_trigger_is_pressed_between_its_two_times(opened):
    node = opened(uvc_profile())
    entered = enter_trigger_mode(node, wish("software"))
    times = iter((10, 20))
    fired = SoftwareTrigger(node, entered, lambda: next(times)).fire()
    assert fired == (10, 20)
    [pulse] = node.kernel.cameras[0].trigger.account().pulses
    assert pulse.fate is Fate.NOT_STREAMING
    node.kernel.cameras[0].faults.refuse("VIDIOC_S_EXT_CTRLS", 19)
    with pytest.raises(DeviceGone):
        SoftwareTrigger(node, entered).fire()


def test_each_press_writes_the_value_of_the_button_again(opened):
    """The driver leaves what it made of it in the call's own memory: 0 for a button."""
    first = opened(uvc_profile())
    told = []
    with Node(TracingKernel(first.kernel, told.append, lambda: 0), first.path) as node:
        trigger = SoftwareTrigger(node, enter_trigger_mode(node, wish("software")))
        trigger.fire()
        trigger.fire()
    pressed = [call.asked for call in told if call.name == "VIDIOC_S_EXT_CTRLS"][-2:]
    assert pressed == [(("software_trigger", "1"),)] * 2


def test_there_is_no_software_trigger_in_another_mode(opened):
    node = opened(uvc_profile())
    with pytest.raises(TriggerOptionUnknown):
        SoftwareTrigger(node, enter_trigger_mode(node, wish("external_edge")))


def test_what_the_registry_looks_at(opened):
    camera = identify(opened(uvc_profile()), "imx296")
    assert (camera.driver, camera.card, camera.sensor) == ("uvcvideo", "Bench camera A", "imx296")
    assert camera.controls[SOFTWARE_TRIGGER] == "software_trigger"
    assert KNOWN.entry(camera).name == "bench"
