"""The seam to trigger lines: values, and what an output line, an input line and a machine's lines can do.

Two sides stand behind it: `agent.trigger.gpio` (Linux GPIO character devices, uAPI v2) and the simulation.
Levels are logical: active or inactive; `active_low` is the polarity. All times are CLOCK_MONOTONIC nanoseconds.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from agent.errors import InputError

MOST_BUFFERED_EVENTS = 1024
"""What the kernel's fifo of one request holds at most: 16 for each of 64 lines (gpiolib-cdev.c, GPIO_V2_LINES_MAX)."""

LONGEST_CONSUMER_BYTES = 31
"""A consumer's label in the kernel: GPIO_MAX_NAME_SIZE less its end (include/uapi/linux/gpio.h)."""


class Bias(enum.Enum):
    """What pulls an input when nobody drives it."""

    DISABLED = "disabled"
    PULL_UP = "pull-up"
    PULL_DOWN = "pull-down"


@dataclass(frozen=True, slots=True)
class LineRef:
    """A line as people name it.

    `chip`: name (`gpiochip0`), path (`/dev/gpiochip0`) or label (`rig-lines`); empty for whichever chip has a line of
    that name. `line`: its name, or its offset as decimal text; a name goes before an offset. No colon in `line`: a line
    with such a name goes by its offset.

    Raises InputError when `line` is empty or has a colon, or when it is an offset without a chip.
    """

    chip: str
    line: str

    def __post_init__(self) -> None:
        hint = "write CHIP:LINE, such as gpiochip0:17 or rig-lines:trigger, or the name of a line alone"
        if not self.line or self.line != self.line.strip() or self.chip != self.chip.strip():
            raise InputError(f"{str(self)!r} names no line", hint=hint, line=str(self))
        if ":" in self.line:
            raise InputError(f"a line's name cannot have a colon here: {self.line!r}", hint=hint, line=str(self))
        if not self.chip and self.offset is not None:
            raise InputError(f"the offset {self.line} says nothing without its chip", hint=hint, line=str(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """`CHIP:LINE`, or a line's name alone; the last colon divides. Raises InputError."""
        chip, _, line = text.strip().rpartition(":")
        return cls(chip, line)

    @property
    def offset(self) -> int | None:
        """The offset, where `line` can be read as one."""
        return int(self.line) if self.line.isascii() and self.line.isdecimal() else None

    def __str__(self) -> str:
        """What `parse` reads."""
        return f"{self.chip}:{self.line}" if self.chip else self.line


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOrder:
    """How an output is wanted. It begins at its safe level and is left there.

    `consumer`: what others see as the holder, 1 to 31 bytes. `safe_active`: the safe level is the active one.
    """

    line: LineRef
    consumer: str
    active_low: bool = False
    safe_active: bool = False

    def __post_init__(self) -> None:
        _check_consumer(self.consumer)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOrder:
    """How an input is wanted.

    `bias` None: as it is. `rising`, `falling`: towards active, towards inactive; neither: the level is read only.
    `debounce_ns`: None for none; the kernel counts whole microseconds, and stamps a debounced edge when the level has
    been steady for that long, so an edge's `time_ns` is later than the edge by it. `buffer_events`: 1 to 1024 that are
    kept at least (the kernel takes the next power of two); when it is full, the oldest event is dropped.

    Raises InputError for values the kernel cannot take as they are.
    """

    line: LineRef
    consumer: str
    active_low: bool = False
    bias: Bias | None = None
    rising: bool = True
    falling: bool = True
    debounce_ns: int | None = None
    buffer_events: int = MOST_BUFFERED_EVENTS

    def __post_init__(self) -> None:
        _check_consumer(self.consumer)
        if not 1 <= self.buffer_events <= MOST_BUFFERED_EVENTS:
            raise InputError(
                f"a line's buffer cannot hold {self.buffer_events} events",
                hint=f"ask for 1 to {MOST_BUFFERED_EVENTS}",
                buffer_events=self.buffer_events,
            )
        if self.debounce_ns is not None and not (
            1_000 <= self.debounce_ns < 2**32 * 1_000 and self.debounce_ns % 1_000 == 0
        ):
            raise InputError(
                f"a line cannot be debounced by {self.debounce_ns} ns",
                hint="ask for whole microseconds, at least one, or leave it out",
                debounce_ns=self.debounce_ns,
            )


def _check_consumer(consumer: str) -> None:
    if not 1 <= len(consumer.encode()) <= LONGEST_CONSUMER_BYTES or not consumer.isprintable():
        raise InputError(
            f"{consumer!r} cannot be a line's consumer",
            hint=f"use 1 to {LONGEST_CONSUMER_BYTES} printable characters",
            consumer=consumer,
        )


class Written(NamedTuple):
    """The clock before and after a level was set: the level's own instant is known to lie between."""

    before_ns: int
    after_ns: int


class Edge(NamedTuple):
    """One edge as the kernel stamped it. `active`: it led to the active level. Numbers begin with 1."""

    time_ns: int
    active: bool
    seqno: int
    line_seqno: int


class Edges(NamedTuple):
    """What one read gave. `lost`: events that were dropped since the read before, told by missing numbers.

    The kernel drops the oldest (gpiolib-cdev.c, linereq_put_event), so what is missing is missing before or between
    `edges`, never after.
    """

    edges: tuple[Edge, ...]
    lost: int


class OutputLine(Protocol):
    """A line this process drives. Used by one thread."""

    def set(self, active: bool) -> Written:
        """Drive the line. Raises LineGone, LineError; StateError after `release`."""
        ...

    def is_active(self) -> bool:
        """The level read back. Raises LineGone, LineError; StateError after `release`."""
        ...

    def release(self) -> None:
        """Safe level, then let go. Idempotent; silent when the chip has gone."""
        ...


class InputLine(Protocol):
    """A line this process watches. Used by one thread."""

    def fileno(self) -> int:
        """A descriptor that is readable when `read` has edges, or the chip has gone. StateError after `release`."""
        ...

    def read(self) -> Edges:
        """The edges that wait; never blocks. Raises LineGone, LineError; StateError after `release`."""
        ...

    def is_active(self) -> bool:
        """The level now. Raises LineGone, LineError; StateError after `release`."""
        ...

    def release(self) -> None:
        """Let go. Idempotent; silent when the chip has gone."""
        ...


@dataclass(frozen=True, slots=True)
class ChipInfo:
    """A chip. `path`: its device node, `name`: the kernel's (`gpiochip0`), `label`: its maker's or device tree's."""

    path: str
    name: str
    label: str
    lines: int


@dataclass(frozen=True, slots=True)
class LineInfo:
    """A line. `name`, `consumer`: empty when there is none. `bias` None: the kernel does not know."""

    offset: int
    name: str
    consumer: str
    used: bool
    output: bool
    active_low: bool
    bias: Bias | None


class Lines(Protocol):
    """The lines of a machine."""

    def chips(self) -> Sequence[ChipInfo]:
        """All chips that can be opened, by name. Raises LineError."""
        ...

    def lines(self, chip: str) -> Sequence[LineInfo]:
        """The lines of a chip given by name, path or label. Raises ChipNotFound, LinePermission, LineGone."""
        ...

    def open_output(self, order: OutputOrder) -> OutputLine:
        """Take a line and drive it to its safe level.

        Raises ChipNotFound, LineNotFound, LineBusy, LinePermission, LineGone, LineError.
        """
        ...

    def open_input(self, order: InputOrder) -> InputLine:
        """Take a line and watch it.

        Raises ChipNotFound, LineNotFound, LineBusy, LinePermission, LineGone, LineError.
        """
        ...
