"""The loss ledger: every missing sequence number has exactly one cause, and the sums always match (mission row D3)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

_WRAP = 1 << 32
_FAR = 1 << 31
"""A distance beyond half the 32-bit circle is a step back, not a gap forward."""


class Loss(enum.Enum):
    """Why a frame the camera took did not reach the one who asked for frames."""

    DRIVER_GAP = "driver gap"
    """The driver skipped numbers although it had buffers: dropped on the bus, in the driver or by the sensor."""
    OVERRUN = "consumer overrun"
    """The driver had no buffer to write to, because all were with the consumer."""
    ERROR_FLAG = "error flag"
    """Delivered by the driver as damaged, and not handed on."""
    SKIPPED = "skipped"
    """Dequeued in good order and left out on purpose: stale, settling, or replaced by a newer one."""
    RESTART = "restart"
    """Missing right after the stream was started again, or after the driver's count went back by itself."""


@dataclass
class LossLedger:
    """Accounts for each sequence number of one camera: delivered, or lost with a cause.

    Over the numbers seen, `delivered + lost` equals the numbers that passed (`balance` is 0 between frames).
    Sequence numbers are 32 bits and may wrap. `unfilled`: buffers the driver returned without a frame in them; they
    have no number and are in no sum. Not shared between threads.
    """

    delivered: int = 0
    losses: dict[Loss, int] = field(default_factory=lambda: dict.fromkeys(Loss, 0))
    restarts: int = 0
    unfilled: int = 0
    _passed: int = 0
    _next: int | None = None
    _first: bool = True
    _since_delivery: int = 0

    @property
    def lost(self) -> int:
        """All losses, whatever their cause."""
        return sum(self.losses.values())

    @property
    def balance(self) -> int:
        """Numbers that passed less numbers explained: 0, or 1 while the last observed one is not settled."""
        return self._passed - self.delivered - self.lost

    def start(self) -> None:
        """A stream begins: most drivers count from 0 again, some go on."""
        self._first = True

    def observe(self, sequence: int, *, starved: bool) -> int:
        """A buffer was dequeued; returns how many numbers were missing before it.

        `starved`: the driver had no buffer for the first of the missing ones, so that the gap is the consumer's. The
        buffer itself must then be settled by one of `deliver` and `lose`.
        """
        gap, cause = self._gap(sequence, starved)
        self._first = False
        self._next = (sequence + 1) % _WRAP
        self._passed += gap + 1
        if gap:
            self.losses[cause] += gap
            self._since_delivery += gap
        return gap

    def deliver(self) -> int:
        """The buffer last observed goes to the consumer; returns the losses since the last one, skipped ones apart."""
        self.delivered += 1
        lost, self._since_delivery = self._since_delivery, 0
        return lost

    def lose(self, cause: Loss) -> None:
        """The buffer last observed does not go to the consumer."""
        self.losses[cause] += 1
        self._since_delivery += 1

    def skip(self, lost_before: int) -> None:
        """The frame last delivered (with `lost_before`) is left out on purpose after all: no loss to tell of."""
        self.delivered -= 1
        self.losses[Loss.SKIPPED] += 1
        self._since_delivery += lost_before

    def as_dict(self) -> dict[str, int]:
        """The sums, with a key for each cause."""
        return {"delivered": self.delivered, **{cause.value: count for cause, count in self.losses.items()}}

    def _gap(self, sequence: int, starved: bool) -> tuple[int, Loss]:
        went_on = None if self._next is None else (sequence - self._next) % _WRAP
        if not self._first and went_on is not None and went_on < _FAR:
            return went_on, Loss.OVERRUN if starved else Loss.DRIVER_GAP
        again = self._next is not None
        self.restarts += again
        # from 0, or on from where it was: the nearer one; a count that starts elsewhere has no gap we could know
        gap = min(sequence, _WRAP if went_on is None else went_on)
        return gap if gap < _FAR else 0, Loss.RESTART if again else Loss.DRIVER_GAP
