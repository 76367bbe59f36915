"""What the verbs of `trigger` take alike: lines by chip and name, polarity, safe level."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from agent.trigger.lines import LineRef

F = TypeVar("F", bound=Callable[..., Any])

CONSUMER = "camera-agent"
"""What others see as the holder of a line."""


def parse_line(_context: click.Context, _parameter: click.Parameter, text: str) -> LineRef:
    """A click callback: CHIP:LINE. Raises InputError."""
    from agent.trigger.lines import LineRef

    return LineRef.parse(text)


def line_argument(verb: F) -> F:
    """`CHIP:LINE`."""
    return click.argument("line", metavar="CHIP:LINE", callback=parse_line)(verb)


def active_option(verb: F) -> F:
    """`--active`, the polarity."""
    text = "Which level of the wire is the active one."
    choice = click.Choice(("high", "low"))
    return click.option("--active", type=choice, default="high", show_default=True, help=text)(verb)


def simulate_lines_option(verb: F) -> F:
    """`--simulate`, for verbs that need no camera."""
    text = "Use the lines of a simulated chip, `bench`: trigger, edge, stop, strobe-0, strobe-1."
    return click.option("--simulate", is_flag=True, help=text)(verb)
