"""A frame that was lent by descriptor, as the pipeline knows frames."""

from __future__ import annotations

from typing import Protocol

from agent.frames.borrowed import Plane
from agent.frames.values import Facts, PoolFormat
from agent.v4l2.format import Format, PlaneLayout
from agent.v4l2.frame import Frame


class Lent(Protocol):
    """A frame on loan: the sink process's (`agent.frames.borrowed`), or a client's (`agent.client.frame`)."""

    @property
    def form(self) -> PoolFormat:
        """What the planes hold."""
        ...

    @property
    def facts(self) -> Facts:
        """When and how it was taken."""
        ...

    @property
    def place(self) -> int:
        """Which buffer of its pool."""
        ...

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The lender's memory."""
        ...


def frame_of(lent: Lent) -> Frame:
    """A lent frame as the pipeline knows frames. Its planes are the lender's memory."""
    return frame_in(format_of(lent.form), lent.facts, lent.planes, lent.place)


def format_of(form: PoolFormat) -> Format:
    """A pool's format as the pipeline knows formats."""
    planes = tuple(PlaneLayout(*plane) for plane in form.planes)
    return Format(form.pixel_format, form.width_px, form.height_px, planes, form.interlaced)


def frame_in(form: Format, facts: Facts, planes: tuple[Plane, ...], index: int = 0) -> Frame:
    """A frame as the pipeline knows frames, in whatever memory the planes are."""
    return Frame(
        index=index,
        format=form,
        planes=planes,
        sequence=facts.sequence,
        timestamp_ns=facts.timestamp_ns,
        timestamp_clock=facts.timestamp_clock,
        timestamp_source=facts.timestamp_source,
        uncertainty_ns=facts.uncertainty_ns,
        dequeued_ns=facts.dequeued_ns,
        lost_before=facts.lost_before,
    )
