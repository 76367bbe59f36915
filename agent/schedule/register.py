"""Which plans there are: their names, their places in the page, and those that ended and are still known."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from agent.errors import AgentError, InputError, StateError
from agent.schedule.account import PLAN_WORDS, TRACE_BASE, State, clear
from agent.schedule.instants import PlanError, check_plan
from agent.schedule.plan import Plan
from agent.schedule.run import SHOT, Run
from agent.schedule.timetable import SLOT_MASK


class PlanUnknown(InputError):
    """No plan of this name was started, or it ended so long ago that its place was given to another."""

    code = "plan_unknown"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no plan {name}", hint="see which plans there are, and mind the spelling", plan=name)


class PlanOver(AgentError):
    """The plan has ended, or has no more instants: there is nothing left to change."""

    code = "plan_over"

    def __init__(self, name: str, state: State) -> None:
        stands = "has no more ticks to come" if state is State.RUNNING else f"is {state.name.lower()}"
        super().__init__(f"plan {name} {stands}", hint="start it anew", plan=name, state=state.name.lower())


class Register:
    """Names and places. A place is used again when all others are taken: that of the plan which ended first.

    `running`: by place. `places`: no place from this one on was ever used. `untold`: ends that `ended` could not tell,
    because nobody asked while `capacity` others ended.
    """

    def __init__(self, words: memoryview, capacity: int) -> None:
        if not 0 < capacity <= SLOT_MASK - 1 or len(words) < capacity * PLAN_WORDS:
            raise InputError(
                f"{capacity} plans do not fit: the page has room for {len(words) // PLAN_WORDS}",
                hint=f"ask for at least one plan and at most {SLOT_MASK - 1}, and make the page as large",
            )
        self.words = words
        self.capacity = capacity
        self.running: dict[int, Run] = {}
        self.places = 0
        self.untold = 0
        self._names: dict[str, Run] = {}
        self._unused = dict.fromkeys(range(capacity - 1, -1, -1))
        self._ended: deque[Run] = deque()
        self._ended_at_once: list[dict[int, Run]] = []
        """Not sorted in yet: whoever cancels everything does not wait for that."""
        self._to_tell: deque[Run] = deque(maxlen=capacity)

    def check(self, plans: Sequence[Plan], now_ns: int) -> None:
        """Whether all of them can be started together. Raises PlanError."""
        names = set()
        for plan in plans:
            check_plan(plan, now_ns, None)
            known = self._names.get(plan.name)
            if plan.name in names or (known is not None and known.state is State.RUNNING):
                raise PlanError(
                    f"there are two plans named {plan.name}",
                    hint="give one of them another name, or cancel the one that runs",
                    plan=plan.name,
                    key="name",
                    allowed="a name that no running plan has",
                )
            names.add(plan.name)
        if len(plans) > len(self._unused):
            self._check_room(plans)

    def open(self, plan: Plan) -> Run:
        """Give it a place with a new account. Raises PlanError when there is none."""
        slot = self._free_place(plan)
        clear(self.words, slot)
        return self._enter(plan, slot)

    def reopen(self, plan: Plan, slot: int) -> Run:
        """Give it the place it had before, its account untouched. Raises PlanError, StateError."""
        if slot not in self._unused:
            raise StateError(
                f"place {slot} for plan {plan.name} is taken or does not exist",
                hint="adopt each plan once, before others are added, with as much room as before",
                plan=plan.name,
                slot=slot,
            )
        del self._unused[slot]
        return self._enter(plan, slot)

    def find(self, name: str) -> Run:
        """The run of this name, running or ended. Raises PlanUnknown."""
        run = self._names.get(name)
        if run is None:
            raise PlanUnknown(name)
        return run

    def end(self, run: Run) -> None:
        """It ended: its place may be used again when its last shot has ended too."""
        del self.running[run.slot]
        self._sort_in()
        self._enter_ended((run,))

    def end_all(self) -> int:
        """All that run ended at once; returns how many."""
        ended, self.running = self.running, {}
        self._ended_at_once.append(ended)
        return len(ended)

    def ended(self, bound: int) -> list[Run]:
        """At most `bound` of those that ended since this was asked last; a shot under way has to end first."""
        self._sort_in()
        told: list[Run] = []
        for _ in range(min(bound, len(self._to_tell))):
            run = self._to_tell.popleft()
            (self._to_tell if run.phase is SHOT else told).append(run)
        return told

    @property
    def ends_wait(self) -> bool:
        """Some that ended were not told yet."""
        return bool(self._to_tell or self._ended_at_once)

    def is_renewed(self, run: Run) -> bool:
        """Whether another plan has its name by now."""
        return self._names.get(run.plan.name, run) is not run

    def runs(self, camera: str | None, client: str | None) -> Iterator[Run]:
        """Those that run, of this camera and this client where given."""
        for run in self.running.values():
            if (camera is None or run.plan.camera == camera) and (client is None or run.plan.client == client):
                yield run

    def _enter(self, plan: Plan, slot: int) -> Run:
        run = Run(plan, slot, self.words, self.words[slot * PLAN_WORDS + TRACE_BASE])
        self._names[plan.name] = run
        self.running[slot] = run
        self.places = max(self.places, slot + 1)
        return run

    def _free_place(self, plan: Plan) -> int:
        if self._unused:
            return self._unused.popitem()[0]
        self._sort_in()
        for _ in range(len(self._ended)):
            run = self._ended.popleft()
            if run.phase is not SHOT:
                if self._names.get(run.plan.name) is run:
                    del self._names[run.plan.name]
                run.forget_place()
                return run.slot
            self._ended.append(run)
        raise self._full(plan)

    def _sort_in(self) -> None:
        for ended in self._ended_at_once:
            self._enter_ended(ended.values())
        self._ended_at_once.clear()

    def _enter_ended(self, runs: Collection[Run]) -> None:
        self.untold += max(0, len(self._to_tell) + len(runs) - self.capacity)
        self._ended.extend(runs)
        self._to_tell.extend(runs)

    def _check_room(self, plans: Sequence[Plan]) -> None:
        self._sort_in()
        unused = len(self._unused)
        # no further than needed: one plan among ten thousand that ended costs one look
        again = islice((run for run in self._ended if run.phase is not SHOT), len(plans) - unused)
        room = unused + sum(1 for _ in again)
        if len(plans) > room:
            raise self._full(plans[room])

    def _full(self, plan: Plan) -> PlanError:
        return PlanError(
            f"no room for plan {plan.name}: {self.capacity} plans are all this process was made for",
            hint="cancel plans that are not needed, or start the process with a larger plan capacity",
            plan=plan.name,
            key="plan_capacity",
            allowed=f"at most {self.capacity} plans at once",
        )
