"""A record for each pulse and frame that ended in the trigger ledger, in a ring of the shared page (mission row E3)."""

from __future__ import annotations

from dataclasses import dataclass

from agent.schedule.ring import Record, Ring
from agent.trigger.verdicts import Cause, End, Entry, Explained

_ENDS, _CAUSES = tuple(End), tuple(Cause)
_BITS = 8
_EXPLAINED = 0xFF


@dataclass(frozen=True, slots=True)
class PulseRecord:
    """How a pulse, a frame, or a pair of them ended; `explained`: the pulse ended before, and now its cause is known.

    `camera`: its place in the group's order. `pulse`, `frame`: their numbers, None where there is none. `pulse_ns`:
    when the pulse was. `start_ns`: start of exposure. `residual_ns`: that less the expected instant, give or take
    `uncertainty_ns`. Instants in nanoseconds of CLOCK_MONOTONIC.
    """

    camera: int
    end: End
    cause: Cause | None
    pulse: int | None
    frame: int | None
    pulse_ns: int | None
    start_ns: int | None
    residual_ns: int | None
    uncertainty_ns: int | None
    explained: bool = False


def put(ring: Ring, camera: int, entry: Entry, pulse_ns: int) -> None:
    """Write what one call of the ledger brought to an end."""
    kind = _kind(camera, _ENDS.index(entry.end), entry.cause)
    known = entry.residual_ns is not None
    ring.put(
        kind,
        _number(entry.pulse),
        _number(entry.frame),
        pulse_ns,
        entry.start_ns or 0,
        (entry.residual_ns or 0) << 1 | known,
        entry.uncertainty_ns or 0,
    )


def put_explained(ring: Ring, camera: int, explained: Explained) -> None:
    """Write that the cause of a missed pulse is known now."""
    ring.put(_kind(camera, _EXPLAINED, explained.cause), _number(explained.pulse), 0, 0, 0, 0, 0)


def unpack(record: Record) -> PulseRecord:
    """What was written."""
    _, kind, pulse, frame, pulse_ns, start_ns, residual, uncertainty_ns = record
    end, cause = kind >> _BITS & 0xFF, kind & 0xFF
    known = bool(residual & 1)
    return PulseRecord(
        camera=kind >> 2 * _BITS,
        end=End.MISSED if end == _EXPLAINED else _ENDS[end],
        cause=_CAUSES[cause - 1] if cause else None,
        pulse=pulse - 1 if pulse else None,
        frame=frame - 1 if frame else None,
        pulse_ns=pulse_ns or None,
        start_ns=start_ns or None,
        residual_ns=residual >> 1 if known else None,
        uncertainty_ns=uncertainty_ns if known else None,
        explained=end == _EXPLAINED,
    )


def _kind(camera: int, end: int, cause: Cause | None) -> int:
    return camera << 2 * _BITS | end << _BITS | (0 if cause is None else _CAUSES.index(cause) + 1)


def _number(number: int | None) -> int:
    return 0 if number is None else number + 1
