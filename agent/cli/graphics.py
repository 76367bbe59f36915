"""A picture for a terminal: kitty's protocol, iTerm2's, sixel, or half blocks in colour. Pure: pixels in, bytes out.

Protocols: sw.kovidgoyal.net/kitty/graphics-protocol, iterm2.com/documentation-images.html, and the sixel chapter of
DEC's VT330/VT340 Programmer Reference Manual.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""Height x width x 3, red first."""

ESC, ST = "\x1b", "\x1b\\"
_CHUNK = 4096
"""kitty takes no more base64 in one sequence."""
_SIXEL_COLOURS = 128
_RUN = re.compile(rb"([?-~])\1{3,}")
_CUBE = np.array([0, 95, 135, 175, 215, 255])
"""The levels of the 6 x 6 x 6 colours of a terminal with 256."""


@dataclass(frozen=True, slots=True)
class Space:
    """Room for a picture: `columns` x `rows` cells, each `cell_px` wide and high."""

    columns: int
    rows: int
    cell_px: tuple[int, int] = (10, 20)

    def cells_of(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Columns and rows of the largest picture of this shape that fits; at least one each."""
        cell_width, cell_height = self.cell_px
        scale = min(self.columns * cell_width / width_px, self.rows * cell_height / height_px)
        columns = min(max(round(width_px * scale / cell_width), 1), self.columns)
        return columns, min(max(round(height_px * scale / cell_height), 1), self.rows)


Draw = Callable[[Pixels, Space], str]
"""The picture as what a terminal is sent: at the cursor, which is at the left; it stands anywhere after."""


def kitty(pixels: Pixels, space: Space) -> str:
    """kitty, Ghostty, Konsole: raw RGB, deflated; the same image number again and again, so that none is left over."""
    height, width = pixels.shape[:2]
    columns, rows = space.cells_of(width, height)
    data = base64.standard_b64encode(zlib.compress(np.ascontiguousarray(pixels).tobytes(), 1)).decode()
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    keys = f"a=T,f=24,o=z,s={width},v={height},c={columns},r={rows},i=1,p=1,q=2,C=1,"
    parts = []
    for number, chunk in enumerate(chunks):
        more = int(number < len(chunks) - 1)
        parts.append(f"{ESC}_G{keys if number == 0 else ''}m={more};{chunk}{ST}")
    return "".join(parts)


KITTY_END = f"{ESC}_Ga=d,d=I,i=1,q=2{ST}"
"""Takes the image out of the terminal's memory."""


def iterm2(pixels: Pixels, space: Space) -> str:
    """iTerm2, WezTerm, mintty: a PNG file in line."""
    height, width = pixels.shape[:2]
    columns, rows = space.cells_of(width, height)
    png = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    keys = f"inline=1;size={len(png)};width={columns};height={rows};preserveAspectRatio=1"
    return f"{ESC}]1337;File={keys}:{base64.standard_b64encode(png).decode()}\x07"


def sixel(pixels: Pixels, space: Space) -> str:
    """xterm, foot, mlterm, tmux and others: in no more than 128 colours, a band of six lines after the other."""
    columns, rows = space.cells_of(pixels.shape[1], pixels.shape[0])
    size = (columns * space.cell_px[0], rows * space.cell_px[1] // 6 * 6 or 6)
    picture = Image.fromarray(_resized(pixels, size)).quantize(
        _SIXEL_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    indices = np.asarray(picture)
    palette = np.array(picture.getpalette() or [0, 0, 0], np.uint8).reshape(-1, 3)
    told = [f'{ESC}P7;1q"1;1;{size[0]};{size[1]}']
    told += [
        f"#{number};2;{red * 100 // 255};{green * 100 // 255};{blue * 100 // 255}"
        for number, (red, green, blue) in enumerate(palette.astype(int))
    ]
    told += [_sixel_band(indices[top : top + 6]) for top in range(0, size[1], 6)]
    return "".join(told) + ST


def _sixel_band(band: NDArray[np.uint8]) -> str:
    """Six lines: for each colour in them a line of characters, whose six bits are the pixels below one another."""
    weights = (1 << np.arange(len(band)))[:, None]
    lines = []
    for colour in np.unique(band):
        line = (((band == colour) * weights).sum(axis=0) + 63).astype(np.uint8).tobytes()
        short = _RUN.sub(lambda run: b"!%d%s" % (len(run[0]), run[1]), line.rstrip(b"?"))
        lines.append(f"#{colour}{short.decode()}")
    return "$".join(lines) + "-"


def blocks(pixels: Pixels, space: Space) -> str:
    """Any terminal with all colours: an upper half block is two pixels, one above the other."""
    return _blocks(pixels, space, lambda cell: f"{ESC}[38;2;{cell[0]};{cell[1]};{cell[2]}m", 48)


def blocks_256(pixels: Pixels, space: Space) -> str:
    """The same in 256 colours."""
    return _blocks(pixels, space, _indexed, 48)


def _indexed(cell: tuple[int, ...]) -> str:
    red, green, blue = (int(np.abs(_CUBE - one).argmin()) for one in cell)
    return f"{ESC}[38;5;{16 + 36 * red + 6 * green + blue}m"


def _blocks(pixels: Pixels, space: Space, colour: Callable[[tuple[int, ...]], str], background: int) -> str:
    square = Space(space.columns, space.rows, (1, 2))
    columns, rows = square.cells_of(pixels.shape[1], pixels.shape[0])
    small = _resized(pixels, (columns, 2 * rows)).reshape(rows, 2, columns, 3).tolist()
    known: dict[tuple[int, ...], str] = {}
    lines = []
    for upper, lower in small:
        line: list[str] = []
        before: tuple[tuple[int, ...], ...] = ((), ())
        for above, below in zip(upper, lower, strict=True):
            cell = (tuple(above), tuple(below))
            for one in cell:
                if one not in known:
                    known[one] = colour(one)
            if cell[0] != before[0]:
                line.append(known[cell[0]])
            if cell[1] != before[1]:
                line.append(known[cell[1]].replace("[38;", f"[{background};", 1))
            line.append("▀")
            before = cell
        lines.append("".join(line) + f"{ESC}[0m")
    return "\r\n".join(lines)


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    smaller = size[0] <= pixels.shape[1] and size[1] <= pixels.shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how), np.uint8)


DRAWS: Mapping[str, Draw] = {
    "kitty": kitty,
    "iterm2": iterm2,
    "sixel": sixel,
    "blocks": blocks,
    "blocks-256": blocks_256,
}
"""By the words of `--graphics`."""
