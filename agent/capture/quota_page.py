"""The page of token buckets that all capture processes of a parent share: who makes it, how a process reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from fractions import Fraction
from typing import NamedTuple

from agent.capture.order import GroupOrder
from agent.capture.process_messages import Assignment
from agent.capture.quotas import Quotas
from agent.schedule.quota import Buckets, Limit, QuotaError, check_limit
from agent.shared import Lock, Page


class Room(NamedTuple):
    """What a page has room for beyond its first groups: named limits, and places of plans."""

    names: int = 0
    plans: int = 0


NO_ROOM = Room()


class QuotaPage:
    """Buckets for the named limits, then room for plans, of which each group has a stretch of its own.

    One page for as long as the parent lives, whatever groups come and go: a limit that two processes looked up in two
    pages would be two limits. Its size is sealed, so room is made at once; memory that nobody touched takes none.
    A name keeps its place for ever. The maker's half: it outlives the processes. A context manager.

    `bases`: by group, the bucket of its first plan. `places`: of the named limits.
    """

    def __init__(self, orders: Sequence[GroupOrder], now_ns: int, room: Room = NO_ROOM) -> None:
        """Define the named limits as full at `now_ns`. Raises QuotaError, PageError."""
        names = _common(orders)
        self.bases: dict[str, int] = {}
        self.places: dict[str, int] = {}
        self._most_names = len(names) + room.names
        self._sizes: dict[str, int] = {}
        plans = sum(order.plan_capacity for order in orders) + room.plans
        self._free = [(self._most_names, plans)]
        with ExitStack() as resources:
            self.page = Page.create("camera-agent quotas", Buckets.words_for(self._most_names + plans))
            resources.callback(self.page.release)
            lock = Lock(self.page)
            resources.callback(lock.release)
            self._buckets = Buckets(self.page.words, lock.held)
            self._seen = Buckets(self.page.words, nullcontext)
            for order in orders:
                self.add(order, now_ns)
            self._resources = resources.pop_all()

    def __enter__(self) -> QuotaPage:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def add(self, order: GroupOrder, now_ns: int) -> None:
        """Room for a group's plans, and its named limits, full where they are new. Raises QuotaError: then neither."""
        new = self._checked(order.quotas)
        self.bases[order.name] = self._take(order)
        self._sizes[order.name] = order.plan_capacity
        self._define(new, now_ns)

    def name(self, limits: Mapping[str, Limit], now_ns: int) -> dict[str, int]:
        """The places of limits; new ones are full, those that were there are changed without a jump.

        Raises QuotaError: then nothing was changed.
        """
        for name, limit in limits.items():
            check_limit(limit, name)
        new = self._checked(limits)
        for name, limit in limits.items():
            if name not in new:
                self._buckets.set_limit(self.places[name], limit, now_ns)
        self._define(new, now_ns)
        return {name: self.places[name] for name in limits}

    def remove(self, group: str) -> None:
        """A group has gone, and its process with it: its room is for others."""
        self._free.append((self.bases.pop(group), self._sizes.pop(group)))
        self._free = _joined(self._free)

    def places_of(self, order: GroupOrder) -> Mapping[str, int] | None:
        """Where the named limits of a group are; None where they follow each other from the first place on."""
        places = {name: self.places[name] for name in order.quotas}
        return None if list(places.values()) == list(range(len(places))) else places

    def available(self, place: int, now_ns: int) -> Fraction:
        """The tokens in a bucket. Without the lock, whose holder may stand still: a figure, not a promise.

        Raises QuotaError for one that was not defined.
        """
        return self._seen.level(place, now_ns)

    def release(self) -> None:
        """Let go of the page; idempotent."""
        self._resources.close()

    def _checked(self, limits: Mapping[str, Limit]) -> dict[str, Limit]:
        """Those that are new, if there is room for them."""
        new = {name: limit for name, limit in limits.items() if name not in self.places}
        for name, limit in new.items():
            check_limit(limit, name)
        if len(self.places) + len(new) > self._most_names:
            raise _full("limits", self._most_names)
        return new

    def _define(self, new: Mapping[str, Limit], now_ns: int) -> None:
        for name, limit in new.items():
            place = self.places[name] = len(self.places)
            self._buckets.define(place, limit, now_ns)

    def _take(self, order: GroupOrder) -> int:
        wanted = order.plan_capacity
        for index, (base, size) in enumerate(self._free):
            if size >= wanted:
                self._free[index] = (base + wanted, size - wanted)
                return base
        raise _full(f"plans of group {order.name}", sum(size for _, size in self._free))


def open_quotas(fd: int, assignment: Assignment, resources: ExitStack) -> Quotas:
    """A process's half, on the inherited descriptor; what it holds is released with `resources`. Raises PageError."""
    page = resources.enter_context(Page.attach_writer(fd))
    lock = Lock(page)
    resources.callback(lock.release)
    places = assignment.quota_places
    if places is None:
        places = {name: place for place, name in enumerate(assignment.order.quotas)}
    return Quotas(Buckets(page.words, lock.held), places, assignment.quota_base)


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, neighbours as one."""
    found: list[tuple[int, int]] = []
    for base, size in sorted(stretches):
        if found and sum(found[-1]) == base:
            found[-1] = (found[-1][0], found[-1][1] + size)
        else:
            found.append((base, size))
    return found


def _full(what: str, most: int) -> QuotaError:
    return QuotaError(
        f"there is no room for the {what}: the page of quotas has room for {most}",
        hint="restart the agent: it makes a larger page",
        key="quotas",
        allowed=most,
    )


def _common(orders: Sequence[GroupOrder]) -> Mapping[str, Limit]:
    """The limits that all groups have; a limit that only one of them knows would not be one."""
    names = orders[0].quotas if orders else {}
    for order in orders:
        if list(order.quotas.items()) != list(names.items()):
            raise QuotaError(
                f"group {order.name} has other limits than group {orders[0].name}",
                hint="give every group the same limits: they are shared",
                key="quotas",
                asked=list(order.quotas),
                allowed=list(names),
            )
    for name, limit in names.items():
        check_limit(limit, name)
    return names
