"""Triggered groups as a whole: each camera's budget, and whether cameras, triggers and plans fit together.

What is usual where a camera's budget is not written: a delay of 0; a window of a quarter of the shortest distance
between two pulses, one frame interval at most; a jitter as wide as the window, so that nothing is out of budget; and a
wait of delay, window, exposure and two frame intervals. Where the file does not say the frame rate, a frame interval
is taken as 100 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.capture.trigger_mode import TriggerWish
from agent.capture.trigger_order import CameraTrigger, TriggerKind, TriggerOrder
from agent.config.camera_triggers import CameraWish
from agent.config.cameras import Camera
from agent.config.groups import Group
from agent.config.lines import LineUse, check_lines
from agent.config.plans import PlanEntry
from agent.config.reader import Value
from agent.trigger.budget import Budget, BudgetError, check_budget
from agent.trigger.modes import TriggerEntry, TriggerMode
from agent.units import NS_PER_MS, format_duration

USUAL_INTERVAL_NS = 100 * NS_PER_MS
"""From frame to frame, where the file does not say the rate."""


@dataclass(frozen=True, slots=True)
class _Pulses:
    """A group's pulses, as far as the file tells. `apart_ns`: the shortest distance between two, None: not known.

    `width_ns`: how long one is, None where nobody here knows.
    """

    apart_ns: int | None
    width_ns: int | None


def fit(
    cameras: Mapping[str, Camera],
    groups: Mapping[str, Group],
    entries: Sequence[PlanEntry],
    trigger_modes: Value | None,
    modes: tuple[TriggerEntry, ...],
) -> dict[str, Camera]:
    """The cameras, those with a trigger with their budgets. What does not fit together goes to the problems."""
    check_lines(_uses(cameras, groups))
    fitted = {name: _fitted(camera, cameras, groups, entries, modes) for name, camera in cameras.items()}
    for name, group in groups.items():
        members = [camera for camera in cameras.values() if camera.group == name]
        if group.trigger is not None and group.trigger.kind and members and not any(each.wish for each in members):
            hint = f"write trigger: {{}} at a camera of group {name}, or leave the kind away"
            group.trigger_value.refuse("no camera is fired by this trigger", hint)
    for entry in entries:
        _check_plan(entry, cameras, groups)
    if trigger_modes is not None and not any(camera.wish for camera in cameras.values()):
        trigger_modes.refuse("no camera is triggered, so nobody reads this", "take it out, or trigger a camera")
    return fitted


def _fitted(
    camera: Camera,
    cameras: Mapping[str, Camera],
    groups: Mapping[str, Group],
    entries: Sequence[PlanEntry],
    modes: tuple[TriggerEntry, ...],
) -> Camera:
    """The camera with its trigger's budget; as it is where it runs free, or something is wrong."""
    group, wish = groups.get(camera.group), camera.wish
    if wish is None or not _has_kind(camera, wish, group) or group is None or group.trigger is None:
        return camera
    members = [each for each in cameras.values() if each.group == camera.group and each.wish is not None]
    ours = [entry for entry in entries if any(_is_of(entry, each) for each in members)]
    trigger = _trigger(camera, wish, group.trigger, _pulses(group.trigger, members, ours), modes)
    return replace(camera, order=replace(camera.order, trigger=trigger))


def _uses(cameras: Mapping[str, Camera], groups: Mapping[str, Group]) -> Iterator[LineUse]:
    for group in groups.values():
        yield from group.uses
    for name, camera in cameras.items():
        if camera.wish is not None and camera.wish.strobe is not None:
            yield LineUse(camera.wish.strobe.line, f"the strobe of camera {name}", camera.wish.strobe_value)


def _has_kind(camera: Camera, wish: CameraWish, group: Group | None) -> bool:
    """Whether something fires the camera."""
    if group is not None and (not group.sound or (group.trigger is not None and group.trigger.kind is not None)):
        return True
    has = "has no trigger" if group is None or group.trigger is None else "has a trigger without a kind"
    hint = f"write groups: {{{camera.group}: {{trigger: {{kind: pulse, output: gpiochip0:17}}}}}}, or let it run free"
    wish.value.refuse(f"group {camera.group} {has}, so nothing fires this camera", hint)
    return False


def _is_of(entry: PlanEntry, camera: Camera) -> bool:
    return entry.group == camera.group or (not entry.group and entry.order.plan.camera == camera.order.name)


def _pulses(order: TriggerOrder, members: Iterable[Camera], entries: Iterable[PlanEntry]) -> _Pulses:
    if order.kind is TriggerKind.PWM and order.pwm is not None:
        return _Pulses(order.pwm.period_ns, order.pwm.width_ns)
    width_ns = order.pulse.width_ns if order.kind is TriggerKind.PULSE else None
    cycle_ns = order.cycle_ns or max((camera.frame_interval_ns or 0 for camera in members), default=0)
    if cycle_ns or not order.fires:
        return _Pulses(cycle_ns or None, width_ns)
    periods_ns = (entry.order.plan.period_ns for entry in entries)
    return _Pulses(min((each for each in periods_ns if each is not None), default=None), width_ns)


