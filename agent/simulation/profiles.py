"""What a simulated camera is: a frozen description that the camera is built from."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from agent.simulation.control_spec import AutoCluster, ControlSpec
from agent.simulation.formats import StepwiseSizes
from agent.v4l2.uapi import BufferFlag

SOE = int(BufferFlag.TIMESTAMP_MONOTONIC | BufferFlag.TSTAMP_SRC_SOE)
EOF = int(BufferFlag.TIMESTAMP_MONOTONIC | BufferFlag.TSTAMP_SRC_EOF)


def unity_and_64ths(raw: int) -> float:
    """A gain of 1 at the raw value 0, and 1/64 more for each step."""
    return 1 + raw / 64


@dataclass(frozen=True)
class SensorTiming:
    """A sensor whose time is counted in pixels and lines: the frame interval follows VBLANK, exposure is in lines."""

    width_px: int
    height_px: int
    hblank_px: int
    pixel_rate_hz: int
    margin_lines: int = 4
    """Lines of a frame that cannot be exposure."""

    @property
    def line_ns(self) -> Fraction:
        """Nanoseconds of one line."""
        return Fraction((self.width_px + self.hblank_px) * 1_000_000_000, self.pixel_rate_hz)

    def interval_s(self, vblank_lines: int) -> Fraction:
        """Seconds of one frame."""
        return (self.height_px + vblank_lines) * self.line_ns / 1_000_000_000

    def vblank_lines(self, interval_s: Fraction) -> int:
        """The vertical blanking that makes frames this long."""
        return round(interval_s * 1_000_000_000 / self.line_ns) - self.height_px


@dataclass(frozen=True)
class Optics:
    """Which controls the light follows. A unit of the exposure control is `exposure_unit_ns` nanoseconds."""

    exposure_id: int
    exposure_unit_ns: Fraction
    gain_id: int
    extra_gain_id: int | None = None
    gain_factor: Callable[[int], float] = unity_and_64ths
    nominal_exposure_ns: int = 10_000_000
    """The exposure at gain 1 that shows the scene as it was drawn."""
    auto_id: int | None = None
    """The automatic exposure's control, and the value at which it is off."""
    auto_off: int = 1
    delay_frames: int = 2
    """A setting made while frame k is exposed is used first by frame k + this."""


class TriggerKind(enum.Enum):
    """What a camera in trigger mode waits for."""

    EDGE = enum.auto()
    """A rising edge of its input: an exposure as long as the camera is set to."""
    LEVEL = enum.auto()
    """An active level: the exposure lasts as long as the pulse."""
    SOFTWARE = enum.auto()
    """Its button."""


@dataclass(frozen=True)
class TriggerWiring:
    """How a camera is triggered: by which controls, and how fast its sensor follows.

    An exposure begins `delay_ns`, more or less by up to `jitter_ns`, after its pulse.
    """

    mode_id: int
    software_id: int
    delay_id: int | None = None
    """A control that adds microseconds to the delay."""
    kinds: Mapping[int, TriggerKind] = field(
        default_factory=lambda: {1: TriggerKind.EDGE, 2: TriggerKind.LEVEL, 3: TriggerKind.SOFTWARE}
    )
    """By the value of the mode control; with any other the camera runs free."""
    delay_ns: int = 12_800
    jitter_ns: int = 300
    readout_ns: int = 5_000_000
    level_extra_ns: int = 14_260
    """What an exposure is longer than the pulse that holds it open."""
    seed: int = 0
    """Of the jitter: the same pulses give the same frames."""


@dataclass(frozen=True)
class CameraProfile:
    """Everything about one simulated camera. Sizes in pixels, intervals in seconds."""

    card: str
    driver: str
    bus_info: str
    serial: str
    optics: Optics
    controls: tuple[ControlSpec, ...]
    clusters: tuple[AutoCluster, ...] = ()
    formats: tuple[str, ...] = ("YUYV",)
    sizes_px: tuple[tuple[int, int], ...] = ((640, 480), (320, 240), (1280, 720), (1920, 1080))
    stepwise: StepwiseSizes | None = None
    """Sizes in steps instead of the list."""
    intervals_s: tuple[Fraction, ...] = (Fraction(1, 30), Fraction(1, 60), Fraction(1, 15), Fraction(1, 5))
    timing: SensorTiming | None = None
    multiplanar: bool = False
    metadata_node: bool = False
    crop_bounds_px: tuple[int, int] | None = None
    """The pixel array that can be cropped; None: no selection ioctls, as uvcvideo."""
    stamp_flags: int = SOE
    mmap: bool = True
    userptr: bool = True
    dmabuf: bool = True
    expbuf: bool = True
    orphans: bool = True
    """Buffers may be freed while mapped or exported (V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS)."""
    minimum_buffers: int = 2
    label: str = "A"
    """What is written in large letters into the picture."""
    counter_id: int | None = None
    """A volatile control that counts the frames of the stream."""
    usb_ids: tuple[int, int] | None = None
    """Vendor and product, where the camera is on USB."""
    trigger: TriggerWiring | None = None
    """None: no trigger input, it always runs free."""
