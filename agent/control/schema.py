"""JSON schemas: short ways to write them, and the check of what clients send against them.

The part of JSON Schema 2020-12 that the API uses, so that the document tells exactly what is checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from agent.control.errors import BadFields

Schema = dict[str, Any]

_MOST_TOLD = 20
_INT64 = 2**63 - 1


def text(about: str = "", *, pattern: str = "", longest: int = 256, example: str = "") -> Schema:
    """A string; `pattern` is matched against all of it."""
    made: Schema = {"type": "string", "maxLength": longest}
    if pattern:
        made["pattern"] = f"^{pattern}$"
    return _told(made, about, example)


def choice(*words: str, about: str = "") -> Schema:
    """One of these strings."""
    return _told({"type": "string", "enum": list(words)}, about)


def integer(about: str = "", *, least: int = -_INT64 - 1, most: int = _INT64) -> Schema:
    """A whole number in 64 bits."""
    return _told({"type": "integer", "minimum": least, "maximum": most}, about)


def boolean(about: str = "") -> Schema:
    """True or false."""
    return _told({"type": "boolean"}, about)


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*kinds, "null"]}


def listed(items: Schema, about: str = "") -> Schema:
    """A list."""
    return _told({"type": "array", "items": items}, about)


def table(about: str = "", /, *, required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object with these keys and no others."""
    made: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        made["required"] = list(required)
    return _told(made, about)


def document(about: str = "", /, **properties: Schema) -> Schema:
    """An object of ours: it has these keys, all of them, and may have more."""
    return _told({"type": "object", "properties": properties, "required": list(properties)}, about)


def mapping(values: Schema, about: str = "", *, least: int = 0, most: int = 10_000) -> Schema:
    """An object with keys of the client's choice."""
    made = {"type": "object", "additionalProperties": values, "minProperties": least, "maxProperties": most}
    return _told(made, about)


def anything(about: str = "") -> Schema:
    """An object that is looked at elsewhere."""
    return _told({"type": "object"}, about)


def _told(schema: Schema, about: str, example: str = "") -> Schema:
    if about:
        schema["description"] = about
    if example:
        schema["examples"] = [example]
    return schema


def check(schema: Schema, value: object, where: str = "") -> None:
    """Raises BadFields with everything in which `value` is not what the schema tells."""
    problems = []
    for problem in _problems(schema, value, where):
        problems.append(problem)
        if len(problems) == _MOST_TOLD:
            break
    if problems:
        first = problems[0]
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise BadFields(
            f"{first['where']}: {first['message']}{more}",
            hint=first["hint"] or "/v1/openapi.json tells what may be sent",
            problems=problems,
        )


def _problems(schema: Schema, value: object, where: str) -> Iterator[dict[str, str]]:
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    kind = _kind(value)
    if kinds and kind not in kinds:
        yield _problem(where, f"{_shown(value)} is {_WORDS[kind]}, not {' or '.join(_WORDS[one] for one in kinds)}")
    elif kind in _CHECKS:
        yield from _CHECKS[kind](schema, value, where)


def _check_text(schema: Schema, value: str, where: str) -> Iterator[dict[str, str]]:
    hint = f"such as {schema['examples'][0]}" if "examples" in schema else ""
    if "enum" in schema and value not in schema["enum"]:
        yield _problem(where, f"{_shown(value)} is not known", f"write one of {', '.join(schema['enum'])}")
    if len(value) > schema.get("maxLength", len(value)):
        yield _problem(where, f"longer than {schema['maxLength']} characters", hint)
    elif "pattern" in schema and not re.fullmatch(schema["pattern"][1:-1], value):
        yield _problem(where, f"{_shown(value)} is not what is wanted here", hint or schema.get("description", ""))


def _check_integer(schema: Schema, value: int, where: str) -> Iterator[dict[str, str]]:
    least, most = schema.get("minimum", value), schema.get("maximum", value)
    if not least <= value <= most:
        yield _problem(where, f"{_shown(value)} is out of range", f"from {least} to {most}")


def _check_object(schema: Schema, value: Mapping[str, object], where: str) -> Iterator[dict[str, str]]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key in schema.get("required", []):
        if key not in value:
            yield _problem(_join(where, key), "is missing", properties[key].get("description", ""))
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", len(value))
    if not least <= len(value) <= most:
        yield _problem(where, f"has {len(value)} keys", f"from {least} to {most}")
    for key, one in value.items():
        if key in properties:
            yield from _problems(properties[key], one, _join(where, key))
        elif others is False:
            yield _problem(_join(where, key), "there is no such key", _suggestion(key, properties))
        elif isinstance(others, dict):
            yield from _problems(others, one, _join(where, key))


def _check_array(schema: Schema, value: list[object], where: str) -> Iterator[dict[str, str]]:
    for number, one in enumerate(value):
        yield from _problems(schema["items"], one, f"{where}[{number}]")


_CHECKS: dict[str, Callable[[Schema, Any, str], Iterator[dict[str, str]]]] = {
    "string": _check_text,
    "integer": _check_integer,
    "object": _check_object,
    "array": _check_array,
}
_WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)


def _kind(value: object) -> str:
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")


def _problem(where: str, message: str, hint: str = "") -> dict[str, str]:
    return {"where": where, "message": message, "hint": hint}


def _join(where: str, key: str) -> str:
    return f"{where}.{_cut(key)}" if where else _cut(key)


def _shown(value: object) -> str:
    return _cut(repr(value)) if isinstance(value, str | int | float) else "it"


def _cut(told: str) -> str:
    return told if len(told) <= 60 else f"{told[:57]}..."


def _suggestion(key: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(key[:60], known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"
