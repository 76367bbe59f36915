"""The plans of one capture process: what is due, what became of it, and the end of it all (mission rows F1 to F7).

The most urgent tick goes first. Urgency is `due_ns - priority * ageing_ns`: everybody ages at the same rate, so the
order of two ticks never changes with time and is known when they are due. It also bounds starvation: a tick of priority
p that is due at d is passed only by ticks of a priority q > p that are due before `d + (q - p) * ageing_ns`. From then
on it is before everything that is still to come.

Plans of one priority lie in one timetable, which is therefore in order of urgency as well. A tick that is due and was
not asked for yet stays there and costs nothing; when its turn comes and further instants of its plan have passed, the
plan's policy settles them (`agent.schedule.dealing`).

Time is an argument, and so no clock but the caller's can move it. Not shared between threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.schedule.account import (
    CANCELLED,
    FAILED,
    LAST_NS,
    PRIORITY,
    SKIPPED_DOWN,
    STATE,
    TRACE_BASE,
    Account,
    Grid,
    State,
    cancel_running,
    clear,
    read_grid,
    write_grid,
)
from agent.schedule.instants import Instants, changed, check_priority
from agent.schedule.plan import Plan
from agent.schedule.register import PlanOver
from agent.schedule.run import GONE, IDLE, OUT, QUEUED, SHOT, Run
from agent.schedule.timetable import SLOT_BITS, SLOT_MASK, last_entry
from agent.schedule.turns import Turns


class Scheduler(Turns):
    """What is due when, and the accounts. `words`: `capacity * PLAN_WORDS` of them, format `q`.

    `ageing_ns`: a tick that has waited this long counts as one step of priority more.

    Raises:
        InputError: no room for `capacity` plans, or an ageing that is not positive.
    """

    def check(self, plans: Sequence[Plan], now_ns: int) -> None:
        """Whether `add` would take all of them. Raises PlanError; nothing is changed."""
        self._register.check(plans, now_ns)

    def add(self, plan: Plan, now_ns: int) -> Run:
        """Start a plan. Instants before `now_ns` are treated like those a late loop finds. Raises PlanError."""
        self._register.check((plan,), now_ns)
        return self._start(self._register.open(plan))

    def adopt(self, plan: Plan, slot: int, now_ns: int) -> Run:
        """Go on with a plan of a process that died: its account, and the period and priority it had at last.

        Ticks that waited and instants since then count as skipped_down, shots under way as failed. An ended plan stays
        ended. Raises PlanError, StateError.
        """
        self._register.check((replace(plan, windows=()),), now_ns)  # its windows may be over by now
        run = self._register.reopen(plan, slot)
        words, index = self._words, run.index
        account = run.account()
        if account.state is State.FREE:  # it died before the plan was started
            clear(words, slot)
            return self._start(run)
        words[index + FAILED] += account.under_way
        words[index + SKIPPED_DOWN] += account.waiting
        if account.state is not State.RUNNING:
            self._register.end(run)
            return run
        self._resume(run, account, now_ns)
        return run

    def cancel(self, name: str, now_ns: int) -> bool:
        """End a plan: what waits is cancelled. False: it had ended before. Raises PlanUnknown."""
        run = self._register.find(name)
        if run.state is not State.RUNNING:
            return False
        self._cancel(run, now_ns)
        return True

    def cancel_all(self, now_ns: int, camera: str | None = None, client: str | None = None) -> int:
        """End all plans, or those of a camera and a client; returns how many. What waits is cancelled.

        Without a choice, or when the choice is all there are, the cost is that of the plans with a tick that waits or
        a shot under way; the others cost next to nothing.
        """
        running = self._register.running
        if camera is not None or client is not None:
            chosen = list(self._register.runs(camera, client))
            if len(chosen) < len(running):
                for run in chosen:
                    self._cancel(run, now_ns)
                return len(chosen)
        for late in self._lanes.up_to(last_entry(now_ns)):
            self._cancel_passed(running[late & SLOT_MASK], now_ns)
        for run in list(self._restless):
            self._cancel_waiting(run)
        self._lanes.clear()
        cancel_running(self._words, self._register.places)
        return self._register.end_all()

    def set_period(self, name: str, period_ns: int, now_ns: int) -> None:
        """Change it by the phase rule of `agent.schedule.instants.changed`. Raises PlanUnknown, PlanOver, PlanError."""
        run = self._running(name)
        self._look_at_all(run, now_ns)
        if run.over:
            raise PlanOver(name, run.state)
        last_ns = self._last_planned(run)
        instants, next_ns = changed(run.plan, run.instants, last_ns, period_ns, now_ns)
        run.set_instants(instants)
        self._lanes.move(run, next_ns)
        if last_ns is not None:
            self._words[run.index + LAST_NS] = last_ns
        write_grid(self._words, run.slot, Grid(next_ns, run.number, period_ns))

    def set_priority(self, name: str, priority: int, now_ns: int) -> None:
        """Change it, also for its ticks that wait. Raises PlanUnknown, PlanOver, PlanError."""
        run = self._running(name)
        check_priority(name, priority)
        self._look_at_all(run, now_ns)
        waiting = run.phase is QUEUED
        if waiting:
            self._lanes.dequeue(run)
        if run.timed:
            self._lanes.remove(run)
        run.priority = self._words[run.index + PRIORITY] = priority
        if run.timed:
            self._lanes.add(run, run.entry >> SLOT_BITS)
        if waiting and run.backlog:
            self._lanes.enqueue(run, run.backlog[0][1])

    def run(self, name: str) -> Run:
        """The plan of this name, running or ended. Raises PlanUnknown."""
        return self._register.find(name)

    def runs(self, camera: str | None = None, client: str | None = None) -> list[Run]:
        """Those that run, of this camera and this client where given."""
        return list(self._register.runs(camera, client))

    def ended(self, bound: int) -> list[Run]:
        """At most `bound` of the plans that ended, each told once, when its last shot has ended."""
        return self._register.ended(bound)

    @property
    def ends_wait(self) -> bool:
        """Plans have ended that `ended` has not told yet; some may have a shot under way."""
        return self._register.ends_wait

    def is_renewed(self, run: Run) -> bool:
        """Whether a plan that was started later has its name."""
        return self._register.is_renewed(run)

    @property
    def ends_untold(self) -> int:
        """Ends that `ended` cannot tell any more, because as many plans as there is room for ended after them."""
        return self._register.untold

    def _last_planned(self, run: Run) -> int | None:
        """The last instant that was looked at; None before the first."""
        if not run.number:
            return None
        if run.step and run.number != read_grid(self._words, run.slot).number:
            return (run.entry - run.step) >> SLOT_BITS
        return self._words[run.index + LAST_NS]  # it has windows, or a new period since then

    def _start(self, run: Run) -> Run:
        words, plan = self._words, run.plan
        run.trace_base = words[run.index + TRACE_BASE]
        words[run.index + PRIORITY] = plan.priority
        if plan.on_edge is not None:
            words[run.index + STATE] = State.RUNNING
            return run
        run.set_instants(Instants.of(plan))
        first_ns = run.instants.first_at_or_after(plan.start_ns)
        if first_ns is None:
            raise PlanOver(plan.name, run.state)  # `check` looked already
        write_grid(words, run.slot, Grid(first_ns, 0, plan.period_ns))
        self._lanes.add(run, first_ns)
        words[run.index + STATE] = State.RUNNING
        return run

    def _resume(self, run: Run, account: Account, now_ns: int) -> None:
        """Find the place on the grid again and settle the gap."""
        grid = read_grid(self._words, run.slot)
        plan = run.plan
        run.set_instants(Instants(grid.at_ns, grid.period_ns, plan.windows, plan.start_ns))
        run.priority = self._words[run.index + PRIORITY]
        run.late_max_ns, run.took_max_ns = account.late_max_ns, account.took_max_ns
        run.number = account.ticks
        if plan.on_edge is not None:
            run.over = run.number == run.limit
            if run.over:
                self._finish(run)
            return
        next_ns = None
        if run.left:
            next_ns = run.instants.later(grid.at_ns, account.ticks - grid.number)
        if next_ns is not None and next_ns <= now_ns:
            passed = run.instants.passed(next_ns, now_ns, run.left)
            self._count(run, passed)
            self._words[run.index + SKIPPED_DOWN] += passed.ticks
            next_ns = passed.next_ns
        if next_ns is None:
            run.over = True
            self._finish(run)
        else:
            self._lanes.add(run, next_ns)

    def _cancel(self, run: Run, now_ns: int) -> None:
        if run.timed:
            if run.entry <= last_entry(now_ns):
                self._cancel_passed(run, now_ns)
            self._lanes.remove(run)
        if run.phase is QUEUED:
            self._lanes.dequeue(run)
        self._cancel_waiting(run)
        self._words[run.index + STATE] = State.CANCELLED
        self._register.end(run)

    def _cancel_passed(self, run: Run, now_ns: int) -> None:
        """Instants that have passed and were not looked at yet."""
        passed = run.instants.passed(run.entry >> SLOT_BITS, now_ns, run.left)
        self._count(run, passed)
        self._words[run.index + CANCELLED] += passed.ticks

    def _cancel_waiting(self, run: Run) -> None:
        waiting = len(run.backlog or ()) + (run.phase is OUT)
        run.backlog = None
        self._words[run.index + CANCELLED] += waiting
        if run.phase is not SHOT:
            run.phase = GONE if run.phase is OUT else IDLE
            self._restless.discard(run)

    def _running(self, name: str) -> Run:
        run = self._register.find(name)
        if run.state is not State.RUNNING:
            raise PlanOver(name, run.state)
        return run
