"""Which exposure and gain a frame was taken with, also around a change while streaming (mission row B5)."""

from __future__ import annotations

from typing import NamedTuple

from agent.v4l2.brightness import mean_brightness
from agent.v4l2.effect import BrightFrame, EffectFinder, ExposureChange, State, Verdict
from agent.v4l2.frame import Frame


class Light(NamedTuple):
    """Exposure in nanoseconds and the gain control's number. None: automatic, not known, or being changed."""

    exposure_ns: int | None
    gain: int | None


_UNKNOWN = Light(None, None)


class InForce:
    """Follows the frames of one session. From a change until its effect is found, nothing is known."""

    def __init__(self, light: Light = _UNKNOWN) -> None:
        self._light = light
        self._coming = light
        self._effect: EffectFinder | None = None

    @property
    def verdict(self) -> Verdict | None:
        """What is known of the last change while streaming; None when there was none."""
        return self._effect.verdict if self._effect else None

    def change(self, light: Light, *, set_started_ns: int, set_done_ns: int, bound_frames: int) -> None:
        """The camera was told to use `light`, between these instants, while it streamed."""
        before, after = _comparable(self._light, light)
        change = ExposureChange(set_started_ns, set_done_ns, before, after)
        self._effect = EffectFinder(change, bound_frames=bound_frames)
        self._coming = light

    def change_while_off(self, light: Light) -> None:
        """The camera was told to use `light` while it did not stream: the frames after the start settle it."""
        self._light, self._effect = light, None

    def stream_stopped(self) -> bool:
        """The stream ended; True when a change was still waiting to be seen, which the next start must settle."""
        waiting = self._effect is not None and self._effect.verdict.state is State.WAITING
        if waiting:
            self.change_while_off(self._coming)
        return waiting

    def of(self, frame: Frame) -> Light:
        """What `frame` was taken with. To be asked for every frame, in their order."""
        if self._effect is None or self._effect.verdict.state is not State.WAITING:
            return self._light
        verdict = self._effect.feed(BrightFrame(frame.sequence, frame.timestamp_ns, mean_brightness(frame)))
        if verdict.state is State.WAITING:
            return _UNKNOWN
        self._light = self._coming
        return self._light


def _comparable(before: Light, after: Light) -> tuple[int, int]:
    """Two numbers whose ratio is that of the light; 0 before where it is not known (gains have no common law)."""
    if before.exposure_ns is None or after.exposure_ns is None or before.gain != after.gain:
        return 0, after.exposure_ns or 0
    return before.exposure_ns, after.exposure_ns
