"""Lines, boxes and text in pixels, drawn as SVG or as PNG: enough for a plot, without a library for plots."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Literal, Protocol
from xml.sax.saxutils import escape

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]
_FONT = "DejaVu Sans, Helvetica, Arial, sans-serif"
_SCALE = 2
"""Pixels of a PNG for each of the canvas: text stays sharp."""


class Canvas(Protocol):
    """Something to draw on; the origin is the top left corner, colours are `#rrggbb`."""

    def box(self, left: float, top: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        ...

    def path(self, points: Sequence[Point], colour: str, width: float) -> None:
        """Straight lines from point to point."""
        ...

    def dot(self, at: Point, radius: float, colour: str) -> None:
        """A filled circle."""
        ...

    def text(self, at: Point, words: str, colour: str, size: float, anchor: Anchor = "start") -> None:
        """One line of text; `at` is on its base line."""
        ...

    def content(self) -> bytes:
        """The finished file."""
        ...


class SvgCanvas:
    """A canvas that becomes an SVG file."""

    def __init__(self, width: int, height: int, background: str) -> None:
        size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{_FONT}">',
            f'<rect width="{width}" height="{height}" fill="{background}"/>',
        ]

    def box(self, left: float, top: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
        self._parts.append(f'<rect {place} fill="{colour}"/>')

    def path(self, points: Sequence[Point], colour: str, width: float) -> None:
        """Straight lines from point to point."""
        told = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        style = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"'
        self._parts.append(f'<polyline points="{told}" {style}/>')

    def dot(self, at: Point, radius: float, colour: str) -> None:
        """A filled circle."""
        self._parts.append(f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius}" fill="{colour}"/>')

    def text(self, at: Point, words: str, colour: str, size: float, anchor: Anchor = "start") -> None:
        """One line of text."""
        place = f'x="{at[0]:.1f}" y="{at[1]:.1f}" font-size="{size}" text-anchor="{anchor}"'
        self._parts.append(f'<text {place} fill="{colour}">{escape(words)}</text>')

    def content(self) -> bytes:
        """The file; UTF-8."""
        return "\n".join([*self._parts, "</svg>", ""]).encode()


class PngCanvas:
    """A canvas that becomes a PNG file."""

    def __init__(self, width: int, height: int, background: str) -> None:
        from PIL import Image, ImageDraw

        self._image = Image.new("RGB", (width * _SCALE, height * _SCALE), background)
        self._draw = ImageDraw.Draw(self._image)

    def box(self, left: float, top: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle; one that is thinner than a pixel is not drawn."""
        right, bottom = (left + width) * _SCALE - 1, (top + height) * _SCALE - 1
        if right >= left * _SCALE and bottom >= top * _SCALE:
            self._draw.rectangle((left * _SCALE, top * _SCALE, right, bottom), fill=colour)

    def path(self, points: Sequence[Point], colour: str, width: float) -> None:
        """Straight lines from point to point."""
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=max(round(width * _SCALE), 1), joint="curve")

    def dot(self, at: Point, radius: float, colour: str) -> None:
        """A filled circle."""
        x, y, reach = at[0] * _SCALE, at[1] * _SCALE, radius * _SCALE
        self._draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)

    def text(self, at: Point, words: str, colour: str, size: float, anchor: Anchor = "start") -> None:
        """One line of text in Pillow's own font."""
        from PIL import ImageFont

        place = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
        font = ImageFont.load_default(size * _SCALE)
        self._draw.text((at[0] * _SCALE, at[1] * _SCALE), words, fill=colour, font=font, anchor=place)

    def content(self) -> bytes:
        """The file."""
        into = BytesIO()
        self._image.save(into, "PNG", optimize=True)
        return into.getvalue()
