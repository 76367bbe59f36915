"""What decides the level of a simulated line: who drives it, what is wired to it, what pulls it.

Follows drivers/gpio/gpio-sim.c: an output's value can be read; an input takes its pull; an output that is let go falls
back to its pull.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agent.trigger.lines import Bias

OnLevel = Callable[[bool, int], None]
"""Called with the level (True: high) and the instant (CLOCK_MONOTONIC ns)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChip:
    """A chip to simulate. `names`: of its lines by offset, empty for one without a name."""

    label: str
    names: tuple[str, ...]


class Holder(Protocol):
    """An open line: what holds it, and who hears of its level."""

    consumer: str
    active_low: bool

    def heard(self, high: bool, now_ns: int) -> None:
        """The line's level has changed."""
        ...

    def hang_up(self) -> None:
        """The chip has gone."""
        ...


@dataclass(eq=False, slots=True, kw_only=True)
class Wiring:
    """A line of a simulated chip. Levels are physical: True is high. Not locked: `SimulatedLines` locks."""

    chip: str
    offset: int
    name: str
    pull: bool = False
    bias: Bias | None = None
    holder: Holder | None = None
    driven: bool | None = None
    """What its output drives; None when it is no output."""
    sources: list[Wiring] = field(default_factory=list)
    sinks: list[Wiring] = field(default_factory=list)
    listeners: list[OnLevel] = field(default_factory=list)
    level: bool = False

    def settled(self) -> bool:
        """The level it should have. Of several outputs wired to it, a high one wins."""
        if self.driven is not None:
            return self.driven
        driving = [source.driven for source in self.sources if source.driven is not None]
        return any(driving) if driving else self.pull

    def apply_bias(self, bias: Bias | None) -> None:
        """As gpio-sim does: a bias is a pull, which stays; others change nothing."""
        if bias in (Bias.PULL_UP, Bias.PULL_DOWN):
            self.bias, self.pull = bias, bias is Bias.PULL_UP
