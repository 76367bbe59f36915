"""`trigger_modes:` of a file: how cameras are triggered that are not known here, or otherwise than known.

trigger_modes:
  my-camera:
    driver: uvcvideo                    # any of driver, card and sensor; card is a regular expression
    card: ^My Camera
    modes:
      internal: {trigger_mode: 0}       # controls by name or id, and their values
      external_edge: {trigger_mode: 1, "0x009a0930": 2}
      external_level: itself            # nothing needs to be set
      software: {my_driver.trigger: 3}  # a parameter of a kernel module
    activation: {rising: {trigger_polarity: 0}, falling: {trigger_polarity: 1}}
    software: {software_trigger: 1}     # the button, and what is written to it
    delay: {control: trigger_delay, unit: 1us}
    debounce: {control: trigger_debounce, unit: 1us}
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.config import kinds, patterns
from agent.config.problems import quoted
from agent.config.reader import Kind, Table, Value
from agent.errors import InputError
from agent.trigger.modes import (
    Activation,
    ControlName,
    ControlSetting,
    ModeSwitch,
    ModuleSetting,
    TimeControl,
    TriggerEntry,
    TriggerMode,
)
from agent.v4l2.controls import slug_of

ITSELF = "itself"
_NUMBER = kinds.integer(-(2**31), 2**31 - 1)
_ID = re.compile(r"0[xX][0-9a-fA-F]{1,8}")
_MODULE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_]+)")


def read_trigger_modes(value: Value) -> tuple[TriggerEntry, ...]:
    """All entries in the order of the file, for `Registry.before`. What is wrong goes to the value's problems."""
    found = value.mapping(kinds.NAME, lambda name, entry: entry.table(lambda table: _entry(name, table)))
    if value.is_empty:
        value.refuse("there is no entry", "write at least one: a name, and below it modes:, or take the line out")
    return tuple(found.values())


def _entry(name: str, table: Table) -> TriggerEntry:
    driver = table.scalar("driver", _TEXT, "")
    activations = _activations(table)
    entry = TriggerEntry(
        name=name,
        source=f"{table.problems.file}:{table.value.line}",
        drivers=frozenset({driver} if driver else ()),
        card=table.scalar("card", _PATTERN, ""),
        sensor=table.scalar("sensor", _TEXT, "").lower(),
        switches=_switches(table, activations),
        software=_software(table),
        delay=_time(table, "delay"),
        debounce=_time(table, "debounce"),
    )
    if not (entry.drivers or entry.card or entry.sensor):
        table.value.refuse("this would be every camera", "write what tells it from others: driver:, card: or sensor:")
    return entry


def _switches(table: Table, activations: Mapping[Activation, ControlSetting]) -> tuple[ModeSwitch, ...]:
    value = table.take("modes")
    if value is None:
        table.value.refuse("has no `modes`", "write modes: {external_edge: {trigger_mode: 1}}")
        return ()
    found = value.table(lambda modes: [_switch(modes, mode, activations) for mode in TriggerMode])
    switches = tuple(switch for switch in found or () if switch is not None)
    if value.is_empty:
        value.refuse("there is no mode", f"write one of {', '.join(TriggerMode)}")
    return switches


def _switch(modes: Table, mode: TriggerMode, activations: Mapping[Activation, ControlSetting]) -> ModeSwitch | None:
    value = modes.take(mode.value)
    if value is None:
        return None
    if value.text is not None:
        value.scalar(_ITSELF)
        return ModeSwitch(mode=mode)
    settings, modules = _settings(value)
    if value.is_empty:
        value.refuse("nothing is set", f"write a control and its value, or {ITSELF}")
    if len(modules) > 1:
        value.refuse("two module parameters", "one of them is possible")
    external = mode in (TriggerMode.EXTERNAL_EDGE, TriggerMode.EXTERNAL_LEVEL)
    return ModeSwitch(
        mode=mode,
        settings=settings,
        module=modules[0] if modules else None,
        activations=activations if external else {},
    )


def _settings(value: Value) -> tuple[tuple[ControlSetting, ...], tuple[ModuleSetting, ...]]:
    """What stands behind names: `imx296.trigger_mode` is a module's parameter, all others are controls."""
    found = value.mapping(_TEXT, lambda _name, entry: entry.scalar(_NUMBER))
    controls, modules = [], []
    for name, number in found.items():
        module = _MODULE.fullmatch(name)
        if module is not None:
            modules.append(ModuleSetting(module[1], module[2], number))
        else:
            controls.append(ControlSetting(_control(name), number))
    names = [setting.control for setting in controls]
    if len(set(names)) != len(names):
        value.refuse("a control stands here twice", "keep one of them")
    return tuple(controls), tuple(modules)


def _activations(table: Table) -> dict[Activation, ControlSetting]:
    value = table.take("activation")
    if value is None:
        return {}
    found = value.table(lambda inner: {which: _one(inner, which.value) for which in Activation})
    if value.is_empty:
        value.refuse("nothing is set", "write rising: {trigger_polarity: 0}, or take the line out")
    return {which: setting for which, setting in (found or {}).items() if setting is not None}


def _software(table: Table) -> ControlSetting | None:
    return _one(table, "software")


def _one(table: Table, key: str) -> ControlSetting | None:
    """Exactly one control and its value."""
    value = table.take(key)
    if value is None:
        return None
    before = len(value.problems)
    settings, modules = _settings(value)
    if len(value.problems) > before:
        return None
    if len(settings) != 1 or modules:
        value.refuse("one control belongs here", f"write {key}: {{software_trigger: 1}}, with its name and value")
        return None
    return settings[0]


def _time(table: Table, key: str) -> TimeControl | None:
    value = table.take(key)
    return None if value is None else value.table(_time_control)


def _time_control(table: Table) -> TimeControl:
    name = table.required("control", _TEXT) or ""
    return TimeControl(_control(name), table.required("unit", kinds.DURATION) or 1)


def _control(name: str) -> ControlName:
    return ControlName("", int(name, 16)) if _ID.fullmatch(name) else ControlName(slug_of(name))


def _text(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise InputError(
            f"{quoted(text)} is no name", hint="write it as `camera-agent controls` or `devices` prints it"
        )
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(_text(text))
    except re.error as error:
        hint = "put a backslash before ( ) [ ] { } . * + ? ^ $ | where they mean themselves"
        raise InputError(f"{quoted(text)} is no regular expression: {error}", hint=hint) from error
    return text


_TEXT: Kind[str] = Kind("a name", "trigger_mode", _text, schema=patterns.GIVEN_TEXT)
_PATTERN: Kind[str] = Kind("a regular expression", "^My Camera", _pattern, schema=patterns.REGULAR_EXPRESSION)
_ITSELF = kinds.choice(ITSELF)
