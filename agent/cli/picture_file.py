"""One picture that came from the agent: its file, whole or not there at all, or standard output."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.errors import InputError
from agent.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from agent.control.client import Received

KINDS: Mapping[str, str] = {
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "png": "png",
    "tif": "tiff",
    "tiff": "tiff",
}
"""Ends of file names, and the words of `--format`: what the agent calls them."""
STDOUT = Path("-")
_FACTS = ("sequence", "timestamp_ns", "began_ns", "exposure_ns", "gain", "realtime_ns", "width_px", "height_px")


def kind_of(path: Path | None, format_: str | None) -> str:
    """What the agent is asked for: `--format`, else what the file's name ends with, else JPEG. Raises InputError."""
    if format_ is not None:
        return KINDS[format_]
    if path is None or path == STDOUT:
        return "jpeg"
    kind = KINDS.get(path.suffix.lower().removeprefix("."))
    if kind is None:
        raise InputError(
            f"{path.name} does not say what picture it is to be",
            hint=f"let its name end with one of .{', .'.join(KINDS)}, or give --format",
            path=str(path),
            allowed=list(KINDS),
        )
    return kind


def facts_of(camera: str, received: Received) -> dict[str, object]:
    """What is known of a picture, for `--json`; None: not known."""
    headers = received.headers
    found: dict[str, object] = {"camera": camera, "media": headers["content-type"], "bytes": len(received.data)}
    for name in _FACTS:
        told = headers.get(f"x-{name.replace('_', '-')}")
        found[name] = None if told is None else int(told)
    traces = headers.get("x-frame-trace-ids", "")
    return found | {"frame_trace_ids": [one for one in traces.split(", ") if one], "trace_id": headers["x-trace-id"]}


def default_path(camera: str, received: Received) -> Path:
    """A name that sorts by time and that no other frame has: `top-20260714T101503.123Z.jpg`."""
    from agent.pipeline.names import file_name

    realtime_ns = int(received.headers["x-realtime-ns"])
    instant = datetime.fromtimestamp(realtime_ns // NS_PER_S, UTC)
    millis = realtime_ns % NS_PER_S // NS_PER_MS
    suffix = {"image/png": "png", "image/tiff": "tif"}.get(received.headers["content-type"], "jpg")
    return Path(f"{file_name(camera)}-{instant:%Y%m%dT%H%M%S}.{millis:03d}Z.{suffix}")


def check_free(path: Path | None, *, force: bool) -> None:
    """Before anything is asked for. Raises InputError when the file is there and may not be replaced."""
    if path is not None and path != STDOUT and not force and path.exists():
        raise InputError(f"{path} is there already", hint="choose another name, or --force replaces it", path=str(path))


def write_picture(path: Path, data: bytes, *, force: bool) -> None:
    """Whole or not at all; a file that is there is replaced only by `force`, and then at once. Raises StorageError."""
    from agent.pipeline.files import storage_error, write_file

    if path == STDOUT:
        click.echo(data, nl=False)
        return
    if not force:
        write_file(path.absolute(), (data,))
        return
    hidden = path.absolute().with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write_file(hidden, (data,))
        hidden.replace(path)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        with suppress(OSError):
            hidden.unlink(missing_ok=True)
