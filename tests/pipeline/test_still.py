"""PNG and TIFF: bits kept, mosaics kept, EXIF readable."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image
from pipeline.synthetic import RECIPES, frame_of, grey_of, mosaic_of, record, scaled, scene

from agent.pipeline.encode import PictureKind, encode
from agent.pipeline.exif import exif_of


def _open(frame, kind, exif=b""):
    return Image.open(io.BytesIO(encode(frame, kind, exif=exif)))


@pytest.mark.parametrize("kind", [PictureKind.PNG, PictureKind.TIFF])
@pytest.mark.parametrize("code", ["Y10", "Y12", "Y14", "Y16", "Y16-BE", "Y10P", "Y12P"])
def test_grey_of_many_bits_keeps_them_all(code, kind):
    bits = RECIPES[code].bits
    stored = np.asarray(_open(frame_of(code), kind)).astype(np.uint16)
    assert np.array_equal(stored >> (16 - bits), scaled(grey_of(scene()), bits))
    assert not (stored & ((1 << (16 - bits)) - 1)).any()


def test_png_notes_the_bits_that_mean_something():
    picture = encode(frame_of("Y10"), PictureKind.PNG)
    assert b"\0\0\0\1sBIT\x0a" in picture
    assert b"sBIT" not in encode(frame_of("GREY"), PictureKind.PNG)


@pytest.mark.parametrize("code", [code for code, recipe in RECIPES.items() if recipe.kind == "bayer"])
def test_tiff_keeps_the_mosaic(code):
    recipe = RECIPES[code]
    stored = np.asarray(_open(frame_of(code), PictureKind.TIFF)).astype(np.uint16)
    shift = 0 if recipe.bits == 8 else 16 - recipe.bits
    assert np.array_equal(stored >> shift, scaled(mosaic_of(scene(), recipe.order), recipe.bits))


@pytest.mark.parametrize("code", ["RGB3", "BGR3", "XR24"])
@pytest.mark.parametrize("kind", [PictureKind.PNG, PictureKind.TIFF])
def test_rgb_is_kept_to_the_bit(code, kind):
    assert np.array_equal(np.asarray(_open(frame_of(code), kind))[..., ::-1], scene())


@pytest.mark.parametrize("kind", [PictureKind.JPEG, PictureKind.PNG, PictureKind.TIFF])
@pytest.mark.parametrize("code", ["YUYV", "Y10", "RGB3"])
def test_exif_is_read_back(kind, code):
    picture = _open(frame_of(code), kind, exif_of(record(), model="Bench Cam"))
    picture.load()
    exif = picture.getexif()
    assert exif[ExifTags.Base.Model] == "Bench Cam"
    assert float(exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime]) == 0.0081
