"""Every plan the service knows: those that wait for their cameras, those that run, and the last of those that ended."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from agent.capture.order import PlanOrder
from agent.capture.supervisor import NameTaken
from agent.config.planned import Planned
from agent.control.errors import NotFound

_ENDED = 1024
"""Plans that ended and can still be looked at."""


class Standing(enum.Enum):
    """How a plan stands."""

    WAITING = "waiting"
    """For its cameras, or for the process that is to have it."""
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    """Its process did not take it; `cause` says why."""


_OVER = frozenset({Standing.FINISHED, Standing.CANCELLED, Standing.REFUSED})


@dataclass(frozen=True, slots=True, eq=False)
class Errand:
    """Plans on their way to their group's process, whose answer is not there yet. `over`: set when it is."""

    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class KnownPlan:
    """One plan. `configured`: the configuration has it. `slot`: its place in its group's page, once it ran.

    `errand`: the one on which it is; whoever answers another one speaks of a plan that has left it since. `given`: as
    its process was told, with its start.
    """

    wish: Planned
    by: str
    configured: bool = False
    standing: Standing = Standing.WAITING
    slot: int | None = None
    cause: str = ""
    errand: Errand | None = None
    given: PlanOrder | None = None

    @property
    def order(self) -> PlanOrder:
        """As it was asked for, with what was changed since."""
        return self.wish.order

    @property
    def held(self) -> bool:
        """It waits here: no process has it, or will have it without being given it."""
        return self.standing is Standing.WAITING and self.errand is None

    @property
    def over(self) -> bool:
        """It will have no tick any more."""
        return self.standing in _OVER


class PlanBook:
    """Pure; one owner. A name is free again when its plan is over."""

    def __init__(self) -> None:
        self._plans: dict[str, KnownPlan] = {}
        self._over: deque[KnownPlan] = deque()

    def __iter__(self) -> Iterator[KnownPlan]:
        return iter(tuple(self._plans.values()))

    def find(self, name: str) -> KnownPlan:
        """One of them. Raises NotFound."""
        plan = self._plans.get(name)
        if plan is None:
            running = sorted(plan.wish.name for plan in self._plans.values() if not plan.over)
            told = ", ".join(running[:20]) or "none"
            raise NotFound(f"there is no plan {name}", hint=f"plans now: {told}", kind="plan", name=name, known=running)
        return plan

    def check_free(self, names: Iterable[str]) -> None:
        """Raises NameTaken for the first name of a plan that is not over."""
        for name in names:
            plan = self._plans.get(name)
            if plan is not None and not plan.over:
                raise NameTaken(
                    f"there is a plan {name} already", hint="give it another name, or cancel that one", name=name
                )

    def add(self, wishes: Iterable[Planned], *, by: str, configured: bool = False) -> list[KnownPlan]:
        """Plans that wait, all or none. Raises NameTaken."""
        asked = list(wishes)
        self.check_free(wish.name for wish in asked)
        plans = [KnownPlan(wish, by, configured) for wish in asked]
        for plan in plans:
            self._plans.pop(plan.wish.name, None)
            self._plans[plan.wish.name] = plan
        return plans

    def remove(self, plans: Iterable[KnownPlan]) -> None:
        """As if they had never been there; nobody gives them to a process any more."""
        for plan in plans:
            plan.errand = None
            if self._plans.get(plan.wish.name) is plan:
                del self._plans[plan.wish.name]

    def waiting(self, group: str) -> list[KnownPlan]:
        """Those that a group's process should be given, in the order of their coming."""
        return [plan for plan in self._plans.values() if plan.wish.group == group and plan.held]

    def of_camera(self, camera: str, group: str) -> list[KnownPlan]:
        """Those that are not over and want frames of a camera, sets of its group included."""
        targets = (camera, group)
        return [plan for plan in self._plans.values() if not plan.over and plan.order.plan.camera in targets]

    def concerned(self, kind: str, name: str) -> list[KnownPlan]:
        """Those that are not over and that a Cancel of this kind and name ends."""
        alive = (plan for plan in self._plans.values() if not plan.over)
        match kind:
            case "plan":
                return [plan for plan in alive if plan.wish.name == name]
            case "camera":
                return [plan for plan in alive if plan.order.plan.camera == name]
            case "client":
                return [plan for plan in alive if plan.order.plan.client == name]
            case _:
                return list(alive)

    def send(self, plans: Iterable[KnownPlan]) -> Errand:
        """They are on their way to their group's process from now on."""
        errand = Errand()
        for plan in plans:
            plan.errand = errand
        return errand

    def taken(self, errand: Errand, plans: Iterable[KnownPlan], slots: Mapping[str, int]) -> None:
        """The process has those that are still on this errand."""
        for plan in plans:
            if plan.errand is errand and plan.wish.name in slots:
                plan.standing, plan.slot, plan.errand = Standing.RUNNING, slots[plan.wish.name], None

    def returned(self, errand: Errand, plans: Iterable[KnownPlan]) -> list[KnownPlan]:
        """The process has not got them: those that are still on this errand, which wait again."""
        found = [plan for plan in plans if plan.errand is errand]
        for plan in found:
            plan.errand = None
        return found

    def ended(self, group: str, name: str, state: str, cause: str) -> KnownPlan | None:
        """A group's process told the end of a plan; None where it is not that plan any more.

        A name that is free again may run in another group before the process that had it last has told its end.
        """
        plan = self._plans.get(name)
        if plan is None or plan.standing is not Standing.RUNNING or plan.wish.group != group:
            return None
        self.end(plan, Standing(state), cause)
        return plan

    def end(self, plan: KnownPlan, standing: Standing, cause: str) -> None:
        """It is over; the oldest of those that were over before are forgotten."""
        plan.standing, plan.cause, plan.errand = standing, cause, None
        self._over.append(plan)
        while len(self._over) > _ENDED:
            self.remove([self._over.popleft()])

    def back(self, group: str) -> None:
        """A group's process is being ended: its plans, and those on their way to it, wait for the next one."""
        for plan in self._plans.values():
            if plan.wish.group == group and not plan.over:
                _wait(plan)

    def move(self, plan: KnownPlan, group: str) -> None:
        """Its camera belongs to another group now, and the process of the one before ends: it begins anew there."""
        plan.wish = replace(plan.wish, group=group)
        _wait(plan)

    def changed(self, plan: KnownPlan, **changes: object) -> None:
        """What its process was told and took: fields of the Plan, or `quota`."""
        order = plan.order
        if "quota" in changes:
            order = replace(order, quota=changes.pop("quota"))  # type: ignore[arg-type]
        plan.wish = replace(plan.wish, order=replace(order, plan=replace(order.plan, **changes)))  # type: ignore[arg-type]


def _wait(plan: KnownPlan) -> None:
    plan.standing, plan.slot, plan.errand = Standing.WAITING, None, None
