"""DNG: read back as what DNG 1.4 says, by a reader written here from TIFF 6.0, and the samples bit by bit."""

import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import ExifTags
from pipeline.synthetic import CIRCUMSTANCES, RECIPES, frame_of, record

from agent.errors import FormatUnsupported
from agent.pipeline.dng import MOSAICS, encode_dng
from agent.pipeline.encode import PictureKind
from agent.pipeline.exif import exif_of
from agent.pipeline.pixels import samples
from agent.pipeline.writer import PictureWriter

_SIZES = {1: "B", 2: "c", 3: "H", 4: "I", 5: "II", 7: "B", 10: "ii"}


def order_of(data):
    return {b"II*\0": "<", b"MM\0*": ">"}[data[:4]]


def directory(data, place):
    """Tag to values, as TIFF 6.0 lays them out."""
    order = order_of(data)
    (count,) = struct.unpack_from(f"{order}H", data, place)
    found, tags = {}, []
    for number in range(count):
        tag, kind, values, _ = struct.unpack_from(f"{order}HHII", data, place + 2 + 12 * number)
        form = f"{order}{_SIZES[kind] * values}"
        start = place + 10 + 12 * number
        if struct.calcsize(form) > 4:
            (start,) = struct.unpack_from(f"{order}I", data, start)
        read = struct.unpack_from(form, data, start)
        found[tag] = b"".join(read).rstrip(b"\0") if kind == 2 else read
        tags.append(tag)
    assert tags == sorted(set(tags)), "TIFF wants them in order, each once"
    return found


def read(data):
    return directory(data, struct.unpack_from(f"{order_of(data)}I", data, 4)[0])


@pytest.mark.parametrize("code", MOSAICS)
def test_every_sample_is_there_and_says_what_it_means(code):
    frame, bits = frame_of(code), RECIPES[code].bits
    data = b"".join(encode_dng(frame, exif_of(record(frame), make="ACME", model="Cam")))
    tags = read(data)
    width, height = frame.format.width_px, frame.format.height_px
    assert (tags[256], tags[257], tags[258]) == ((width,), (height,), (8 if bits == 8 else 16,))
    pattern = bytes("RGB".index(letter) for letter in RECIPES[code].order)
    assert (tags[262], tags[33421], bytes(tags[33422])) == ((32803,), (2, 2), pattern)
    assert (tags[50706], tags[50714], tags[50717]) == ((1, 4, 0, 0), (0,), ((1 << bits) - 1,))
    (offset,), (size,) = tags[273], tags[279]
    assert offset + size == len(data)
    pixels = np.frombuffer(data[offset:], np.uint8 if bits == 8 else f"{order_of(data)}u2").reshape(height, width)
    assert np.array_equal(pixels, samples(frame))


def test_when_and_for_how_long_it_was_exposed():
    frame = frame_of("RG12")
    data = b"".join(encode_dng(frame, exif_of(record(frame), make="ACME", model="Cam")))
    tags = read(data)
    assert (tags[ExifTags.Base.Make], tags[ExifTags.Base.Model]) == (b"ACME", b"Cam")
    details = directory(data, tags[ExifTags.IFD.Exif][0])
    assert Fraction(*details[ExifTags.Base.ExposureTime]) == Fraction(CIRCUMSTANCES.exposure_ns, 10**9)
    assert details[ExifTags.Base.SubsecTimeOriginal] == b"123456789"


def test_without_exif_it_is_a_dng_too():
    tags = read(b"".join(encode_dng(frame_of("BA81"))))
    assert tags[50708].startswith(b"V4L2")


@pytest.mark.parametrize("code", ["YUYV", "GREY", "Y10"])
def test_what_is_no_mosaic_is_refused_before_and_while(code):
    for refused in (lambda: PictureKind.DNG.check(code), lambda: encode_dng(frame_of(code))):
        with pytest.raises(FormatUnsupported) as caught:
            refused()
        assert "RG10" in caught.value.details["allowed"]


def test_it_is_written_as_any_picture(tmp_path):
    with PictureWriter(tmp_path, "cam", PictureKind.DNG) as writer:
        assert writer.write(frame_of("pBCC"), CIRCUMSTANCES).file == "cam-000000.dng"
    assert read((tmp_path / "cam-000000.dng").read_bytes())[50717] == (4095,)
