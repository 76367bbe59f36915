"""Dates and times with their zone, as nanoseconds of CLOCK_REALTIME."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from agent.config.problems import quoted
from agent.errors import InputError
from agent.units import NS_PER_S, NS_PER_US

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?\s*(Z|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\s*\d{4}-")
_LAST_NS = 4_102_444_800 * NS_PER_S
"""2100-01-01T00:00:00Z."""


def is_date(text: str) -> bool:
    """Whether a date is meant, right or wrong, rather than a time with a unit."""
    return _DATE.match(text) is not None


def realtime_ns_of(text: str) -> int:
    """Nanoseconds since 1970 of a date and time with its zone. Raises InputError."""
    if not _DATE_TIME.fullmatch(text):
        hint = "write it with its zone, to the microsecond at most: 2027-01-31T08:00:00+01:00, or Z for UTC"
        raise InputError(f"{quoted(text)} is not a date and time", hint=hint)
    try:
        moment = datetime.fromisoformat(re.sub(r"\s+(?=Z|[+-]\d\d:)", "", text))
    except ValueError as error:
        raise InputError(f"{quoted(text)} does not exist: {error}", hint="look at the calendar") from error
    return (moment - EPOCH) // timedelta(microseconds=1) * NS_PER_US


def check_date(realtime_ns: int, text: str) -> int:
    """The date itself. Raises InputError for one that nanoseconds since 1970 cannot be added to any more."""
    if not 0 <= realtime_ns < _LAST_NS:
        raise InputError(f"{quoted(text)} is too far away", hint="write a date from 1970 to 2099")
    return realtime_ns
