"""How long to wait before a process that died is replaced."""

from __future__ import annotations

from agent.units import NS_PER_S


class BackOff:
    """`first_ns`, doubling with each death in a row up to `largest_ns`; from the start after `quiet_ns` of life."""

    def __init__(
        self, *, first_ns: int = NS_PER_S, largest_ns: int = 30 * NS_PER_S, quiet_ns: int = 60 * NS_PER_S
    ) -> None:
        self.first_ns = first_ns
        self.largest_ns = largest_ns
        self.quiet_ns = quiet_ns
        self._deaths = 0

    def was_quiet(self, lived_ns: int) -> bool:
        """Whether a process that lived so long counts as well; forgets the deaths before it."""
        if lived_ns < self.quiet_ns:
            return False
        self._deaths = 0
        return True

    def after_death(self, lived_ns: int) -> int:
        """A process died after `lived_ns`: the nanoseconds until its successor starts."""
        self.was_quiet(lived_ns)
        delay_ns = min(self.first_ns << min(self._deaths, 62), self.largest_ns)
        self._deaths += 1
        return delay_ns
