"""Groups, triggered cameras and plans on edges: what a file comes to."""

import pytest
from config.told import parse

from agent.capture.trigger_mode import TriggerWish
from agent.capture.trigger_order import StopOrder, TriggerKind, TriggerOrder
from agent.schedule.plan import OnEdge
from agent.trigger.budget import Budget
from agent.trigger.lines import Bias, InputOrder, LineRef, OutputOrder
from agent.trigger.modes import Activation, TriggerMode
from agent.trigger.pulse import PulseOrder
from agent.trigger.pwm_order import PwmOrder
from agent.units import NS_PER_MS, NS_PER_US

CONSUMER = "camera-agent line-1"
PULSE = "kind: pulse, output: bench:trigger"


def file(trigger=PULSE, camera="", own="{}", plan="camera: top, every: 500ms", more=""):
    return (
        f"groups: {{line-1: {{trigger: {{{trigger}}}}}}}\n"
        f"cameras: {{top: {{device: /dev/video0, group: line-1, {camera} trigger: {own}}}}}\n"
        f"plans: {{p: {{{plan}}}}}\n{more}"
    )


def group(*args, **kwargs):
    (found,) = parse(file(*args, **kwargs)).groups
    return found


def camera_trigger(*args, **kwargs):
    return group(*args, **kwargs).cameras[0].trigger


@pytest.mark.parametrize(
    ("text", "order"),
    [
        (PULSE, TriggerOrder(
            kind=TriggerKind.PULSE, output=OutputOrder(line=LineRef("bench", "trigger"), consumer=CONSUMER))),
        (f"{PULSE}, pulse: 50us, settle: 50ms, cycle: 40ms", TriggerOrder(
            kind=TriggerKind.PULSE, output=OutputOrder(line=LineRef("bench", "trigger"), consumer=CONSUMER),
            pulse=PulseOrder(width_ns=50 * NS_PER_US), settle_ns=50 * NS_PER_MS, cycle_ns=40 * NS_PER_MS)),
        ("kind: pulse, output: {line: 'gpiochip0:17', active: low, safe: active}", TriggerOrder(
            kind=TriggerKind.PULSE, output=OutputOrder(
                line=LineRef("gpiochip0", "17"), consumer=CONSUMER, active_low=True, safe_active=True))),
        ("kind: edge, input: {line: edge, active: low, bias: pull-up, debounce: 1ms}", TriggerOrder(
            kind=TriggerKind.EDGE, input=InputOrder(
                line=LineRef("", "edge"), consumer=CONSUMER, active_low=True, bias=Bias.PULL_UP, falling=False,
                debounce_ns=NS_PER_MS))),
        ("kind: pwm, pwm: {chip: pwmchip0, every: 100ms, width: 1ms, active: low}", TriggerOrder(
            kind=TriggerKind.PWM, pwm=PwmOrder(
                chip="pwmchip0", channel=0, period_ns=100 * NS_PER_MS, width_ns=NS_PER_MS, active_low=True))),
        ("kind: software, cycle: 50ms", TriggerOrder(kind=TriggerKind.SOFTWARE, cycle_ns=50 * NS_PER_MS)),
    ],
)  # fmt: skip
def test_each_kind_of_trigger(text, order):
    found = group(text)
    assert found.trigger == order
    mode = TriggerMode.SOFTWARE if order.kind is TriggerKind.SOFTWARE else TriggerMode.EXTERNAL_EDGE
    assert found.cameras[0].trigger.wish == TriggerWish(mode=mode)


def test_a_whole_budget():
    own = "{mode: external_level, sensor: IMX296, activation: falling, delay: 12.8us, jitter: 300ns, window: 5ms, wait: 100ms, strobe: bench:s}"  # noqa: E501
    found = camera_trigger(own=own)
    assert found.wish == TriggerWish(mode=TriggerMode.EXTERNAL_LEVEL, sensor="imx296", activation=Activation.FALLING)
    assert found.budget == Budget(delay_ns=12_800, jitter_ns=300, window_ns=5 * NS_PER_MS, wait_ns=100 * NS_PER_MS)
    assert (found.readout_ns, camera_trigger(own="{readout: 16ms}").readout_ns) == (0, 16 * NS_PER_MS)
    assert found.strobe == InputOrder(line=LineRef("bench", "s"), consumer="camera-agent top", falling=False)


