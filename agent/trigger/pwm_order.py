"""How a PWM output is wanted, and in which order the kernel takes it."""

from __future__ import annotations

from dataclasses import dataclass

from agent.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class PwmOrder:
    """What an output should send: active for `width_ns` of each `period_ns`.

    `chip`: its name (`pwmchip0`); `channel`: from 0. `active_low`: polarity `inversed`. Raises InputError unless
    0 <= width <= period and period > 0.
    """

    chip: str
    channel: int
    period_ns: int
    width_ns: int
    active_low: bool = False

    def __post_init__(self) -> None:
        if self.channel < 0 or "/" in self.chip or not self.chip.startswith("pwmchip"):
            raise InputError(
                f"{self.chip!r} channel {self.channel} is no PWM output",
                hint="name the chip as in /sys/class/pwm, such as pwmchip0, and a channel from 0",
                chip=self.chip,
                channel=self.channel,
            )
        check_width(self.period_ns, self.width_ns)


def check_width(period_ns: int, width_ns: int) -> None:
    """Raises InputError unless 0 <= width <= period and period > 0."""
    if period_ns <= 0 or not 0 <= width_ns <= period_ns:
        raise InputError(
            f"a PWM output cannot be active for {width_ns} ns of {period_ns} ns",
            hint="ask for a period above 0, and a width from 0 to the period",
            period_ns=period_ns,
            width_ns=width_ns,
        )


@dataclass(frozen=True, slots=True)
class PwmState:
    """What sysfs says of an output."""

    period_ns: int
    width_ns: int
    active_low: bool
    enabled: bool


def steps_to(found: PwmState, period_ns: int, width_ns: int) -> tuple[tuple[str, str], ...]:
    """The writes that keep width <= period at every step: a shrinking period after its width, else before."""
    period, width = ("period", str(period_ns)), ("duty_cycle", str(width_ns))
    return (width, period) if period_ns < found.width_ns else (period, width)
