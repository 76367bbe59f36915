"""Which frames of one camera go to one client, and which do not: bookkeeping without I/O.

Every frame that was offered ends in one of three ways: it is lent, it is skipped, or it waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.capture.session import Session
from agent.capture.shot import Shot
from agent.frames.wire import Facts


@dataclass(slots=True, eq=False)
class Loan:
    """A frame that clients have, or that waits for them. `served`: plan and trace id of each tick that got it.

    `holders`: how many clients have it or wait for it. `is_copied`: its copy is kept for those that wait.
    """

    session: Session
    shot: Shot
    facts: Facts
    offsets: tuple[int, ...]
    served: Sequence[tuple[str, str]] = ()
    holders: int = 0
    is_copied: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Feed:
    """One client's frames of one camera. `depth`: how many wait while it has `most`; then the oldest is skipped.

    `plan`: only frames that served a tick of this plan; empty: all. `after_ns`: only frames whose exposure began then
    or later. `owed`: answers the client owes, those of revoked leases as well. `skipped`: since the last frame lent.
    """

    most: int
    depth: int = 1
    plan: str = ""
    after_ns: int | None = None
    owed: int = 0
    skipped: int = 0
    waiting: deque[Loan] = field(default_factory=deque)

    def wants(self, loan: Loan) -> bool:
        """Whether the frame is one of those that were subscribed to."""
        if self.after_ns is not None and (loan.facts.began_ns is None or loan.facts.began_ns < self.after_ns):
            return False
        return not self.plan or any(plan == self.plan for plan, _ in loan.served)

    def traces(self, loan: Loan) -> list[str]:
        """The trace ids that go with a frame."""
        return [trace for plan, trace in loan.served if not self.plan or plan == self.plan]

    def wait(self, loan: Loan) -> Loan | None:
        """A frame waits; the one that is skipped for it."""
        loan.holders += 1
        self.waiting.append(loan)
        return self.skip_oldest() if len(self.waiting) > self.depth else None

    def skip_oldest(self) -> Loan:
        """The oldest of those that wait will not be lent. Only while one waits."""
        loan = self.waiting.popleft()
        loan.holders -= 1
        self.skipped += 1
        return loan

    def skip_all(self) -> list[Loan]:
        """None of those that wait will be lent."""
        return [self.skip_oldest() for _ in range(len(self.waiting))]

    def next(self, share: int) -> Loan | None:
        """The frame to be lent now, which waits no more; None: none waits, or the client has all it may have.

        `share`: how many it may have for the others' sake. The caller tells whether it was `lent`.
        """
        return self.waiting.popleft() if self.waiting and self.owed < min(self.most, share) else None

    def lent(self, loan: Loan, *, is_sent: bool) -> None:
        """What `next` gave was sent; or it could not be, and is skipped."""
        if is_sent:
            self.owed += 1
            self.skipped = 0
        else:
            loan.holders -= 1
            self.skipped += 1