@pytest.mark.parametrize(
    ("camera", "trigger", "window_ms", "wait_ms"),
    [
        ("rate: 25, exposure: 8ms,", PULSE, 10, 10 + 8 + 80),
        ("rate: 25, exposure: 8ms,", f"{PULSE}, cycle: 60ms", 15, 15 + 8 + 80),
        ("rate: 25, exposure: 8ms,", f"{PULSE}, cycle: 400ms", 40, 40 + 8 + 80),
        ("exposure: 8ms,", f"{PULSE}, cycle: 40ms", 10, 10 + 8 + 200),
        ("rate: 25,", PULSE, 10, 10 + 40 + 80),
        ("", PULSE, 100, 100 + 100 + 200),
        ("", "kind: edge, input: bench:edge", 25, 25 + 100 + 200),
        ("", "kind: pwm, pwm: {chip: pwmchip0, every: 80ms, width: 1ms}", 20, 20 + 100 + 200),
    ],
)
def test_what_is_usual_where_no_budget_is_written(camera, trigger, window_ms, wait_ms):
    window_ns = window_ms * NS_PER_MS
    wanted = Budget(delay_ns=0, jitter_ns=window_ns, window_ns=window_ns, wait_ns=wait_ms * NS_PER_MS)
    assert camera_trigger(trigger, camera).budget == wanted


def test_a_level_exposes_for_as_long_as_the_pulse_is_wide():
    found = camera_trigger(f"{PULSE}, cycle: 40ms, pulse: 3ms", "exposure: 8ms, rate: 25,", "{mode: external_level}")
    assert found.budget.wait_ns == (10 + 3 + 80) * NS_PER_MS


def test_cameras_of_a_triggered_group_may_run_free():
    text = file().replace("plans:", "  left: {device: /dev/video2, group: line-1}\nplans:")
    text = text.replace("cameras: {top: {", "cameras:\n  top: {").replace("trigger: {}}}\n", "trigger: {}}\n")
    (found,) = parse(text).groups
    assert [camera.trigger is None for camera in found.cameras] == [False, True]


def test_an_emergency_stop_alone():
    (found,) = parse(
        "groups: {line-1: {emergency_stop: {line: 'bench:stop', active: low}}}\n"
        "cameras: {top: {device: /dev/video0, group: line-1}}\nplans: {p: {camera: top}}\n"
    ).groups
    line = InputOrder(line=LineRef("bench", "stop"), consumer=CONSUMER, active_low=True, falling=False)
    assert (found.trigger, found.emergency_stop) == (None, StopOrder(input=line))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("true", OnEdge()),
        ("{divider: 2}", OnEdge(2)),
        ("{divider: 3, distance: 10ms}", OnEdge(3, 10 * NS_PER_MS)),
        ("{}", OnEdge()),
    ],
)
def test_plans_on_edges(text, wanted):
    free = f"groups: {{line-1: {{trigger: {{input: bench:edge}}}}}}\ncameras: {{top: {{device: /dev/video0, group: line-1}}}}\nplans: {{p: {{camera: top, count: 5, on_edge: {text}}}}}\n"  # noqa: E501
    found = parse(free)
    assert found.groups[0].trigger.kind is None
    plan = found.plans["line-1"][0].plan
    assert (plan.on_edge, plan.period_ns, plan.count) == (wanted, None, 5)


def test_a_plan_of_a_group_has_its_name_and_room_in_every_camera():
    text = (
        "cameras:\n  a: {device: /dev/video0, group: g}\n  b: {device: /dev/video2, group: g}\n"
        "plans: {sets: {group: g, every: 1s, burst: 9, copies: 2}}\n"
    )
    found = parse(text)
    assert [order.plan.camera for order in found.plans["g"]] == ["g", "g"]
    assert [camera.settings.buffer_count for camera in found.groups[0].cameras] == [13, 13]


def test_trigger_modes_are_told_to_each_triggered_camera():
    entries = camera_trigger(more="trigger_modes: {mine: {driver: x, modes: {external_edge: itself}}}\n").entries
    assert [entry.name for entry in entries] == ["mine"]
    assert camera_trigger().entries == ()


def test_the_name_of_a_long_group_fits_into_the_kernels_label():
    name = "n" * 64
    (found,) = parse(file().replace("line-1", name)).groups
    assert found.trigger.output.consumer == f"camera-agent {'n' * 18}"
