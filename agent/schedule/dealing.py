"""What becomes of instants that have passed: the policies for a busy plan and for a late loop (mission row F3).

Instants are dealt oldest first. On a plan at rest, one of them is taken at once:

| policy   | plan at rest, n instants have passed       | plan busy                                      |
|----------|--------------------------------------------|------------------------------------------------|
| SKIP     | the latest is taken, the others are late   | all are skipped as busy                        |
| COALESCE | the oldest is taken, the others join it    | one waits, all others join it                  |
| CATCH_UP | the oldest is taken, as many wait as may   | as many wait as may, the others are skipped    |

With CATCH_UP `catch_up` ticks may wait; on a plan at rest the one that is taken is among them.
"""

from __future__ import annotations

from collections import deque

from agent.schedule.account import COALESCED, SKIPPED_BUSY, SKIPPED_LATE
from agent.schedule.instants import Instants, Passed
from agent.schedule.plan import WhenBusy
from agent.schedule.run import IDLE, Run


def deal(run: Run, words: memoryview, first_number: int, first_ns: int, passed: Passed) -> tuple[int, int] | None:
    """Settle them all but those that wait in the run's backlog; returns number and instant of the one to be taken."""
    if run.phase is IDLE:
        return _deal_at_rest(run, words, first_number, first_ns, passed)
    policy = run.plan.when_busy
    room = {WhenBusy.SKIP: 0, WhenBusy.COALESCE: 1, WhenBusy.CATCH_UP: run.plan.catch_up}[policy]
    kept = max(0, min(passed.ticks, room - len(run.backlog or ())))  # a changed plan may have one queued, with SKIP too
    _keep(run, _oldest(run.instants, first_number, first_ns, kept))
    words[run.index + (COALESCED if policy is WhenBusy.COALESCE else SKIPPED_BUSY)] += passed.ticks - kept
    return None


def _deal_at_rest(
    run: Run, words: memoryview, first_number: int, first_ns: int, passed: Passed
) -> tuple[int, int] | None:
    others = passed.ticks - 1
    if run.plan.when_busy is WhenBusy.SKIP:
        words[run.index + SKIPPED_LATE] += others
        return first_number + others, passed.last_ns
    if run.plan.when_busy is WhenBusy.COALESCE:
        words[run.index + COALESCED] += others
        return first_number, first_ns
    kept = min(passed.ticks, run.plan.catch_up)
    taken, *waiting = _oldest(run.instants, first_number, first_ns, kept)
    _keep(run, waiting)
    words[run.index + SKIPPED_LATE] += passed.ticks - kept
    return taken


def _keep(run: Run, waiting: list[tuple[int, int]]) -> None:
    if not waiting:
        return
    if run.backlog is None:
        run.backlog = deque()
    run.backlog.extend(waiting)


def _oldest(instants: Instants, number: int, at_ns: int, count: int) -> list[tuple[int, int]]:
    """Numbers and instants of the first `count`, all of which exist, from this one on."""
    found: list[tuple[int, int]] = []
    following: int | None = at_ns
    while len(found) < count and following is not None:
        found.append((number + len(found), following))
        following = instants.first_at_or_after(following + 1)
    return found
