"""A rig's description: cameras and wired lines, from YAML, strict: an unknown key is an error that names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from agent.errors import InputError
from agent.units import parse_duration_ns
from agent.v4l2.buffers import MemoryKind


class DescriptionError(InputError):
    """The description says something that cannot be. The message names file, entry and key."""

    code = "bad_rig_description"


@dataclass(frozen=True, kw_only=True)
class CameraEntry:
    """One camera: a node (`path`), one of the kernel's vivid cameras, or our own one over USB/IP."""

    name: str
    path: str | None = None
    vivid: str | None = None
    usbip: Mapping[str, Any] | None = None
    pixel_format: str | None = None
    size: tuple[int, int] | None = None
    rate: Fraction | None = None
    exposures: tuple[int, int] | None = None
    exposure_between_steps: int | None = None
    exposure_beyond_range: int | None = None
    memory: tuple[MemoryKind, ...] = tuple(MemoryKind)
    unplug: str | None = None
    plug: str | None = None


@dataclass(frozen=True, kw_only=True)
class LineEntry:
    """One wired line."""

    name: str
    chip: str
    line: str | int
    drives: str | None = None
    loops_to: str | None = None


@dataclass(frozen=True)
class Rig:
    """All of a description."""

    cameras: tuple[CameraEntry, ...]
    lines: tuple[LineEntry, ...]


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


_READERS = {
    "size": _size,
    "rate": lambda value: Fraction(str(value)),
    "exposures": lambda values: tuple(parse_duration_ns(value) for value in values),
    "exposure_between_steps": parse_duration_ns,
    "exposure_beyond_range": parse_duration_ns,
    "memory": lambda values: tuple(MemoryKind(value) for value in values),
}


def read_rig(path: Path) -> Rig:
    """The rig described in `path`. Raises DescriptionError."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise _error(path, f"cannot be read: {error}") from error
    unknown = set(document or {}) - {"cameras", "lines"}
    if not isinstance(document, dict) or unknown:
        raise _error(path, f"has unknown keys: {', '.join(sorted(unknown))}" if unknown else "is no mapping")
    cameras = tuple(_entry(path, CameraEntry, entry) for entry in document.get("cameras") or ())
    for camera in cameras:
        if sum(way is not None for way in (camera.path, camera.vivid, camera.usbip)) != 1:
            raise _error(path, f"camera {camera.name}: give exactly one of path, vivid, usbip")
    return Rig(cameras, tuple(_entry(path, LineEntry, entry) for entry in document.get("lines") or ()))


def _entry(path: Path, kind: type, entry: Mapping[str, Any]) -> Any:
    name = entry.get("name", "?")
    unknown = set(entry) - set(kind.__dataclass_fields__)
    if unknown:
        raise _error(path, f"{name}: unknown key {', '.join(sorted(unknown))}")
    values = {}
    for key, value in entry.items():
        try:
            values[key] = _READERS.get(key, lambda same: same)(value)
        except (ValueError, TypeError, AttributeError, InputError) as error:
            raise _error(path, f"{name}: {key}: {value!r} does not fit: {error}") from error
    try:
        return kind(**values)
    except TypeError as error:
        raise _error(path, f"{name}: {error}") from error


def _error(path: Path, problem: str) -> DescriptionError:
    return DescriptionError(f"{path}: {problem}", hint="hw-tests/rig.example.yaml shows every key")
