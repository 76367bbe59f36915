"""What a group's trigger is told to be: who makes the pulses, on which line, and when a frame is a pulse's own."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from agent.capture.trigger_mode import TriggerWish
from agent.errors import InputError
from agent.trigger.budget import Budget
from agent.trigger.lines import InputOrder, OutputOrder
from agent.trigger.modes import TriggerEntry
from agent.trigger.pulse import PulseOrder
from agent.trigger.pwm_order import PwmOrder
from agent.units import NS_PER_MS


class TriggerKind(enum.Enum):
    """Who makes the pulses of a group."""

    PULSE = "pulse"
    """A due tick: a GPIO line of ours goes active for as long as a pulse is wide."""
    SOFTWARE = "software"
    """A due tick: each camera is told by its own software trigger."""
    EDGE = "edge"
    """Somebody else, whose line is wired to the cameras and to an input of ours."""
    PWM = "pwm"
    """A PWM output of ours, by itself, as long as the cameras stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerOrder:
    """The trigger of a group. Raises InputError where what its kind needs is missing, or does not fit.

    `output`, `pulse`: of PULSE. `pwm`: of PWM. `input`: the line whose edges are the pulses of EDGE, or show those of
    PWM; also without a kind, for plans that start on edges while the cameras run free. `settle_ns`: from STREAMON
    returned until the first pulse may leave. `cycle_ns`: the shortest distance between two pulses; None: the longest
    frame interval of its cameras.
    """

    kind: TriggerKind | None = None
    output: OutputOrder | None = None
    pulse: PulseOrder = field(default_factory=lambda: PulseOrder(width_ns=NS_PER_MS))
    pwm: PwmOrder | None = None
    input: InputOrder | None = None
    settle_ns: int = 0
    cycle_ns: int | None = None

    def __post_init__(self) -> None:
        needs = {TriggerKind.PULSE: "output", TriggerKind.PWM: "pwm", TriggerKind.EDGE: "input", None: "input"}
        needed = needs.get(self.kind)
        if needed is not None and getattr(self, needed) is None:
            kind = "a trigger without a kind" if self.kind is None else f"a trigger of the kind {self.kind.value}"
            raise InputError(f"{kind} has no {needed}", hint=f"say which {needed} it uses", key=needed)
        if self.cycle_ns is not None and self.pulse.width_ns >= self.cycle_ns and self.kind is TriggerKind.PULSE:
            raise InputError(
                "a pulse of this trigger is as long as its cycle",
                hint="the line must fall between two pulses: ask for a shorter pulse or a longer cycle",
                key="cycle",
                width_ns=self.pulse.width_ns,
                cycle_ns=self.cycle_ns,
            )

    @property
    def has_edges(self) -> bool:
        """Whether plans can start on its pulses: they are seen, or made by themselves."""
        return self.input is not None or self.kind is TriggerKind.PWM

    @property
    def fires(self) -> bool:
        """Whether its pulses are made for ticks that are due."""
        return self.kind in (TriggerKind.PULSE, TriggerKind.SOFTWARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOrder:
    """The group's emergency stop: an input whose active edge is a STREAMOFF of every camera, latched until released."""

    input: InputOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraTrigger:
    """A camera that is fired by its group's trigger.

    `budget`: when the frame of a pulse is expected. `wish`: the mode it is put into, proven before the stream starts,
    and put back as it was found at the end. `entries`: how cameras are triggered that are not known here, tried first.
    `strobe`: an input of ours that its own strobe output is wired to, active while it exposes (mission row E5).
    `readout_ns`: from the end of an exposure to the stamp of its frame, where the driver stamps the end of the frame.
    """

    budget: Budget
    wish: TriggerWish
    entries: tuple[TriggerEntry, ...] = ()
    strobe: InputOrder | None = None
    readout_ns: int = 0
