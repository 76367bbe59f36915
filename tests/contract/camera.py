"""What the contract suite knows of a camera under test. `tests/` and `hw-tests/` each fill it in for theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from agent.capture.session import Session
from agent.capture.settings import Settings
from agent.kernel import Kernel
from agent.units import NS_PER_S
from agent.v4l2.buffers import MemoryKind

T = TypeVar("T")


@dataclass(kw_only=True)
class CameraUnderTest:
    """A camera and what may be asked of it; an ability it lacks is None, and `lacks` says which option gives it.

    `marked`: its pictures carry `agent.simulation.mark`. `exposures_ns`: two exposures on its grid, both shorter than
    the frame interval; `off_grid_ns`: one between two steps; `beyond_ns`: one outside its range.
    `numbered_by_camera`: the driver's sequence counts what the camera took, not what arrived (uvcvideo: what arrived).
    `ignore_exposure`: makes it accept settings of exposure without following. `freeze`: no more frames.
    """

    name: str
    kernel: Kernel
    path: str
    settings: Settings = field(default_factory=Settings)
    memory_kinds: tuple[MemoryKind, ...] = tuple(MemoryKind)
    marked: bool = False
    numbered_by_camera: bool = True
    exposures_ns: tuple[int, int] | None = None
    off_grid_ns: int | None = None
    beyond_ns: int | None = None
    limit_ns: int = 5 * NS_PER_S
    trusted_stamps: bool = True
    unplug: Callable[[], None] | None = None
    plug: Callable[[], str] | None = None
    ignore_exposure: Callable[[], None] | None = None
    freeze: Callable[[], None] | None = None
    thaw: Callable[[], None] | None = None
    lacks: str = "a camera that offers it"

    def open(self) -> Session:
        """A new session on it."""
        return Session(self.kernel, self.path)


def require(value: T | None, what: str, camera: CameraUnderTest) -> T:
    """The ability, or a skip that names what would run the test."""
    if value is None:
        pytest.skip(f"{camera.name} has no {what}: to run this, {camera.lacks}")
    return value
