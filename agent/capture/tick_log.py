"""A record for each tick that ended, in the ring of the shared page: the account of every request (row H3)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from agent.schedule.requests import trace_id
from agent.schedule.ring import Record, Ring

_END_BITS = 8
_FRAME_BITS = 30
_MOST_FRAMES = (1 << _FRAME_BITS) - 1


class End(enum.IntEnum):
    """How a tick ended; the name is for programs, `told` for people."""

    DELIVERED = 0
    SHOT_CANCELLED = 1
    REFUSED_AGENT = 2
    REFUSED_CAMERA = 3
    REFUSED_PLAN = 4
    REFUSED_CLIENT = 5
    NOT_READY = 6
    NO_FRAME = 7
    BROKE = 8
    NO_ROOM = 9
    NOT_STORED = 10
    STORAGE = 11
    ENCODE_LIMIT = 12
    SINK_GONE = 13
    NO_MATCH = 14
    NO_PULSE = 15
    INCOMPLETE = 16

    @property
    def told(self) -> str:
        """For people."""
        return _TOLD[self]

    @classmethod
    def of_store_error(cls, code: str) -> End:
        """The end of a request one of whose frames was not stored, by the code of `Returned.error`."""
        return _STORE_ERRORS.get(code, cls.NOT_STORED)


_TOLD = {
    End.DELIVERED: "delivered",
    End.SHOT_CANCELLED: "cancelled while it was under way",
    End.REFUSED_AGENT: "refused by the agent's quota",
    End.REFUSED_CAMERA: "refused by its camera's quota",
    End.REFUSED_PLAN: "refused by its plan's quota",
    End.REFUSED_CLIENT: "refused by its client's quota",
    End.NOT_READY: "its camera was not streaming",
    End.NO_FRAME: "no frame came in time",
    End.BROKE: "the stream broke",
    End.NO_ROOM: "no room to lend a frame: too few buffers, or what stores them lags",
    End.NOT_STORED: "not stored",
    End.STORAGE: "not stored: the file could not be written",
    End.ENCODE_LIMIT: "not stored: encoding it took longer than its limit",
    End.SINK_GONE: "not stored: the process that stores frames ended",
    End.NO_MATCH: "its trigger pulse brought no frame that is surely its own",
    End.NO_PULSE: "its trigger pulse could not be fired",
    End.INCOMPLETE: "a camera of the group brought no frame for the set",
}
_STORE_ERRORS = {"storage": End.STORAGE, "encode_limit": End.ENCODE_LIMIT, "sink_gone": End.SINK_GONE}


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
    """Write the record of one tick; `number` is its `trace_number`, the rest as in `TickRecord`.

    `frames` is below 2^30: a burst of a year at 30 frames a second.
    """
    packed = (sequence + 1) << _FRAME_BITS | frames
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
