"""Real cameras in a capture process, and the plans that go on beside what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import monotonic_ns

from agent.capture.order import CameraOrder, GroupOrder, PlanOrder, StageLimits
from agent.capture.settings import Settings
from agent.capture.sink_process import SinkOrder
from agent.schedule.plan import Plan
from agent.units import NS_PER_S
from agent.v4l2.buffers import PREFERENCE, MemoryKind

_PATIENT = StageLimits(session_ns=30 * NS_PER_S, frame_ns=30 * NS_PER_S, encode_ns=10 * NS_PER_S)
"""An emulated processor is some twenty times slower than those that the limits were chosen for."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a block of cancels runs on. `paths`: cameras, of which the first one is cancelled.

    `others`: plans on the last camera that go on meanwhile, `others_period_ns` apart each, without pictures. `encode`:
    every frame becomes a JPEG.
    """

    paths: Sequence[str]
    rate: int
    width_px: int = 640
    height_px: int = 480
    others: int = 0
    others_period_ns: int = 100 * NS_PER_S
    encode: bool = False

    @property
    def interval_ns(self) -> int:
        """From frame to frame."""
        return NS_PER_S // self.rate

    def order(self, folder: Path) -> GroupOrder:
        """The group."""
        settings = Settings(
            pixel_format="YUYV",
            width_px=self.width_px,
            height_px=self.height_px,
            rate=Fraction(self.rate),
            memory=PREFERENCE if self.encode else (MemoryKind.MMAP,),
        )
        cameras = tuple(CameraOrder(name=Path(path).name, path=path, settings=settings) for path in self.paths)
        sink = SinkOrder(folder=folder, cameras={camera.name: "vivid" for camera in cameras}) if self.encode else None
        return GroupOrder(name="rig", cameras=cameras, plan_capacity=self.others + 64, sink=sink, limits=_PATIENT)

    def every_frame(self, path: str, name: str) -> PlanOrder:
        """A plan that wants each frame of a camera."""
        plan = Plan(name=name, camera=Path(path).name, start_ns=monotonic_ns(), period_ns=self.interval_ns)
        return PlanOrder(plan=plan, store=self.encode)

    def background(self) -> tuple[PlanOrder, ...]:
        """The other plans, phases spread evenly, and one that wants each frame of each other camera."""
        start_ns, camera = monotonic_ns() + NS_PER_S, Path(self.paths[-1]).name
        plans = (
            Plan(
                name=f"other {number}",
                camera=camera,
                start_ns=start_ns + number * self.others_period_ns // self.others,
                period_ns=self.others_period_ns,
            )
            for number in range(self.others)
        )
        streams = (self.every_frame(path, f"all of {path}") for path in self.paths[1:])
        return (*(PlanOrder(plan=plan, store=False) for plan in plans), *streams)
