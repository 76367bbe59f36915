"""Names of files from templates: `{date}/{camera}-{number:06d}`. Whatever is filled in, they stay in their folder."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from agent.errors import InputError
from agent.units import NS_PER_MS, NS_PER_S

USUAL: Final = "{camera}-{number:06d}"
_WHOLE = ("number", "sequence", "realtime_ns")
"""Fields that are numbers; each of them tells one frame from another."""
FIELDS: Final = ("camera", *_WHOLE, "date", "time", "plan", "trace")
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_DIGITS = re.compile(r"0([1-9]|1[0-9])d")
_NONE = "none"
_NAME_MAX = 100
_LONGEST_PART = 200
"""Bytes of UTF-8; 255 is the most of every usual file system, and an ending follows."""
_LONGEST = 1024


def file_name(camera: str) -> str:
    """A camera's name as the start of a file name: letters, digits, `.`, `_` and `-`; never hidden, never empty."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", camera)[:_NAME_MAX].strip(".-") or "camera"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameFacts:
    """What a name may tell of a frame. `plan` and `trace` empty: there is none, the name says `none`."""

    camera: str
    number: int
    sequence: int
    realtime_ns: int
    plan: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    digits: int = 0


class NameTemplate:
    """A template that was checked. Immutable; two of the same text are alike.

    `{date}` is `2026-11-25` and `{time}` is `16-27-03.512`, both in `zone` (None: the system's). A `/` makes folders;
    braces are doubled. Raises InputError for an unknown field, for one that leads out of the folder, and when nothing
    in it tells one frame from the next.
    """

    def __init__(self, text: str = USUAL, *, zone: tzinfo | None = None) -> None:
        self.text = text
        self._zone = zone
        self._pieces = _parsed(text)
        _check_parts(text, self._pieces)
        if not any(isinstance(piece, _Field) and piece.name in _WHOLE for piece in self._pieces):
            known = ", ".join(f"{{{name}}}" for name in _WHOLE)
            raise _refused(text, "names every frame alike", f"put one of {known} into it, such as {USUAL}")

    @property
    def names_camera(self) -> bool:
        """Whether names of one camera are no names of another one."""
        return any(isinstance(piece, _Field) and piece.name == "camera" for piece in self._pieces)

    def name(self, facts: NameFacts) -> str:
        """The file's path below its folder, without an ending; the same facts give the same name."""
        values = self._values(facts)
        return "".join(piece if isinstance(piece, str) else _filled(piece, values) for piece in self._pieces)

    def number_in(self, path: str, camera: str) -> int | None:
        """The number that a path of this template, without its ending, has for a camera; None when it is no such path.

        A path without a `{number}` gives 0.
        """
        match = self._pattern(camera).fullmatch(path)
        return None if match is None else int(match.groupdict().get("number") or 0)

    def _values(self, facts: NameFacts) -> Mapping[str, str | int]:
        seconds, left_ns = divmod(facts.realtime_ns, NS_PER_S)
        taken = datetime.fromtimestamp(seconds, UTC).astimezone(self._zone)
        return {
            "camera": file_name(facts.camera),
            "number": facts.number,
            "sequence": facts.sequence,
            "realtime_ns": facts.realtime_ns,
            "date": taken.strftime("%Y-%m-%d"),
            "time": f"{taken:%H-%M-%S}.{left_ns // NS_PER_MS:03d}",
            "plan": file_name(facts.plan or _NONE),
            "trace": file_name(facts.trace or _NONE),
        }

    def _pattern(self, camera: str) -> re.Pattern[str]:
        patterns = {
            "camera": re.escape(file_name(camera)),
            "date": r"\d{4}-\d{2}-\d{2}",
            "time": r"\d{2}-\d{2}-\d{2}\.\d{3}",
            "plan": r"[A-Za-z0-9._-]+",
            "trace": r"[A-Za-z0-9._-]+",
        }
        found, parts = set[str](), []
        for piece in self._pieces:
            if isinstance(piece, str):
                parts.append(re.escape(piece))
                continue
            pattern = patterns.get(piece.name, rf"\d{{{max(piece.digits, 1)},}}")
            first = piece.name == "number" and piece.name not in found
            parts.append(f"(?P<number>{pattern})" if first else pattern)
            found.add(piece.name)
        return re.compile("".join(parts))


def _parsed(text: str) -> tuple[str | _Field, ...]:
    if not text or len(text) > _LONGEST or not text.isprintable():
        raise _refused(text[:60], f"is empty, longer than {_LONGEST}, or has control characters", f"write {USUAL}")
    pieces: list[str | _Field] = []
    for match in _PIECE.finditer(text):
        piece = match[0]
        if match[1] is not None:
            pieces.append(_field(text, match[1]))
        elif piece in ("{{", "}}"):
            pieces.append(piece[0])
        elif piece in ("{", "}"):
            raise _refused(text, f"has a {piece} without its other half", "double it where it is meant: {{ or }}")
        else:
            pieces.append(piece)
    return tuple(pieces)


def _field(text: str, inside: str) -> _Field:
    name, colon, form = inside.partition(":")
    if name not in FIELDS:
        near = difflib.get_close_matches(name, FIELDS, n=1)
        known = ", ".join(FIELDS)
        hint = f"did you mean {{{near[0]}}}? There is {known}" if near else f"there is {known}"
        raise _refused(text, f"has the unknown field {{{inside}}}", hint)
    if not colon:
        return _Field(name)
    match = _DIGITS.fullmatch(form)
    if name not in _WHOLE or match is None:
        hint = "only numbers have a width, such as {number:06d}: " + ", ".join(_WHOLE)
        raise _refused(text, f"asks for {{{inside}}}, which cannot be filled in so", hint)
    return _Field(name, int(match[1]))


def _check_parts(text: str, pieces: tuple[str | _Field, ...]) -> None:
    """No part may be empty, hidden or too long, which covers `..`, a leading and a trailing slash."""
    sample = "".join(piece if isinstance(piece, str) else "0" * max(piece.digits, 1) for piece in pieces)
    for part in sample.split("/"):
        if part.startswith(".") or not part:
            what = "leads out of its folder" if part == ".." or text.startswith("/") else "has a hidden or empty part"
            raise _refused(text, what, f"write names below the folder only, such as {{date}}/{USUAL}")
        if len(os.fsencode(part)) > _LONGEST_PART:
            raise _refused(text, "makes names that are too long", f"write at most {_LONGEST_PART} bytes a part")


def _filled(field: _Field, values: Mapping[str, str | int]) -> str:
    value = values[field.name]
    return f"{value:0{field.digits}d}" if isinstance(value, int) and field.digits else str(value)


def _refused(text: str, problem: str, hint: str) -> InputError:
    return InputError(f"the template {text!r} {problem}", hint=hint, asked=text, allowed=list(FIELDS))
