"""The exact instants of a plan, its windows, the rule for a changed period, and what makes a plan bad input.

All of it is integer arithmetic on CLOCK_MONOTONIC nanoseconds: nothing is added up, so nothing drifts (mission row F1).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import NamedTuple

from agent.errors import InputError
from agent.schedule.plan import OnEdge, Plan, WhenBusy, Window
from agent.units import format_duration

PRIORITY_MAX = 100
"""Priorities go from minus this to this: each one in use costs a look at every turn of the loop."""
CATCH_UP_MAX = 1_000
"""No more ticks of one plan may wait: they are made one by one when a late loop finds them."""
NO_END = sys.maxsize


class PlanError(InputError):
    """A plan, or a change to one, that cannot be. Details: plan, key (the field), allowed."""

    code = "plan"

    def __init__(self, message: str, *, hint: str, plan: str, key: str, allowed: str) -> None:
        super().__init__(message, hint=hint, plan=plan, key=key, allowed=allowed)
        self.plan = plan
        self.key = key
        self.allowed = allowed


class Passed(NamedTuple):
    """Instants that have passed: how many, the last of them, and the one that comes next (None: there is none)."""

    ticks: int
    last_ns: int
    next_ns: int | None


def first_multiple_within(step: int, modulus: int, low: int, high: int) -> int | None:
    """The smallest k >= 0 with `low <= k * step % modulus <= high`, or None; for `0 <= low <= high < modulus`.

    Euclid's descent: the numbers shrink as in a greatest common divisor, so nanoseconds take some forty turns.
    """
    if low == 0:
        return 0
    step %= modulus
    if 2 * step > modulus:
        step, low, high = modulus - step, modulus - high, modulus - low
    if step == 0:
        return None
    k = -(-low // step)
    if k * step <= high:
        return k
    rounds = first_multiple_within(-modulus % step, step, low % step, high % step)
    return None if rounds is None else -(-(low + modulus * rounds) // step)


@dataclass(frozen=True, slots=True)
class Instants:
    """`anchor_ns + k * period_ns` for k = 0, 1, ..., those within a window; one instant when `period_ns` is None.

    The offsets of `windows` count from `windows_from_ns`, the plan's start, whatever the anchor is.
    """

    anchor_ns: int
    period_ns: int | None
    windows: tuple[Window, ...] = ()
    windows_from_ns: int = 0

    @classmethod
    def of(cls, plan: Plan) -> Instants:
        """As the plan was written."""
        return cls(plan.start_ns, plan.period_ns, plan.windows, plan.start_ns)

    def first_at_or_after(self, at_ns: int) -> int | None:
        """The earliest instant that is not before `at_ns`; None when there is none."""
        on_grid = self._on_grid(at_ns)
        if not self.windows or on_grid is None:
            return on_grid
        found = [ns for ns in (self._within(window, on_grid) for window in self.windows) if ns is not None]
        return min(found, default=None)

    def passed(self, first_ns: int, now_ns: int, most: int = NO_END) -> Passed:
        """What has passed from `first_ns`, which is an instant not after `now_ns`, to `now_ns`, both included.

        `most`: how many instants are left in all. Costs one step for each opening of a window, not for each instant.
        """
        if self.period_ns is None:
            return Passed(1, first_ns, None)
        count, last_ns, next_ns = 0, first_ns, first_ns
        while True:
            end_ns = now_ns if not self.windows else min(now_ns, self._last_open(next_ns))
            here = min((end_ns - next_ns) // self.period_ns + 1, most - count)
            count += here
            last_ns = next_ns + (here - 1) * self.period_ns
            following = self.first_at_or_after(last_ns + 1) if count < most else None
            if following is None or following > now_ns:
                return Passed(count, last_ns, following)
            next_ns = following

    def later(self, first_ns: int, count: int) -> int | None:
        """The instant `count` after `first_ns`, which is one; None when there are not so many."""
        if self.period_ns is not None and not self.windows:
            return first_ns + count * self.period_ns
        found: int | None = first_ns
        while count and found is not None:
            found = self.first_at_or_after(found + 1)
            count -= 1
        return found

    def _on_grid(self, at_ns: int) -> int | None:
        if at_ns <= self.anchor_ns:
            return self.anchor_ns
        if self.period_ns is None:
            return None
        return self.anchor_ns + -(-(at_ns - self.anchor_ns) // self.period_ns) * self.period_ns

    def _within(self, window: Window, on_grid: int) -> int | None:
        """The first instant of the grid, from `on_grid` on, that the window lets through."""
        open_ns = self.windows_from_ns + window.open_ns
        at_ns = self._on_grid(max(on_grid, open_ns))
        length_ns = window.close_ns - window.open_ns
        if at_ns is None:
            return None
        after_ns = at_ns - open_ns
        if window.every_ns is None:
            return at_ns if after_ns < length_ns else None
        after_ns %= window.every_ns
        if after_ns < length_ns:
            return at_ns
        if self.period_ns is None:
            return None
        low = window.every_ns - after_ns
        k = first_multiple_within(self.period_ns, window.every_ns, low, low + length_ns - 1)
        return None if k is None else at_ns + k * self.period_ns

    def _last_open(self, at_ns: int) -> int:
        """The last nanosecond of the window that is open at `at_ns`; the latest when several are."""
        latest_ns = at_ns
        for window in self.windows:
            after_ns = at_ns - self.windows_from_ns - window.open_ns
            if after_ns >= 0:
                into_ns = after_ns if window.every_ns is None else after_ns % window.every_ns
                latest_ns = max(latest_ns, at_ns - into_ns + window.close_ns - window.open_ns - 1)
        return latest_ns


def check_plan(plan: Plan, now_ns: int, frame_interval_ns: int | None) -> None:
    """Whether the plan can be carried out; `frame_interval_ns`: of its camera, None when it is not known.

    A start in the past is allowed: the instants that passed are treated like those that a late loop finds.

    Raises:
        PlanError: it names the field, and says what is allowed.
    """
    _check_texts(plan)
    _check_numbers(plan)
    if plan.on_edge is not None:
        _check_edges(plan, plan.on_edge)
        return
    check_period(plan, plan.period_ns, frame_interval_ns)
    for position, window in enumerate(plan.windows):
        _check_window(plan, position, window)
    if plan.windows and Instants.of(plan).first_at_or_after(max(now_ns, plan.start_ns)) is None:
        raise PlanError(
            f"plan {plan.name}: all of its windows are over",
            hint="start the plan later, or let a window open again with every_ns",
            plan=plan.name,
            key="windows",
            allowed="a window that is open at some instant from now on",
        )


def check_period(plan: Plan, period_ns: int | None, frame_interval_ns: int | None) -> None:
    """Whether the plan could have this period. Raises PlanError."""
    if period_ns is None:
        return
    if period_ns <= 0:
        raise _out_of_range(plan, "period_ns", period_ns, "more than 0", "write how far apart its ticks are, in ns")
    if frame_interval_ns is not None and period_ns < plan.burst * frame_interval_ns:
        least = format_duration(plan.burst * frame_interval_ns)
        frames = "a frame" if plan.burst == 1 else f"{plan.burst} frames"
        raise PlanError(
            f"plan {plan.name}: a period of {format_duration(period_ns)} is beyond the camera, "
            f"which takes {least} for {frames}",
            hint=f"use a period of {least} or more, a smaller burst, or a higher frame rate",
            plan=plan.name,
            key="period_ns",
            allowed=f"at least {plan.burst * frame_interval_ns}",
        )


def changed(plan: Plan, instants: Instants, last_ns: int | None, period_ns: int, now_ns: int) -> tuple[Instants, int]:
    """The instants of a plan with another period from now on, and the next of them (mission row F2).

    The phase rule: `last_ns`, the last instant that was planned, stays on the grid; later ones are
    `last_ns + j * period_ns`, and the next is the first of them that is not in the past. So a change takes effect
    within one old period. Before the first tick (`last_ns` None) the start stays. Raises PlanError.
    """
    if instants.period_ns is None:
        raise PlanError(
            f"plan {plan.name} is a one-shot and has no period",
            hint="cancel it, and start a plan with a period",
            plan=plan.name,
            key="period_ns",
            allowed="none",
        )
    check_period(plan, period_ns, None)
    anchor_ns = plan.start_ns if last_ns is None else last_ns
    later = replace(instants, anchor_ns=anchor_ns, period_ns=period_ns)
    next_ns = later.first_at_or_after(now_ns if last_ns is None else max(now_ns, last_ns + 1))
    if next_ns is None:
        raise PlanError(
            f"plan {plan.name}: with a period of {format_duration(period_ns)} no instant falls into its windows",
            hint="choose a period that fits its windows",
            plan=plan.name,
            key="period_ns",
            allowed="a period with an instant in a window to come",
        )
    return later, next_ns


def check_priority(name: str, priority: int) -> None:
    """Raises PlanError for a priority outside -PRIORITY_MAX to PRIORITY_MAX."""
    if abs(priority) > PRIORITY_MAX:
        raise PlanError(
            f"plan {name}: a priority of {priority} is out of range",
            hint="0 is usual; higher goes first",
            plan=name,
            key="priority",
            allowed=f"{-PRIORITY_MAX} to {PRIORITY_MAX}",
        )


def _out_of_range(plan: Plan, key: str, value: int, allowed: str, hint: str) -> PlanError:
    return PlanError(
        f"plan {plan.name}: {key} is {value}, but must be {allowed}",
        hint=hint,
        plan=plan.name,
        key=key,
        allowed=allowed,
    )


def _check_texts(plan: Plan) -> None:
    for key, text in (("name", plan.name), ("camera", plan.camera)):
        if not text.strip():
            raise PlanError(
                f"plan {plan.name!r}: its {key} is empty",
                hint=f"give it a {key}",
                plan=plan.name,
                key=key,
                allowed="a text that is not empty",
            )


def _check_numbers(plan: Plan) -> None:
    if plan.start_ns < 0:
        raise _out_of_range(plan, "start_ns", plan.start_ns, "0 or more", "CLOCK_MONOTONIC has no instant before 0")
    if plan.burst < 1:
        raise _out_of_range(plan, "burst", plan.burst, "1 or more", "a tick takes at least one frame")
    if plan.count is not None and plan.count < 1:
        raise _out_of_range(plan, "count", plan.count, "1 or more", "leave it out for a plan without end")
    if plan.period_ns is None and plan.on_edge is None and plan.count is not None and plan.count > 1:
        raise _out_of_range(plan, "count", plan.count, "1 for a plan without a period", "give it a period as well")
    check_priority(plan.name, plan.priority)
    if plan.when_busy is WhenBusy.CATCH_UP and not 1 <= plan.catch_up <= CATCH_UP_MAX:
        raise _out_of_range(
            plan, "catch_up", plan.catch_up, f"1 to {CATCH_UP_MAX}", "write how many of its ticks may wait"
        )


def _check_edges(plan: Plan, edges: OnEdge) -> None:
    """What an edge starts has no period and no windows."""
    if edges.divider < 1:
        raise _out_of_range(plan, "divider", edges.divider, "1 or more", "1 takes every edge, 2 every other one")
    if edges.distance_ns < 0:
        raise _out_of_range(plan, "distance_ns", edges.distance_ns, "0 or more", "0 takes edges however close")
    for key, value in (("period_ns", plan.period_ns), ("windows", plan.windows or None)):
        if value is not None:
            raise PlanError(
                f"plan {plan.name} starts on edges, and has {key} as well",
                hint="leave one of them away: its instants come from outside",
                plan=plan.name,
                key=key,
                allowed="none",
            )


def _check_window(plan: Plan, position: int, window: Window) -> None:
    key = f"windows[{position}]"
    told = f"plan {plan.name}: window {position + 1}"
    length_ns = window.close_ns - window.open_ns
    if window.open_ns < 0 or length_ns <= 0:
        raise PlanError(
            f"{told} opens {window.open_ns} ns after the start and closes at {window.close_ns}",
            hint="let it open at the start or later, and close after it has opened",
            plan=plan.name,
            key=key,
            allowed="0 <= open_ns < close_ns",
        )
    if window.every_ns is not None and window.every_ns < length_ns:
        raise PlanError(
            f"{told} is {format_duration(length_ns)} long and should open again every {window.every_ns} ns",
            hint="let it close before it opens again",
            plan=plan.name,
            key=key,
            allowed=f"every_ns of at least {length_ns}",
        )
    if Instants(plan.start_ns, plan.period_ns, (window,), plan.start_ns).first_at_or_after(plan.start_ns) is None:
        raise PlanError(
            f"{told} never opens: it holds none of the plan's instants",
            hint="make the window longer than the period, or shift it onto an instant",
            plan=plan.name,
            key=key,
            allowed="a window with at least one instant start_ns + k * period_ns in it",
        )
