"""Where a recording's frames come from: the seam between it and the client of the agent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from agent.client import AgentUnreachable, Ended, NoFrame, connect
from agent.frames.borrowed import Plane
from agent.frames.values import Facts, PoolFormat
from agent.recording.order import RecordOrder
from agent.units import NS_PER_S

_DEPTH = 16
"""Frames that may wait for us with the capture process."""


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

    @property
    def waits_for(self) -> str:
        """Why no frame comes, as far as it is known."""
        ...

    def next(self, timeout_ns: int) -> LentFrame | None:
        """The next frame; None when none came in that time, or none will."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ClientFrames:
    """Frames of a running agent, every one of them. A context manager; `release()` is idempotent.

    A connection that ends is made again for as long as it takes: no frame comes meanwhile.
    """

    ended = False

    def __init__(self, order: RecordOrder, socket: Path | None = None) -> None:
        """Raises InputError, AgentUnreachable, NotAllowed."""
        self._feed = connect(order.name, kind=str(order.target), every=True, depth=_DEPTH, socket=socket)

    def next(self, timeout_ns: int) -> LentFrame | None:
        """The next frame, None when none came in that time. Raises Refused, NotAllowed, ProtocolError."""
        try:
            return self._feed.next(timeout_ns / NS_PER_S)
        except (NoFrame, Ended, AgentUnreachable):
            return None

    @property
    def waits_for(self) -> str:
        """Why no frame comes, as far as it is known: what cameras are said to do."""
        states = {name: state.state.name.lower() for name, state in self._feed.states.items()}
        return ", ".join(f"{name} is {state}" for name, state in states.items() if state != "streaming")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Close the connection."""
        self._feed.release()
