"""All pictures of a folder on one sheet: what was caught, at one look."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from agent.errors import InputError
from agent.pipeline.calls import LINUX, Files
from agent.pipeline.files import Durability, storage_error, write_file
from agent.pipeline.record import FrameRecord
from agent.units import NS_PER_S, format_duration

_PAPER, _TILE, _INK, _FAINT, _ALARM = "#f4f3ef", "#dedcd5", "#22242a", "#757a85", "#b3261e"
_KINDS = {".jpg": "JPEG", ".png": "PNG"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The look of a contact sheet, in pixels. `columns` None: as many as make the sheet about 3:2."""

    tile_width_px: int = 320
    gap_px: int = 24
    columns: int | None = None
    title: str = ""


def write_contact_sheet(
    path: Path, records: Sequence[FrameRecord], sheet: Sheet = Sheet(), files: Files = LINUX
) -> None:
    """Draw the sheet of the pictures beside `path` (same folder) and write it as `.jpg` or `.png`, whole or not at all.

    Raises: InputError for another ending or no pictures, StorageError.
    """
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path.name} does not say what the contact sheet should be", hint=f"end it in {' or '.join(_KINDS)}"
        )
    out = io.BytesIO()
    contact_sheet(path.parent, records, sheet).save(out, kind, quality=90, optimize=True)
    write_file(path, (out.getbuffer(),), Durability.CACHED, files)


def contact_sheet(folder: Path, records: Sequence[FrameRecord], sheet: Sheet = Sheet()) -> Image.Image:
    """The pictures of `records` in rows, each with its camera and number, exposure, and time since the first.

    A picture that cannot be shown (raw, damaged) has its place with a word why. Raises: InputError for no pictures,
    StorageError when a file is missing.
    """
    if not records:
        raise InputError("there are no pictures for a contact sheet", hint="capture at least one")
    page = _Page(records, sheet)
    start_ns = min(record.timestamp_ns for record in records)
    for number, record in enumerate(records):
        page.place(number, record, _thumbnail(folder / record.file, page.tile), record.timestamp_ns - start_ns)
    return page.image


class _Page:
    """The sheet while it is being drawn."""

    def __init__(self, records: Sequence[FrameRecord], sheet: Sheet) -> None:
        self._gap = sheet.gap_px
        unit = sheet.tile_width_px / 320
        tallest = max(record.height / record.width for record in records)
        self.tile = (sheet.tile_width_px, max(1, round(sheet.tile_width_px * min(tallest, 1.5))))
        self._name, self._small = (ImageFont.load_default(size=round(size * unit)) for size in (17, 14))
        self._line = round(21 * unit)
        self._cell = (self.tile[0] + self._gap, self.tile[1] + 2 * self._line + self._gap + round(10 * unit))
        self._columns = min(sheet.columns or _columns(len(records), self._cell), len(records))
        rows = -(-len(records) // self._columns)
        head = round(78 * unit)
        size = (self._columns * self._cell[0] + self._gap, rows * self._cell[1] + head)
        self.image = Image.new("RGB", size, _PAPER)
        self._draw = ImageDraw.Draw(self.image)
        self._top = head
        self._heading(records, sheet, unit)

    def place(self, number: int, record: FrameRecord, picture: Image.Image | str, offset_ns: int) -> None:
        """Put one picture and its caption on the sheet."""
        row, column = divmod(number, self._columns)
        left, top = self._gap + column * self._cell[0], self._top + row * self._cell[1]
        width, height = self.tile
        self._draw.rectangle((left, top, left + width - 1, top + height - 1), fill=_TILE)
        if isinstance(picture, str):
            self._draw.text((left + width / 2, top + height / 2), picture, _FAINT, self._small, anchor="mm")
        else:
            self.image.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
        y = top + height + self._line // 3
        stem = Path(record.file).stem
        self._draw.text((left, y), _fitting(stem, self._name, width * 0.62), _INK, self._name)
        self._draw.text((left + width, y), _offset(offset_ns), _FAINT, self._name, anchor="ra")
        y += self._line
        self._draw.text((left, y), _exposure(record), _FAINT, self._small)
        if record.lost_before:
            self._draw.text((left + width, y), f"{record.lost_before} lost before", _ALARM, self._small, anchor="ra")

    def _heading(self, records: Sequence[FrameRecord], sheet: Sheet, unit: float) -> None:
        cameras = sorted({record.camera for record in records})
        title = sheet.title or ", ".join(cameras)
        span_ns = max(record.timestamp_ns for record in records) - min(record.timestamp_ns for record in records)
        count = "1 picture" if len(records) == 1 else f"{len(records)} pictures in {_seconds(span_ns)}"
        first = records[0]
        below = f"{count} · {first.pixel_format} {first.width}x{first.height}"
        room = self.image.width - 2 * self._gap
        big = ImageFont.load_default(size=round(22 * unit))
        self._draw.text((self._gap, round(14 * unit)), _fitting(title, big, room), _INK, big)
        self._draw.text((self._gap, round(43 * unit)), _fitting(below, self._small, room), _FAINT, self._small)


_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _columns(count: int, cell: tuple[int, int]) -> int:
    """As many columns as bring the sheet nearest to 3:2."""
    return min(range(1, count + 1), key=lambda n: abs(n * cell[0] / (-(-count // n) * cell[1]) - 1.5))


def _thumbnail(path: Path, size: tuple[int, int]) -> Image.Image | str:
    """The picture, small; or a word why not."""
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", size)  # JPEG is decoded at a fraction of its size
            shown = picture.point(lambda value: value / 256).convert("L") if picture.mode == "I;16" else picture
            small = shown.convert("RGB")
    except UnidentifiedImageError:
        return f"{path.suffix.removeprefix('.')}: no preview"
    except FileNotFoundError as error:
        raise storage_error(error, path) from error
    except OSError:
        return "damaged"
    small.thumbnail(size, Image.Resampling.LANCZOS)
    return small


def _exposure(record: FrameRecord) -> str:
    shown = [
        f"exposure {format_duration(record.exposure_ns)}" if record.exposure_ns is not None else "exposure unknown"
    ]
    if record.gain is not None:
        shown.append(f"gain {record.gain}")
    return " · ".join(shown)


def _offset(offset_ns: int) -> str:
    return f"+{_seconds(offset_ns)}"


def _seconds(duration_ns: int) -> str:
    """A duration to the millisecond: `1.234 s`."""
    return f"{duration_ns / NS_PER_S:.3f} s"


def _fitting(text: str, font: _Font, room_px: float) -> str:
    """The text, cut with three dots where it is wider than its room."""
    if font.getlength(text) <= room_px:
        return text
    while text and font.getlength(text + "...") > room_px:
        text = text[:-1]
    return text + "..."
