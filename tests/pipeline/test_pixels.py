"""Views: they share the frame's memory, honour its strides, and notice a short frame."""

from dataclasses import replace

import numpy as np
import pytest
from pipeline.synthetic import RECIPES, frame_from, frame_of, grey_of, mosaic_of, scaled, scene

from agent.errors import FormatUnsupported
from agent.pipeline.colour import to_bgr
from agent.pipeline.pixels import PictureDamaged, luma, samples, yuv

YUV = [code for code, recipe in RECIPES.items() if recipe.kind in ("packed", "semi", "planar")]
SAMPLED = [code for code, recipe in RECIPES.items() if recipe.kind in ("grey", "bayer")]


@pytest.mark.parametrize("code", [*YUV, "GREY"])
def test_luma_is_a_view(code):
    frame = frame_of(code)
    view = luma(frame)
    expected = grey_of(scene()) if code == "GREY" else 16 + grey_of(scene()) * 219 / 255
    assert np.shares_memory(view, frame.planes[0])
    assert np.abs(view - expected).max() <= 0.51


@pytest.mark.parametrize("code", YUV)
def test_chroma_planes_are_views_of_the_right_size(code):
    frame = frame_of(code)
    across, down = RECIPES[code].divide
    planes = yuv(frame)
    b, _, r = np.moveaxis(scene().astype(float), -1, 0)
    for view, colour in ((planes.u, (b - grey_of(scene())) / 1.772), (planes.v, (r - grey_of(scene())) / 1.402)):
        assert any(np.shares_memory(view, plane) for plane in frame.planes)
        wanted = colour.reshape(240 // down, down, 320 // across, across).mean(axis=(1, 3)) * 224 / 255 + 128
        assert view.shape == wanted.shape
        assert np.abs(view - wanted).max() <= 0.51


@pytest.mark.parametrize("code", SAMPLED)
def test_samples_are_the_numbers_of_the_sensor(code):
    recipe = RECIPES[code]
    values = grey_of(scene()) if recipe.kind == "grey" else mosaic_of(scene(), recipe.order)
    frame = frame_of(code)
    assert np.array_equal(samples(frame), scaled(values, recipe.bits))
    assert np.shares_memory(samples(frame), frame.planes[0]) == (not (recipe.mipi or recipe.big_endian))


@pytest.mark.parametrize("code", RECIPES)
def test_a_missing_byte_is_noticed(code):
    whole = frame_of(code, gap=0)
    to_bgr(whole)
    for number in range(len(whole.planes)):
        planes = list(whole.planes)
        planes[number] = planes[number][:-1]
        with pytest.raises(PictureDamaged) as caught:
            to_bgr(replace(whole, planes=tuple(planes)))
        assert caught.value.details["sequence"] == 4711
        assert caught.value.details["bytes_found"] == planes[number].size


def test_the_last_line_may_lack_its_gap():
    frame = frame_of("YUYV")
    short = replace(frame, planes=(frame.planes[0][:-24],))
    assert np.array_equal(to_bgr(short), to_bgr(frame))


def test_a_driver_that_leaves_the_line_length_zero_means_no_gaps():
    frame = frame_from("YUYV", 4, 1, [(0, bytes(range(8)))])
    assert luma(frame).tolist() == [[0, 2, 4, 6]]


@pytest.mark.parametrize(
    ("view", "codes"),
    [(luma, ["RGB3", "Y16", "RGGB"]), (yuv, ["GREY", "BGR3", "RGGB"]), (samples, ["YUYV", "RGB3"])],
)
def test_a_view_that_a_format_does_not_have_is_refused(view, codes):
    for code in codes:
        with pytest.raises(FormatUnsupported) as caught:
            view(frame_of(code))
        assert code not in caught.value.details["allowed"]
