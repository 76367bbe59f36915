"""One request as it came: method, path, query, body; and what is wrong with it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from agent.control.errors import BadRequest, UnsupportedMedia

TRACE_ID: ContextVar[str] = ContextVar("trace_id", default="")
"""Of the request that is being carried out; its answer has it too."""

_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_MOST_FIELDS = 32
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request. `segments`: the path between its slashes, decoded; a name with a slash is one segment."""

    method: str
    segments: tuple[str, ...]
    query: dict[str, str]
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    """By their names in small letters; of one that came twice, both, joined by a comma."""

    def json(self) -> object:
        """The body as JSON; without one an empty object. Raises BadRequest, UnsupportedMedia."""
        if not self.body:
            return {}
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise UnsupportedMedia(
                f"a body of type {kind or 'none'} is not understood",
                hint="send JSON, with content-type: application/json (curl --json does)",
            )
        return parse_json(self.body)


def parse_request(
    method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b""
) -> Request:
    """The parts of a request as h11 gives them. Raises BadRequest."""
    words: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        words[name] = f"{words[name]}, {value}" if name in words else value
    path, _, query = _ABSOLUTE.sub("", target.decode("latin-1"), count=1).partition("?")
    if not path.startswith("/"):
        raise BadRequest(f"{path[:60]!r} is not a path", hint="paths begin with /v1/")
    segments = tuple(_decoded(segment) for segment in path[1:].split("/"))
    return Request(method.decode("latin-1"), segments, _query(query), body, words)


def _decoded(raw: str) -> str:
    if _BAD_PERCENT.search(raw):
        raise BadRequest(f"{raw[:60]!r} has a % without two digits", hint="write a % in a name as %25")
    try:
        decoded = unquote_to_bytes(raw.encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"{raw[:60]!r} is not UTF-8", hint="encode names as UTF-8, then with %") from error
    if not decoded.isprintable():
        raise BadRequest(f"{raw[:60]!r} has control characters", hint="names have none")
    return decoded


def _query(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if not text:
        return found
    _decoded(text.replace("+", " "))
    try:
        fields = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise BadRequest(f"{text[:60]!r} is not a query", hint="write name=value, joined by &") from error
    for name, value in fields:
        if name in found:
            raise BadRequest(f"{name[:60]!r} is given twice", hint="give it once")
        found[name] = value
    return found


def parse_json(body: bytes) -> Any:
    """A JSON document (RFC 8259): UTF-8, no key twice, no NaN; 1.0 is the whole number 1. Raises BadRequest."""
    try:
        document = json.loads(
            body.decode(), parse_float=_number, parse_constant=_no_constant, object_pairs_hook=_unique_keys
        )
        if _SURROGATE.search(body):
            json.dumps(document, ensure_ascii=False).encode()  # half a pair is no text that could be written anywhere
        return document
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply", hint="nothing here needs more than four levels") from error
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}"[:200], hint="check it with jq") from error


def _number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large")
    return int(value) if value.is_integer() else value


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


def _unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:40]!r} is there twice")
    return found