def _trigger(
    camera: Camera, wish: CameraWish, order: TriggerOrder, pulses: _Pulses, modes: tuple[TriggerEntry, ...]
) -> CameraTrigger | None:
    mode = wish.mode or (TriggerMode.SOFTWARE if order.kind is TriggerKind.SOFTWARE else TriggerMode.EXTERNAL_EDGE)
    if (mode is TriggerMode.SOFTWARE) != (order.kind is TriggerKind.SOFTWARE):
        kind = "" if order.kind is None else order.kind.value
        message = f"mode {mode} does not fit group {camera.group}, whose trigger is of the kind {kind}"
        allowed = "software" if order.kind is TriggerKind.SOFTWARE else "external_edge or external_level"
        wish.value.child("mode").refuse(message, f"write mode: {allowed}, or take the line out")
        return None
    if not camera.sound:
        return None
    exposure_ns = pulses.width_ns if mode is TriggerMode.EXTERNAL_LEVEL else camera.order.settings.exposure_ns
    try:
        budget = _budget(wish, camera.frame_interval_ns, exposure_ns, pulses.apart_ns)
        check_budget(
            budget,
            exposure_ns=exposure_ns or 0,
            readout_ns=(camera.frame_interval_ns or 0) if wish.readout_ns is None else wish.readout_ns,
            shortest_ns=pulses.apart_ns,
            frame_interval_ns=camera.frame_interval_ns,
        )
    except BudgetError as error:
        for problem in dict.fromkeys(str(each) for each in _problems(error)):
            wish.value.refuse(problem, error.hint)
        return None
    return CameraTrigger(
        budget=budget,
        wish=TriggerWish(mode=mode, sensor=wish.sensor, activation=wish.activation),
        entries=modes,
        strobe=wish.strobe,
        readout_ns=wish.readout_ns or 0,
    )


def _problems(error: BudgetError) -> Iterable[object]:
    found = error.details.get("problems")
    return found if isinstance(found, list) else [error.message]


def _budget(wish: CameraWish, interval_ns: int | None, exposure_ns: int | None, apart_ns: int | None) -> Budget:
    """Raises BudgetError."""
    interval_ns = interval_ns or USUAL_INTERVAL_NS
    usual_ns = min((apart_ns or USUAL_INTERVAL_NS) // 4, interval_ns)
    delay_ns = wish.delay_ns or 0
    window_ns = wish.window_ns or max(usual_ns, wish.jitter_ns or 0)
    longest_ns = interval_ns if exposure_ns is None else exposure_ns
    return Budget(
        delay_ns=delay_ns,
        jitter_ns=window_ns if wish.jitter_ns is None else wish.jitter_ns,
        window_ns=window_ns,
        wait_ns=wish.wait_ns or delay_ns + window_ns + longest_ns + 2 * interval_ns,
    )


def _check_plan(entry: PlanEntry, cameras: Mapping[str, Camera], groups: Mapping[str, Group]) -> None:
    """A plan and the trigger of its group."""
    plan = entry.order.plan
    targets = [camera for camera in cameras.values() if _is_of(entry, camera)]
    if not targets:
        return
    name = targets[0].group
    group = groups.get(name)
    if group is not None and not group.sound:
        return
    order = None if group is None else group.trigger
    if plan.on_edge is not None and (order is None or not order.has_edges):
        hint = f"write groups: {{{name}: {{trigger: {{input: gpiochip0:27}}}}}}, or give the plan every: 500ms"
        entry.value.child("on_edge").refuse(f"group {name} has no input whose edges could start it", hint)
    if entry.group:
        _check_set(entry, targets, order)
    if order is not None and order.fires and plan.period_ns is not None:
        fired = [camera for camera in targets if camera.wish is not None]
        members = [camera for camera in cameras.values() if camera.group == name and camera.wish is not None]
        if fired:
            _check_period(entry, plan.period_ns, order, members)


def _check_set(entry: PlanEntry, targets: Sequence[Camera], order: TriggerOrder | None) -> None:
    """A set is of one pulse, or of no pulse at all; and its name must not be that of one camera."""
    if len(targets) > 1 and any(camera.order.name == entry.group for camera in targets):
        message = f"group {entry.group} has a camera of the same name, so what is meant is not clear"
        entry.value.child("group").refuse(message, "give the group another name")
    free = [camera.order.name for camera in targets if camera.wish is None]
    if order is not None and order.kind is not None and free and len(free) < len(targets):
        message = f"of group {entry.group} {', '.join(free)} runs free, and the other cameras are triggered"
        entry.value.child("group").refuse(message, "trigger all of them, or none, or make a plan for each camera")


def _check_period(entry: PlanEntry, period_ns: int, order: TriggerOrder, members: Iterable[Camera]) -> None:
    """Its pulses must be over before its next tick."""
    plan, at = entry.order.plan, entry.value.child("every")
    if order.kind is TriggerKind.PULSE and order.pulse.width_ns >= period_ns:
        told = f"a pulse of {format_duration(order.pulse.width_ns)} is as long as the time from tick to tick"
        at.refuse(f"{told}, {format_duration(period_ns)}", "write a longer every, or a shorter pulse")
    elif order.cycle_ns is not None and plan.burst * order.cycle_ns > period_ns:
        cycle = format_duration(order.cycle_ns)
        told = f"a cycle of {cycle} is" if plan.burst == 1 else f"{plan.burst} cycles of {cycle} are"
        at.refuse(
            f"{told} longer than the time from tick to tick, {format_duration(period_ns)}", "write a longer every"
        )
    else:
        interval_ns = max((camera.frame_interval_ns or 0 for camera in members), default=0)
        if (
            order.cycle_ns is None
            and plan.burst * interval_ns > period_ns
            and plan.camera
            in (camera.order.name for camera in members if (camera.frame_interval_ns or 0) < interval_ns)
        ):
            told = f"the slowest camera of its group takes {format_duration(interval_ns)} from pulse to pulse"
            frames = "" if plan.burst == 1 else f", and a tick is {plan.burst} of them"
            hint = f"write an every of {format_duration(plan.burst * interval_ns)} or more"
            at.refuse(f"{told}{frames}; from tick to tick it is {format_duration(period_ns)}", hint)
