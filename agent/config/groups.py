"""`groups:` of a file: the trigger and the emergency stop of each group that has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.capture.trigger_order import StopOrder, TriggerKind, TriggerOrder
from agent.config import kinds
from agent.config.lines import LineUse, read_input, read_output
from agent.config.problems import quoted, shortened
from agent.config.reader import Table, Value
from agent.errors import InputError
from agent.trigger.lines import InputOrder, LineRef
from agent.trigger.pulse import PulseOrder
from agent.trigger.pwm_order import PwmOrder
from agent.units import NS_PER_MS, format_duration

USUAL_WIDTH_NS = NS_PER_MS
"""Of a pulse, where nothing is written."""
_KIND = kinds.choice(*(kind.value for kind in TriggerKind))
_CHANNEL = kinds.integer(0, 1023)
_LEVEL = kinds.choice("high", "low")
_ONLY_FOR = {
    "output": (TriggerKind.PULSE,),
    "pulse": (TriggerKind.PULSE,),
    "pwm": (TriggerKind.PWM,),
    "cycle": (TriggerKind.PULSE, TriggerKind.SOFTWARE, TriggerKind.EDGE),
    "settle": tuple(TriggerKind),
}
"""Elsewhere nobody would read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of the file, and where it stands. `trigger_value`: where its trigger does.

    `sound`: nothing is wrong with it; else `trigger` may be missing though one is written.
    """

    value: Value
    trigger_value: Value
    trigger: TriggerOrder | None
    stop: StopOrder | None
    uses: tuple[LineUse, ...]
    sound: bool


def read_groups(value: Value, in_use: frozenset[str] | None) -> dict[str, Group]:
    """All groups by name. `in_use`: the groups that cameras are in, None when that is not known."""
    if value.is_empty:
        value.refuse("there is no group", "write a name that cameras give as their group, or take the line out")
        return {}

    def read(name: str, entry: Value) -> Group | None:
        if in_use is not None and name not in in_use:
            hint = f"write group: {shortened(name)} at its cameras; {value.problems.suggest(name, sorted(in_use))}"
            entry.refuse(f"no camera is in group {quoted(name)}", hint)
        return entry.table(lambda table: _group(name, table))

    return value.mapping(kinds.NAME, read)


def _group(name: str, table: Table) -> Group:
    before = len(table.problems)
    trigger_value, stop_value = table.take("trigger"), table.take("emergency_stop")
    trigger, stop = None, None
    if trigger_value is not None:
        trigger = trigger_value.table(lambda inner: _trigger(name, inner))
    if stop_value is not None:
        line = read_input(stop_value, name)
        stop = None if line is None else StopOrder(input=line)
    if trigger_value is None and stop_value is None:
        table.value.refuse("has neither a trigger nor an emergency_stop", "write one of them, or take the group out")
    return Group(
        value=table.value,
        trigger_value=trigger_value or table.value,
        trigger=trigger,
        stop=stop,
        uses=tuple(_uses(name, trigger, trigger_value, stop, stop_value)),
        sound=len(table.problems) == before,
    )


def _uses(
    name: str, trigger: TriggerOrder | None, trigger_value: Value | None, stop: StopOrder | None, at: Value | None
) -> Iterator[LineUse]:
    if trigger is not None and trigger_value is not None:
        if trigger.output is not None:
            yield LineUse(trigger.output.line, f"the output of group {name}", trigger_value.child("output"))
        if trigger.input is not None:
            yield LineUse(trigger.input.line, f"the input of group {name}", trigger_value.child("input"))
        if trigger.pwm is not None:
            channel = LineRef(trigger.pwm.chip, str(trigger.pwm.channel))
            yield LineUse(channel, f"the PWM output of group {name}", trigger_value.child("pwm"))
    if stop is not None and at is not None:
        yield LineUse(stop.input.line, f"the emergency stop of group {name}", at, stops=True)


def _trigger(group: str, table: Table) -> TriggerOrder | None:
    before = len(table.problems)
    word = table.scalar("kind", _KIND, None)
    kind = None if word is None else TriggerKind(word)
    sound = len(table.problems) == before
    output, pwm, seen = table.take("output"), table.take("pwm"), table.take("input")
    width_ns = table.scalar("pulse", kinds.DURATION, USUAL_WIDTH_NS)
    settle_ns = table.scalar("settle", kinds.OFFSET, 0)
    cycle_ns = table.scalar("cycle", kinds.DURATION, None)
    output_order = None if output is None else read_output(output, group)
    pwm_order = None if pwm is None else pwm.table(_pwm)
    input_order: InputOrder | None = None if seen is None else read_input(seen, group)
    if sound:
        _check_needed(kind, table)
    if len(table.problems) > before:
        return None
    try:
        return TriggerOrder(
            kind=kind,
            output=output_order,
            pulse=PulseOrder(width_ns=width_ns),
            pwm=pwm_order,
            input=input_order,
            settle_ns=settle_ns,
            cycle_ns=cycle_ns,
        )
    except InputError as error:
        key = str(error.details.get("key", ""))
        told = error.message
        if key == "cycle" and cycle_ns is not None:
            told = f"a pulse of {format_duration(width_ns)} is as long as the cycle of {format_duration(cycle_ns)}"
        table.refuse(key, told, error.hint)
        return None


def _check_needed(kind: TriggerKind | None, table: Table) -> None:
    """Keys that are of another kind, which nobody would read."""
    for key, owners in _ONLY_FOR.items():
        value = table.take(key)
        if value is None or kind in owners:
            continue
        this = "a trigger without a kind" if kind is None else f"a trigger of the kind {kind.value}"
        if key == "cycle" and kind is TriggerKind.PWM:
            value.refuse(f"{this} has no cycle", "its pulses come as `every` of pwm says: take this line out")
        else:
            known = " or ".join(f"kind: {owner.value}" for owner in owners)
            value.refuse(f"{this} has no {key}", f"take the line out, or write {known}")


def _pwm(table: Table) -> PwmOrder | None:
    chip = table.required("chip", kinds.TEXT)
    channel = table.scalar("channel", _CHANNEL, 0)
    period_ns = table.required("every", kinds.DURATION)
    width_ns = table.required("width", kinds.DURATION)
    active_low = table.scalar("active", _LEVEL, "high") == "low"
    if chip is None or period_ns is None or width_ns is None:
        return None
    if width_ns >= period_ns:
        told = f"a pulse of {format_duration(width_ns)} is as long as the time from pulse to pulse"
        table.refuse("width", f"{told}, {format_duration(period_ns)}", "write a shorter width, or a longer every")
        return None
    try:
        return PwmOrder(chip=chip, channel=channel, period_ns=period_ns, width_ns=width_ns, active_low=active_low)
    except InputError as error:
        table.refuse("chip", error.message, error.hint)
        return None
