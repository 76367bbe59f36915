"""Cameras whose vendors have controls of their own for triggers. Each entry says where its facts were read.

What was not read there is not here: e-con's Frame Sync (0x009a092a) follows the board's own clock in every value that
is published, and e-con's USB cameras are switched through hidraw, not V4L2.
"""

from __future__ import annotations

from agent.trigger.modes import (
    Activation,
    ControlName,
    ControlSetting,
    ModeSwitch,
    TimeControl,
    TriggerEntry,
    TriggerMode,
)

_US = 1_000


def _modes(control: ControlName, **values: int) -> tuple[ModeSwitch, ...]:
    """Modes that are values of one control."""
    return tuple(
        ModeSwitch(mode=TriggerMode[name], settings=(ControlSetting(control, value),)) for name, value in values.items()
    )


# ids V4L2_CID_CAMERA_CLASS_BASE + 47 to + 50, names and menus:
# alliedvision/alvium-csi2-driver include/uapi/linux/avt-csi2.h and avt-csi2.h (avt_ctrl_mappings); the same ids in
# alliedvision/examples Trigger/alvium_trigger.h. None can be changed while streaming (AVT_CTRL_FLAG_STREAM_DISABLED).
_ALLIED_MODE = ControlName("trigger_mode", 0x009A_092F)
_ALLIED_ACTIVATION = ControlName("trigger_activation", 0x009A_0930)
_ALLIED_SOURCE = ControlName("trigger_source", 0x009A_0931)
_ALLIED_LINE_0, _ALLIED_SOFTWARE = ControlSetting(_ALLIED_SOURCE, 0), ControlSetting(_ALLIED_SOURCE, 4)


def _allied_activation(rising: int, falling: int) -> dict[Activation, ControlSetting]:
    return {
        Activation.RISING: ControlSetting(_ALLIED_ACTIVATION, rising),
        Activation.FALLING: ControlSetting(_ALLIED_ACTIVATION, falling),
    }


ALLIED_VISION = TriggerEntry(
    name="allied-vision-alvium-csi2",
    source="alliedvision/alvium-csi2-driver include/uapi/linux/avt-csi2.h",
    switches=(
        ModeSwitch(mode=TriggerMode.INTERNAL, settings=(ControlSetting(_ALLIED_MODE, 0),)),
        ModeSwitch(
            mode=TriggerMode.EXTERNAL_EDGE,
            settings=(ControlSetting(_ALLIED_MODE, 1), _ALLIED_LINE_0, ControlSetting(_ALLIED_ACTIVATION, 0)),
            activations=_allied_activation(rising=0, falling=1),
        ),
        ModeSwitch(
            mode=TriggerMode.EXTERNAL_LEVEL,
            settings=(ControlSetting(_ALLIED_MODE, 1), _ALLIED_LINE_0, ControlSetting(_ALLIED_ACTIVATION, 3)),
            activations=_allied_activation(rising=3, falling=4),
        ),
        ModeSwitch(mode=TriggerMode.SOFTWARE, settings=(ControlSetting(_ALLIED_MODE, 1), _ALLIED_SOFTWARE)),
    ),
    software=ControlSetting(ControlName("trigger_software", 0x009A_0932), 1),
)

# ids (V4L2_CID_USER_BASE | 0xfff0 and three after it), names, types and menu:
# VC-MIPI-modules/vc_mipi_raspi src/vc_mipi_camera/vc_mipi_camera.c; what the values mean, and which sensor has which:
# docs/trigger_mode.md there. The controls are the sensor's subdevice's.
_VC_MODES = {"INTERNAL": 0, "EXTERNAL_EDGE": 1, "EXTERNAL_LEVEL": 2, "SOFTWARE": 4}
VISION_COMPONENTS = TriggerEntry(
    name="vision-components-mipi",
    source="VC-MIPI-modules/vc_mipi_raspi src/vc_mipi_camera/vc_mipi_camera.c",
    switches=_modes(ControlName("trigger_mode", 0x0098_FFF0), **_VC_MODES),
    software=ControlSetting(ControlName("single_trigger", 0x0098_FFF3), 1),
)

# names and values: VC-MIPI-modules/vc_mipi_nvidia doc/TRIGGER_MODE.md; the ids are patched into NVIDIA's header and
# differ between releases, so the controls go by name
VISION_COMPONENTS_NVIDIA = TriggerEntry(
    name="vision-components-nvidia",
    source="VC-MIPI-modules/vc_mipi_nvidia doc/TRIGGER_MODE.md",
    drivers=frozenset({"tegra-video"}),
    switches=_modes(ControlName("trigger_mode"), **_VC_MODES),
    software=ControlSetting(ControlName("single_trigger"), 1),
)

