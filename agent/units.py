"""Quantities with units, from and to text: durations, gains, sizes. Integers inside, exact decimal conversion."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

from agent.errors import QuantityError

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

_DURATION = {"ns": 1, "us": NS_PER_US, "µs": NS_PER_US, "ms": NS_PER_MS, "s": NS_PER_S, "min": 60 * NS_PER_S}
_SIZE = {"B": 1, "kB": 1000, "MB": 1000**2, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_QUANTITY = re.compile(r"\s*([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)\s*([^\s\d]*)\s*")


def _parse(text: str, units: dict[str, int], what: str, example: str) -> int:
    allowed = ", ".join(units)
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise QuantityError(
            f"{text!r} is not a {what}", hint=f"write a number and its unit, such as {example} (units: {allowed})"
        )
    number, unit = match.groups()
    if unit not in units:
        problem = f"has the unknown unit {unit!r}" if unit else "has no unit"
        raise QuantityError(
            f"the {what} {text!r} {problem}",
            hint=f"write it with one of {allowed}, such as {example}",
            allowed=list(units),
        )
    value = Decimal(number) * units[unit]
    if value != int(value):
        raise QuantityError(
            f"the {what} {text!r} is finer than the smallest unit", hint=f"use a whole number of {next(iter(units))}"
        )
    return int(value)


def parse_duration_ns(text: str) -> int:
    """`8ms`, `250us`, `1.5s` in whole nanoseconds. Raises QuantityError without a unit or with an unknown one."""
    return _parse(text, _DURATION, "duration", "8ms or 250us")


def parse_size_bytes(text: str) -> int:
    """`4MiB`, `512KiB`, `100MB` in bytes. Raises QuantityError without a unit or with an unknown one."""
    return _parse(text, _SIZE, "size", "4MiB")


def parse_decibel_mdb(text: str) -> int:
    """`6dB`, `12.5dB` in thousandths of a decibel. Raises QuantityError without the unit."""
    return _parse(text, {"dB": 1000, "mdB": 1}, "gain", "6dB")


def parse_rate(text: str) -> Fraction:
    """Frames per second as an exact fraction: `30`, `29.97`, `30000/1001`, with or without `fps`.

    Raises QuantityError when it is not a positive number.
    """
    try:
        rate = Fraction(text.removesuffix("fps").strip())
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise QuantityError(f"{text!r} is not a frame rate", hint="write frames per second, such as 30 or 30000/1001")
    return rate


def format_duration(duration_ns: int) -> str:
    """The shortest exact text with a unit: 8000000 -> `8ms`, 250000 -> `250us`, 8100000 -> `8.1ms`."""
    for unit, factor in (("s", NS_PER_S), ("ms", NS_PER_MS), ("us", NS_PER_US)):
        if abs(duration_ns) >= factor:
            return f"{(Decimal(duration_ns) / factor).normalize():f}{unit}"
    return f"{duration_ns}ns"


def format_size(size_bytes: int) -> str:
    """A size for people: `4.0 MiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes >= _SIZE[unit]:
            return f"{size_bytes / _SIZE[unit]:.1f} {unit}"
    return f"{size_bytes} B"
