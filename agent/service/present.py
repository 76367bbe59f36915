"""Which cameras are there, as the service follows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from agent.discovery.camera import Camera
from agent.discovery.events import Event


class Presence(Protocol):
    """Cameras as they come and go: `agent.discovery.watch.Watch` is one."""

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """Those that are there, as far as it has been read."""
        ...

    def fileno(self) -> int:
        """Readable when there is something to `read`; below zero: never."""
        ...

    def read(self) -> Sequence[Event]:
        """What happened since the last time; the first one tells what is there already. Never waits."""
        ...


OpenPresence = Callable[[], AbstractContextManager[Presence]]
"""Begins to listen."""


class StillCameras:
    """Cameras that neither come nor go, as those of a simulation. A context manager."""

    def __init__(self, cameras: Sequence[Camera]) -> None:
        self.cameras = tuple(cameras)

    def __enter__(self) -> StillCameras:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to let go of."""

    def fileno(self) -> int:
        """Nothing ever happens."""
        return -1

    def read(self) -> Sequence[Event]:
        """Nothing."""
        return ()
