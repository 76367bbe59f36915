"""The shared pages of the groups, as the service reads them: figures without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping

from agent.capture.board import Of
from agent.capture.group import Group
from agent.capture.state_word import Phase, read_word
from agent.capture.tick_log import TickRecord, unpack
from agent.schedule.account import Account
from agent.schedule.ring import RingReader
from agent.shared import FENCE


class Pages:
    """Reads the pages of a supervisor's groups, which come and go."""

    def __init__(self, groups: Mapping[str, Group]) -> None:
        """`groups`: the supervisor's own mapping."""
        self._groups = groups
        self._rings: dict[str, _Ring] = {}

    def phase(self, group: str, camera: str) -> Phase | None:
        """How a camera stands by its process; None where there is none."""
        words = self.words(group, camera)
        return None if words is None else read_word(words[Of.WORD])[0]

    def words(self, group: str, camera: str) -> memoryview | None:
        """A camera's words, by `Of`; None where no process is there that writes them."""
        there = self._groups.get(group)
        if there is None or there.pid is None:
            return None
        names = [one.name for one in there.order.cameras]
        return there.board.camera(names.index(camera)) if camera in names else None

    def account(self, group: str, slot: int | None) -> Account | None:
        """A plan's ticks by how they ended; None where it never ran."""
        there = self._groups.get(group)
        return None if there is None or slot is None else Account.read(there.board.plans, slot)

    def record(self, group: str, slot: int, due_ns: int) -> TickRecord | None:
        """The record of the last request of a place that ended, where it was the one due at `due_ns`."""
        there = self._groups.get(group)
        if there is None:
            return None
        ring = self._rings.get(group)
        if ring is None or ring.group is not there:
            ring = self._rings[group] = _Ring(there)
        found = ring.last().get(slot)
        return found if found is not None and found.due_ns == due_ns else None


class _Ring:
    """The requests of one group that ended: the last of each place."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self._reader = RingReader(group.board.ring, FENCE)
        self._last: dict[int, TickRecord] = {}

    def last(self) -> Mapping[int, TickRecord]:
        """By place, with what ended since the last call."""
        run_id = self.group.order.run_id
        records = (unpack(record, run_id) for record in self._reader.read()[0])
        self._last |= {record.slot: record for record in records}
        return self._last
