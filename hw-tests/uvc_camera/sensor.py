# SPDX-License-Identifier: GPL-3.0-or-later
"""The image sensor: which exposure and gain a picture is really taken with. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .controls import BRIGHTNESS, EXPOSURE, EXPOSURE_UNIT_NS, GAIN, ControlSet


@dataclass(frozen=True)
class Settings:
    """What one picture is taken with."""

    exposure_units: int
    gain: int
    brightness: int

    @property
    def exposure_ns(self) -> int:
        """The exposure in nanoseconds."""
        return self.exposure_units * EXPOSURE_UNIT_NS


class AutoExposure:
    """A slow automatic: the exposure climbs to twice its default, falls to half, and so on, a little per picture."""

    HIGHEST, LOWEST, STEP = 2 * EXPOSURE.default, EXPOSURE.default // 2, 2

    def __init__(self) -> None:
        self._step = self.STEP

    def next(self, exposure_units: int, ceiling_units: int) -> int:
        """The exposure after `exposure_units`, never longer than `ceiling_units` (the frame interval)."""
        highest = min(self.HIGHEST, ceiling_units)
        lowest = min(self.LOWEST, max(1, highest // 2))
        if exposure_units >= highest:
            self._step = -self.STEP
        elif exposure_units <= lowest:
            self._step = self.STEP
        return max(1, min(exposure_units + self._step, ceiling_units))


class Sensor:
    """Applies settings as late as real sensors do: `latency_frames` pictures still go out with the old ones."""

    def __init__(self, controls: ControlSet, latency_frames: int) -> None:
        self._controls = controls
        self._automatic = AutoExposure()
        self._pipeline: deque[Settings] = deque(maxlen=latency_frames + 1)

    def start(self) -> None:
        """Begin a stream: its first picture is taken with the settings of now."""
        self._pipeline.clear()

    def next_picture(self, interval_ns: int) -> Settings:
        """The settings of the picture that starts now."""
        if not self._controls.manual:
            ceiling = interval_ns // EXPOSURE_UNIT_NS
            self._controls.drift(self._automatic.next(self._controls.value(EXPOSURE), ceiling))
        wanted = Settings(*map(self._controls.value, (EXPOSURE, GAIN, BRIGHTNESS)))
        while len(self._pipeline) < (self._pipeline.maxlen or 1) - 1:
            self._pipeline.append(wanted)
        self._pipeline.append(wanted)
        return self._pipeline[0]
