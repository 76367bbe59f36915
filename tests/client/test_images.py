"""Views by format: the shape a program expects, in the lender's memory, and the numbers the camera wrote."""

import math
import tracemalloc

import cv2
import numpy as np
import pytest
from frames.pools import FACTS
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.synthetic import RECIPES, frame_from, frame_of, scene

from agent.client import InputError
from agent.client.conversions import converted
from agent.client.images import image_of
from agent.errors import FormatUnsupported
from agent.frames.values import PoolFormat
from agent.pipeline.layouts import LAYOUTS
from agent.pipeline.pixels import PictureDamaged, samples

COMPRESSED = ("MJPG", "JPEG")


def arrays(image):
    return image if isinstance(image, tuple) else (image,)


def address(array):
    return array.__array_interface__["data"][0]


def expected(code, width, height):
    """Shapes and types, from the recipe the test picture is made after (tests/pipeline/synthetic.py)."""
    recipe = RECIPES[code]
    if recipe.kind in ("semi", "planar"):
        columns, lines = -(-width // recipe.divide[0]), -(-height // recipe.divide[1])
        chroma = [((lines, columns, 2), "u1")] if recipe.kind == "semi" else [((lines, columns), "u1")] * 2
        return [((height, width), "u1"), *chroma]
    if recipe.kind == "packed":
        return [((height, width + width % 2, 2), "u1")]
    if recipe.kind == "rgb":
        return [((height, width, len(recipe.order)), "u1")]
    if recipe.kind == "rgb565":
        return [((height, width), "<u2")]
    if recipe.mipi:
        group = 4 if recipe.bits == 10 else 2
        return [((height, -(-width // group), group + 1), "u1")]
    if recipe.bits == 8:
        return [((height, width), "u1")]
    return [((height, width), ">u2" if recipe.big_endian else "<u2")]


def test_every_layout_is_looked_at():
    assert set(RECIPES) | set(COMPRESSED) == set(LAYOUTS)


def memory_of(code, width, height, gap, seed):
    """Random bytes with `gap` behind each line of the first plane: (bytes per line, bytes) of each memory plane, and
    where each view lies: its plane, start, bytes from line to line, lines, bytes used of each."""
    recipe = RECIPES[code]
    parts = [
        (shape[0], math.prod(shape[1:]) * np.dtype(kind).itemsize) for shape, kind in expected(code, width, height)
    ]
    if recipe.memory_planes > 1:
        places = [(plane, 0, used + gap, lines, used) for plane, (lines, used) in enumerate(parts)]
    else:
        stride = parts[0][1] + gap
        stride += -stride % recipe.divide[0] if recipe.kind in ("semi", "planar") else 0
        places, start = [], 0
        for number, (lines, used) in enumerate(parts):
            factor = 2 if recipe.kind == "semi" else 1
            line = factor * stride // recipe.divide[0] if number else stride
            places.append((0, start, line, lines, used))
            start += lines * line
    random = np.random.default_rng(seed)
    lengths = [
        sum(line * lines for of, _, line, lines, _ in places if of == plane) for plane in range(places[-1][0] + 1)
    ]
    lines = {place[0]: place[2] for place in reversed(places)}
    if recipe.kind == "planar" and recipe.order == "VU":
        places[1], places[2] = places[2], places[1]
    return [(lines[plane], random.bytes(length)) for plane, length in enumerate(lengths)], places


@pytest.mark.parametrize("code", RECIPES)
@settings(max_examples=25)
@given(width=st.integers(1, 24), height=st.integers(1, 6), gap=st.sampled_from([0, 2, 16]), seed=st.integers(0, 9))
def test_views_have_the_formats_shape_and_are_the_memory(code, width, height, gap, seed):
    planes, places = memory_of(code, width, height, gap, seed)
    frame = frame_from(code, width, height, planes)
    views = arrays(image_of(frame))
    assert [(view.shape, view.dtype.str.lstrip("|")) for view in views] == expected(code, width, height)
    for view, (plane, start, line, lines, used) in zip(views, places, strict=True):
        memory = frame.planes[plane]
        assert address(view) == address(memory) + start
        assert view.strides[0] == line
        assert np.shares_memory(view, memory)
        assert not view.flags.writeable
        content = b"".join(memory[start + row * line :][:used].tobytes() for row in range(lines))
        assert view.tobytes() == content


@pytest.mark.parametrize("code", RECIPES)
def test_pixels_are_those_of_the_scene(code):
    """One pixel, found through the views alone: its colours, or its number."""
    image, recipe = image_of(frame_of(code)), RECIPES[code]
    row, column = 20, 30
    bgr = scene()[row, column].astype(float)
    if recipe.kind in ("semi", "planar"):
        places = (row // recipe.divide[1], column // recipe.divide[0])
        chroma = dict(zip(recipe.order, image[1][places] if recipe.kind == "semi" else (), strict=False))
        u, v = (image[1][places], image[2][places]) if recipe.kind == "planar" else (chroma["U"], chroma["V"])
        assert np.allclose(bgr_of(int(image[0][row, column]), int(u), int(v)), bgr, atol=6)
    if recipe.kind == "rgb":
        assert [image[row, column, recipe.order.index(name)] for name in "BGR"] == bgr.tolist()
    if recipe.kind == "rgb565":
        value = int(image[row, column])
        assert np.allclose([(value & 31) << 3, (value >> 5 & 63) << 2, (value >> 11) << 3], bgr, atol=8)
    if recipe.kind in ("grey", "bayer") and not recipe.mipi:
        assert image.tolist() == samples(frame_of(code)).tolist()


def bgr_of(y, u, v):
    """ITU-R BT.601, limited range."""
    grey = (y - 16) * 255 / 219
    return [
        grey + (u - 128) * 255 / 224 * 1.772,
        grey - ((u - 128) * 0.344136 + (v - 128) * 0.714136) * 255 / 224,
        grey + (v - 128) * 255 / 224 * 1.402,
    ]


@pytest.mark.parametrize("code", COMPRESSED)
def test_a_compressed_frame_is_its_bytes(code):
    frame = frame_from(code, 64, 48, [(0, b"\xff\xd8 and so on")])
    image = image_of(frame)
    assert image.tobytes() == b"\xff\xd8 and so on"
    assert address(image) == address(frame.planes[0])


def test_a_format_nobody_knows_has_planes_only():
    frame = frame_from("ABCD", 4, 4, [(4, bytes(16))])
    with pytest.raises(FormatUnsupported):
        image_of(frame)


def test_a_short_frame_is_no_picture():
    with pytest.raises(PictureDamaged):
        image_of(frame_from("GREY", 4, 4, [(4, bytes(15))]))


@pytest.mark.parametrize("code", [code for code in RECIPES if code != "JPEG"])
@pytest.mark.parametrize("to", ["bgr", "rgb", "luma", "samples"])
def test_conversions_are_copies_of_their_own(code, to):
    frame = frame_of(code)
    try:
        made = converted(frame, to, "limited")
    except FormatUnsupported:
        assert to in ("luma", "samples")
        return
    assert not any(np.may_share_memory(made, plane) for plane in frame.planes)
    assert made.shape == ((*scene().shape[:2], 3) if to in ("bgr", "rgb") else scene().shape[:2])
    assert made.flags.writeable
    assert made.dtype.isnative
    if to == "rgb":
        assert made[..., ::-1].tolist() == converted(frame, "bgr", "limited").tolist()


@pytest.mark.parametrize("code", ["YUYV", "GREY", "Y16", "BGR3", "NV12", "BA81"])
def test_opencv_takes_views_without_copying_them(code):
    bgr = cv2.resize(scene(), (1280, 720))
    frame = frame_of(code, bgr, gap=64)
    for view in arrays(image_of(frame)):
        mean, peak = traced_mean(view)
        assert peak < view.nbytes // 50
        assert np.allclose(mean, view.reshape(-1, *view.shape[2:]).mean(axis=0))
        _, copied = traced_mean(view[:, ::-1])
        assert copied > view.nbytes // 2, "a view that OpenCV has to copy is seen to be copied"


def traced_mean(view):
    """OpenCV's mean, and the memory it took: it has its arrays from numpy, which tells tracemalloc of them."""
    tracemalloc.start()
    try:
        mean = cv2.mean(view)
        return mean[: view.shape[2] if view.ndim == 3 else 1], tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("code", ["YUYV", "Y12", "XR24", "YU12"])
def test_dlpack_hands_views_on_without_copying_them(code):
    """What torch, jax and cupy take: the protocol of arrays, here by numpy's own reader of it."""
    for view in arrays(image_of(frame_of(code, gap=32))):
        other = np.from_dlpack(view)
        assert address(other) == address(view)
        assert (other.shape, other.strides, other.dtype) == (view.shape, view.strides, view.dtype)
        assert not other.flags.writeable


def test_torch_takes_views_without_copying_them():
    torch = pytest.importorskip("torch", reason="torch is not installed; DLPack, which it reads, is tested without it")
    view = image_of(frame_of("GREY"))
    with pytest.warns(UserWarning, match="not writable"):
        tensor = torch.from_numpy(view)
    assert tensor.data_ptr() == address(view)


def test_over_the_whole_way_views_are_of_what_was_mapped(door):
    """Two planes, with offsets, through sockets and maps: what the driver writes later is seen in the view."""
    feed, lender = door.serve()
    with feed:
        pool = lender.pool(3, (4096, 4096), form=PoolFormat("NM12", 32, 16, ((64, 1024), (64, 512))))
        lender.lend(pool, 1, facts=FACTS, used=(1024, 512), offsets=(128, 256))
        luma, chroma = feed.next().image
        assert (luma.shape, chroma.shape) == ((16, 32), (8, 16, 2))
        pool.planes[1][0][128 + 64 * 3 + 5] = 77
        pool.planes[1][1][256 + 64 * 2 + 2 * 4 + 1] = 78
        assert luma[3, 5] == 77
        assert chroma[2, 4, 1] == 78


def test_mjpg_is_decoded(door):
    from pipeline.synthetic import camera_jpeg

    content = np.frombuffer(camera_jpeg(), np.uint8)
    height, width = scene().shape[:2]
    feed, lender = door.serve()
    with feed:
        pool = lender.pool(3, (65536,), form=PoolFormat("MJPG", width, height, ((0, 65536),)))
        pool.planes[0][0][: content.size] = content
        lender.lend(pool, 0, used=(content.size,))
        frame = feed.next()
        assert frame.image.tobytes() == content.tobytes()
        assert np.abs(frame.bgr().astype(int) - scene()).mean() < 4
        assert frame.rgb()[..., ::-1].tolist() == frame.bgr().tolist()
        with pytest.raises(InputError):
            frame.to("samples")
