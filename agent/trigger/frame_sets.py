"""Frame sets: one frame of each camera on a trigger, of the same pulse, with their skew (mission row E6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from agent.errors import InputError
from agent.trigger.budget import OPEN_PULSES
from agent.trigger.verdicts import Cause, End, Entry


class SetFrame(NamedTuple):
    """A frame of a set: the camera's number for it, and its start of exposure, known to ± `uncertainty_ns`."""

    sequence: int
    start_ns: int
    uncertainty_ns: int


class Missing(NamedTuple):
    """Why a member has no frame in a set: how the pulse ended there. No end: it did not say so in time."""

    end: End | None
    cause: Cause | None


class FrameSet(NamedTuple):
    """What the members took on one pulse: each of them is in exactly one of `frames` and `missing`.

    `skew_ns`: latest less earliest start of exposure, known to ± `uncertainty_ns`; None with fewer than two frames.
    """

    pulse: int
    frames: dict[str, SetFrame]
    missing: dict[str, Missing]
    skew_ns: int | None
    uncertainty_ns: int | None

    @property
    def complete(self) -> bool:
        """Every member has its frame."""
        return not self.missing


class FrameSets:
    """Collects what the ledgers of several cameras say of the same pulses. Not locked: fed by one loop.

    A set is given out when every member's ledger has ended the pulse; as each does so within its wait, no set waits
    for ever. Only matched frames are in it: one that is late, or that no pulse explains, never takes another's place.
    `complete`, `incomplete`: sets given out. `unasked`: ends of pulses that have no open set.

    Raises InputError: no members, one named twice, no room.
    """

    def __init__(self, members: Sequence[str], *, open_sets: int = OPEN_PULSES) -> None:
        if not members or len(set(members)) != len(members) or open_sets < 1:
            raise InputError(
                f"a frame set of {', '.join(members) or 'nobody'}, with room for {open_sets} of them",
                hint="name each camera of the group once, and leave room for a set",
            )
        self.members = tuple(members)
        self.complete = 0
        self.incomplete = 0
        self.unasked = 0
        self._open_sets = open_sets
        self._open: dict[int, dict[str, Entry]] = {}

    def pulse(self, number: int) -> tuple[FrameSet, ...]:
        """A pulse that every member's ledger is told of as well. When too many sets are open the oldest is given out.

        Raises InputError: a set of this number is open.
        """
        if number in self._open:
            raise InputError(f"pulse {number} has an open frame set", hint="give each pulse a number of its own")
        self._open[number] = {}
        return (self._give(next(iter(self._open))),) if len(self._open) > self._open_sets else ()

    def add(self, member: str, entries: Iterable[Entry]) -> tuple[FrameSet, ...]:
        """What the ledger of `member` told; the sets that are whole with it, or as whole as they will be.

        Raises InputError: not a member.
        """
        if member not in self.members:
            raise InputError(
                f"{member} is not in the group", hint=f"its members are {', '.join(self.members)}", member=member
            )
        given = []
        for entry in entries:
            if entry.pulse is None:
                continue
            ends = self._open.get(entry.pulse)
            if ends is None:
                self.unasked += 1
                continue
            ends[member] = entry
            if len(ends) == len(self.members):
                given.append(self._give(entry.pulse))
        return tuple(given)

    def _give(self, number: int) -> FrameSet:
        ends = self._open.pop(number)
        frames: dict[str, SetFrame] = {}
        missing: dict[str, Missing] = {}
        for member in self.members:
            entry = ends.get(member)
            frame = None if entry is None else _frame(entry)
            if frame is not None:
                frames[member] = frame
            else:
                missing[member] = Missing(None, None) if entry is None else Missing(entry.end, entry.cause)
        if missing:
            self.incomplete += 1
        else:
            self.complete += 1
        return FrameSet(number, frames, missing, *_skew(list(frames.values())))


def _frame(entry: Entry) -> SetFrame | None:
    """The matched frame of an entry, if it has one."""
    if entry.end is not End.MATCHED or entry.frame is None or entry.start_ns is None:
        return None
    return SetFrame(entry.frame, entry.start_ns, entry.uncertainty_ns or 0)


def _skew(frames: list[SetFrame]) -> tuple[int, int] | tuple[None, None]:
    """The skew as stamped, and how far the true one may be from it.

    The true latest start lies between the latest of all lower bounds and the latest of all upper bounds, the earliest
    one likewise; their difference is not negative.
    """
    if len(frames) < 2:
        return None, None
    starts = [frame.start_ns for frame in frames]
    lows = [frame.start_ns - frame.uncertainty_ns for frame in frames]
    highs = [frame.start_ns + frame.uncertainty_ns for frame in frames]
    skew_ns = max(starts) - min(starts)
    most_ns = max(highs) - min(lows)
    least_ns = max(0, max(lows) - min(highs))
    return skew_ns, max(most_ns - skew_ns, skew_ns - least_ns)
