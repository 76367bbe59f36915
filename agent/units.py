"""Quantities with units, from and to text: durations, gains, sizes. Integers inside, exact decimal conversion."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

from agent.errors import QuantityError

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

_DURATION = {
    "ns": 1,
    "us": NS_PER_US,
    "µs": NS_PER_US,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "min": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
    "d": 24 * 3600 * NS_PER_S,
}
_SIZE = {"B": 1, "kB": 1000, "MB": 1000**2, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_QUANTITY = re.compile(r"\s*([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)\s*([^\s\d]*)\s*")
_RATE = re.compile(r"[0-9]{1,18}(\.[0-9]{0,18}|/[0-9]{1,18})?|\.[0-9]{1,18}")
"""Digits are counted before they are converted: `1e999999999` would otherwise be worked out in full."""
_SIZE_PX = re.compile(r"\s*([1-9][0-9]{0,8})\s*[xX×]\s*([1-9][0-9]{0,8})\s*")
_LONGEST = 64
_LARGEST = 2**63 - 1
"""What 64 bits hold: in nanoseconds 292 years."""


def _parse(text: str, units: dict[str, int], what: str, example: str) -> int:
    allowed = ", ".join(units)
    if len(text) > _LONGEST:
        shown = f"{text[:20]}..."
        raise QuantityError(
            f"{shown!r} is not a {what}: it is too long", hint=f"write it shorter, such as {example} (units: {allowed})"
        )
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
    value = Fraction(number) * units[unit]
    if abs(value) > _LARGEST:
        raise QuantityError(
            f"the {what} {text!r} is more than can be counted", hint=f"write less, such as {example} (units: {allowed})"
        )
    if value.denominator != 1:
        raise QuantityError(
            f"the {what} {text!r} is finer than the smallest unit", hint=f"use a whole number of {next(iter(units))}"
        )
    return int(value)


def parse_duration_ns(text: str) -> int:
    """`8ms`, `250us`, `1.5s`, `6h`, `1d` (24 hours) in whole nanoseconds.

    Raises QuantityError without a unit, with an unknown one, for parts of a nanosecond and for more than 64 bits hold.
    """
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
    number = text.strip().removesuffix("fps").strip()
    try:
        rate = Fraction(number) if _RATE.fullmatch(number) else Fraction(0)
    except ZeroDivisionError:
        rate = Fraction(0)
    if rate <= 0:
        raise QuantityError(f"{text!r} is not a frame rate", hint="write frames per second, such as 30 or 30000/1001")
    return rate


def parse_size_px(text: str) -> tuple[int, int]:
    """`640x480` as width and height. Raises QuantityError."""
    match = _SIZE_PX.fullmatch(text)
    if match is None:
        raise QuantityError(f"{text!r} is not a frame size", hint="write width and height in pixels, such as 640x480")
    return int(match[1]), int(match[2])


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
