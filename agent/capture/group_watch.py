"""What the shared page of a capture process tells, without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from agent.capture import pulse_log
from agent.capture.board import Board, Head, Of
from agent.capture.order import GroupOrder
from agent.capture.pulse_log import PulseRecord
from agent.capture.state_word import describe
from agent.capture.tick_log import TickRecord, unpack
from agent.schedule.account import COUNTERS, LATE_MAX_NS, PLAN_WORDS, STATE, TICKS, TOOK_MAX_NS, Account, State
from agent.schedule.histogram import Histogram
from agent.schedule.ring import RingReader
from agent.schedule.snapshot import SnapshotReader
from agent.shared import FENCE

_TRIES = 3
"""A page that changes at each try is read as it is: every word is right by itself, and the sums are looked at last."""
PERCENTILES = {"p50": Fraction(50), "p90": Fraction(90), "p99": Fraction(99), "p999": Fraction("99.9")}


@dataclass(frozen=True, slots=True)
class CameraFigures:
    """One camera's words at one moment, under the names of `agent.capture.board.Of`."""

    name: str
    device: str
    group: str
    state: str
    frames: int
    taken: int
    shared: int
    bytes: int
    faults: int
    starts: int
    stored: int
    not_stored: int
    lost: int

    @property
    def streams(self) -> bool:
        """Whether its stream is on, or being stopped."""
        return self.state.startswith(("armed", "stopping"))


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """One plan's account at one moment."""

    name: str
    camera: str
    account: Account


class GroupWatch:
    """One group's page, read from its start on. `release()` is idempotent.

    `words`: the page's; our slices of them stay readable when the process and its supervisor have gone.
    """

    def __init__(self, order: GroupOrder, words: memoryview) -> None:
        """Raises PageForeign."""
        self.order = order
        self.slots: dict[int, tuple[str, str]] = {}
        """Name and camera of each plan by its place; from the answer to AddPlans."""
        self.board = Board(words)
        self._ring = RingReader(self.board.ring, FENCE)
        self._pulses = RingReader(self.board.pulses, FENCE)
        self._snapshot = SnapshotReader(words[Head.SEQUENCE : Head.SEQUENCE + 1], FENCE)

    def release(self) -> None:
        """Let go of the page."""
        self.board.release()

    @property
    def lost(self) -> int:
        """Records that were overwritten before they were read."""
        return self._ring.lost

    @property
    def ledger_lost(self) -> int:
        """Records of the ledger that were overwritten before they were read."""
        return self._pulses.lost

    def ledger(self) -> list[tuple[str, PulseRecord]]:
        """Pulses and frames that ended since the last call: camera, record."""
        found, _ = self._pulses.read()
        cameras = self.order.cameras
        return [(cameras[record.camera].name, record) for record in map(pulse_log.unpack, found)]

    def cameras(self) -> list[CameraFigures]:
        """Each camera in the order of the group."""
        return [
            CameraFigures(
                name=camera.name,
                device=camera.path,
                group=self.order.name,
                state=describe(words[Of.WORD]),
                frames=words[Of.FRAMES],
                taken=words[Of.TAKEN],
                shared=words[Of.SHARED],
                bytes=words[Of.BYTES],
                faults=words[Of.FAULTS],
                starts=words[Of.RESTARTS],
                stored=words[Of.STORED],
                not_stored=words[Of.NOT_STORED],
                lost=words[Of.LOST],
            )
            for camera, words in zip(self.order.cameras, self.board.all_cameras(), strict=True)
        ]

    def accounts(self) -> Accounts:
        """All plans' accounts, copied between two turns of the loop where it leaves time for that."""
        if not self.slots:
            return Accounts([], np.zeros((0, COUNTERS), np.int64))
        words = self.board.plans[: (max(self.slots) + 1) * PLAN_WORDS]
        table = np.frombuffer(self._snapshot.copy(words, _TRIES).words, np.int64).reshape(-1, PLAN_WORDS)
        return Accounts(list(self.slots.values()), table[list(self.slots), :COUNTERS])

    def running(self) -> bool:
        """Whether a plan has ticks to come, or frames."""
        states = self.board.plans[STATE::PLAN_WORDS]
        return any(states[slot] == State.RUNNING for slot in self.slots)

    def records(self) -> list[tuple[str, str, TickRecord]]:
        """Requests that ended since the last call: plan, camera, record."""
        found, _ = self._ring.read()
        unpacked = (unpack(record, self.order.run_id) for record in found)
        return [(*self.slots.get(record.slot, ("", "")), record) for record in unpacked]


class Accounts:
    """Many plans' accounts as one table: a row a plan, a column a count in the order of `Account`."""

    def __init__(self, names: list[tuple[str, str]], table: NDArray[np.int64]) -> None:
        self._names = names
        self._table = table

    def __len__(self) -> int:
        return len(self._names)

    def __add__(self, other: Accounts) -> Accounts:
        """Those of both."""
        return Accounts(self._names + other._names, np.concatenate((self._table, other._table)))

    def total(self) -> Account:
        """All together; of a maximum the largest."""
        if not self._names:
            return Account()
        sums = self._table.sum(axis=0).tolist()
        for column in (LATE_MAX_NS, TOOK_MAX_NS):
            sums[column] = int(self._table[:, column].max())
        return Account(State.FREE, *sums[1:])

    def states(self) -> Mapping[State, int]:
        """How many plans are in each state."""
        values, counts = np.unique(self._table[:, STATE], return_counts=True)
        return {State(value): count for value, count in zip(values.tolist(), counts.tolist(), strict=True)}

    def busiest(self, most: int) -> list[PlanFigures]:
        """At most so many, those with the most ticks; in the order of the file."""
        if len(self) <= most:
            return self.all()
        chosen = np.sort(np.argsort(-self._table[:, TICKS], kind="stable")[:most])
        return [self._figures(place) for place in chosen.tolist()]

    def all(self) -> list[PlanFigures]:
        """Every plan, in the order of the file."""
        return [self._figures(place) for place in range(len(self))]

    def _figures(self, place: int) -> PlanFigures:
        name, camera = self._names[place]
        state, *counts = self._table[place].tolist()
        return PlanFigures(name, camera, Account(State(state), *counts))


def merged(histograms: Sequence[Histogram]) -> Histogram:
    """One histogram of all, on words of its own."""
    table = np.zeros(Histogram.WORDS, np.int64)
    largest = 0
    for histogram in histograms:
        copy = np.frombuffer(histogram.words.tobytes(), np.int64)
        table += copy
        largest = max(largest, histogram.max_ns)
    words = memoryview(bytearray(table.tobytes())).cast("q")
    together = Histogram(words)
    # the sum of two maxima stands where the larger one belongs
    words[1] = largest
    return together


def lateness_facts(histogram: Histogram) -> dict[str, int | None]:
    """Count, mean, percentiles and maximum, in nanoseconds; None where nothing was fired."""
    count = histogram.count
    facts: dict[str, int | None] = {"count": count, "mean_ns": histogram.sum_ns // count if count else None}
    facts |= {f"{name}_ns": histogram.percentile(percent) for name, percent in PERCENTILES.items()}
    return {**facts, "max_ns": histogram.max_ns if count else None}
