"""What a parent and its capture process say about the process itself: what it is given, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.capture.order import GroupOrder, PlanOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A plan of a process that died: its account in the page's `slot` goes on.

    `cancelled_by`: who cancelled it while no process was there; it is adopted and cancelled at once, so that its sums
    match. Empty: it goes on.
    """

    order: PlanOrder
    slot: int
    cancelled_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The first message on the command socket.

    `left_off`: cameras that were cancelled before: not started. `quota_base`: the bucket of the group's first plan in
    the page of quotas. `quota_places`: the bucket of each named limit; None: as they follow in the order's quotas.
    """

    order: GroupOrder
    quota_base: int = 0
    adopted: tuple[Adopted, ...] = ()
    left_off: tuple[str, ...] = ()
    quota_places: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The last message of a process that gives up: an error's own words. `again` False: another try ends the same."""

    at_ns: int
    code: str
    exit_code: int
    message: str
    hint: str
    again: bool
    details: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStarted:
    """Event of the supervisor: a capture process was started; `starts` counts from 1."""

    at_ns: int
    group: str
    pid: int
    starts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEnded:
    """Event of the supervisor: a capture process has gone, and with it every stream of its cameras.

    `cause` is what ended this one, `first_cause` the first since all was well. `next_start_ns`: when its successor
    starts, None for never.
    """

    at_ns: int
    group: str
    pid: int
    cause: str
    hint: str
    first_cause: str
    next_start_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessHangs:
    """Event of the supervisor: a capture process was killed, and the kernel does not let it go.

    Its cameras may be on. `told`: what it hangs in. A ProcessEnded follows when it goes after all.
    """

    at_ns: int
    group: str
    pid: int
    told: str
    hint: str
