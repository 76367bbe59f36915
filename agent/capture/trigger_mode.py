"""A camera put into a trigger mode, proven by reading back, and put back as it was found (mission rows E1, E2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from agent.errors import AgentError, ControlValueError
from agent.trigger.mode_errors import TriggerModeNotProven, TriggerOptionUnknown
from agent.trigger.modes import (
    Activation,
    CameraIdentity,
    ControlName,
    ModeSwitch,
    ModuleSetting,
    TimeControl,
    TriggerEntry,
    TriggerMode,
)
from agent.trigger.module_parameter import MODULES, parameter_of
from agent.trigger.registry import KNOWN, Registry
from agent.v4l2.controls import Control, enumerate_controls
from agent.v4l2.device import query_capabilities
from agent.v4l2.ioctl import Node, typed_error
from agent.v4l2.snapshot import put_back
from agent.v4l2.transaction import Change, ReadBackMismatch, set_controls
from agent.v4l2.uapi import VIDIOC_S_EXT_CTRLS
from agent.v4l2.values import Batch, Value, read_values

_NO_CONTROL = "leave it away: the camera has no control for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerWish:
    """How a camera is to be triggered; None leaves a thing as the camera has it.

    `sensor`: the name of the sensor behind a capture interface, such as `imx296`, which the interface does not tell.
    """

    mode: TriggerMode
    sensor: str = ""
    activation: Activation | None = None
    delay_ns: int | None = None
    debounce_ns: int | None = None


class ModuleChange(NamedTuple):
    """A module parameter, and its value before."""

    setting: ModuleSetting
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenTriggerMode:
    """What put the camera into its mode, every value read back as asked.

    `is_own`: the camera decides itself, and there was nothing to prove. `module` is one parameter for all cameras of
    its driver, and the sensor follows it from the next start of a stream on.
    """

    device: str
    wish: TriggerWish
    entry: TriggerEntry
    changes: tuple[Change, ...] = ()
    module: ModuleChange | None = None
    modules: Path = field(default=MODULES, repr=False)

    @property
    def is_own(self) -> bool:
        """Nothing was set: the camera is in this mode by itself, or it is not, and only its frames can tell."""
        return not self.changes and self.module is None


def identify(node: Node, sensor: str = "") -> CameraIdentity:
    """What the registry looks at. Raises NotACaptureDevice, DeviceError."""
    capabilities = query_capabilities(node)
    controls = {control.id: control.slug for control in enumerate_controls(node)}
    return CameraIdentity(driver=capabilities.driver, card=capabilities.card, sensor=sensor, controls=controls)


def enter_trigger_mode(
    node: Node, wish: TriggerWish, *, registry: Registry = KNOWN, modules: Path = MODULES
) -> ProvenTriggerMode:
    """Put the camera into the mode and read it back, all of it or nothing. The stream must be off.

    Raises before anything was set: TriggerModeUnknown, TriggerOptionUnknown, ControlValueError, ControlHeld.
    Raises after it was put back: TriggerModeNotProven, ControlRefused, ModuleParameterError and its kinds, DeviceGone.
    """
    camera = identify(node, wish.sensor)
    entry, switch = registry.find(camera, wish.mode, node.path)
    values = _values(node, camera, entry, switch, wish)
    changes: tuple[Change, ...] = ()
    if values:
        try:
            changes = set_controls(node, values).changes
        except ReadBackMismatch as error:
            raise _not_proven(f"{node.path} is not in mode {wish.mode}", error.details["mismatches"]) from error
    entered = ProvenTriggerMode(device=node.path, wish=wish, entry=entry, changes=changes, modules=modules)
    if switch.module is None:
        return entered
    try:
        module = _set_module(switch.module, wish.mode, modules)
    except AgentError:
        leave_trigger_mode(node, entered)
        raise
    return ProvenTriggerMode(device=node.path, wish=wish, entry=entry, changes=changes, module=module, modules=modules)


def prove_trigger_mode(node: Node, entered: ProvenTriggerMode) -> None:
    """Read it all back once more, before the first pulse may leave. Raises TriggerModeNotProven, DeviceError."""
    controls = [change.control for change in entered.changes]
    values = read_values(node, controls)
    wrong: dict[str, object] = {
        change.control.slug: {"asked": change.asked, "read": values[change.control.id]}
        for change in entered.changes
        if change.control.id in values and values[change.control.id] != change.asked
    }
    if entered.module is not None:
        setting = entered.module.setting
        present = parameter_of(setting, entered.modules).read()
        if present != setting.value:
            wrong[f"{setting.module}.{setting.parameter}"] = {"asked": setting.value, "read": present}
    if wrong:
        raise _not_proven(f"{node.path} is not in mode {entered.wish.mode} any more", wrong)


def leave_trigger_mode(node: Node, entered: ProvenTriggerMode) -> None:
    """Put everything back as it was found; what cannot be does not keep the rest. The stream must be off.

    Raises TriggerModeNotProven naming what is not as it was, ModuleParameterError, DeviceGone.
    """
    before = {change.control.id: change.before for change in entered.changes if change.before is not None}
    try:
        leftovers = put_back(node, [change.control for change in entered.changes], before)
    finally:
        if entered.module is not None:
            setting, found = entered.module
            parameter_of(setting, entered.modules).write(found)
    if leftovers:
        wrong = {left.control.slug: {"asked": left.wanted, "read": left.present} for left in leftovers}
        raise _not_proven(f"{node.path} is not as it was before mode {entered.wish.mode}", wrong)


def _values(
    node: Node, camera: CameraIdentity, entry: TriggerEntry, switch: ModeSwitch, wish: TriggerWish
) -> dict[int | Control, Value]:
    """Every control with its value, by id; options after the mode's own settings."""
    settings = list(switch.settings)
    if wish.activation is not None and wish.activation is not switch.fixed:
        chosen = switch.activations.get(wish.activation)
        if chosen is None:
            known = [*switch.activations, *filter(None, [switch.fixed])]
            hint = f"leave it away, or ask for {' or '.join(known)}" if known else _NO_CONTROL
            raise _option_unknown(node.path, entry, "activation", wish.activation, hint)
        settings.append(chosen)
    values: dict[int | Control, Value] = {
        _id_of(node.path, entry, camera, setting.control): setting.value for setting in settings
    }
    for option, time, control in (
        ("delay", wish.delay_ns, entry.delay),
        ("debounce", wish.debounce_ns, entry.debounce),
    ):
        if time is not None:
            if control is None:
                raise _option_unknown(node.path, entry, option, f"{time} ns", _NO_CONTROL)
            values[_id_of(node.path, entry, camera, control.control)] = _steps(control, time)
    return values


