"""A frame as it came from the driver: where its bytes are, when it was taken, what was lost before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.v4l2.format import Format


@dataclass(frozen=True, slots=True)
class Frame:
    """One dequeued buffer. Valid until it is given back to its stream.

    `planes`: one flat uint8 array per memory plane, a view of the buffer itself, `bytes_used` long.
    `timestamp_ns`: CLOCK_MONOTONIC, of the event `timestamp_source` names: `soe` (start of exposure), `eof` (end of
    frame) or `dequeue` (the driver's own stamp was not to be trusted; ours is).
    `timestamp_clock`: the clock the driver declared: `monotonic`, `copy` or `unknown`.
    `uncertainty_ns`: half-width of the interval the stamped event lies in.
    `dequeued_ns`: CLOCK_MONOTONIC when we had it. `lost_before`: frames lost between the last one handed on and
    this; those left out on purpose are not among them.
    """

    index: int
    format: Format
    planes: tuple[NDArray[np.uint8], ...]
    sequence: int
    timestamp_ns: int
    timestamp_clock: str
    timestamp_source: str
    uncertainty_ns: int
    dequeued_ns: int
    lost_before: int

    @property
    def size_bytes(self) -> int:
        """Bytes in use, of all planes."""
        return sum(plane.nbytes for plane in self.planes)
