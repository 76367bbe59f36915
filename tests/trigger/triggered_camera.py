"""A camera on a trigger that knows the truth: what became of each pulse, and what its stamps hide."""

from dataclasses import dataclass, field
from typing import NamedTuple

from trigger.told import Account

from agent.trigger.ledger import Ledger


class Truth(NamedTuple):
    """A frame the driver delivered: the pulse it was exposed on (None: a ghost), and what the ledger is told of it."""

    pulse: int | None
    start_ns: int
    uncertainty_ns: int
    arrived_ns: int
    lost_before: int


@dataclass
class TriggeredCamera:
    """Turns pulses and their fates into calls on a ledger, in the order of time.

    Frames come in the order they were added, and never before the one ahead of them.
    """

    ledger: Ledger
    pulses: list = field(default_factory=list)
    frames: list = field(default_factory=list)
    lost: int = 0

    def fire(self, fired_ns, error_ns=0, uncertainty_ns=0):
        """A pulse at `fired_ns`, told with an error."""
        self.pulses.append((fired_ns, fired_ns + error_ns, uncertainty_ns))
        return len(self.pulses) - 1

    def expose(self, pulse, start_ns, error_ns, uncertainty_ns, arrived_ns):
        """A frame that is delivered."""
        arrived_ns = max(arrived_ns, self.frames[-1].arrived_ns if self.frames else 0)
        self.frames.append(Truth(pulse, start_ns + error_ns, uncertainty_ns, arrived_ns, self.lost))
        self.lost = 0

    def lose(self):
        """A frame the driver counts and does not deliver."""
        self.lost += 1

    def run(self, looks=()):
        """All of it, with `expire` at the instants `looks`, then a stop. Returns the account."""
        # a pulse is told before the frames that arrive at the same instant, and those before what is overdue
        calls = [(fired_ns + u, 0, number) for number, (fired_ns, _, u) in enumerate(self.pulses)]
        calls += [(frame.arrived_ns, 1, number) for number, frame in enumerate(self.frames)]
        calls += [(look_ns, 2, 0) for look_ns in looks]
        account = Account(self.ledger)
        for now_ns, kind, number in sorted(calls):
            if kind == 0:
                _, told_ns, u = self.pulses[number]
                account.hear(self.ledger.pulse(number, told_ns, u))
            elif kind == 1:
                frame = self.frames[number]
                account.hear(self.ledger.frame(number, *frame[1:]), frame=number)
            else:
                account.hear(self.ledger.expire(now_ns))
        account.hear(self.ledger.stop(max(calls)[0] if calls else 0))
        assert len(account.pulses) == len(self.pulses)
        assert len(account.frames) == len(self.frames)
        return account