def _steps(control: TimeControl, time_ns: int) -> int:
    steps, rest = divmod(time_ns, control.unit_ns)
    if rest:
        raise ControlValueError(
            f"{control.control.slug} is set in steps of {control.unit_ns} ns, and {time_ns} ns is none",
            hint=f"ask for {steps * control.unit_ns} ns or {(steps + 1) * control.unit_ns} ns",
            control=control.control.slug,
            asked=time_ns,
            step=control.unit_ns,
        )
    return steps


def _id_of(device: str, entry: TriggerEntry, camera: CameraIdentity, name: ControlName) -> int:
    found = name.find(camera.controls)
    if found is None:
        hint = f"other cameras of this kind have it; `camera-agent controls {device}` lists those of this one"
        raise _option_unknown(device, entry, name.slug, str(name), hint)
    return found


def _set_module(setting: ModuleSetting, mode: TriggerMode, modules: Path) -> ModuleChange:
    parameter = parameter_of(setting, modules)
    before = parameter.read()
    after = parameter.write(setting.value)
    if after != setting.value:
        parameter.write(before)
        wrong = {setting.parameter: {"asked": setting.value, "read": after}}
        raise _not_proven(f"{parameter.path} does not take what mode {mode} needs", wrong)
    return ModuleChange(setting, before)


def _option_unknown(device: str, entry: TriggerEntry, option: str, asked: str, hint: str) -> TriggerOptionUnknown:
    return TriggerOptionUnknown(
        f"{device} is a {entry.name}, which is not known to do {option} {asked}",
        hint=hint,
        device=device,
        option=option,
        asked=str(asked),
    )


def _not_proven(problem: str, wrong: object) -> TriggerModeNotProven:
    """`wrong`: by the name of each control or parameter, what was asked and what was read."""
    pairs = wrong.items() if isinstance(wrong, Mapping) else ()
    told = ", ".join(f"{name} is {pair['read']}, not {pair['asked']}" for name, pair in pairs)
    return TriggerModeNotProven(
        f"{problem}: {told}",
        hint="no pulse may be sent; is another program setting it? else the driver ignores it: journalctl -k",
        mismatches=wrong,
    )


class SoftwareButton:
    """A camera's own software trigger: one VIDIOC_S_EXT_CTRLS a pulse, made ready before."""

    def __init__(self, node: Node, entry: TriggerEntry) -> None:
        """Find it. Raises TriggerOptionUnknown when cameras of this kind are not known to have one."""
        if entry.software is None:
            hint = "use a trigger line, or write the button into trigger_modes: software: {software_trigger: 1}"
            raise _option_unknown(node.path, entry, "software trigger", "trigger", hint)
        controls = enumerate_controls(node)
        slugs = {control.id: control.slug for control in controls}
        number = _id_of(node.path, entry, CameraIdentity(driver="", card="", controls=slugs), entry.software.control)
        control = next(control for control in controls if control.id == number)
        self._node = node
        self._values = {number: entry.software.value}
        self._batch = Batch([control], self._values)

    def press(self) -> None:
        """Tell the camera. Raises DeviceError."""
        self._batch.fill(self._values)
        code = self._batch.issue(self._node, VIDIOC_S_EXT_CTRLS)
        if code:
            raise typed_error(code, VIDIOC_S_EXT_CTRLS.name, self._node.path)
