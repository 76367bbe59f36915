"""The light of each frame: exposure and gain from the controls, taking effect some frames after they were set."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from agent.simulation.profiles import Optics


@dataclass(frozen=True)
class Light:
    """How one frame is exposed. `gain` is the raw value of the gain control; `level` 1.0 shows the scene as drawn."""

    exposure_ns: int
    gain: int
    level: float


class Sensor:
    """Which light each frame gets. Not locked: the camera's lock guards it."""

    def __init__(self, optics: Optics, controls: Mapping[int, int]) -> None:
        """`controls`: the initial numbers of the controls that light follows."""
        self._optics = optics
        ids = (optics.exposure_id, optics.gain_id, optics.extra_gain_id, optics.auto_id)
        self._registers = {control_id: controls[control_id] for control_id in ids if control_id is not None}
        self._pending: deque[tuple[int, Light | None]] = deque()
        self._auto_light = self._current = self._wanted()
        self._auto = self._wants_auto()

    def restart(self) -> None:
        """A stream begins: all that was set is in force from its first frame on."""
        self._pending.clear()
        self._current, self._auto = self._wanted(), self._wants_auto()

    def follow(self, changed: Mapping[int, int], frame: int | None) -> None:
        """Controls changed while frame `frame` is exposed (None: while nothing is)."""
        ours = {control_id: value for control_id, value in changed.items() if control_id in self._registers}
        self._registers.update(ours)
        if ours and frame is not None:
            self._pending.append((frame + self._optics.delay_frames, None if self._wants_auto() else self._wanted()))

    def light(self, frame: int) -> Light:
        """The light of `frame`; to be asked in ascending order."""
        while self._pending and self._pending[0][0] <= frame:
            _, light = self._pending.popleft()
            self._auto = light is None
            self._current = light or self._current
        if not self._auto:
            return self._current
        self._auto_light = self._metered(frame)
        return self._auto_light

    def live(self, control_id: int) -> int | None:
        """What the camera itself says of a control; None: what was stored."""
        if control_id == self._optics.exposure_id and self._wants_auto():
            return max(1, round(self._auto_light.exposure_ns / self._optics.exposure_unit_ns))
        return None

    def _metered(self, frame: int) -> Light:
        # an automatic exposure that never quite settles, some percent around the nominal one
        gain = self._registers[self._optics.gain_id]
        factor = self._factor(gain)
        wobble = 1 + 0.06 * math.sin(frame / 9)
        unit_ns = self._optics.exposure_unit_ns
        exposure_ns = round(max(1, round(self._optics.nominal_exposure_ns * wobble / factor / unit_ns)) * unit_ns)
        return Light(exposure_ns, gain, exposure_ns * factor / self._optics.nominal_exposure_ns)

    def _wanted(self) -> Light:
        gain = self._registers[self._optics.gain_id]
        exposure_ns = round(self._registers[self._optics.exposure_id] * self._optics.exposure_unit_ns)
        return Light(exposure_ns, gain, exposure_ns * self._factor(gain) / self._optics.nominal_exposure_ns)

    def _factor(self, gain: int) -> float:
        extra_id = self._optics.extra_gain_id
        extra = 1.0 if extra_id is None else self._optics.gain_factor(self._registers[extra_id])
        return self._optics.gain_factor(gain) * extra

    def _wants_auto(self) -> bool:
        auto_id = self._optics.auto_id
        return auto_id is not None and self._registers[auto_id] != self._optics.auto_off
