from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import QuantityError
from agent.units import (
    format_duration,
    format_size,
    parse_decibel_mdb,
    parse_duration_ns,
    parse_rate,
    parse_size_bytes,
    parse_size_px,
)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("8ms", 8_000_000),
        ("250us", 250_000),
        ("250 µs", 250_000),
        ("1.5s", 1_500_000_000),
        (".5ms", 500_000),
        ("3ns", 3),
        ("2min", 120_000_000_000),
        ("6h", 21_600_000_000_000),
        ("1.5 d", 129_600_000_000_000),
        ("9223372036854775807ns", 2**63 - 1),
    ],
)
def test_durations(text, ns):
    assert parse_duration_ns(text) == ns


@pytest.mark.parametrize(
    ("text", "says"),
    [("8", "no unit"), ("8parsec", "unknown unit 'parsec'"), ("ms", "not a duration"), ("", "not a duration"),
     ("0.5ns", "finer than"), ("1.0000000000000000000000000000000000001s", "finer than"),
     ("1day", "unknown unit 'day'"),
     ("9223372036854775808ns", "more than can be counted"), ("9" * 5000 + "s", "too long"), ("٣s", "not a duration"),
     ("8 m s", "not a duration"), ("1e3ms", "not a duration")],
)  # fmt: skip
def test_a_bad_duration_says_what_to_write(text, says):
    with pytest.raises(QuantityError, match=says) as caught:
        parse_duration_ns(text)
    assert "ns" in caught.value.hint


@given(st.integers(-(10**15), 10**15))
def test_a_duration_survives_text(ns):
    assert parse_duration_ns(format_duration(ns)) == ns


def test_sizes_and_gains():
    assert parse_size_bytes("4MiB") == 4 << 20
    assert parse_size_bytes("100MB") == 100_000_000
    assert parse_decibel_mdb("12.5dB") == 12_500
    assert format_size(4 << 20) == "4.0 MiB"
    with pytest.raises(QuantityError, match="no unit"):
        parse_decibel_mdb("12")


@pytest.mark.parametrize(
    ("text", "rate"), [("30", 30), ("29.97fps", Fraction(2997, 100)), ("30000/1001", Fraction(30000, 1001))]
)
def test_rates_are_exact(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-5", "1/0", "fast", "", "1e999999999", "9" * 5000, "1/" + "9" * 5000])
def test_a_rate_must_be_positive(text):
    with pytest.raises(QuantityError, match="not a frame rate"):
        parse_rate(text)


def test_frame_sizes():
    assert parse_size_px("640x480") == parse_size_px(" 640 X 480 ") == (640, 480)


@pytest.mark.parametrize("text", ["640", "0x480", "640x", "-640x480", "640x480x3", "1" + "0" * 5000 + "x1", ""])
def test_a_bad_frame_size_says_what_to_write(text):
    with pytest.raises(QuantityError, match="not a frame size") as caught:
        parse_size_px(text)
    assert "640x480" in caught.value.hint
