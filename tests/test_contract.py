"""The contract suite on the simulated cameras."""

from __future__ import annotations

from fractions import Fraction

import pytest
from contract.camera import CameraUnderTest
from contract.suite import *  # noqa: F403

from agent.capture.settings import Settings
from agent.simulation.bench import simulated_kernel
from agent.units import NS_PER_MS, NS_PER_US
from agent.v4l2.uapi import ControlID

RATE = Fraction(30)


@pytest.fixture(params=["uvc", "sensor"])
def camera(request):
    """Bench camera A (single-planar, exposure in 100 us) and B (multi-planar, exposure in lines)."""
    with simulated_kernel() as kernel:
        simulated = kernel.cameras[0 if request.param == "uvc" else 1]

        def plug() -> str:
            simulated.plug()
            return simulated.path

        common = {
            "kernel": kernel,
            "path": simulated.path,
            "marked": True,
            "settings": Settings(rate=RATE, width_px=320, height_px=240),
            "unplug": simulated.unplug,
            "plug": plug,
            "freeze": lambda: setattr(simulated.faults, "frozen", True),
            "thaw": lambda: setattr(simulated.faults, "frozen", False),
        }
        if request.param == "uvc":
            yield CameraUnderTest(
                name="Bench camera A",
                exposures_ns=(8 * NS_PER_MS, 2 * NS_PER_MS),
                off_grid_ns=8_033 * NS_PER_US,
                beyond_ns=600 * NS_PER_MS,
                ignore_exposure=lambda: setattr(
                    simulated.faults, "ignored_controls", {ControlID.EXPOSURE_ABSOLUTE.value}
                ),
                **common,
            )
        else:
            line_ns = simulated.profile.timing.line_ns
            yield CameraUnderTest(
                name="Bench camera B",
                exposures_ns=(round(540 * line_ns), round(135 * line_ns)),
                off_grid_ns=round(540 * line_ns) + 5_000,
                beyond_ns=600 * NS_PER_MS,
                ignore_exposure=lambda: setattr(simulated.faults, "ignored_controls", {ControlID.EXPOSURE.value}),
                **common,
            )
