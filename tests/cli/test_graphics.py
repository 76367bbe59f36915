"""Pictures as terminals are told them: read back by small readers of each protocol."""

import base64
import io
import re
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from agent.cli.graphics import Space, blocks, blocks_256, iterm2, kitty, sixel
from agent.cli.terminal import graphics_of


def gradient(width, height):
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)


def test_kitty_is_told_all_pixels_in_chunks():
    pixels = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    told = kitty(pixels, Space(40, 20))
    packets = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", told)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in packets) == told
    keys = dict(pair.split("=") for pair in packets[0][0].split(","))
    assert (keys["a"], keys["f"], keys["o"], keys["s"], keys["v"]) == ("T", "24", "z", "80", "60")
    assert (int(keys["c"]), int(keys["r"])) == Space(40, 20).cells_of(80, 60)
    assert [keys[-3:] for keys, _ in packets] == ["m=1"] * (len(packets) - 1) + ["m=0"]
    assert all(len(data) <= 4096 for _, data in packets)
    data = zlib.decompress(base64.b64decode("".join(data for _, data in packets)))
    assert data == pixels.tobytes()


def test_iterm2_is_told_a_file():
    pixels = gradient(30, 20)
    told = re.fullmatch(r"\x1b\]1337;File=inline=1;size=(\d+);.*?:([^\x07]*)\x07", iterm2(pixels, Space(40, 20)))
    data = base64.b64decode(told[2])
    assert len(data) == int(told[1])
    with Image.open(io.BytesIO(data)) as picture:
        assert (np.asarray(picture) == pixels).all()


def read_sixel(told):
    """Pixels of a sixel picture."""
    width, height = map(int, re.match(r"\x1bP7;1q\"1;1;(\d+);(\d+)", told).groups())
    palette, picture = {}, np.zeros((height, width, 3))
    body = told[told.index("#") : -2]
    top = left = colour = 0
    for token in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|!\d+[?-~]|[?-~]|\$|-", body):
        if token.startswith("#") and ";" in token:
            number, _, *rgb = map(int, token[1:].split(";"))
            palette[number] = np.array(rgb) * 255 / 100
        elif token.startswith("#"):
            colour = int(token[1:])
        elif token == "$":
            left = 0
        elif token == "-":
            top, left = top + 6, 0
        else:
            count = int(token[1:-1]) if token.startswith("!") else 1
            for row in range(6):
                if (ord(token[-1]) - 63) >> row & 1:
                    picture[top + row, left : left + count] = palette[colour]
            left += count
    return picture


def test_sixel_shows_the_picture():
    pixels = gradient(120, 90)
    found = read_sixel(sixel(pixels, Space(12, 6, (10, 20))))
    expected = np.asarray(Image.fromarray(pixels).resize(found.shape[1::-1], Image.Resampling.BOX), float)
    assert found.shape[1] <= 120
    assert found.shape[0] <= 120
    assert np.abs(found - expected).mean() < 15


def read_blocks(told):
    rows = []
    for line in told.split("\r\n"):
        upper, lower, above, below = [], [], None, None
        for token in re.findall(r"\x1b\[[\d;]*m|▀", line):
            if token == "▀":
                upper.append(above)
                lower.append(below)
            elif token.startswith("\x1b[38;2;"):
                above = tuple(map(int, token[7:-1].split(";")))
            elif token.startswith("\x1b[48;2;"):
                below = tuple(map(int, token[7:-1].split(";")))
        rows += [upper, lower]
    return np.array(rows)


def test_blocks_are_two_pixels_each():
    pixels = gradient(20, 10)
    assert (read_blocks(blocks(pixels, Space(20, 5))) == pixels).all()


@given(width=st.integers(1, 60), height=st.integers(1, 60), columns=st.integers(1, 50), rows=st.integers(1, 30))
def test_nothing_is_larger_than_its_space(width, height, columns, rows):
    space = Space(columns, rows)
    assert all(1 <= found <= most for found, most in zip(space.cells_of(width, height), (columns, rows), strict=True))
    pixels = gradient(width, height)
    for draw in (blocks, blocks_256):
        lines = draw(pixels, space).split("\r\n")
        assert len(lines) <= rows
        assert all(1 <= line.count("▀") <= columns for line in lines)


@pytest.mark.parametrize(
    ("answer", "environment", "expected"),
    [
        (b"\x1b_Gi=31;OK\x1b\\\x1b[?62;4c", {}, "kitty"),
        (b"\x1b_Gi=31;ENOTSUPPORTED\x1b\\\x1b[?62c", {}, "blocks-256"),
        (b"\x1b[?62;4;22c", {}, "sixel"),
        (b"\x1b[?64;1;2;22c", {"COLORTERM": "truecolor"}, "blocks"),
        (b"\x1b[?1;2c", {"TERM": "xterm-direct"}, "blocks"),
        (b"", {"TERM": "vt100"}, "blocks-256"),
    ],
)
def test_what_a_terminal_can_is_what_it_says(answer, environment, expected):
    assert graphics_of(answer, environment) == expected
