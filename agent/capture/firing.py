"""Pulses for ticks: one at a time, a cycle apart, each shared by all ticks that it can serve (mission rows E1, F6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Output(Protocol):
    """What makes the pulses."""

    @property
    def next_ns(self) -> int | None:
        """When `due` should be called; None while no pulse is under way."""
        ...

    @property
    def free(self) -> bool:
        """Whether a pulse can begin: the one before is over."""
        ...

    def fire(self, number: int, now_ns: int) -> None:
        """Begin the pulse of this number; when it was is told to whoever made this. Raises LineError."""
        ...

    def due(self, now_ns: int) -> None:
        """End what is due. Raises LineError."""
        ...

    def stop(self) -> None:
        """The line to its idle level now. Raises LineError."""
        ...

    def prove_idle(self) -> None:
        """Read the level back. Raises LineError, TriggerNotIdle."""
        ...

    def release(self) -> None:
        """Safe level, let go; idempotent."""
        ...


class Firing:
    """When pulses are fired, and which ticks share one. Owned by the group's trigger.

    `number`: of the last pulse that was fired, -1 before the first. A tick that is served by pulse n and wants a burst
    of b frames has the pulses n to n + b - 1.
    """

    def __init__(
        self,
        fire: Callable[[int, int], bool],
        is_free: Callable[[], bool],
        cycle_ns: Callable[[], int],
        number: int = -1,
    ) -> None:
        """`fire(number, now_ns)` begins a pulse; False: it did not leave, and its number is used for the next.

        `is_free`: whether one can begin. `number`: where the process before left off.
        """
        self.number = number
        self._fire, self._is_free, self._cycle_ns = fire, is_free, cycle_ns
        self._fired_ns = 0
        self._free_ns = 0
        self._wanted = number
        """The last pulse that somebody wants."""
        self._open = False
        """No frame of the last pulse has come yet: ticks may still share it."""

    @property
    def next_ns(self) -> int | None:
        """When the next pulse may leave; None when nobody wants one, or that of before is not over."""
        return self._free_ns if self._wanted > self.number and self._is_free() else None

    def serve(self, due_ns: int, burst: int) -> int:
        """The first pulse for a tick that is due since `due_ns`: the last one, or the one to come.

        `check` must follow when those who wait for the pulse are ready for it.
        """
        if self._wanted > self.number:
            first = self.number + 1
        elif self._open and due_ns <= self._fired_ns:
            first = self.number
        else:
            first = self.number + 1
        self._wanted = max(self._wanted, first + burst - 1)
        return first

    def check(self, now_ns: int) -> None:
        """Fire the next pulse when it is wanted and the cycle of the last is over."""
        if self._wanted > self.number and now_ns >= self._free_ns and self._is_free():
            self.number += 1
            self._fired_ns, self._free_ns, self._open = now_ns, now_ns + self._cycle_ns(), True
            if not self._fire(self.number, now_ns):
                self.number -= 1
                self.give_up()

    def answered(self, pulse: int) -> None:
        """A frame of this pulse came, or none will: no further tick can share it."""
        if pulse >= self.number:
            self._open = False

    def give_up(self) -> None:
        """Pulses that are wanted and did not leave will not be fired."""
        self._open = False
        self._wanted = self.number
