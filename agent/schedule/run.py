"""A plan that was started, and its tick: what the scheduler keeps for each plan beside the account in the page."""

from __future__ import annotations

import enum
from collections import deque
from typing import Final

from agent.errors import StateError
from agent.schedule.account import PLAN_WORDS, STATE, Account, State
from agent.schedule.instants import NO_END, Instants
from agent.schedule.plan import Plan
from agent.schedule.timetable import SLOT_BITS


class Phase(enum.Enum):
    """Where the tick of a run is. Every run has at most one that is further than waiting."""

    IDLE = "idle"
    QUEUED = "queued"
    """The first that waits may go; the next `due` gives it out."""
    OUT = "given out"
    """`due` gave it out: it is owed one of fired, refused, not_ready."""
    SHOT = "fired"
    """It is owed one of delivered, failed, dropped."""
    GONE = "gone"
    """Given out, and cancelled before it was fired."""


IDLE: Final = Phase.IDLE
QUEUED: Final = Phase.QUEUED
OUT: Final = Phase.OUT
SHOT: Final = Phase.SHOT
GONE: Final = Phase.GONE


class Tick:
    """One tick given out: `wanted` frames are still wanted of it, which is for the loop to count down.

    A run has one of these and uses it again: keep no reference to it after its end was told.
    """

    __slots__ = ("due_ns", "fired_ns", "number", "run", "wanted")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.number = 0
        self.due_ns = 0
        self.fired_ns = 0
        self.wanted = 0

    @property
    def trace_number(self) -> int:
        """The number for `trace_id`: it goes on from plan to plan in one place, so no trace id comes twice."""
        return self.run.trace_base + self.number


class Run:
    """A plan that was started. Read by the loop, changed by the scheduler alone.

    `plan`: as it was written; `period_ns` and `priority` are those of now. `slot`: its place; `index`: its account's
    first word. `state` is also readable when another plan has its place.
    """

    __slots__ = (
        "_last_state",
        "_words",
        "backlog",
        "burst",
        "entry",
        "index",
        "instants",
        "late_max_ns",
        "limit",
        "number",
        "over",
        "phase",
        "plan",
        "priority",
        "queued",
        "slot",
        "step",
        "tick",
        "took_max_ns",
        "trace_base",
    )

    def __init__(self, plan: Plan, slot: int, words: memoryview, trace_base: int) -> None:
        self.plan = plan
        self.slot = slot
        self.index = slot * PLAN_WORDS
        self.trace_base = trace_base
        self.tick = Tick(self)
        self.phase = IDLE
        self.instants = Instants.of(plan)
        self.priority = plan.priority
        self.burst = plan.burst
        self.limit = 1 if plan.period_ns is None and plan.on_edge is None else plan.count or 0
        self.number = 0
        self.entry = 0
        self.queued = 0
        self.over = False
        self.step = 0
        self.backlog: deque[tuple[int, int]] | None = None
        self.late_max_ns = 0
        self.took_max_ns = 0
        self._words: memoryview | None = words
        self._last_state = State.FREE

    @property
    def state(self) -> State:
        """How the plan stands."""
        return self._last_state if self._words is None else State(self._words[self.index + STATE])

    @property
    def busy(self) -> bool:
        """Whether a tick of it is given out, or a shot under way."""
        return self.phase in (OUT, SHOT)

    @property
    def timed(self) -> bool:
        """Whether its next instant is in the timetable: it has one, and it does not come from outside."""
        return not self.over and self.plan.on_edge is None

    @property
    def period_ns(self) -> int | None:
        """The period of now; None for a one-shot."""
        return self.instants.period_ns

    @property
    def next_ns(self) -> int | None:
        """The next instant that was not looked at yet; None when there is none."""
        return self.entry >> SLOT_BITS if self.timed and self.state is State.RUNNING else None

    @property
    def left(self) -> int:
        """How many instants are left; NO_END without a count."""
        return self.limit - self.number if self.limit else NO_END

    def account(self) -> Account:
        """Its account at this moment. Raises StateError when another plan has its place."""
        if self._words is None:
            raise StateError(
                f"the account of plan {self.plan.name} is gone: another plan has its place",
                hint="read the accounts of ended plans before many others are added, or ask for more room",
                plan=self.plan.name,
                state=self._last_state.name,
            )
        return Account.read(self._words, self.slot)

    def set_instants(self, instants: Instants) -> None:
        """The grid of now. Plans without windows go the short way: their next entry is the last plus `step`."""
        self.instants = instants
        self.step = 0 if instants.windows or instants.period_ns is None else instants.period_ns << SLOT_BITS

    def keep(self, waiting: tuple[int, int]) -> None:
        """Number and instant of a tick that is to be the next one to go."""
        if self.backlog is None:
            self.backlog = deque()
        self.backlog.appendleft(waiting)

    def forget_place(self) -> None:
        """Another plan gets its place: what it knew of the page is kept or given up."""
        self._last_state = self.state
        self._words = None
        del self.tick  # it refers to this run; without it nothing here waits for the garbage collector
