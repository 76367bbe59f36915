"""Kinds of scalar: what may stand behind a key, and how it is told when something else does."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import PurePosixPath

from agent.config import patterns
from agent.config.problems import quoted
from agent.config.reader import Kind
from agent.discovery.match import usb_id
from agent.errors import InputError, QuantityError
from agent.schedule.quota import Limit, check_limit
from agent.trigger.lines import LineRef
from agent.units import NS_PER_S, format_duration, parse_duration_ns, parse_rate, parse_size_bytes, parse_size_px
from agent.v4l2.gain import parse_gain

LONGEST_NS = 10_000 * 24 * 3600 * NS_PER_S
"""Ten thousand days, 27 years: the sum of several such times still fits 64 bits of nanoseconds."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_LIMIT = re.compile(r"([+-]?[0-9]+)\s*/\s*([0-9.]*\s*[^\s\d.]+)(?:\s+burst\s+([+-]?[0-9]+))?")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise InputError(
            f"{quoted(text)} is not a name", hint="use the letters a to z, digits, - and _, such as line-1"
        )
    return text


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise InputError(f"{quoted(text)} is neither true nor false", hint="write true or false")
    return text == "true"


def _above_zero(parse: Callable[[str], int]) -> Callable[[str], int]:
    def parse_above_zero(text: str) -> int:
        value = parse(text)
        if value <= 0:
            raise QuantityError(f"{quoted(text)} is not more than zero", hint="write more than zero")
        return value

    return parse_above_zero


def _duration_ns(text: str) -> int:
    value = parse_duration_ns(text)
    if value > LONGEST_NS:
        raise QuantityError(f"{quoted(text)} is too long", hint=f"write {format_duration(LONGEST_NS)} at most")
    return value


def _offset_ns(text: str) -> int:
    value = _duration_ns(text)
    if value < 0:
        raise QuantityError(f"{quoted(text)} is less than zero", hint="write 0s or more")
    return value


def _limit(text: str) -> Limit:
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        hint = "write so many in how long, such as 5/s, 10/min or 200/10s burst 20"
        raise QuantityError(f"{quoted(text)} is not a quota", hint=hint)
    amount, period, burst = match.groups()
    period_ns = _above_zero(_duration_ns)(period if period[0] in "0123456789." else f"1{period}")
    limit = Limit(int(amount), period_ns, int(burst or 1))
    check_limit(limit, quoted(text))
    return limit


def _device(text: str) -> str:
    if not PurePosixPath(text).is_absolute() or not text.isprintable():
        raise InputError(
            f"{quoted(text)} is not a device",
            hint="write its whole path, such as /dev/video0, or what it is: {serial: A1}",
        )
    return text


def _pixel_format(text: str) -> str:
    if not re.fullmatch(r"[!-~][ -~]{3}(-BE)?|[!-~]{1,3}", text):
        raise InputError(
            f"{quoted(text)} is not a pixel format", hint="write its four characters, such as YUYV or MJPG"
        )
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise InputError(f"{quoted(text)} has line breaks or control characters", hint="take them out")
    return text


def integer(minimum: int, maximum: int) -> Kind[int]:
    """A whole number in a range."""

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise InputError(f"{quoted(text)} is not a whole number", hint=f"write {minimum} to {maximum}")
        if not minimum <= int(text) <= maximum:
            raise InputError(f"{text} is out of range", hint=f"write {minimum} to {maximum}")
        return int(text)

    schema = patterns.whole(minimum, maximum)
    return Kind("a whole number", str(max(minimum, 1)), parse, quotes=False, longest=20, schema=schema)


def choice(*allowed: str) -> Kind[str]:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise InputError(f"{quoted(text)} is not allowed", hint=f"write {_or(allowed)}")
        return text

    return Kind(_or(allowed), allowed[0], parse, schema=patterns.words(allowed))


def _or(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _absolute(text: str) -> str:
    if not PurePosixPath(text).is_absolute() or not text.isprintable():
        raise InputError(f"{quoted(text)} is not a whole path", hint="begin it with /")
    return text


NAME: Kind[str] = Kind("a name", "line-1", _name, schema=patterns.NAME)
TEXT: Kind[str] = Kind("text", "50 Hz", _printable, longest=4096, schema=patterns.TEXT)
BOOLEAN: Kind[bool] = Kind("true or false", "true", _boolean, quotes=False, schema=patterns.BOOLEAN)
DURATION: Kind[int] = Kind("a time with its unit", "500ms", _above_zero(_duration_ns), schema=patterns.DURATION)
"""More than zero."""
OFFSET: Kind[int] = Kind("a time with its unit", "10s", _offset_ns, schema=patterns.OFFSET)
"""Zero or more."""
LIMIT: Kind[Limit] = Kind("a quota", "5/s", _limit, schema=patterns.LIMIT)
DEVICE: Kind[str] = Kind("a device", "/dev/video0", _device, longest=4096, schema=patterns.DEVICE)
USB_ID: Kind[str] = Kind("a USB id", "046d", usb_id, schema=patterns.USB_ID)
PATH: Kind[str] = Kind("a folder", "photos", _printable, longest=4096, schema=patterns.PATH)
ABSOLUTE: Kind[str] = Kind("a whole path", "/srv/photos", _absolute, longest=4096, schema=patterns.ABSOLUTE)
PIXEL_FORMAT: Kind[str] = Kind("a pixel format", "YUYV", _pixel_format, schema=patterns.PIXEL_FORMAT)
SIZE_PX: Kind[tuple[int, int]] = Kind("a frame size", "640x480", parse_size_px, schema=patterns.SIZE_PX)
SIZE_BYTES: Kind[int] = Kind("a size", "4MiB", _above_zero(parse_size_bytes), schema=patterns.SIZE_BYTES)
RATE: Kind[Fraction] = Kind("frames per second", "30", parse_rate, schema=patterns.RATE)
LINE: Kind[LineRef] = Kind("a line", "gpiochip0:17", LineRef.parse, longest=128, schema=patterns.LINE)
GAIN = Kind("a gain", "16 or 6dB", parse_gain, longest=32, schema=patterns.GAIN)
