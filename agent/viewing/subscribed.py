"""The frame socket's client as a source of frames."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from agent.client import AgentUnreachable, Feed, NoFrame, connect
from agent.client import Frame as ClientFrame
from agent.units import NS_PER_S
from agent.v4l2.format import Format, PlaneLayout
from agent.v4l2.frame import Frame

_LEASE_S = 4.0
"""Several sizes of many million pixels take their time; less than the agent waits for a sign of life."""


class SubscribedFrames:
    """`agent.viewing.source.Frames` of one camera."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def next(self, wait_ns: int) -> LentFrame | None:
        """The next frame; none while the connection is being made again. Raises AgentError."""
        try:
            return LentFrame(self._feed.next(wait_ns / NS_PER_S))
        except (NoFrame, AgentUnreachable):
            return None

    def release(self) -> None:
        """Let go of everything; idempotent."""
        self._feed.release()


class LentFrame:
    """`agent.viewing.source.Lent`."""

    __slots__ = ("_lent",)

    def __init__(self, lent: ClientFrame) -> None:
        self._lent = lent

    @property
    def frame(self) -> Frame:
        """Its pixels."""
        form, facts = self._lent.form, self._lent.facts
        planes = tuple(PlaneLayout(*plane) for plane in form.planes)
        return Frame(
            index=0,
            format=Format(form.pixel_format, form.width_px, form.height_px, planes, form.interlaced),
            planes=self._lent.planes,
            sequence=facts.sequence,
            timestamp_ns=facts.timestamp_ns,
            timestamp_clock=facts.timestamp_clock,
            timestamp_source=facts.timestamp_source,
            uncertainty_ns=facts.uncertainty_ns,
            dequeued_ns=facts.dequeued_ns,
            lost_before=facts.lost_before,
        )

    @property
    def timestamp_ns(self) -> int:
        """Its stamp."""
        return self._lent.timestamp_ns

    @property
    def began_ns(self) -> int | None:
        """Start of exposure."""
        return self._lent.began_ns

    @property
    def exposure_ns(self) -> int | None:
        """How long it was exposed."""
        return self._lent.exposure_ns

    @property
    def gain(self) -> int | None:
        """The camera's own number."""
        return self._lent.gain

    @property
    def realtime_ns(self) -> int:
        """Its stamp on CLOCK_REALTIME."""
        return self._lent.realtime_ns

    @property
    def trace_ids(self) -> tuple[str, ...]:
        """Of the ticks that it served."""
        return self._lent.trace_ids

    def __enter__(self) -> None:
        self._lent.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lent.__exit__(kind, error, trace)


def subscribe(camera: str, frame_socket: Path) -> SubscribedFrames:
    """The newest frames of a camera. Raises AgentError."""
    return SubscribedFrames(connect(camera, lease_s=_LEASE_S, socket=frame_socket))
