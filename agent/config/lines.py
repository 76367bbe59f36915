"""Lines in a file: `CHIP:LINE`, or a mapping with how it is wanted; and who uses which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.config import kinds
from agent.config.reader import Table, Value
from agent.errors import InputError
from agent.trigger.lines import LONGEST_CONSUMER_BYTES, Bias, InputOrder, LineRef, OutputOrder

_LEVEL = kinds.choice("high", "low")
_SAFE = kinds.choice("inactive", "active")
_BIAS = kinds.choice(*(bias.value for bias in Bias))


@dataclass(frozen=True, slots=True)
class LineUse:
    """A line that stands in the file, what it is there, and where. `stops`: it is an emergency stop."""

    line: LineRef
    what: str
    value: Value
    stops: bool = False


def consumer_of(group: str) -> str:
    """What others see as the holder of a group's lines; a long name is cut as the kernel would."""
    return f"camera-agent {group}"[:LONGEST_CONSUMER_BYTES]


def read_output(value: Value, group: str) -> OutputOrder | None:
    """A line to drive; None after a problem."""
    consumer = consumer_of(group)
    if value.text is not None:
        line = value.scalar(kinds.LINE)
        return None if line is None else OutputOrder(line=line, consumer=consumer)
    return value.table(lambda table: _output(table, consumer))


def read_input(value: Value, group: str) -> InputOrder | None:
    """A line to watch, for its active edges; None after a problem."""
    consumer = consumer_of(group)
    if value.text is not None:
        line = value.scalar(kinds.LINE)
        return None if line is None else InputOrder(line=line, consumer=consumer, falling=False)
    return value.table(lambda table: _input(table, consumer))


def check_lines(uses: Iterable[LineUse]) -> None:
    """No line may stand in the file twice: the kernel gives it to one only, as the first holder has it."""
    owners: dict[tuple[str, str], LineUse] = {}
    for use in uses:
        owner = owners.setdefault((use.line.chip.removeprefix("/dev/"), use.line.line), use)
        if owner is use:
            continue
        hint = "give each a line of its own; cameras that share a line belong into one group"
        if use.stops or owner.stops:
            hint = "an emergency stop needs a line of its own; one switch stops the cameras of one group"
        use.value.refuse(f"line {use.line} is {owner.what} on {owner.value.seen_from(use.value)} already", hint)


def _output(table: Table, consumer: str) -> OutputOrder | None:
    line = table.required("line", kinds.LINE)
    active_low = table.scalar("active", _LEVEL, "high") == "low"
    safe_active = table.scalar("safe", _SAFE, "inactive") == "active"
    if line is None:
        return None
    return OutputOrder(line=line, consumer=consumer, active_low=active_low, safe_active=safe_active)


def _input(table: Table, consumer: str) -> InputOrder | None:
    line = table.required("line", kinds.LINE)
    bias = table.scalar("bias", _BIAS, None)
    active_low = table.scalar("active", _LEVEL, "high") == "low"
    debounce_ns = table.scalar("debounce", kinds.DURATION, None)
    if line is None:
        return None
    try:
        return InputOrder(
            line=line,
            consumer=consumer,
            active_low=active_low,
            bias=None if bias is None else Bias(bias),
            falling=False,
            debounce_ns=debounce_ns,
        )
    except InputError as error:
        table.refuse("debounce", error.message, error.hint)
        return None
