"""The shared pages of the groups, as the service reads them: figures without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping

from agent.capture.board import Of
from agent.capture.group import Group
from agent.capture.group_watch import GroupWatch
from agent.capture.state_word import Phase, read_word
from agent.capture.tick_log import TickRecord
from agent.schedule.account import Account


class Pages:
    """A reader for each group's page, made when it is first asked for. `release()` is idempotent."""

    def __init__(self, groups: Mapping[str, Group]) -> None:
        """`groups`: the supervisor's own mapping."""
        self._groups = groups
        self._watches: dict[str, tuple[Group, GroupWatch]] = {}
        self._last: dict[str, dict[int, TickRecord]] = {}

    def __enter__(self) -> Pages:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let go of all pages."""
        while self._watches:
            self._watches.popitem()[1][1].release()

    def watch(self, name: str) -> GroupWatch | None:
        """A group's page; None where there is no such group."""
        group = self._groups.get(name)
        known = self._watches.get(name)
        if known is not None and known[0] is not group:
            del self._watches[name]
            self._last.pop(name, None)
            known[1].release()
            known = None
        if group is None:
            return None
        if known is None:
            known = self._watches[name] = group, GroupWatch(group.order, group.board.words)
        return known[1]

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
        watch = self.watch(group)
        if watch is None:
            return None
        last = self._last.setdefault(group, {})  # bounded by the group's places
        last |= {record.slot: record for _, _, record in watch.records()}
        found = last.get(slot)
        return found if found is not None and found.due_ns == due_ns else None
