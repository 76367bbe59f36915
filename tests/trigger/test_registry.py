import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.simulation.bench import SOFTWARE_TRIGGER, TRIGGER_DELAY, TRIGGER_MODE, sensor_profile, uvc_profile
from agent.trigger.known_sensors import SENSORS, TIMINGS, timings_of
from agent.trigger.known_vendors import BENCH, VENDORS
from agent.trigger.mode_errors import TriggerModeUnknown
from agent.trigger.modes import (
    Activation,
    CameraIdentity,
    ControlName,
    ControlSetting,
    ModeSwitch,
    TriggerEntry,
    TriggerMode,
)
from agent.trigger.registry import KNOWN, Registry
from agent.v4l2.controls import slug_of

ALLIED = {
    0x009A_092F: "trigger_mode",
    0x009A_0930: "trigger_activation",
    0x009A_0931: "trigger_source",
    0x009A_0932: "trigger_software",
}
TIS_33U = {
    0x0199_E208: "trigger_mode",
    0x0199_E209: "software_trigger",
    0x0199_E234: "trigger_polarity",
    0x0199_E236: "trigger_exposure_mode",
}
EXPECTED = (
    ("tegra-video", "vi-output, avt_csi2 9-003c", "", ALLIED, "allied-vision-alvium-csi2"),
    ("rp1-cfe", "rp1-cfe", "", {0x0098_FFF0: "trigger_mode", 0x0098_FFF3: "single_trigger"}, "vision-components-mipi"),
    (
        "tegra-video",
        "vi-output, vc_mipi 10-001a",
        "",
        {0x009A_200E: "trigger_mode", 0x009A_2010: "single_trigger"},
        "vision-components-nvidia",
    ),
    ("uvcvideo", "DFK 33UX264", "", TIS_33U, "the-imaging-source-usb33"),
    (
        "uvcvideo",
        "DFK 37AUX264",
        "",
        {0x0199_E208: "trigger_mode", 0x0199_E209: "software_trigger"},
        "the-imaging-source-usb3",
    ),
    (
        "uvcvideo",
        "DMK 72BUC02",
        "",
        {0x0199_E208: "trigger", 0x0199_E209: "software_trigger"},
        "the-imaging-source-usb2",
    ),
    ("uvcvideo", "DFK 72BUC02", "", {0x009A_0910: "privacy"}, "the-imaging-source-privacy"),
    ("unicam", "unicam", "imx296", {}, "sensor-imx296"),
    ("rp1-cfe", "rp1-cfe", "IMX477", {}, "sensor-imx477"),
    ("uvcvideo", "UVC test camera: UVC test camera", "", {}, "rig-uvc"),
    ("uvcvideo", "UVC test camera: UVC test camera", "", {0x009A_0910: "privacy"}, "rig-uvc-triggered"),
)


@pytest.mark.parametrize(("driver", "card", "sensor", "controls", "name"), EXPECTED)
def test_each_kind_of_camera_has_its_entry(driver, card, sensor, controls, name):
    camera = CameraIdentity(driver=driver, card=card, sensor=sensor, controls=controls)
    assert KNOWN.entry(camera).name == name


def identity_of(profile):
    controls = {spec.id: slug_of(spec.name) for spec in profile.controls}
    return CameraIdentity(driver=profile.driver, card=profile.card, controls=controls)


@pytest.mark.parametrize("profile", [uvc_profile(), sensor_profile()], ids=["A", "B"])
def test_the_bench_cameras_have_the_controls_their_entry_names(profile):
    entry = KNOWN.entry(identity_of(profile))
    assert entry is BENCH
    assert {name.id for name in entry.needed()} == {TRIGGER_MODE, SOFTWARE_TRIGGER}
    assert entry.delay.control.id == TRIGGER_DELAY
    assert entry.modes == tuple(TriggerMode)


@pytest.mark.parametrize(
    "camera",
    [
        CameraIdentity(driver="uvcvideo", card="Integrated Camera", controls={0x009A_0910: "privacy"}),
        CameraIdentity(driver="uvcvideo", card="DFK 72BUC02", controls={}),
        CameraIdentity(driver="tegra-video", card="vi-output, ar0234 11-0042", controls={0x009A_092A: "frame_sync"}),
        CameraIdentity(
            driver="x", card="x", controls={0x009A_092F: "something_else", **dict(list(ALLIED.items())[1:])}
        ),
    ],
    ids=["a lens cover", "controls missing", "e-con", "an id that is another vendor's"],
)
def test_a_camera_that_only_resembles_one_has_none(camera):
    assert KNOWN.entry(camera) is None


