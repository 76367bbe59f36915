"""Which timetable: a heap of tuples, a heap of whole numbers (ours), a hashed and a hierarchical timing wheel.

`python -m benchmarks.timetable` prints CPU time a tick, at 1,000 ticks a second of simulated time whatever the number
of plans is. A turn is what the loop does: ask when the first is due, take all that are due then, put each back one
period later. The wheels are those of Varghese and Lauck (1987), schemes 6 and 7, with slots of 1 ms; within a slot they
look for the very nanosecond, because that is what the loop's timer is set to. Four sides do not fit the format of the
comparisons (one against one), so nothing is written.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from heapq import heapify, heapreplace
from typing import Protocol

from agent.schedule.timetable import SLOT_BITS, SLOT_MASK, Timetable, entry, last_entry
from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.stats import median_interval, turn_order

SIZES = (1_000, 10_000, 100_000)
TICKS_A_SECOND = 1_000
ROUNDS = 12
TICKS_A_BLOCK = 20_000
HASHED_SLOTS = 4_096
LEVEL_BITS = 8
LEVELS = 4


class Side(Protocol):
    """One way to keep the entries; all have the same period."""

    def first_ns(self) -> int:
        """When the first is due."""

    def turn(self, now_ns: int) -> int:
        """Put all that are due one period back; returns how many."""


class TupleHeap:
    """`heapq` of (instant, place), as anybody would write it."""

    def __init__(self, dues: Iterable[int], period_ns: int) -> None:
        self._heap = [(due_ns, slot) for slot, due_ns in enumerate(dues)]
        heapify(self._heap)
        self._period_ns = period_ns

    def first_ns(self) -> int:
        """When the first is due."""
        return self._heap[0][0]

    def turn(self, now_ns: int) -> int:
        """Replace the first again and again."""
        heap, period_ns, done = self._heap, self._period_ns, 0
        while heap[0][0] <= now_ns:
            due_ns, slot = heap[0]
            heapreplace(heap, (due_ns + period_ns, slot))
            done += 1
        return done


class NumberHeap:
    """Ours: `agent.schedule.timetable`."""

    def __init__(self, dues: Iterable[int], period_ns: int) -> None:
        self._table = Timetable()
        for slot, due_ns in enumerate(dues):
            self._table.add(entry(due_ns, slot))
        self._step = period_ns << SLOT_BITS

    def first_ns(self) -> int:
        """When the first is due."""
        return self._table.entries[0] >> SLOT_BITS

    def turn(self, now_ns: int) -> int:
        """As the scheduler does it, through the timetable's own method."""
        table, step, last, done = self._table, self._step, last_entry(now_ns), 0
        while (first := table.entries[0]) <= last:
            _ = first & SLOT_MASK
            table.advance(first + step)
            done += 1
        return done


