"""One frame as a session hands it out, and when its exposure began."""

from __future__ import annotations

from typing import NamedTuple

from agent.v4l2.frame import Frame


class Shot(NamedTuple):
    """A frame and what was in force when it was exposed. None: not known, automatic, or being changed just then.

    `realtime_ns` is the frame's own timestamp on CLOCK_REALTIME.
    """

    frame: Frame
    exposure_ns: int | None
    gain: int | None
    realtime_ns: int


class Started(NamedTuple):
    """When an exposure began, CLOCK_MONOTONIC, and how far that may be off, either way."""

    at_ns: int
    uncertainty_ns: int


def earliest_ns(frame: Frame, exposure_ns: int | None, interval_ns: int) -> int:
    """When the exposure of a frame began, at the earliest; `exposure_ns` as its Shot has it."""
    if frame.timestamp_source == "soe":
        return frame.timestamp_ns
    longest_ns = exposure_ns or interval_ns
    return frame.timestamp_ns - longest_ns - (frame.uncertainty_ns if frame.timestamp_source == "dequeue" else 0)


def exposure_span(shot: Shot, interval_ns: int) -> Started:
    """When the exposure of a frame began, as well as it is known: an instant, and how far it may be off."""
    frame, stamped_ns = shot.frame, shot.frame.timestamp_ns
    if frame.timestamp_source == "soe":
        return Started(stamped_ns, frame.uncertainty_ns)
    if shot.exposure_ns is not None and frame.timestamp_source == "eof":
        return Started(stamped_ns - shot.exposure_ns, frame.uncertainty_ns)
    first_ns = earliest_ns(frame, shot.exposure_ns, interval_ns)
    half_ns = (stamped_ns - first_ns + 1) // 2
    return Started(first_ns + half_ns, half_ns + frame.uncertainty_ns)
