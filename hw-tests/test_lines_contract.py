"""The contract of trigger lines on the kernel's GPIO, by gpio-sim: each test has a chip of its own."""

from __future__ import annotations

import pytest
from contract.line_bench import LABEL, NAMES, LinesUnderTest
from contract.lines import *  # noqa: F403
from gpiosim import CONFIGFS, GpioSim

from agent.trigger.gpio import GpioLines


@pytest.fixture
def lines_under_test():
    if not CONFIGFS.is_dir():
        pytest.skip("no gpio-sim: to run this, `make rig`, or `modprobe gpio-sim` as root")
    with GpioSim(LABEL, NAMES) as chip:
        yield LinesUnderTest(lines=GpioLines(), drive=chip.drive, level=chip.level, unplug=chip.unplug)
