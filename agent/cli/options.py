"""What the verbs take: options they share, and texts into quantities with the option named in every error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from agent.errors import InputError, QuantityError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def simulate_option(verb: F) -> F:
    """`--simulate`, the same for every verb."""
    text = "Use two simulated cameras, /dev/video0 (USB) and /dev/video2 (sensor), instead of this machine's."
    return click.option("--simulate", is_flag=True, help=text)(verb)


def json_option(verb: F) -> F:
    """`--json`, the same for every verb."""
    text = "Print one JSON document; errors as a JSON object on stderr."
    return click.option("--json", "as_json", is_flag=True, help=text)(verb)


def quantity(parse: Callable[[str], T]) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """A click callback: `parse` the text, its QuantityError naming the option."""

    def convert(_context: click.Context, parameter: click.Parameter, text: str | None) -> T | None:
        if text is None:
            return None
        try:
            return parse(text)
        except QuantityError as error:
            message = f"{parameter.opts[-1]}: {error.message}"
            raise QuantityError(message, hint=error.hint, option=parameter.opts[-1], **error.details) from error

    return convert


def above_zero(parse: Callable[[str], int]) -> Callable[[str], int]:
    """`parse`, for quantities that must be more than nothing."""

    def parse_above_zero(text: str) -> int:
        value = parse(text)
        if value <= 0:
            raise QuantityError(f"{text!r} is not more than zero", hint="give more than zero, or leave it away")
        return value

    return parse_above_zero


def assignments(_context: click.Context, parameter: click.Parameter, texts: Sequence[str]) -> dict[str, str]:
    """A click callback: `name=value` texts as a dictionary. Raises InputError."""
    where = parameter.opts[-1] if isinstance(parameter, click.Option) else "controls"
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InputError(f"{where}: {text!r} is no assignment", hint="write it as name=value, such as gain=16")
        if name in found:
            raise InputError(f"{where}: {name} is given twice", hint="give it once", control=name)
        found[name] = value
    return found


def printable(text: str) -> str:
    """Without control characters: names come from devices and files, and could speak to the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
