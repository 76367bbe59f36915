"""The way of a tick: due, given out, fired or not, and how its shot ended; each step is counted as it is taken."""

from __future__ import annotations

from agent.errors import InputError, StateError
from agent.schedule.account import (
    BYTES,
    DELIVERED,
    FAILED,
    FIRED,
    FRAMES,
    LAST_NS,
    LATE_MAX_NS,
    LATE_SUM_NS,
    SHOTS_CANCELLED,
    SKIPPED_NOT_READY,
    STATE,
    TICKS,
    TOOK_MAX_NS,
    TOOK_SUM_NS,
    Grid,
    Refusal,
    State,
    write_grid,
)
from agent.schedule.dealing import deal
from agent.schedule.instants import Passed
from agent.schedule.lanes import Lanes
from agent.schedule.register import Register
from agent.schedule.run import GONE, IDLE, OUT, SHOT, Run, Tick
from agent.schedule.timetable import SLOT_BITS, SLOT_MASK, Timetable, last_entry


class Turns:
    """Whose turn it is, and the accounts. This half of the scheduler knows nothing of plans being started or ended.

    Raises:
        InputError: no room for `capacity` plans, or an ageing that is not positive.
    """

    def __init__(self, words: memoryview, *, capacity: int, ageing_ns: int) -> None:
        if ageing_ns <= 0:
            raise InputError(
                f"an ageing of {ageing_ns} ns would let ticks starve", hint="write how long a tick waits for one step"
            )
        self._words = words
        self._register = Register(words, capacity)
        self._lanes = Lanes(ageing_ns)
        self._restless: set[Run] = set()
        """Those that are not IDLE: a cancel of everything has to look at no others."""

    @property
    def next_ns(self) -> int | None:
        """When `due` should be called next: in the past when ticks wait; None when there is nothing to come."""
        if self._lanes.queue.entries:
            run = self._register.running[self._lanes.queue.entries[0] & SLOT_MASK]
            return (run.queued + self._lanes.lead(run.priority)) >> SLOT_BITS
        return self._lanes.first_ns()

    def last_due_within(self, first_ns: int, span_ns: int) -> int:
        """The last instant of any plan from `first_ns`, when one is due, to `span_ns` later."""
        return self._lanes.latest_ns(last_entry(first_ns + span_ns)) or first_ns

    def due(self, now_ns: int, bound: int) -> list[Tick]:
        """The most urgent ticks. At most `bound` plans are looked at; those whose policy skips them give none.

        So there may be fewer, or none, while others wait: `next_ns` tells. Each of them must end in exactly one of
        `fired`, `refused` and `not_ready`.
        """
        ticks: list[Tick] = []
        last = last_entry(now_ns)
        lanes, queue = self._lanes, self._lanes.queue
        for _ in range(bound):
            lane = lanes.sole
            if lane is None:
                lane = lanes.most_urgent(last)
                if lane is None:
                    break
            elif lane.entries[0] > last:
                break
            tick = self._from_queue() if lane is queue else self._from_lane(lane, last, now_ns)
            if tick is not None:
                ticks.append(tick)
        return ticks

    def edge(self, run: Run, at_ns: int) -> Tick | None:
        """An edge that counts came at `at_ns`, for a plan whose instants are edges. None: its policy settles it.

        The tick must end as those of `due`. A plan that is over or cancelled takes no more edges.
        """
        if run.over or run.state is not State.RUNNING:
            return None
        words, index, number = self._words, run.index, run.number
        run.over = number + 1 == run.limit
        run.number = words[index + TICKS] = number + 1
        words[index + LAST_NS] = at_ns
        taken = deal(run, words, number, at_ns, Passed(1, at_ns, None))
        if taken is None:
            return None
        return self._give_out(run, *taken)

    def fired(self, tick: Tick, now_ns: int) -> bool:
        """It goes to its camera. False: its plan was cancelled since `due` gave it out, and it must not go.

        Each tick that was fired must end in exactly one of `delivered`, `failed` and `dropped`.
        """
        run = tick.run
        if run.phase is not OUT:
            self._check_gone(run, "fired")
            return False
        run.phase = SHOT
        tick.fired_ns = now_ns
        late_ns = now_ns - tick.due_ns
        words, index = self._words, run.index
        words[index + FIRED] += 1
        words[index + LATE_SUM_NS] += late_ns
        if late_ns > run.late_max_ns:
            run.late_max_ns = words[index + LATE_MAX_NS] = late_ns
        return True

    def refused(self, tick: Tick, which: Refusal) -> None:
        """A quota refused it."""
        self._end_unfired(tick, which, "refused")

    def not_ready(self, tick: Tick) -> None:
        """Its camera cannot take it now."""
        self._end_unfired(tick, SKIPPED_NOT_READY, "not_ready")

    def delivered(self, tick: Tick, now_ns: int, frames: int, bytes_: int) -> None:
        """Its frames arrived."""
        words, index = self._words, tick.run.index
        self._end_shot(tick, now_ns, DELIVERED)
        words[index + FRAMES] += frames
        words[index + BYTES] += bytes_

    def failed(self, tick: Tick, now_ns: int) -> None:
        """It came to nothing: no frame in time, a fault."""
        self._end_shot(tick, now_ns, FAILED)

    def dropped(self, tick: Tick, now_ns: int) -> None:
        """It was given up because of a cancel."""
        self._end_shot(tick, now_ns, SHOTS_CANCELLED)

    def _from_lane(self, lane: Timetable, last: int, now_ns: int) -> Tick | None:
        """The turn of the first of a timetable, which is due."""
        first = lane.entries[0]
        run = self._register.running[first & SLOT_MASK]
        following = first + run.step
        number = run.number
        if following <= last or run.phase is not IDLE or number + 1 == run.limit:
            taken = self._look(run, now_ns)
            return None if taken is None else self._give_out(run, *taken)
        lane.advance(following)
        run.entry = following
        run.number = self._words[run.index + TICKS] = number + 1
        return self._give_out(run, number, first >> SLOT_BITS)

    def _from_queue(self) -> Tick | None:
        run = self._register.running[self._lanes.queue.entries[0] & SLOT_MASK]
        self._lanes.dequeue(run)
        if not run.backlog:
            return None
        return self._give_out(run, *run.backlog.popleft())

    def _give_out(self, run: Run, number: int, due_ns: int) -> Tick:
        run.phase = OUT
        self._restless.add(run)
        tick = run.tick
        tick.number = number
        tick.due_ns = due_ns
        tick.wanted = run.burst
        return tick

    def _look(self, run: Run, now_ns: int) -> tuple[int, int] | None:
        """Deal the instants that have passed; returns number and instant of the one that is to be given out."""
        first_ns, number = run.entry >> SLOT_BITS, run.number
        passed = run.instants.passed(first_ns, now_ns, run.left)
        self._count(run, passed)
        taken = deal(run, self._words, number, first_ns, passed)
        if passed.next_ns is None:
            run.over = True
            self._lanes.remove(run)
        else:
            self._lanes.move(run, passed.next_ns)
        return taken

    def _look_at_all(self, run: Run, now_ns: int) -> None:
        """As `_look`, when it is not the turn of this plan: what is to be given out waits for it."""
        if not run.timed or run.entry > last_entry(now_ns):
            return
        taken = self._look(run, now_ns)
        if taken is not None:
            run.keep(taken)
            self._restless.add(run)
            self._lanes.enqueue(run, taken[1])

    def _count(self, run: Run, passed: Passed) -> None:
        words, index = self._words, run.index
        run.number += passed.ticks
        words[index + TICKS] = run.number
        if not run.step:
            words[index + LAST_NS] = passed.last_ns
            if passed.next_ns is not None:
                write_grid(words, run.slot, Grid(passed.next_ns, run.number, run.period_ns))

    def _end_unfired(self, tick: Tick, counter: int, verb: str) -> None:
        run = tick.run
        if run.phase is not OUT:
            self._check_gone(run, verb)
            return
        self._words[run.index + counter] += 1
        self._rest(run)

    def _end_shot(self, tick: Tick, now_ns: int, counter: int) -> None:
        run = tick.run
        if run.phase is not SHOT:
            raise _not_allowed(run, "end a shot")
        took_ns = now_ns - tick.fired_ns
        words, index = self._words, run.index
        words[index + counter] += 1
        words[index + TOOK_SUM_NS] += took_ns
        if took_ns > run.took_max_ns:
            run.took_max_ns = words[index + TOOK_MAX_NS] = took_ns
        self._rest(run)

    def _rest(self, run: Run) -> None:
        """Its tick has ended: the next that waits may go, or the plan is finished."""
        if run.backlog:
            self._lanes.enqueue(run, run.backlog[0][1])
            return
        run.phase = IDLE
        self._restless.discard(run)
        if run.over:
            self._finish(run)

    def _finish(self, run: Run) -> None:
        if run.state is State.RUNNING:
            self._words[run.index + STATE] = State.FINISHED
            self._register.end(run)

    def _check_gone(self, run: Run, verb: str) -> None:
        if run.phase is not GONE:
            raise _not_allowed(run, verb)


def _not_allowed(run: Run, verb: str) -> StateError:
    return StateError(
        f"plan {run.plan.name}: its tick is {run.phase.value}, which does not allow {verb}",
        hint="end each tick once: due, then fired, refused or not_ready; fired, then delivered, failed or dropped",
        plan=run.plan.name,
        state=run.phase.value,
        verb=verb,
    )
