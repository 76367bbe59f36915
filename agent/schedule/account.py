"""The account of one plan: what became of each of its ticks, in words of a shared page with one writer.

Every tick ends in exactly one place, and every shot too (mission rows F3, H1, H3):

    ticks == fired + coalesced + skipped_* + refused_* + cancelled + waiting
    fired == delivered + failed + shots_cancelled + under_way

`waiting` and `under_way` are not stored: they are what is missing on the right-hand side. So a writer that is killed
between two stores leaves an account that still adds up, and so does one read while it is written. A tick is counted in
`ticks` before it is counted anywhere else, and a shot in `fired` before its end, so neither is ever below zero.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, fields

PLAN_WORDS = 32
"""64-bit words a plan."""

STATE = 0
TICKS = 1
FIRED = 2
COALESCED = 3
SKIPPED_BUSY = 4
SKIPPED_LATE = 5
SKIPPED_NOT_READY = 6
SKIPPED_DOWN = 7
REFUSED_AGENT = 8
REFUSED_CAMERA = 9
REFUSED_PLAN = 10
REFUSED_CLIENT = 11
CANCELLED = 12
DELIVERED = 13
FAILED = 14
SHOTS_CANCELLED = 15
FRAMES = 16
BYTES = 17
LATE_MAX_NS = 18
LATE_SUM_NS = 19
TOOK_MAX_NS = 20
TOOK_SUM_NS = 21
COUNTERS = 22
"""Words before this one are in `Account`, in this order."""

TRACE_BASE = 22
PRIORITY = 23
_GRID_CHOICE = 24
_GRIDS = (25, 28)
"""Two places for (an instant, the number of its tick, the period); the choice says which one is valid."""
LAST_NS = 31
"""The last instant that was looked at: kept where it does not follow from the next (windows, a new period)."""


class State(enum.IntEnum):
    """How a plan stands. The value is that of the word `STATE`, below 256."""

    FREE = 0
    """No plan was ever here."""
    RUNNING = 1
    """It has instants to come, ticks that wait, or a shot under way."""
    FINISHED = 2
    """All of its ticks and shots have ended."""
    CANCELLED = 3
    """It was ended; a shot may still be under way until the stream is off."""


class Refusal(enum.IntEnum):
    """Whose quota refused a tick. The value is the offset of the word that counts it."""

    AGENT = REFUSED_AGENT
    CAMERA = REFUSED_CAMERA
    PLAN = REFUSED_PLAN
    CLIENT = REFUSED_CLIENT


@dataclass(frozen=True, slots=True)
class Account:
    """One plan's account at one moment. `late_*`: from due to fired; `took_*`: from fired to the shot's end."""

    state: State = State.FREE
    ticks: int = 0
    fired: int = 0
    coalesced: int = 0
    skipped_busy: int = 0
    skipped_late: int = 0
    skipped_not_ready: int = 0
    skipped_down: int = 0
    refused_agent: int = 0
    refused_camera: int = 0
    refused_plan: int = 0
    refused_client: int = 0
    cancelled: int = 0
    delivered: int = 0
    failed: int = 0
    shots_cancelled: int = 0
    frames: int = 0
    bytes: int = 0
    late_max_ns: int = 0
    late_sum_ns: int = 0
    took_max_ns: int = 0
    took_sum_ns: int = 0

    @classmethod
    def read(cls, words: memoryview, slot: int) -> Account:
        """The account in place `slot` of a page of accounts; by any process."""
        index = slot * PLAN_WORDS
        state, *counts = words[index : index + COUNTERS].tolist()
        return cls(State(state), *counts)

    @property
    def waiting(self) -> int:
        """Ticks that have come and have not ended yet: not fired, not given up."""
        return self.ticks - self.fired - self.coalesced - self.skipped - self.refused - self.cancelled

    @property
    def under_way(self) -> int:
        """Shots that were fired and have not ended yet."""
        return self.fired - self.delivered - self.failed - self.shots_cancelled

    @property
    def skipped(self) -> int:
        """Ticks left out, for whatever reason."""
        return self.skipped_busy + self.skipped_late + self.skipped_not_ready + self.skipped_down

    @property
    def refused(self) -> int:
        """Ticks refused by any quota."""
        return self.refused_agent + self.refused_camera + self.refused_plan + self.refused_client

    def __add__(self, other: Account) -> Account:
        """Both together, for totals; the state is the left one's, and a maximum is the larger one."""
        theirs = dict(other.counts())
        sums = {
            name: max(count, theirs[name]) if name.endswith("_max_ns") else count + theirs[name]
            for name, count in self.counts()
        }
        return Account(self.state, **sums)

    def counts(self) -> Iterator[tuple[str, int]]:
        """Name and value of every count, in the order of the words."""
        for field in fields(self)[1:]:
            yield field.name, getattr(self, field.name)


@dataclass(frozen=True, slots=True)
class Grid:
    """Where a plan stands on its grid: tick `number` is at `at_ns`; `period_ns` None for a one-shot."""

    at_ns: int
    number: int
    period_ns: int | None


def clear(words: memoryview, slot: int) -> None:
    """A new account for a new plan. The numbers of its traces go on where the last plan in this place stopped."""
    index = slot * PLAN_WORDS
    base = words[index + TRACE_BASE] + words[index + TICKS]
    words[index + STATE] = State.FREE
    words[index + TRACE_BASE] = base
    words[index + TICKS] = 0  # right after the base: a writer killed in between leaves out numbers, and repeats none
    for offset in range(PLAN_WORDS):
        if offset != TRACE_BASE:
            words[index + offset] = 0


def write_grid(words: memoryview, slot: int, grid: Grid) -> None:
    """Store it so that a writer killed between two stores leaves the old or the new one."""
    index = slot * PLAN_WORDS
    choice = 1 - words[index + _GRID_CHOICE]
    at = index + _GRIDS[choice]
    words[at], words[at + 1], words[at + 2] = grid.at_ns, grid.number, grid.period_ns or 0
    words[index + _GRID_CHOICE] = choice


def read_grid(words: memoryview, slot: int) -> Grid:
    """What `write_grid` stored last."""
    index = slot * PLAN_WORDS
    at = index + _GRIDS[words[index + _GRID_CHOICE]]
    return Grid(words[at], words[at + 1], words[at + 2] or None)


_CANCEL = bytes(State.CANCELLED if value == State.RUNNING else value for value in range(256))


def cancel_running(words: memoryview, places: int) -> None:
    """Set every RUNNING among the first `places` accounts to CANCELLED: ten thousand of them in some 100 us.

    The states are one column with a stride. They are below 256, so their 64-bit words translate byte by byte.
    """
    with words[STATE : places * PLAN_WORDS : PLAN_WORDS] as states:
        states[:] = memoryview(states.tobytes().translate(_CANCEL)).cast("q")
