"""The contract of trigger lines on the simulated ones."""

from __future__ import annotations

import pytest
from contract.line_bench import LABEL, NAMES, LinesUnderTest
from contract.lines import *  # noqa: F403

from agent.simulation.line_level import LineChip
from agent.simulation.lines import SimulatedLines
from agent.trigger.lines import LineRef


@pytest.fixture
def lines_under_test():
    """One chip beside another, on this machine's clock."""
    chips = (LineChip(label="other-lines", names=("other",)), LineChip(label=LABEL, names=NAMES))
    with SimulatedLines(chips) as lines:
        yield LinesUnderTest(
            lines=lines,
            drive=lambda name, high: lines.pull(LineRef(LABEL, name), high),
            level=lambda name: lines.level(LineRef(LABEL, name)),
            unplug=lambda: lines.unplug(LABEL),
        )
