"""`trigger:` of a camera, as it is written; what is left away is decided with its group."""

from __future__ import annotations

from dataclasses import dataclass

from agent.config import kinds, patterns
from agent.config.lines import read_input
from agent.config.reader import Kind, Table, Value
from agent.errors import InputError
from agent.trigger.lines import InputOrder
from agent.trigger.modes import Activation, TriggerMode

_MODE = kinds.choice(TriggerMode.EXTERNAL_EDGE, TriggerMode.EXTERNAL_LEVEL, TriggerMode.SOFTWARE)
_ACTIVATION = kinds.choice(*Activation)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraWish:
    """How a camera wants to be triggered; None where nothing is written. Times in nanoseconds."""

    value: Value
    mode: TriggerMode | None = None
    sensor: str = ""
    activation: Activation | None = None
    delay_ns: int | None = None
    jitter_ns: int | None = None
    window_ns: int | None = None
    wait_ns: int | None = None
    readout_ns: int | None = None
    strobe: InputOrder | None = None
    strobe_value: Value


def read_camera_trigger(camera: str, value: Value) -> CameraWish | None:
    """None after a problem with the whole."""
    return value.table(lambda table: _wish(camera, table))


def _wish(camera: str, table: Table) -> CameraWish:
    mode = table.scalar("mode", _MODE, None)
    activation = table.scalar("activation", _ACTIVATION, None)
    strobe = table.take("strobe")
    return CameraWish(
        value=table.value,
        mode=None if mode is None else TriggerMode(mode),
        sensor=table.scalar("sensor", _SENSOR, "").lower(),
        activation=None if activation is None else Activation(activation),
        delay_ns=table.scalar("delay", kinds.OFFSET, None),
        jitter_ns=table.scalar("jitter", kinds.OFFSET, None),
        window_ns=table.scalar("window", kinds.DURATION, None),
        wait_ns=table.scalar("wait", kinds.DURATION, None),
        readout_ns=table.scalar("readout", kinds.OFFSET, None),
        strobe=None if strobe is None else read_input(strobe, camera),
        strobe_value=strobe or table.value,
    )


def _sensor(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise InputError("a sensor without a name", hint="write its name, such as imx296, or take the line out")
    return text


_SENSOR: Kind[str] = Kind("the name of a sensor", "imx296", _sensor, schema=patterns.GIVEN_TEXT)
