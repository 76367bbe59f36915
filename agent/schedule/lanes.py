"""The order in which plans take their turn: a timetable for each priority, and those whose shot has just ended."""

from __future__ import annotations

from agent.schedule.run import QUEUED, Run
from agent.schedule.timetable import SLOT_BITS, Timetable, entry


class Lanes:
    """Timetables by priority, none of them empty, and the queue of ticks that waited for their plan's last shot.

    The urgency of an entry is the entry less the `lead` of its timetable; the queue has urgencies for entries.
    """

    def __init__(self, ageing_ns: int) -> None:
        self._ageing_ns = ageing_ns
        self._lanes: dict[int, Timetable] = {}
        self.queue = Timetable()
        self.sole: Timetable | None = None
        """The only timetable that has entries, when there is but one and the queue is empty."""

    def lead(self, priority: int) -> int:
        """What an entry of this priority is ahead of one of priority 0."""
        return priority * self._ageing_ns << SLOT_BITS

    def first_ns(self) -> int | None:
        """When the first of the plans is due."""
        if self.sole is not None:
            return self.sole.entries[0] >> SLOT_BITS
        first = min((lane.entries[0] for lane in self._lanes.values()), default=None)
        return None if first is None else first >> SLOT_BITS

    def latest_ns(self, last: int) -> int | None:
        """When the last of the plans that are due up to `last` is due; None when none is."""
        found = [entry for lane in self._lanes.values() if (entry := lane.latest(last)) is not None]
        return max(found) >> SLOT_BITS if found else None

    def most_urgent(self, last: int) -> Timetable | None:
        """The timetable whose turn it is among those with an entry up to `last`; None when nothing is due."""
        chosen, lowest = None, 0
        if self.queue.entries:
            chosen, lowest = self.queue, self.queue.entries[0]
        for lane in self._lanes.values():
            first = lane.entries[0]
            if first <= last and (chosen is None or first - lane.lead < lowest):
                chosen, lowest = lane, first - lane.lead
        return chosen

    def add(self, run: Run, at_ns: int) -> None:
        """Its next instant."""
        run.entry = entry(at_ns, run.slot)
        lane = self._lanes.get(run.priority)
        if lane is None:
            lane = self._lanes[run.priority] = Timetable(self.lead(run.priority))
        lane.add(run.entry)
        self._find_sole()

    def remove(self, run: Run) -> None:
        """It has no next instant."""
        lane = self._lanes[run.priority]
        if lane.entries[0] == run.entry:
            lane.take()
        else:
            lane.remove(run.entry)
        if not lane.entries:
            del self._lanes[run.priority]
            self._find_sole()

    def move(self, run: Run, at_ns: int) -> None:
        """It has another next instant."""
        lane = self._lanes[run.priority]
        if lane.entries[0] == run.entry:
            run.entry = entry(at_ns, run.slot)
            lane.advance(run.entry)
        else:
            self.remove(run)
            self.add(run, at_ns)

    def enqueue(self, run: Run, due_ns: int) -> None:
        """A tick of it that waited may go."""
        run.phase = QUEUED
        run.queued = entry(due_ns, run.slot) - self.lead(run.priority)
        self.queue.add(run.queued)
        self.sole = None

    def dequeue(self, run: Run) -> None:
        """That tick goes, or is given up."""
        self.queue.remove(run.queued)
        self._find_sole()

    def up_to(self, last: int) -> list[int]:
        """All entries up to `last`, in no order."""
        return [found for lane in self._lanes.values() for found in lane.up_to(last)]

    def clear(self) -> None:
        """Nothing is to come."""
        self._lanes.clear()
        self.queue = Timetable()
        self.sole = None

    def _find_sole(self) -> None:
        alone = len(self._lanes) == 1 and not self.queue.entries
        self.sole = next(iter(self._lanes.values())) if alone else None
