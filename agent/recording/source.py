"""Where a recording's frames come from: the seam between it and the client of the agent."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from agent.frames.borrowed import Plane
from agent.frames.wire import Facts, PoolFormat
from agent.v4l2.formats import Format, PlaneLayout
from agent.v4l2.frame import Frame


class LentFrame(Protocol):
    """One frame on loan, as `agent.client` and `agent.frames.borrowed` have it."""

    @property
    def camera(self) -> str:
        """The camera's name."""
        ...

    @property
    def form(self) -> PoolFormat:
        """What the planes hold."""
        ...

    @property
    def facts(self) -> Facts:
        """When and how it was taken."""
        ...

    @property
    def planes(self) -> Sequence[Plane]:
        """The lender's memory."""
        ...

    @property
    def trace_ids(self) -> tuple[str, ...]:
        """The requests that wanted it."""
        ...

    @property
    def skipped(self) -> int:
        """Frames of its camera since the one before that we did not get."""
        ...

    @property
    def pulse(self) -> int | None:
        """The number of its trigger pulse."""
        ...

    @property
    def began_ns(self) -> int | None:
        """Start of its exposure."""
        ...

    def check(self) -> None:
        """Raises Revoked when the lender has taken it back."""
        ...

    def release(self) -> None:
        """Give it back; idempotent."""
        ...


class FrameSource(Protocol):
    """Frames, one after another. A context manager; `release()` is idempotent."""

    @property
    def ended(self) -> bool:
        """Nothing comes any more."""
        ...

    def next(self, timeout_ns: int) -> LentFrame | None:
        """The next frame; None when none came in that time, or none will."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def format_from(form: Any) -> Format:
    """A pool's format (or its fields as JSON has them) as the pipeline knows formats."""
    code, width, height, planes, interlaced = (
        form if isinstance(form, list) else (form.pixel_format, form.width_px, form.height_px, form.planes, form.interlaced)
    )
    return Format(code, width, height, tuple(PlaneLayout(*plane) for plane in planes), interlaced)


def frame_from(form: Format, facts: Facts, planes: Sequence[Plane]) -> Frame:
    """A frame as the pipeline knows frames, in whatever memory the planes are."""
    return Frame(
        index=0,
        format=form,
        planes=tuple(planes),
        sequence=facts.sequence,
        timestamp_ns=facts.timestamp_ns,
        timestamp_clock=facts.timestamp_clock,
        timestamp_source=facts.timestamp_source,
        uncertainty_ns=facts.uncertainty_ns,
        dequeued_ns=facts.dequeued_ns,
        lost_before=facts.lost_before,
    )
