"""`output:`, `file_type:` and `quality:` of a file: what becomes of frames that are stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.config import kinds
from agent.config.reader import Table

_FILE_TYPE = kinds.choice("jpeg", "png", "tiff", "dng", "raw")
"""The values of `agent.pipeline.encode.PictureKind`, which this room does not import."""
_QUALITY = kinds.integer(1, 100)
_NONE = "none"


@dataclass(frozen=True, slots=True)
class Pictures:
    """`output`: the folder for pictures, None: nothing is kept. `file_type`: `jpeg`, `png`, `tiff`, `dng` or `raw`."""

    output: Path | None
    file_type: str = "jpeg"
    quality: int = 90


def read_pictures(table: Table, usual: Path) -> Pictures:
    """What is written; `usual`: the folder where none is."""
    file_type = table.scalar("file_type", _FILE_TYPE, "jpeg")
    if table.take("quality") and file_type != "jpeg":
        table.refuse("quality", f"{file_type} has no quality", "take the line out, or write file_type: jpeg")
    return Pictures(_output(table, usual), file_type, table.scalar("quality", _QUALITY, 90))


def _output(table: Table, usual: Path) -> Path | None:
    value = table.take("output")
    if value is None:
        return usual
    if value.is_null:
        return None
    text = value.scalar(kinds.PATH)
    if text == "":
        value.refuse("a folder without a name", "write a folder, . for this one, or none to keep nothing")
    return None if text == _NONE or not text else Path(text)
