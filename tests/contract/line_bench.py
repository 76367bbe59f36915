"""What the contract of trigger lines knows of the lines under test: one chip of its own for each test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.trigger.lines import LineRef, Lines

LABEL = "contract-lines"
OUT, IN, SPARE = "contract-out", "contract-in", "contract-spare"
NAMES = (OUT, IN, SPARE, "")
"""The lines of the chip by offset; the last has no name."""


@dataclass(frozen=True, kw_only=True)
class LinesUnderTest:
    """A chip with the lines `NAMES`, all pulled down, nobody holding one.

    `drive`: what stands outside makes a line high or low. `level`: what it would measure. `unplug`: the chip goes.
    """

    lines: Lines
    drive: Callable[[str, bool], None]
    level: Callable[[str], bool]
    unplug: Callable[[], None]

    def ref(self, line: str) -> LineRef:
        """The line by the chip's label."""
        return LineRef(LABEL, line)
