"""The schedule once more, as slowly and as plainly as can be: instants are counted out one by one."""

from agent.schedule.plan import Plan, WhenBusy

HORIZON_NS = 4_000
"""Longer than any pattern of the small periods and windows that the tests draw."""


def is_open(plan, at_ns):
    """Whether the plan lets an instant through at `at_ns`."""
    for window in plan.windows:
        after = at_ns - plan.start_ns - window.open_ns
        if after >= 0 and window.every_ns is not None:
            after %= window.every_ns
        if 0 <= after < window.close_ns - window.open_ns:
            return True
    return not plan.windows


def next_instant(plan, anchor_ns, period_ns, from_ns):
    """The first instant of the grid, at or after `from_ns`, that is let through; None: none for a long time."""
    at_ns = anchor_ns
    while at_ns < max(from_ns, anchor_ns) + HORIZON_NS:
        if at_ns >= from_ns and is_open(plan, at_ns):
            return at_ns
        if period_ns is None:
            return None
        at_ns += period_ns
    return None


class NaivePlan:
    """One plan of the model. `counts` has the words that are not derived."""

    def __init__(self, plan: Plan, slot: int) -> None:
        self.plan = plan
        self.slot = slot
        self.anchor_ns, self.period_ns, self.priority = plan.start_ns, plan.period_ns, plan.priority
        self.counts: dict[str, int] = {}
        self.last_ns: int | None = None
        self.next_ns = next_instant(plan, plan.start_ns, plan.period_ns, plan.start_ns)
        self.number = 0
        self.state = "RUNNING"
        self.phase = "idle"
        self.backlog: list[tuple[int, int]] = []
        self.out = (0, 0)

    def count(self, what, by=1):
        if by:
            self.counts[what] = self.counts.get(what, 0) + by

    def pass_instants(self, now_ns):
        """All instants up to now, as (number, instant); they are counted as ticks."""
        found = []
        while self.next_ns is not None and self.next_ns <= now_ns:
            found.append((self.number, self.next_ns))
            self.number += 1
            self.last_ns = self.next_ns
            self.next_ns = next_instant(self.plan, self.anchor_ns, self.period_ns, self.last_ns + 1)
            if self.number == (self.plan.count or -1) or self.period_ns is None:
                self.next_ns = None
        self.count("ticks", len(found))
        return found

    def look(self, now_ns):
        """Deal what has passed; returns what is taken."""
        passed = self.pass_instants(now_ns)
        policy = self.plan.when_busy
        if self.phase != "idle":
            for instant in passed:
                if policy is WhenBusy.COALESCE and self.backlog:
                    self.count("coalesced")
                elif policy is not WhenBusy.SKIP and len(self.backlog) < max(1, self.plan.catch_up):
                    self.backlog.append(instant)
                else:
                    self.count("skipped_busy")
            return None
        if policy is WhenBusy.SKIP:
            self.count("skipped_late", len(passed) - 1)
            return passed[-1]
        if policy is WhenBusy.COALESCE:
            self.count("coalesced", len(passed) - 1)
            return passed[0]
        self.backlog = passed[1 : self.plan.catch_up]
        self.count("skipped_late", len(passed) - 1 - len(self.backlog))
        return passed[0]

    def rest(self):
        """The tick has ended."""
        if self.backlog:
            self.phase = "queued"
            return
        self.phase = "idle"
        if self.next_ns is None and self.state == "RUNNING":
            self.state = "FINISHED"

    def cancel(self, now_ns):
        waiting = len(self.pass_instants(now_ns)) + len(self.backlog) + (self.phase == "out")
        self.count("cancelled", waiting)
        self.backlog, self.next_ns, self.state = [], None, "CANCELLED"
        self.phase = {"shot": "shot", "out": "gone"}.get(self.phase, "idle")

    def set_period(self, period_ns, now_ns):
        """False: there is no instant to come."""
        anchor = self.plan.start_ns if self.last_ns is None else self.last_ns
        earliest = now_ns if self.last_ns is None else max(now_ns, self.last_ns + 1)
        following = next_instant(self.plan, anchor, period_ns, earliest)
        if following is not None:
            self.anchor_ns, self.period_ns, self.next_ns = anchor, period_ns, following
        return following is not None

    def down(self, now_ns):
        """The process died and another one goes on."""
        if self.phase == "shot":
            self.count("failed")
        self.count("skipped_down", len(self.backlog) + (self.phase == "out"))
        self.backlog, self.phase = [], "idle"
        if self.state == "RUNNING":
            self.count("skipped_down", len(self.pass_instants(now_ns)))
            if self.next_ns is None:
                self.state = "FINISHED"

    def candidate(self, now_ns, ageing_ns):
        """(urgency, slot) of what it has to give; None when it has nothing."""
        due = [self.backlog[0][1]] if self.phase == "queued" else []
        due += [self.next_ns] if self.next_ns is not None and self.next_ns <= now_ns else []
        return (min(due) - self.priority * ageing_ns, self.slot) if due else None


def turn(plans, now_ns, bound, ageing_ns):
    """What `Scheduler.due` gives: (plan's name, number, instant)."""
    given = []
    for _ in range(bound):
        candidates = [(plan.candidate(now_ns, ageing_ns), plan) for plan in plans if plan.state == "RUNNING"]
        found = [(key, plan) for key, plan in candidates if key is not None]
        if not found:
            break
        plan = min(found, key=lambda pair: pair[0])[1]
        taken = plan.backlog.pop(0) if plan.phase == "queued" else plan.look(now_ns)
        if taken is not None:
            plan.phase, plan.out = "out", taken
            given.append((plan.plan.name, *taken))
    return given
