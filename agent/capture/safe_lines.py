"""The lines a capture process drove when it died: driven to their safe levels by somebody else (mission row G3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from agent.capture.order import GroupOrder
from agent.errors import AgentError
from agent.trigger.lines import Lines, OutputOrder
from agent.trigger.pwm import PwmOut
from agent.trigger.pwm_order import PwmOrder

TakePwm = Callable[[PwmOrder], PwmOut]


def take_over(order: PwmOrder) -> PwmOut:
    """A PWM output that may still be exported, and on: sysfs keeps it so when its process dies."""
    return PwmOut(order, adopts=True)


def make_safe(lines: Lines, order: GroupOrder, take_pwm: TakePwm = take_over) -> list[AgentError]:
    """Every output of the group at its safe level, let go; what could not be made safe, and why.

    For after the group's process has gone: the kernel lets go of a dead process's GPIO lines, but most chips leave
    them at the level they had. Idempotent. Returns instead of raising, so that no line keeps another one back.
    """
    trigger = order.trigger
    if trigger is None:
        return []
    steps: list[Callable[[], None]] = []
    if trigger.output is not None:
        steps.append(partial(_drive, lines, trigger.output))
    if trigger.pwm is not None:
        steps.append(partial(_switch_off, take_pwm, trigger.pwm))
    return [error for step in steps if (error := _failure_of(step)) is not None]


def _drive(lines: Lines, order: OutputOrder) -> None:
    """An output begins at its safe level, and is left there."""
    lines.open_output(order).release()


def _switch_off(take_pwm: TakePwm, order: PwmOrder) -> None:
    take_pwm(order).release()


def _failure_of(step: Callable[[], None]) -> AgentError | None:
    try:
        step()
    except AgentError as error:
        return error
    return None
