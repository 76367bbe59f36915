"""Sensors whose drivers take the trigger mode as a module parameter, and what is published of their timing.

All these parameters are `int` with mode 0644: root may change them while the module is loaded, and the driver looks at
them when a stream starts. A device tree property of the sensor, where its driver has one, goes before the parameter.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.trigger.modes import Activation, ModeSwitch, ModuleSetting, TriggerEntry, TriggerMode


def _sensor(sensor: str, mode: TriggerMode, value: int, source: str, fixed: Activation | None = None) -> TriggerEntry:
    """A sensor whose driver has `trigger_mode`, 0 for free-running."""
    return TriggerEntry(
        name=f"sensor-{sensor}",
        source=source,
        sensor=sensor,
        switches=(
            ModeSwitch(mode=TriggerMode.INTERNAL, module=ModuleSetting(sensor, "trigger_mode", 0)),
            ModeSwitch(mode=mode, module=ModuleSetting(sensor, "trigger_mode", value), fixed=fixed),
        ),
    )


SENSORS = (
    # 0=default, 1=XTRIG, set at stream_on: raspberrypi/linux drivers/media/i2c/imx296.c; exposed while XTR is low:
    # raspberrypi/documentation documentation/asciidoc/accessories/camera/external_trigger.adoc. Going back to 0 takes
    # effect only once runtime power management has switched the sensor off: raspberrypi/linux pull 5560
    _sensor(
        "imx296",
        TriggerMode.EXTERNAL_LEVEL,
        1,
        "raspberrypi/linux drivers/media/i2c/imx296.c",
        fixed=Activation.FALLING,
    ),
    # 1=source, 2=sink, and the device tree's trigger-mode goes before it: raspberrypi/linux drivers/media/i2c/imx477.c;
    # the sink waits for pulses on XVS: raspberrypi/documentation .../camera/synchronous_cameras.adoc
    _sensor("imx477", TriggerMode.EXTERNAL_EDGE, 2, "raspberrypi/linux drivers/media/i2c/imx477.c"),
    # 0 standalone, anything else waits for the pulse: raspberrypi/linux pull 5260
    _sensor("ov7251", TriggerMode.EXTERNAL_EDGE, 1, "raspberrypi/linux pull 5260"),
    # 0=off, 1=external-trigger, 2=sync-sink; one frame for each pulse: Kurokesu/ar0234-rpi-driver pull 13 (ar0234.c)
    _sensor("ar0234", TriggerMode.EXTERNAL_EDGE, 1, "Kurokesu/ar0234-rpi-driver pull 13"),
)

ELSEWHERE = {
    # raspberrypi/linux pull 6954: the driver has a device tree property and no parameter
    "ov9281": "is triggered by the device tree property trigger-mode of driver ov9282: load the overlay that sets it",
    "ov9282": "is triggered by the device tree property trigger-mode of its driver: load the overlay that sets it",
}
"""Sensors that are switched where this program cannot reach, and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerTiming:
    """What is published of a sensor's trigger, in nanoseconds; None: not published. `when`: under what condition.

    `delay_ns` ± `jitter_ns`: from the pulse to the start of the exposure. `end_delay_ns`: from the end of the pulse to
    the end of the exposure, and `extra_ns`: what the exposure is longer than the pulse, with EXTERNAL_LEVEL.
    """

    sensor: str
    when: str
    source: str
    delay_ns: int | None = None
    jitter_ns: int | None = None
    end_delay_ns: int | None = None
    extra_ns: int | None = None


_C_BLUE = "First Light Imaging, C-BLUE One User Manual (2021-11-29), page 47, trigger timings"
TIMINGS = (
    TriggerTiming(
        sensor="imx296",
        when="external trigger (XTR), exposed while the line is low",
        source="raspberrypi/documentation documentation/asciidoc/accessories/camera/external_trigger.adoc",
        extra_ns=14_260,
    ),
    TriggerTiming(sensor="imx425", when="8 bit", source=_C_BLUE, delay_ns=9_260, jitter_ns=1_160, end_delay_ns=14_260),
    TriggerTiming(
        sensor="imx425", when="12 bit", source=_C_BLUE, delay_ns=13_140, jitter_ns=1_640, end_delay_ns=18_140
    ),
    TriggerTiming(sensor="imx426", when="8 bit", source=_C_BLUE, delay_ns=6_460, jitter_ns=800, end_delay_ns=11_460),
    TriggerTiming(
        sensor="imx426", when="12 bit", source=_C_BLUE, delay_ns=11_420, jitter_ns=1_420, end_delay_ns=16_420
    ),
)


def timings_of(sensor: str) -> tuple[TriggerTiming, ...]:
    """What is published of a sensor; empty when nothing is known here."""
    return tuple(timing for timing in TIMINGS if timing.sensor == sensor.lower())
