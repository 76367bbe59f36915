"""EXIF: what Pillow reads is what was known, and nothing more."""

from dataclasses import replace
from datetime import timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image
from pipeline.synthetic import CIRCUMSTANCES, record

import agent
from agent.pipeline.exif import exif_of

INDIA = timezone(timedelta(hours=5, minutes=30))


def _read(content):
    exif = Image.Exif()
    exif.load(content)
    return exif, exif.get_ifd(ExifTags.IFD.Exif)


def test_camera_and_software():
    exif, _ = _read(exif_of(record(), make="ACME", model="Bench Cam µ"))
    assert exif[ExifTags.Base.Make] == "ACME"
    assert exif[ExifTags.Base.Model] == "Bench Cam ?"
    assert exif[ExifTags.Base.Software] == f"camera-agent {agent.__version__}"


def test_the_time_is_kept_to_the_nanosecond_with_its_offset():
    _, details = _read(exif_of(record(), zone=INDIA))
    assert details[ExifTags.Base.DateTimeOriginal] == "2026:07:14 09:03:20"
    assert details[ExifTags.Base.SubsecTimeOriginal] == "123456789"
    assert details[ExifTags.Base.OffsetTimeOriginal] == "+05:30"


def test_a_time_shortly_behind_the_second():
    _, details = _read(exif_of(record(realtime_ns=1_784_000_000_000_000_005), zone=INDIA))
    assert details[ExifTags.Base.SubsecTimeOriginal] == "000000005"


def test_west_of_greenwich():
    _, details = _read(exif_of(record(), zone=timezone(timedelta(hours=-3, minutes=-30))))
    assert details[ExifTags.Base.DateTimeOriginal] == "2026:07:14 00:03:20"
    assert details[ExifTags.Base.OffsetTimeOriginal] == "-03:30"


def test_the_system_zone_is_the_default():
    _, details = _read(exif_of(record()))
    assert len(details[ExifTags.Base.OffsetTimeOriginal]) == 6


def test_what_is_not_known_is_left_out():
    unknown = replace(CIRCUMSTANCES, exposure_ns=None)
    exif, details = _read(exif_of(record(circumstances=unknown)))
    assert ExifTags.Base.Make not in exif
    assert ExifTags.Base.Model not in exif
    assert ExifTags.Base.ExposureTime not in details
    assert ExifTags.Base.ISOSpeedRatings not in details


def test_the_comment_names_frame_and_clock():
    _, details = _read(exif_of(record(camera="côté")))
    comment = details[ExifTags.Base.UserComment]
    assert comment.startswith(b"ASCII\0\0\0camera=c?t? sequence=4711 timestamp_ns=5000000123 timestamp_clock=monotonic")


@pytest.mark.parametrize("exposure_ns", [1, 8_100_000, 1_000_000_000, 4_294_967_295, 4_294_967_297, 3_600_000_000_001])
def test_exposures_of_all_lengths(exposure_ns):
    _check_exposure(exposure_ns)


@given(st.integers(1, 86_400_000_000_000))
def test_exposure_is_exact_up_to_four_seconds_and_near_beyond(exposure_ns):
    _check_exposure(exposure_ns)


def _check_exposure(exposure_ns):
    _, details = _read(exif_of(record(exposure_ns=exposure_ns)))
    value = details[ExifTags.Base.ExposureTime]
    read, exact = Fraction(value.numerator, value.denominator), Fraction(exposure_ns, 10**9)
    assert abs(read - exact) <= (0 if exposure_ns < 2**32 else exact / 10**9)
