"""What a capture asks of a camera, and what the camera made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from agent.units import NS_PER_S
from agent.v4l2.buffers import PREFERENCE, MemoryKind
from agent.v4l2.exposure import Exposure, ExposureReport
from agent.v4l2.format import Format
from agent.v4l2.gain import GainReport, GainRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A capture's wishes; None leaves a thing as the camera has it.

    `controls`: further controls by name or id, values as text (`power_line_frequency: 50 Hz`).
    `settle_frames`: frames left out after the start, so that what was set is in force; None: as many as the sensor
    may need if anything was changed, else none. `memory`: the kinds allowed, best first.
    """

    pixel_format: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    rate: Fraction | None = None
    exposure_ns: int | None = None
    gain: GainRequest | None = None
    controls: Mapping[str, str] = field(default_factory=dict)
    buffer_count: int = 4
    memory: tuple[MemoryKind, ...] = PREFERENCE
    granularity_bytes: int | None = None
    settle_frames: int | None = None

    def exposed(self, exposure_ns: int, gain: GainRequest | None) -> Settings:
        """The same with an exposure that was set later, and a gain unless None."""
        settings = replace(self, exposure_ns=exposure_ns)
        return settings if gain is None else replace(settings, gain=gain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the camera granted, read back. `differences`: where that is not what was asked, in words.

    `exposure` is the locked one, None when none was asked for; `found_exposure` and `gain` are in force either way.
    """

    format: Format
    interval_s: Fraction | None
    exposure: ExposureReport | None
    found_exposure: Exposure
    gain: GainReport | None
    memory: MemoryKind
    passed_over: tuple[tuple[MemoryKind, str], ...]
    buffer_count: int
    buffer_bytes: int
    settle_frames: int
    differences: tuple[str, ...]

    @property
    def exposure_ns(self) -> int | None:
        """The exposure of every frame, or None while it is automatic or not known."""
        if self.exposure is not None:
            return self.exposure.granted_ns
        return None if self.found_exposure.automatic else self.found_exposure.exposure_ns

    @property
    def interval_ns(self) -> int | None:
        """From frame to frame, as the driver states it."""
        return None if self.interval_s is None else round(self.interval_s * NS_PER_S)
