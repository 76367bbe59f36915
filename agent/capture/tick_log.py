"""A record for each tick that ended, in the ring of the shared page: the account of every request (row H3)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from agent.schedule.requests import trace_id
from agent.schedule.ring import Record, Ring

_END_BITS = 8
_FRAME_BITS = 16
_MOST_FRAMES = (1 << _FRAME_BITS) - 1


class End(enum.IntEnum):
    """How a tick ended."""

    DELIVERED = 0
    FAILED = 1
    SHOT_CANCELLED = 2
    REFUSED_AGENT = 3
    REFUSED_CAMERA = 4
    REFUSED_PLAN = 5
    REFUSED_CLIENT = 6
    NOT_READY = 7


@dataclass(frozen=True, slots=True)
class TickRecord:
    """One request: which plan (its slot), which tick, when it was due, fired and done, what it brought and cost.

    Times in nanoseconds of CLOCK_MONOTONIC; `fired_ns` 0 for a tick that was not fired. `sequence`: the driver's number
    of its (last) frame, -1 for none. `operator_ns`: time spent in encoding it.
    """

    trace_id: str
    slot: int
    number: int
    end: End
    due_ns: int
    fired_ns: int
    ended_ns: int
    frames: int
    sequence: int
    operator_ns: int


def put(
    ring: Ring,
    slot: int,
    end: int,
    number: int,
    due_ns: int,
    fired_ns: int,
    ended_ns: int,
    frames: int = 0,
    sequence: int = -1,
    operator_ns: int = 0,
) -> None:
    """Write the record of one tick; `number` is its `trace_number`, the rest as in `TickRecord`."""
    packed = (sequence + 1) << _FRAME_BITS | (frames if frames < _MOST_FRAMES else _MOST_FRAMES)
    ring.put(slot << _END_BITS | end, number, due_ns, fired_ns, ended_ns, packed, operator_ns)


def unpack(record: Record, run_id: int) -> TickRecord:
    """What was written."""
    _, place, number, due_ns, fired_ns, ended_ns, packed, operator_ns = record
    slot = place >> _END_BITS
    return TickRecord(
        trace_id=trace_id(run_id, slot, number),
        slot=slot,
        number=number,
        end=End(place & ((1 << _END_BITS) - 1)),
        due_ns=due_ns,
        fired_ns=fired_ns,
        ended_ns=ended_ns,
        frames=packed & _MOST_FRAMES,
        sequence=(packed >> _FRAME_BITS) - 1,
        operator_ns=operator_ns,
    )
