"""Ready cameras: `simulated_kernel()` is the bench of `--simulate` and of most tests."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from agent.simulation.clock import Clock
from agent.simulation.control_spec import (
    AutoCluster,
    ControlSpec,
    bitmask,
    boolean,
    button,
    integer,
    integer64,
    integer_menu,
    menu,
    string,
)
from agent.simulation.kernel import SimulatedKernel
from agent.simulation.profiles import EOF, SOE, CameraProfile, Optics, SensorTiming, TriggerWiring
from agent.v4l2.uapi import ControlFlag, ControlID, ExposureAutoType

_VENDOR_USER = ControlID.BRIGHTNESS + 0x1000
"""First id of the vendor range in the class of user controls."""
FRAME_COUNTER, SERIAL_NUMBER, NICKNAME, FIRMWARE = (_VENDOR_USER + 0x10 + n for n in range(4))
"""Vendor controls of the UVC-like camera: volatile integer64, read-only integer, string, integer64."""
TRIGGER_MODE, SOFTWARE_TRIGGER, TRIGGER_DELAY = (_VENDOR_USER + 0x20 + n for n in range(3))
"""Vendor controls of every bench camera: menu, button, microseconds."""
_READ_ONLY = ControlFlag.READ_ONLY


def _trigger_controls() -> tuple[ControlSpec, ...]:
    modes = {0: "Off", 1: "External Edge", 2: "External Level", 3: "Software"}
    return (
        menu(TRIGGER_MODE, "Trigger Mode", modes, 0),
        button(SOFTWARE_TRIGGER, "Software Trigger"),
        integer(TRIGGER_DELAY, "Trigger Delay", 0, 100_000, 0),
    )


def uvc_profile(label: str = "A", place: int = 1) -> CameraProfile:
    """A USB camera as uvcvideo shows it: exposure in 100 us, modes Manual and Aperture Priority only.

    `place`: the USB port it is on, and part of its serial number.
    """
    auto = ExposureAutoType
    modes = {int(auto.MANUAL): "Manual Mode", int(auto.APERTURE_PRIORITY): "Aperture Priority Mode"}
    controls = (
        integer(ControlID.BRIGHTNESS, "Brightness", -64, 64, 0),
        boolean(ControlID.AUTO_WHITE_BALANCE, "White Balance, Automatic", 1),
        button(ControlID.DO_WHITE_BALANCE, "Do White Balance"),
        integer(ControlID.GAIN, "Gain", 0, 255, 0),
        menu(ControlID.POWER_LINE_FREQUENCY, "Power Line Frequency", {0: "Disabled", 1: "50 Hz", 2: "60 Hz"}, 1),
        integer(ControlID.WHITE_BALANCE_TEMPERATURE, "White Balance Temperature", 2800, 6500, 4600, step=10),
        integer64(FRAME_COUNTER, "Frame Counter", 0, 2**62, 0, flags=_READ_ONLY | ControlFlag.VOLATILE),
        integer(SERIAL_NUMBER, "Serial Number", 0, 999_999, 100_000 + place, flags=_READ_ONLY),
        string(NICKNAME, "Nickname", 16, ""),
        integer64(FIRMWARE, "Firmware Word", -(2**40), 2**40, 0),
        menu(ControlID.EXPOSURE_AUTO, "Auto Exposure", modes, auto.APERTURE_PRIORITY),
        integer(ControlID.EXPOSURE_ABSOLUTE, "Exposure Time, Absolute", 1, 5000, 100),
        *_trigger_controls(),
    )
    clusters = (
        AutoCluster(ControlID.EXPOSURE_AUTO, auto.MANUAL, frozenset({ControlID.EXPOSURE_ABSOLUTE}), refuses=True),
        AutoCluster(ControlID.AUTO_WHITE_BALANCE, 0, frozenset({ControlID.WHITE_BALANCE_TEMPERATURE}), refuses=True),
    )
    return CameraProfile(
        card=f"Bench camera {label}",
        driver="uvcvideo",
        bus_info=f"usb-0000:00:14.0-{place}",
        serial=f"SIM{place:05}",
        optics=Optics(
            exposure_id=ControlID.EXPOSURE_ABSOLUTE,
            exposure_unit_ns=Fraction(100_000),
            gain_id=ControlID.GAIN,
            auto_id=ControlID.EXPOSURE_AUTO,
            auto_off=auto.MANUAL,
        ),
        controls=controls,
        clusters=clusters,
        formats=("YUYV", "MJPG"),
        metadata_node=True,
        stamp_flags=SOE,
        label=label,
        counter_id=FRAME_COUNTER,
        usb_ids=(0x1209, 0xCA00),
        trigger=TriggerWiring(TRIGGER_MODE, SOFTWARE_TRIGGER, TRIGGER_DELAY, seed=place),
    )


def sensor_profile(label: str = "B", place: int = 2) -> CameraProfile:
    """A camera sensor behind a capture interface: multi-planar, exposure in lines, the rate set by VBLANK."""
    timing = SensorTiming(width_px=1920, height_px=1080, hblank_px=280, pixel_rate_hz=148_500_000)
    intervals = (Fraction(1, 30), Fraction(1, 60), Fraction(1, 15), Fraction(1, 5))
    vblank = timing.vblank_lines(intervals[0])
    controls = (
        integer(ControlID.EXPOSURE, "Exposure", 1, timing.height_px + vblank - timing.margin_lines, 675),
        integer(ControlID.VBLANK, "Vertical Blanking", 45, 65_535 - timing.height_px, vblank),
        integer(ControlID.HBLANK, "Horizontal Blanking", 280, 280, 280, flags=_READ_ONLY),
        integer(ControlID.ANALOGUE_GAIN, "Analogue Gain", 0, 480, 0),
        integer_menu(ControlID.LINK_FREQ, "Link Frequency", {0: 297_000_000, 2: 445_500_000}, 0, flags=_READ_ONLY),
        integer64(ControlID.PIXEL_RATE, "Pixel Rate", 1, timing.pixel_rate_hz, timing.pixel_rate_hz, flags=_READ_ONLY),
        integer(ControlID.DIGITAL_GAIN, "Digital Gain", 0, 255, 0),
        bitmask(ControlID.DETECT_CLASS_BASE + 0x1000, "Test Row Mask", 0xFF, 0),
        *_trigger_controls(),
    )
    return CameraProfile(
        card=f"Bench camera {label}",
        driver="bench-isp",
        bus_info=f"platform:bench-isp.{place}",
        serial=f"SIM{place:05}",
        optics=Optics(
            exposure_id=ControlID.EXPOSURE,
            exposure_unit_ns=timing.line_ns,
            gain_id=ControlID.ANALOGUE_GAIN,
            extra_gain_id=ControlID.DIGITAL_GAIN,
        ),
        controls=controls,
        formats=("NV12", "NM12", "GREY"),
        sizes_px=((1280, 720), (320, 240), (640, 480), (1920, 1080)),
        intervals_s=intervals,
        timing=timing,
        multiplanar=True,
        crop_bounds_px=(1920, 1080),
        stamp_flags=EOF,
        label=label,
        trigger=TriggerWiring(
            TRIGGER_MODE,
            SOFTWARE_TRIGGER,
            TRIGGER_DELAY,
            readout_ns=int(timing.height_px * timing.line_ns),
            seed=place,
        ),
    )


def simulated_kernel(count: int = 2, *, clock: Clock | None = None) -> SimulatedKernel:
    """The default bench: 'Bench camera A' is UVC-like with a metadata node, B a multi-planar sensor, C like A ...

    The first is `/dev/video0` with metadata on `/dev/video1`, the second `/dev/video2`.
    """
    profiles = []
    for place in range(count):
        label = chr(ord("A") + place % 26) + (str(place // 26) if place >= 26 else "")
        make = sensor_profile if place % 2 else uvc_profile
        profiles.append(make(label, place + 1))
    return SimulatedKernel(profiles, clock=clock)


def with_large_sizes(profile: CameraProfile) -> CameraProfile:
    """The same camera, also with 3840x2160."""
    return replace(profile, sizes_px=(*profile.sizes_px, (3840, 2160)))


def with_autofocus(profile: CameraProfile) -> CameraProfile:
    """The same camera with a lens that is set by hand, or focuses once when told to."""
    status = ControlID.AUTO_FOCUS_STATUS
    focus = (
        integer(ControlID.FOCUS_ABSOLUTE, "Focus, Absolute", 0, 250, 0, step=5),
        button(ControlID.AUTO_FOCUS_START, "Auto Focus, Start"),
        button(ControlID.AUTO_FOCUS_STOP, "Auto Focus, Stop"),
        bitmask(status, "Auto Focus, Status", 0b111, 0, flags=_READ_ONLY | ControlFlag.VOLATILE),
    )
    return replace(profile, controls=(*profile.controls, *focus))
