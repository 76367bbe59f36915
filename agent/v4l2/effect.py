"""The first frame on which a new exposure took effect: found by the brightness of the pictures, or assumed by a bound.

Pure: fed with numbers, gives a verdict. A camera takes 2 to 6 frames to act on a new exposure, and no V4L2 driver says
which frame it was. The change is seen when three frames in a row agree on a new level, moved the way the change must
move it and clearly more than the frames before moved by themselves. A change too small to see, or a picture too dark
or too bright to show it, ends in a verdict that says it is assumed.
"""

from __future__ import annotations

import itertools
import statistics
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

DEFAULT_BOUND_FRAMES = 6
SENSOR_BOUND_FRAMES = {
    # libcamera src/ipa/rpi/cam_helper/: a delay of 2 frames; one more for a set that came late in a frame
    "imx290": 3,
    "imx296": 3,
    "ov5647": 3,
}
"""Frames after which a new exposure is certainly in force, by sensor; others have DEFAULT_BOUND_FRAMES."""

_AGREEING = 3
_BASELINE_FRAMES = 16
_NOISE_FLOOR = 0.3
_UNKNOWN_NOISE = 1.0
_CLEAR_NOISES = 6.0
_CLEAR_LEVELS = 1.5
_CLEAR_SHARE = 0.4
_SETTLED_SHARE = 0.25
_WHITE = 255.0
# the flattest tone curve in use: pictures move at least as far as a gamma of 2.2 makes them
_GAMMA = 1 / 2.2


class State(StrEnum):
    """What is known so far."""

    WAITING = "waiting"
    FOUND = "found"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class ExposureChange:
    """A change of exposure x gain from `before` to `after` (any unit, their ratio counts), set between two instants.

    The instants are CLOCK_MONOTONIC, right before and right after VIDIOC_S_EXT_CTRLS.
    """

    set_started_ns: int
    set_done_ns: int
    before: int
    after: int

    @property
    def ratio(self) -> Fraction | None:
        """How much brighter the light on the sensor becomes; None when `before` is not known (0)."""
        return Fraction(self.after, self.before) if self.before > 0 else None


@dataclass(frozen=True, slots=True)
class BrightFrame:
    """One frame: the driver's sequence number, CLOCK_MONOTONIC stamp, mean brightness 0 to 255 (None: not measured)."""

    sequence: int
    timestamp_ns: int
    brightness: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first frame with the new exposure, once it is known.

    `delay_frames`: counted from the last frame stamped before the change was set. `evidence`: `brightness` or
    `bound`. `why` says why it could only be assumed.
    """

    state: State
    sequence: int | None = None
    delay_frames: int | None = None
    evidence: str | None = None
    why: str | None = None


class EffectFinder:
    """Follows the frames around one change of exposure. Not locked: fed by one loop, in order of sequence.

    A verdict that is not WAITING is final.
    """

    def __init__(
        self,
        change: ExposureChange,
        before: Iterable[BrightFrame] = (),
        bound_frames: int = DEFAULT_BOUND_FRAMES,
    ) -> None:
        """`before`: frames from before the change, the more the better (16 are kept); they can be fed as well."""
        self.verdict = Verdict(State.WAITING)
        self._change = change
        self._bound_frames = bound_frames
        self._before: deque[BrightFrame] = deque(before, _BASELINE_FRAMES)
        self._after: list[BrightFrame] = []

    def feed(self, frame: BrightFrame) -> Verdict:
        """One more frame; what is known with it."""
        if self.verdict.state is not State.WAITING:
            return self.verdict
        if frame.timestamp_ns < self._change.set_started_ns:
            self._before.append(frame)
            return self.verdict
        self._after.append(frame)
        self.verdict = self._found() or self._assumed() or self.verdict
        return self.verdict

    @property
    def _last_before(self) -> int:
        """Sequence number of the last frame from before the change."""
        return self._before[-1].sequence if self._before else self._after[0].sequence - 1

    def _found(self) -> Verdict | None:
        seen = [(frame.sequence, frame.brightness) for frame in self._after if frame.brightness is not None]
        levels = [level for _, level in seen[-_AGREEING:]]
        baseline = [frame.brightness for frame in self._before if frame.brightness is not None]
        ratio = self._change.ratio
        if len(levels) < _AGREEING or not baseline or ratio is None or ratio == 1:
            return None
        old, noise, new = statistics.median(baseline), _noise(baseline), statistics.fmean(levels)
        shift = new - old
        if shift * (ratio - 1) < 0 or abs(shift) < _clear_shift(old, noise, ratio):
            return None
        # never as far as half-way: a frame nearer to the old level is an old one
        band = min(max(_CLEAR_NOISES * noise, 0.5, _SETTLED_SHARE / 2 * abs(shift)), 0.49 * abs(shift))
        if max(levels) - min(levels) > 2 * band:
            return None
        settled = list(itertools.takewhile(lambda one: abs(one[1] - new) <= band, reversed(seen)))
        first = settled[-1][0] if len(settled) >= _AGREEING else seen[-_AGREEING][0]
        return Verdict(State.FOUND, first, first - self._last_before, "brightness")

    def _assumed(self) -> Verdict | None:
        passed = self._after[-1].sequence - self._last_before
        measured = all(any(f.brightness is not None for f in frames) for frames in (self._before, self._after))
        seeing = measured and self._change.ratio not in (None, 1)
        # an effect in the last frame of the bound needs the frames after it to be seen
        if passed < self._bound_frames + (_AGREEING - 1 if seeing else 0):
            return None
        last_before = self._last_before
        first = next(f.sequence for f in self._after if f.sequence - last_before >= self._bound_frames)
        return Verdict(State.ASSUMED, first, first - last_before, "bound", self._blindness(seeing))

    def _blindness(self, seeing: bool) -> str:
        if self._change.ratio == 1:
            return "exposure x gain did not change, so no picture can show it"
        if not seeing:
            return "the brightness before and after was not measured"
        old = statistics.median(f.brightness for f in self._before if f.brightness is not None)
        if old < 5:
            return "the picture is too dark to show it"
        if old > 250:
            return "the picture is saturated"
        return "the picture changed too little to tell the change from noise"


def bound_frames(sensor: str | None) -> int:
    """Frames after which a new exposure is certainly in force on this sensor."""
    return SENSOR_BOUND_FRAMES.get(sensor or "", DEFAULT_BOUND_FRAMES)


def _noise(levels: list[float]) -> float:
    """Spread of the brightness from frame to frame, one standard deviation.

    Not a robust estimate on purpose: taking an odd frame for noise costs sensitivity, the reverse names a wrong frame.
    """
    return max(statistics.stdev(levels), _NOISE_FLOOR) if len(levels) > _AGREEING else _UNKNOWN_NOISE


def _clear_shift(old: float, noise: float, ratio: Fraction) -> float:
    """How far the brightness must move at least to be taken for the change."""
    expected = abs(min(_WHITE, old * float(ratio) ** _GAMMA) - old)
    return float(max(_CLEAR_NOISES * noise, _CLEAR_LEVELS, _CLEAR_SHARE * expected))