class HashedWheel:
    """One wheel; what is due in a later turn of it lies in the same slots (scheme 6)."""

    def __init__(self, dues: Iterable[int], period_ns: int) -> None:
        self._slots: list[list[int]] = [[] for _ in range(HASHED_SLOTS)]
        self._period_ns = period_ns
        self._ms = 0
        for slot, due_ns in enumerate(dues):
            self._put(entry(due_ns, slot))

    def _put(self, new: int) -> None:
        self._slots[(new >> SLOT_BITS) // NS_PER_MS % HASHED_SLOTS].append(new)

    def first_ns(self) -> int:
        """Walk to the next slot that has something of this turn of the wheel."""
        while True:
            last = last_entry((self._ms + 1) * NS_PER_MS - 1)
            due = [found for found in self._slots[self._ms % HASHED_SLOTS] if found <= last]
            if due:
                return min(due) >> SLOT_BITS
            self._ms += 1

    def turn(self, now_ns: int) -> int:
        """Take what is due out of the slot, put it where it belongs."""
        slots, last, index = self._slots, last_entry(now_ns), self._ms % HASHED_SLOTS
        due = [found for found in slots[index] if found <= last]
        slots[index] = [found for found in slots[index] if found > last]
        for one in due:
            self._put(one + (self._period_ns << SLOT_BITS))
        return len(due)


class HierarchicalWheel:
    """Four wheels of 256 slots; a slot of a coarser one is dealt out when its time comes (scheme 7)."""

    def __init__(self, dues: Iterable[int], period_ns: int) -> None:
        self._wheels: list[list[list[int]]] = [[[] for _ in range(1 << LEVEL_BITS)] for _ in range(LEVELS)]
        self._period_ns = period_ns
        self._ms = 0
        for slot, due_ns in enumerate(dues):
            self._put(entry(due_ns, slot))

    def _put(self, new: int) -> None:
        due_ms = (new >> SLOT_BITS) // NS_PER_MS
        ahead_ms, level = due_ms - self._ms, 0
        while ahead_ms >> LEVEL_BITS * (level + 1):
            level += 1
        self._wheels[level][due_ms >> LEVEL_BITS * level & 255].append(new)

    def first_ns(self) -> int:
        """Walk to the next slot that has something; deal out coarser ones on the way."""
        slots = self._wheels[0]
        while not slots[self._ms & 255]:
            self._ms += 1
            self._deal_out()
        return min(slots[self._ms & 255]) >> SLOT_BITS

    def _deal_out(self) -> None:
        for level in range(1, LEVELS):
            if self._ms & (1 << LEVEL_BITS * level) - 1:
                return
            index = self._ms >> LEVEL_BITS * level & 255
            moved, self._wheels[level][index] = self._wheels[level][index], []
            for one in moved:
                self._put(one)

    def turn(self, now_ns: int) -> int:
        """Take what is due out of the slot, put it where it belongs."""
        slots, last, index = self._wheels[0], last_entry(now_ns), self._ms & 255
        due = [found for found in slots[index] if found <= last]
        slots[index] = [found for found in slots[index] if found > last]
        for one in due:
            self._put(one + (self._period_ns << SLOT_BITS))
        return len(due)


SIDES: dict[str, Callable[[Iterable[int], int], Side]] = {
    "heap of tuples": TupleHeap,
    "heap of numbers": NumberHeap,
    "hashed wheel": HashedWheel,
    "hierarchical wheel": HierarchicalWheel,
}


def cpu_a_tick_us(side: Side) -> float:
    """CPU time of a block, a tick."""
    done, begin_ns = 0, time.process_time_ns()
    while done < TICKS_A_BLOCK:
        done += side.turn(side.first_ns())
    return (time.process_time_ns() - begin_ns) / done / 1000


def longest_turn_us(side: Side) -> float:
    """CPU time of the longest turn of a block: asking for the first, and taking what is due."""
    done, longest_ns, at_ns = 0, 0, time.process_time_ns()
    while done < TICKS_A_BLOCK:
        done += side.turn(side.first_ns())
        before_ns, at_ns = at_ns, time.process_time_ns()
        longest_ns = max(longest_ns, at_ns - before_ns)
    return longest_ns / 1000


def main() -> None:
    """All sides in turn at each size; a table of medians, the first with its 95 % interval."""
    print(f"{'plans':>8} {'':20} {'us a tick':>9} {'95 %':>14} {'longest turn, us':>17}")
    for size in SIZES:
        period_ns = size * NS_PER_S // TICKS_A_SECOND
        chance = random.Random(size)
        dues = [chance.randrange(period_ns) for _ in range(size)]
        sides = {name: make(dues, period_ns) for name, make in SIDES.items()}
        ticks: dict[str, list[float]] = {name: [] for name in sides}
        longest: dict[str, list[float]] = {name: [] for name in sides}
        for name in turn_order(list(sides), ROUNDS):
            ticks[name].append(cpu_a_tick_us(sides[name]))
            longest[name].append(longest_turn_us(sides[name]))
        for name in sides:
            found = median_interval(ticks[name])
            turn_us = median_interval(longest[name]).median
            print(f"{size:8,} {name:20} {found.median:9.2f} [{found.low:5.2f}, {found.high:5.2f}] {turn_us:17.0f}")


if __name__ == "__main__":
    main()