def test_an_unknown_camera_is_told_what_is_known_and_what_to_write():
    camera = CameraIdentity(driver="uvcvideo", card="Integrated Camera")
    with pytest.raises(TriggerModeUnknown) as caught:
        KNOWN.find(camera, TriggerMode.EXTERNAL_EDGE, "/dev/video0")
    error = caught.value
    assert "Integrated Camera (driver uvcvideo)" in error.message
    assert "trigger_modes:" in error.hint
    assert "imx296" in error.hint
    assert error.details["known"] == [entry.name for entry in KNOWN.entries]
    assert error.exit_code == 2


def test_a_mode_the_kind_does_not_have():
    camera = CameraIdentity(driver="unicam", card="unicam", sensor="imx296")
    with pytest.raises(TriggerModeUnknown, match="only internal, external_level") as caught:
        KNOWN.find(camera, TriggerMode.SOFTWARE, "/dev/video0")
    assert caught.value.details["modes"] == ["internal", "external_level"]


def test_a_sensor_that_is_switched_elsewhere():
    camera = CameraIdentity(driver="rp1-cfe", card="rp1-cfe", sensor="ov9281")
    with pytest.raises(TriggerModeUnknown) as caught:
        KNOWN.find(camera, TriggerMode.EXTERNAL_EDGE, "/dev/video0")
    assert "device tree" in caught.value.hint


def test_an_entry_of_the_file_goes_before_what_is_known():
    own = TriggerEntry(
        name="mine",
        source="plans.yaml:3",
        sensor="imx296",
        switches=(ModeSwitch(mode=TriggerMode.SOFTWARE, settings=(ControlSetting(ControlName("shoot"), 1),)),),
    )
    registry = KNOWN.before([own])
    camera = CameraIdentity(driver="unicam", card="unicam", sensor="imx296", controls={7: "shoot"})
    assert registry.find(camera, TriggerMode.SOFTWARE, "/dev/video0").entry is own
    assert KNOWN.entry(camera).name == "sensor-imx296"


def test_a_name_that_two_controls_have_is_neither():
    assert ControlName("shoot").find({1: "shoot", 2: "shoot"}) is None
    assert ControlName("shoot").find({1: "shoot", 2: "aim"}) == 1
    assert ControlName("", 2).find({1: "shoot", 2: "aim"}) == 2
    assert ControlName("", 3).find({1: "shoot"}) is None
    assert ControlName("shoot", 2).find({1: "shoot", 2: "aim"}) is None


def test_the_entries_hold_together():
    for entry in KNOWN.entries:
        assert len(set(entry.modes)) == len(entry.modes)
        assert entry.source
        assert entry.drivers or entry.card or entry.sensor or list(entry.needed())
        re.compile(entry.card)
        assert TriggerMode.INTERNAL in entry.modes
        assert (TriggerMode.SOFTWARE in entry.modes) == (entry.software is not None)
        for switch in entry.switches:
            names = [setting.control for setting in switch.settings]
            assert len(set(names)) == len(names)
            assert set(switch.activations) in (set(), set(Activation))
    assert len({entry.name for entry in KNOWN.entries}) == len(KNOWN.entries)


def test_published_timings():
    [imx296] = timings_of("IMX296")
    assert (imx296.extra_ns, imx296.delay_ns) == (14_260, None)
    assert {timing.delay_ns for timing in timings_of("imx425")} == {9_260, 13_140}
    assert timings_of("imx219") == ()
    assert all(timing.source for timing in TIMINGS)


identities = st.builds(
    CameraIdentity,
    driver=st.sampled_from(["uvcvideo", "tegra-video", "unicam", ""]),
    card=st.sampled_from(["DFK 33UX264", "Bench camera A", "UVC test camera", "x", ""]),
    sensor=st.sampled_from(["", "imx296", "IMX477", "ov9281", "nothing"]),
    controls=st.dictionaries(
        st.sampled_from([*ALLIED, *TIS_33U, 0x0098_1920, 0x0098_1921, 0x009A_0910]),
        st.sampled_from(["trigger_mode", "software_trigger", "trigger_software", "privacy", "trigger"]),
    ),
)


@given(camera=identities, mode=st.sampled_from(TriggerMode), order=st.permutations((*VENDORS, *SENSORS)))
def test_a_lookup_finds_what_matches_or_says_what_is_known(camera, mode, order):
    registry = Registry(order)
    matching = [entry for entry in order if entry.matches(camera)]
    if not matching or mode not in matching[0].modes:
        with pytest.raises(TriggerModeUnknown, match="/dev/video9") as caught:
            registry.find(camera, mode, "/dev/video9")
        assert caught.value.hint
        return
    entry, switch = registry.find(camera, mode, "/dev/video9")
    assert entry is matching[0]
    assert switch.mode is mode
    assert all(setting.control.find(camera.controls) is not None for setting in switch.settings)