# ids, names, types and menus: TheImagingSource/tiscamera data/uvc-extensions/usb33.json and usb37.json, loaded into
# uvcvideo by that vendor's tcam-uvc-extension-loader. "Trigger Delay" (0x0199e210) has no unit there: it is not here.
_TIS_MODE = ControlName("trigger_mode", 0x0199_E208)
_TIS_POLARITY = ControlName("trigger_polarity", 0x0199_E234)
_TIS_EDGES = {
    Activation.RISING: ControlSetting(_TIS_POLARITY, 0),
    Activation.FALLING: ControlSetting(_TIS_POLARITY, 1),
}
_TIS_ON = ControlSetting(_TIS_MODE, 1)
_TIS_SOFTWARE = ControlSetting(ControlName("software_trigger", 0x0199_E209), 1)
_TIS_INTERNAL = ModeSwitch(mode=TriggerMode.INTERNAL, settings=(ControlSetting(_TIS_MODE, 0),))
THE_IMAGING_SOURCE_33U = TriggerEntry(
    name="the-imaging-source-usb33",
    source="TheImagingSource/tiscamera data/uvc-extensions/usb33.json",
    drivers=frozenset({"uvcvideo"}),
    switches=(
        _TIS_INTERNAL,
        ModeSwitch(
            mode=TriggerMode.EXTERNAL_EDGE,
            settings=(_TIS_ON, ControlSetting(ControlName("trigger_exposure_mode", 0x0199_E236), 0)),
            activations=_TIS_EDGES,
        ),
        ModeSwitch(
            mode=TriggerMode.EXTERNAL_LEVEL,
            settings=(_TIS_ON, ControlSetting(ControlName("trigger_exposure_mode", 0x0199_E236), 1)),
            activations=_TIS_EDGES,
        ),
        ModeSwitch(mode=TriggerMode.SOFTWARE, settings=(_TIS_ON,)),
    ),
    software=_TIS_SOFTWARE,
    debounce=TimeControl(ControlName("trigger_debounce_time_us", 0x0199_E238), _US),
)
THE_IMAGING_SOURCE_USB3 = TriggerEntry(
    name="the-imaging-source-usb3",
    source="TheImagingSource/tiscamera data/uvc-extensions/usb37.json",
    drivers=frozenset({"uvcvideo"}),
    switches=(
        _TIS_INTERNAL,
        ModeSwitch(mode=TriggerMode.EXTERNAL_EDGE, settings=(_TIS_ON,), activations=_TIS_EDGES),
        ModeSwitch(mode=TriggerMode.SOFTWARE, settings=(_TIS_ON,)),
    ),
    software=_TIS_SOFTWARE,
    debounce=TimeControl(ControlName("trigger_debounce_time_us", 0x0199_E238), _US),
)

# 0x0199e208 is called "Trigger" in data/uvc-extensions/usb2.json
THE_IMAGING_SOURCE_USB2 = TriggerEntry(
    name="the-imaging-source-usb2",
    source="TheImagingSource/tiscamera data/uvc-extensions/usb2.json",
    drivers=frozenset({"uvcvideo"}),
    switches=_modes(ControlName("trigger", 0x0199_E208), INTERNAL=0, EXTERNAL_EDGE=1, SOFTWARE=1),
    software=_TIS_SOFTWARE,
)

# V4L2_CID_PRIVACY taken for the trigger, 0 Off and 1 On: TheImagingSource/tiscamera src/v4l2/v4l2_genicam_mapping.cpp
# and v4l2_genicam_conversion.cpp. On any other camera it covers the lens: only with this vendor's names.
THE_IMAGING_SOURCE_PRIVACY = TriggerEntry(
    name="the-imaging-source-privacy",
    source="TheImagingSource/tiscamera src/v4l2/v4l2_genicam_mapping.cpp",
    drivers=frozenset({"uvcvideo"}),
    card=r"^D[FMB]K ",
    switches=_modes(ControlName("privacy", 0x009A_0910), INTERNAL=0, EXTERNAL_EDGE=1),
)

BENCH = TriggerEntry(
    name="bench",
    source="agent/simulation/bench.py",
    card=r"^Bench camera ",
    switches=_modes(
        ControlName("trigger_mode", 0x0098_1920), INTERNAL=0, EXTERNAL_EDGE=1, EXTERNAL_LEVEL=2, SOFTWARE=3
    ),
    software=ControlSetting(ControlName("software_trigger", 0x0098_1921), 1),
    delay=TimeControl(ControlName("trigger_delay", 0x0098_1922), _US),
)

# hw-tests/uvc_camera: with --trigger-line its privacy control is the switch, as with the vendor above; without, it has
# no such control and runs free
_RIG_CARD = r"^UVC test camera"
RIG_TRIGGERED = TriggerEntry(
    name="rig-uvc-triggered",
    source="hw-tests/uvc_camera/controls.py",
    drivers=frozenset({"uvcvideo"}),
    card=_RIG_CARD,
    switches=_modes(ControlName("privacy", 0x009A_0910), INTERNAL=0, EXTERNAL_EDGE=1),
)
RIG_FREE = TriggerEntry(
    name="rig-uvc",
    source="hw-tests/uvc_camera/controls.py",
    drivers=frozenset({"uvcvideo"}),
    card=_RIG_CARD,
    switches=(ModeSwitch(mode=TriggerMode.INTERNAL),),
)

VENDORS = (
    ALLIED_VISION,
    VISION_COMPONENTS,
    VISION_COMPONENTS_NVIDIA,
    THE_IMAGING_SOURCE_33U,
    THE_IMAGING_SOURCE_USB3,
    THE_IMAGING_SOURCE_USB2,
    THE_IMAGING_SOURCE_PRIVACY,
    BENCH,
    RIG_TRIGGERED,
    RIG_FREE,
)
