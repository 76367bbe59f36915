"""How pulses and frames end, why, and what else the ledger has to tell (mission rows E3 to E5)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class End(StrEnum):
    """Every pulse and every frame ends in exactly one of these: a pulse never as SPURIOUS, a frame never as MISSED."""

    MATCHED = "matched"
    MISSED = "missed"
    LATE = "late"
    SPURIOUS = "spurious"
    AMBIGUOUS = "ambiguous"


class Cause(StrEnum):
    """Why an end is not MATCHED. Up to SHIFTED: of missed pulses."""

    NO_FRAME = "no frame"
    """None came within `wait`. No later frame has come either, that could tell whether one was lost or never taken."""
    NO_EXPOSURE = "no exposure"
    """A later frame followed without a gap in the driver's numbers: the camera did not act on the pulse."""
    DRIVER_LOST = "driver lost it"
    """The gap in the driver's numbers is at least as long as the row of pulses without a frame."""
    UNCLEAR = "unclear"
    """The gap is shorter than that row, or frames without a pulse came in between."""
    CAME_LATE = "came late"
    """Its frame came when the pulse had been given up already."""
    STOPPED = "stopped"
    """The stream was switched off before the wait was over."""
    OVERFLOW = "overflow"
    """Too many pulses were open: it was given up at once. A storm of edges, or a wait that is too long for them."""
    SHIFTED = "shifted"
    """Its frame came at the offset that was adopted afterwards, and had been told as spurious by then."""

    OVERDUE = "overdue"
    """Of a late pulse and its frame: it came after `wait`, but the pulse had not been given up yet."""
    GIVEN_UP = "given up"
    """Of a late frame: its pulse had ended as missed before."""
    NO_PULSE = "no pulse"
    """Of a spurious frame: it began in the window of no pulse that is remembered."""
    TOO_SOON = "too soon"
    """Of a spurious frame: its stamp fits a pulse, but it was there before a frame of that pulse can be."""
    RIVALS = "rivals"
    """Of an ambiguous frame and its pulses: it fits several about equally well, or also one that is forgotten."""
    DOUBLE = "double"
    """Of an ambiguous frame: the pulse it fits has ended with a frame before."""


class Entry(NamedTuple):
    """One pulse, one frame, or both of a pair have ended.

    `pulse`, `frame`: the numbers of those that end with this entry. `about`: a pulse that does not end with it, but
    which the frame came near to. `residual_ns`: start of exposure less (pulse + delay of the budget), of the one or
    the other; an offset that was adopted is not taken off. `start_ns`, `uncertainty_ns`: the frame's, as told.
    """

    end: End
    pulse: int | None
    frame: int | None
    residual_ns: int | None = None
    cause: Cause | None = None
    about: int | None = None
    start_ns: int | None = None
    uncertainty_ns: int | None = None


class Relocked(NamedTuple):
    """Frames now are looked for at `offset_ns` from pulse + delay. `before_ns`: where they were looked for until now.

    `after_frames`: how many frames in a row had to agree on it; 0: a stop put it back to the data sheet's delay.
    """

    offset_ns: int
    before_ns: int
    after_frames: int


class Undecided(NamedTuple):
    """Frames keep coming at another offset, but more than one fits all of them: none is adopted until one is left.

    Told once. A pause or another distance between two pulses decides it; so does a budget for which
    `Budget.decides` holds.
    """

    offsets_ns: tuple[int, ...]


class Explained(NamedTuple):
    """A pulse that had ended as missed with NO_FRAME: what a later frame says of the cause."""

    pulse: int
    cause: Cause


class OutOfBudget(NamedTuple):
    """The first frame outside delay ± jitter, even if its stamp errs as far as it can. Told once until BackInBudget."""

    frame: int
    residual_ns: int
    uncertainty_ns: int


class BackInBudget(NamedTuple):
    """Again no frame is certainly outside: the last `frames` matched ones were not."""

    frame: int
    frames: int


Notice = Relocked | Undecided | Explained | OutOfBudget | BackInBudget


class Told(NamedTuple):
    """What one call brought to an end, and what else is to be reported. After a frame its own entry is the first."""

    entries: tuple[Entry, ...] = ()
    notices: tuple[Notice, ...] = ()


NOTHING = Told()
