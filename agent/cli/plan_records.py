"""What is taken from the rings of the pages while plans run: files of requests and of the ledger, and the plot's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.capture.group_watch import GroupWatch
from agent.cli.plan_ledger import LedgerFile
from agent.cli.plan_ticks import LatenessSeries, TickFile
from agent.errors import AgentError
from agent.schedule.requests import Sample


@dataclass(frozen=True, slots=True)
class Written:
    """What a file came to. `lost`: records that were overwritten before they were read."""

    path: str
    lines: int
    lost: int


class Records:
    """A context manager; leaving it closes the files.

    The cameras go on when the disk is full: that is told once, and the files stay as far as they came.
    """

    def __init__(
        self, ticks: Path | None, sample: Sample, ledger: Path | None, broke: Callable[[AgentError], None]
    ) -> None:
        """Raises StorageError: a file exists already, or cannot be made."""
        self.series: LatenessSeries | None = None
        """What a plot is drawn of; None: there is to be none."""
        self._broke = broke
        self._full = False
        self._watches: Sequence[GroupWatch] = ()
        with ExitStack() as resources:
            self._ticks = None if ticks is None else resources.enter_context(TickFile(ticks, sample))
            self._ledger = None if ledger is None else resources.enter_context(LedgerFile(ledger))
            self._resources = resources.pop_all()

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def read(self, watches: Sequence[GroupWatch]) -> None:
        """Take what ended since the last call."""
        self._watches = watches
        if self._ticks is not None or self.series is not None:
            self._read_requests(watches)
        if self._ledger is not None:
            for watch in watches:
                self._guarded(partial(self._ledger.write, watch.ledger()))

    @property
    def requests(self) -> Written | None:
        """The file of requests; None without one."""
        return None if self._ticks is None else Written(str(self._ticks.path), self._ticks.written, self.lost or 0)

    @property
    def ledger(self) -> Written | None:
        """The file of the ledger; None without one."""
        if self._ledger is None:
            return None
        return Written(str(self._ledger.path), self._ledger.written, sum(each.ledger_lost for each in self._watches))

    @property
    def lost(self) -> int | None:
        """Requests that were not read in time; None where nobody wanted them."""
        if self._ticks is None and self.series is None:
            return None
        return sum(watch.lost for watch in self._watches)

    def _read_requests(self, watches: Sequence[GroupWatch]) -> None:
        for watch in watches:
            records = watch.records()
            if self._ticks is not None:
                self._guarded(partial(self._ticks.write, records))
            if self.series is not None:
                for _, _, record in records:
                    if record.fired_ns:
                        self.series.add(record.fired_ns, record.fired_ns - record.due_ns)

    def _guarded(self, write: Callable[[], None]) -> None:
        if self._full:
            return
        try:
            write()
        except AgentError as error:
            self._full = True
            self._broke(error)
