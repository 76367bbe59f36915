"""Where a viewer has its frames from: the seam, and the frame socket's client behind it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from agent.v4l2.frame import Frame


class Lent(Protocol):
    """A frame on loan, to be entered while it is read; leaving raises Revoked when it was taken back meanwhile.

    Times as of `PictureFacts`.
    """

    @property
    def frame(self) -> Frame:
        """Its pixels, in the lender's memory; only while it is entered."""
        ...

    @property
    def timestamp_ns(self) -> int:
        """Its stamp."""
        ...

    @property
    def began_ns(self) -> int | None:
        """Start of exposure, where that is known."""
        ...

    @property
    def exposure_ns(self) -> int | None:
        """How long it was exposed."""
        ...

    @property
    def gain(self) -> int | None:
        """The camera's own number."""
        ...

    @property
    def realtime_ns(self) -> int:
        """Its stamp on CLOCK_REALTIME."""
        ...

    @property
    def trace_ids(self) -> tuple[str, ...]:
        """Of the ticks that it served."""
        ...

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Frames(Protocol):
    """The newest frames of one camera. For one thread."""

    def next(self, wait_ns: int) -> Lent | None:
        """The next one; the one before is given back. None: none came in this time. Raises AgentError: none will."""
        ...

    def release(self) -> None:
        """Let go of everything; idempotent."""
        ...


OpenFrames = Callable[[], Frames]
"""Subscribes. Raises AgentError."""
