"""What a plan file says of triggers, in words and as facts: who fires whom, on which line, and within which budget."""

from __future__ import annotations

from collections.abc import Iterator

from agent.capture.order import CameraOrder, GroupOrder
from agent.capture.trigger_order import TriggerKind, TriggerOrder
from agent.schedule.plan import OnEdge
from agent.trigger.lines import InputOrder, OutputOrder
from agent.units import format_duration


def group_rows(group: GroupOrder) -> Iterator[tuple[str, str]]:
    """Rows for a group with lines, none for another."""
    if group.trigger is not None:
        yield "trigger", _trigger_text(group.trigger)
        if group.trigger.settle_ns:
            yield "first pulse", f"{format_duration(group.trigger.settle_ns)} after all its cameras stream"
        if group.trigger.input is not None:
            yield "input", _input_text(group.trigger.input)
    if group.emergency_stop is not None:
        stop = _input_text(group.emergency_stop.input)
        yield "emergency stop", f"{stop}: it stops every camera of the group, and ends the run"
    if group.trigger is not None and group.trigger.kind is not None:
        for camera in group.cameras:
            yield f"camera {camera.name}", _camera_text(camera)


def group_facts(group: GroupOrder) -> dict[str, object]:
    """The same for programs. Times in nanoseconds."""
    order, stop = group.trigger, group.emergency_stop
    facts: dict[str, object] = {"name": group.name, "trigger": None if order is None else _trigger_facts(order)}
    facts["emergency_stop"] = None if stop is None else str(stop.input.line)
    facts["cameras"] = {camera.name: _camera_facts(camera) for camera in group.cameras}
    return facts


def edges_text(on_edge: OnEdge) -> str:
    """Which edges start a plan, in words."""
    every = "each edge" if on_edge.divider == 1 else f"one of {on_edge.divider} edges"
    apart = f", {format_duration(on_edge.distance_ns)} apart at least" if on_edge.distance_ns else ""
    return every + apart


def _trigger_text(order: TriggerOrder) -> str:
    apart = "the cameras' frame interval" if order.cycle_ns is None else format_duration(order.cycle_ns)
    match order.kind:
        case TriggerKind.PULSE if order.output is not None:
            width, line = format_duration(order.pulse.width_ns), _output_text(order.output)
            return f"a pulse of {width} on {line} when a tick is due, {apart} apart at least"
        case TriggerKind.SOFTWARE:
            return f"the cameras' own software triggers when a tick is due, {apart} apart at least"
        case TriggerKind.PWM if order.pwm is not None:
            every, width = format_duration(order.pwm.period_ns), format_duration(order.pwm.width_ns)
            return f"{order.pwm.chip} channel {order.pwm.channel}: a pulse of {width} every {every} while they stream"
        case TriggerKind.EDGE:
            return "somebody else's pulses, seen on its input"
        case _:
            return "none: its cameras run free, and edges of its input start plans"


def _output_text(order: OutputOrder) -> str:
    told = [word for word, said in (("active low", order.active_low), ("safe level active", order.safe_active)) if said]
    return f"line {order.line}" + (f" ({', '.join(told)})" if told else "")


def _input_text(order: InputOrder) -> str:
    told = ["active low"] if order.active_low else []
    told += [] if order.bias is None else [order.bias.value]
    told += [] if order.debounce_ns is None else [f"debounced by {format_duration(order.debounce_ns)}"]
    return f"line {order.line}" + (f" ({', '.join(told)})" if told else "")


def _camera_text(camera: CameraOrder) -> str:
    trigger = camera.trigger
    if trigger is None:
        return "runs free"
    budget, activation = trigger.budget, trigger.wish.activation
    mode = trigger.wish.mode + (f" ({activation})" if activation is not None else "")
    within = "" if budget.jitter_ns == budget.window_ns else f" ± {format_duration(budget.jitter_ns)}"
    after = (
        f"{format_duration(budget.delay_ns)}{within} after the pulse" if budget.delay_ns or within else "at the pulse"
    )
    told = (
        f"{mode}: exposes {after}, "
        f"looked for within ± {format_duration(budget.window_ns)}, missed after {format_duration(budget.wait_ns)}"
    )
    return told if trigger.strobe is None else f"{told}; its strobe is {_input_text(trigger.strobe)}"


def _trigger_facts(order: TriggerOrder) -> dict[str, object]:
    return {
        "kind": None if order.kind is None else order.kind.value,
        "output": None if order.output is None else str(order.output.line),
        "pulse_ns": order.pulse.width_ns if order.kind is TriggerKind.PULSE else None,
        "pwm": None if order.pwm is None else f"{order.pwm.chip}:{order.pwm.channel}",
        "pwm_every_ns": None if order.pwm is None else order.pwm.period_ns,
        "pwm_width_ns": None if order.pwm is None else order.pwm.width_ns,
        "input": None if order.input is None else str(order.input.line),
        "settle_ns": order.settle_ns,
        "cycle_ns": order.cycle_ns,
    }


def _camera_facts(camera: CameraOrder) -> dict[str, object] | None:
    trigger = camera.trigger
    if trigger is None:
        return None
    return {
        "mode": trigger.wish.mode.value,
        "activation": trigger.wish.activation,
        "sensor": trigger.wish.sensor,
        "delay_ns": trigger.budget.delay_ns,
        "jitter_ns": trigger.budget.jitter_ns,
        "window_ns": trigger.budget.window_ns,
        "wait_ns": trigger.budget.wait_ns,
        "strobe": None if trigger.strobe is None else str(trigger.strobe.line),
    }
