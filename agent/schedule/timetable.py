"""Who is due next: a heap of whole numbers (docs/decisions/0009 says why, with figures).

An entry is one number, `due_ns << SLOT_BITS | slot`: comparing two of them is one comparison of integers, and the next
instant of a periodic plan is the entry plus a constant. Entries that are taken out early stay in the heap as stale ones
until they come up or outnumber the others.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace

SLOT_BITS = 24
SLOT_MASK = (1 << SLOT_BITS) - 1
_STALE_FLOOR = 64
"""Rebuilding a heap for fewer stale entries than this is not worth it."""


def entry(due_ns: int, slot: int) -> int:
    """The number that stands for `slot` being due at `due_ns`; also for negative times."""
    return due_ns << SLOT_BITS | slot


def last_entry(now_ns: int) -> int:
    """No entry that is due at `now_ns` or before is larger than this."""
    return now_ns << SLOT_BITS | SLOT_MASK


class Timetable:
    """A set of entries, the smallest at `entries[0]`, which is never a stale one. Not shared between threads.

    `entries` is read by the scheduler's inner loop; only the methods here change it. `len` counts without stale ones.
    `lead`: what to take from an entry to have its urgency; it is the same for all of one timetable.
    """

    __slots__ = ("_stale", "entries", "lead")

    def __init__(self, lead: int = 0) -> None:
        self.lead = lead
        self.entries: list[int] = []
        self._stale: set[int] = set()

    def __len__(self) -> int:
        return len(self.entries) - len(self._stale)

    def add(self, new: int) -> None:
        """Put an entry in that is not in."""
        if new in self._stale:
            self._stale.remove(new)  # it still lies where it belongs
        else:
            heappush(self.entries, new)

    def advance(self, new: int) -> None:
        """Take the first entry out and put another in."""
        if self._stale:
            self.take()
            self.add(new)
        else:
            heapreplace(self.entries, new)

    def take(self) -> int:
        """Take the first entry out. Raises IndexError when there is none."""
        first = heappop(self.entries)
        if self._stale:
            self._clean()
        return first

    def remove(self, old: int) -> None:
        """Take any entry out that is in."""
        self._stale.add(old)
        if len(self._stale) > _STALE_FLOOR and 2 * len(self._stale) > len(self.entries):
            self.entries = [kept for kept in self.entries if kept not in self._stale]
            heapify(self.entries)
            self._stale.clear()
        else:
            self._clean()

    def latest(self, last: int) -> int | None:
        """The largest entry not larger than `last`; None when there is none.

        A heap is searched from its root downwards, and no further than entries that are larger: the cost is that of
        the entries up to `last`.
        """
        entries, stale = self.entries, self._stale
        found = None
        places = [0]
        while places:
            place = places.pop()
            if place < len(entries) and entries[place] <= last:
                if (found is None or entries[place] > found) and entries[place] not in stale:
                    found = entries[place]
                places += (2 * place + 1, 2 * place + 2)
        return found

    def up_to(self, last: int) -> list[int]:
        """The entries not larger than `last`, in no order."""
        if not self.entries or self.entries[0] > last:
            return []
        return [found for found in self.entries if found <= last and found not in self._stale]

    def _clean(self) -> None:
        entries, stale = self.entries, self._stale
        while entries and entries[0] in stale:
            stale.remove(heappop(entries))
