"""Which cameras can be triggered, and how: the entries known here, and those of a configuration before them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from agent.trigger.known_sensors import ELSEWHERE, SENSORS
from agent.trigger.known_vendors import VENDORS
from agent.trigger.mode_errors import TriggerModeUnknown
from agent.trigger.modes import CameraIdentity, ModeSwitch, TriggerEntry, TriggerMode

_EXAMPLE = (
    "write an entry into the file: trigger_modes: {my-camera: {driver: uvcvideo, card: My Camera, "
    "modes: {internal: {trigger_mode: 0}, external_edge: {trigger_mode: 1}}}}, or external_edge: itself, where the "
    "camera needs nothing set for it"
)


class Found(NamedTuple):
    """An entry, and its switch for the mode that was asked for."""

    entry: TriggerEntry
    switch: ModeSwitch


class Registry:
    """Entries in the order they are tried; the first that matches a camera is its. Immutable."""

    def __init__(self, entries: Iterable[TriggerEntry]) -> None:
        self.entries = tuple(entries)

    def before(self, entries: Iterable[TriggerEntry]) -> Registry:
        """A registry that tries `entries` first: what somebody wrote goes before what is known here."""
        return Registry((*entries, *self.entries))

    def entry(self, camera: CameraIdentity) -> TriggerEntry | None:
        """The camera's entry, None when it matches none."""
        return next((entry for entry in self.entries if entry.matches(camera)), None)

    def find(self, camera: CameraIdentity, mode: TriggerMode, device: str) -> Found:
        """What puts the camera into `mode`; `device` stands in the error. Raises TriggerModeUnknown."""
        entry = self.entry(camera)
        switch = None if entry is None else entry.switch(mode)
        if entry is None or switch is None:
            raise self._unknown(camera, mode, device, entry)
        return Found(entry, switch)

    def sensors(self) -> tuple[str, ...]:
        """The sensors it has an entry for."""
        return tuple(entry.sensor for entry in self.entries if entry.sensor)

    def _unknown(
        self, camera: CameraIdentity, mode: TriggerMode, device: str, entry: TriggerEntry | None
    ) -> TriggerModeUnknown:
        modes = () if entry is None else entry.modes
        if entry is not None:
            problem = f"{device} is a {entry.name}, which is not known to do {mode}, only {', '.join(modes)}"
        else:
            what = f"{camera.card} (driver {camera.driver}{f', sensor {camera.sensor}' if camera.sensor else ''})"
            problem = f"it is not known how {device}, {what}, is put into {mode}"
        return TriggerModeUnknown(
            problem,
            hint=self._advice(camera, entry),
            device=device,
            mode=mode.value,
            modes=[known.value for known in modes],
            known=[known.name for known in self.entries],
        )

    def _advice(self, camera: CameraIdentity, entry: TriggerEntry | None) -> str:
        elsewhere = ELSEWHERE.get(camera.sensor.lower())
        if elsewhere is not None:
            return f"{camera.sensor} {elsewhere}; then {_EXAMPLE}"
        if entry is not None or camera.sensor:
            return _EXAMPLE
        names = ", ".join(known.name for known in self.entries)
        return f"name its sensor, if it is one of {', '.join(self.sensors())}; or {_EXAMPLE}; known are {names}"


KNOWN = Registry((*VENDORS, *SENSORS))
"""All that is known here."""
