"""Trigger modes of cameras, and what switches a camera into one: control values, a module parameter, or nothing.

V4L2 has no standard control for it: every vendor made its own, some sensor drivers have a module parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class TriggerMode(StrEnum):
    """What begins an exposure: ophyd-async's words, and SOFTWARE."""

    INTERNAL = "internal"
    """The camera itself: it runs free."""
    EXTERNAL_EDGE = "external_edge"
    """An edge at its input; the exposure is as long as the camera is set to."""
    EXTERNAL_LEVEL = "external_level"
    """A level at its input; the exposure lasts as long as the pulse."""
    SOFTWARE = "software"
    """A button among its controls."""


class Activation(StrEnum):
    """Which edge begins the exposure, and with EXTERNAL_LEVEL whether the line is high or low during it."""

    RISING = "rising"
    FALLING = "falling"


@dataclass(frozen=True, slots=True)
class ControlName:
    """A control of a vendor. `slug`: its name as v4l2-ctl prints it, empty: any. `id`: None where releases differ.

    Both are looked at: ids of vendors collide, and 0x009a092a is one vendor's frame sync and another's gain limit.
    """

    slug: str
    id: int | None = None

    def find(self, controls: Mapping[int, str]) -> int | None:
        """Its id among a camera's `controls` (name in slug form by id), None when the camera has no such control."""
        if self.id is not None:
            is_it = self.id in controls and self.slug in ("", controls[self.id])
            return self.id if is_it else None
        found = [number for number, slug in controls.items() if slug == self.slug]
        return found[0] if len(found) == 1 else None

    def __str__(self) -> str:
        """For people: `trigger_mode (0x0199e208)`."""
        if self.id is None:
            return self.slug
        return f"{self.slug} (0x{self.id:08x})" if self.slug else f"0x{self.id:08x}"


@dataclass(frozen=True, slots=True)
class ControlSetting:
    """A control, and the value it gets."""

    control: ControlName
    value: int


@dataclass(frozen=True, slots=True)
class ModuleSetting:
    """A parameter of a kernel module, and the value it gets: /sys/module/`module`/parameters/`parameter`.

    It is one for all cameras of that driver, and drivers read it when a stream starts.
    """

    module: str
    parameter: str
    value: int


@dataclass(frozen=True, slots=True)
class TimeControl:
    """A control that takes a time, in steps of `unit_ns`."""

    control: ControlName
    unit_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSwitch:
    """What puts a camera into `mode`. Neither settings nor a module: the camera is in it by itself.

    `activations`: what chooses the edge or level where the camera lets one choose. `fixed`: where it does not,
    which one it is, None when that is not known.
    """

    mode: TriggerMode
    settings: tuple[ControlSetting, ...] = ()
    module: ModuleSetting | None = None
    activations: Mapping[Activation, ControlSetting] = field(default_factory=dict)
    fixed: Activation | None = None

    @property
    def is_own(self) -> bool:
        """The camera decides itself: there is nothing to set, and nothing to prove."""
        return not self.settings and self.module is None


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraIdentity:
    """What is known of a camera when its entry is looked for. `controls`: name in slug form by id.

    `driver`, `card`: of the video node (VIDIOC_QUERYCAP); behind a capture interface these are the interface's, and
    only `sensor` (its name, such as `imx296`) says what is behind it; empty: not known.
    """

    driver: str
    card: str
    sensor: str = ""
    controls: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerEntry:
    """How one kind of camera is triggered. `source`: where that is written, for people.

    A camera is of this kind when its driver is among `drivers`, its card matches the regular expression `card`, its
    sensor is `sensor`, and it has every control the switches need; empty ones are not looked at. `delay`: from the
    pulse to the exposure, `debounce`: how long the input must stand still, where the vendor has a control for it.
    """

    name: str
    source: str = field(compare=False)
    drivers: frozenset[str] = frozenset()
    card: str = ""
    sensor: str = ""
    switches: tuple[ModeSwitch, ...]
    software: ControlSetting | None = None
    delay: TimeControl | None = None
    debounce: TimeControl | None = None

    @property
    def modes(self) -> tuple[TriggerMode, ...]:
        """The modes it knows."""
        return tuple(switch.mode for switch in self.switches)

    def switch(self, mode: TriggerMode) -> ModeSwitch | None:
        """What puts the camera into `mode`, None where that is not known."""
        return next((switch for switch in self.switches if switch.mode is mode), None)

    def matches(self, camera: CameraIdentity) -> bool:
        """Whether the camera is of this kind."""
        return (
            (not self.drivers or camera.driver in self.drivers)
            and (not self.card or re.search(self.card, camera.card) is not None)
            and (not self.sensor or self.sensor == camera.sensor.lower())
            and all(name.find(camera.controls) is not None for name in self.needed())
        )

    def needed(self) -> Iterator[ControlName]:
        """The controls a camera of this kind has in any case."""
        for switch in self.switches:
            for setting in switch.settings:
                yield setting.control
        if self.software is not None:
            yield self.software.control
