"""A frame that was lent by descriptor, as the pipeline knows frames."""

from __future__ import annotations

from agent.frames.borrowed import Borrowed
from agent.v4l2.format import Format, PlaneLayout
from agent.v4l2.frame import Frame


def frame_of(borrowed: Borrowed) -> Frame:
    """A lent frame as the pipeline knows frames. Its planes are the lender's memory."""
    form, facts = borrowed.form, borrowed.facts
    return Frame(
        index=borrowed.place,
        format=Format(
            form.pixel_format,
            form.width_px,
            form.height_px,
            tuple(PlaneLayout(*plane) for plane in form.planes),
            form.interlaced,
        ),
        planes=borrowed.planes,
        sequence=facts.sequence,
        timestamp_ns=facts.timestamp_ns,
        timestamp_clock=facts.timestamp_clock,
        timestamp_source=facts.timestamp_source,
        uncertainty_ns=facts.uncertainty_ns,
        dequeued_ns=facts.dequeued_ns,
        lost_before=facts.lost_before,
    )
