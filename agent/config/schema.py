"""The JSON schema of a service's file, made by the reader itself (docs/decisions/0021).

The reader is led over a document that is not there, and whatever it asks for is noted: which keys, and which kinds of
value behind each. Where it looks at what stands in a place before it asks, it is led over it again with each of the
answers: a single value, or a mapping; every key there, or one of them missing. So the schema knows what the reader
knows, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent.config.joined import JOINED
from agent.config.outline import Outline, Shape, Way, below
from agent.config.service_file import read_table

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TITLE = "camera-agent: /etc/camera-agent/config.yaml and config.d/*.yaml"


def service_schema() -> dict[str, object]:
    """The schema as a JSON document. Files of `config.d` have the same one: no key has to be there."""
    shapes = _explored()
    schema = {"$schema": DIALECT, "title": _TITLE, **_schema_of("", shapes)}
    properties = schema["properties"]
    if isinstance(properties, dict):
        for name in JOINED & properties.keys():
            properties[name] = {"anyOf": [properties[name], {"type": "null"}]}
    return schema


def _explored() -> Mapping[str, Shape]:
    outline = Outline()
    ways = [Way(), Way(maps=True)]
    seen = set(ways)
    for way in ways:  # grows while it is gone through
        outline.follow(way, read_table)
        for path in outline.paths():
            for maps in (False, True):
                further = Way(maps=maps, missing=path)
                if further not in seen:
                    seen.add(further)
                    ways.append(further)
    return outline.shapes


def _schema_of(path: str, shapes: Mapping[str, Shape]) -> dict[str, object]:
    shape = shapes[path]
    found: list[dict[str, object]] = [
        {**kind.schema, "description": f"{kind.what}, such as {kind.example}"} for kind in shape.kinds
    ]
    if shape.keys:
        found.append(_table(path, shape, shapes))
    if shape.names is not None:
        names = {"propertyNames": {**shape.names.schema}}
        found.append({"type": "object", **names, "additionalProperties": _schema_of(f"{path}.*", shapes)})
    if shape.is_list:
        found.append({"type": "array", "items": _schema_of(f"{path}[]", shapes)})
    different = list({json.dumps(each, sort_keys=True): each for each in found}.values())
    return different[0] if len(different) == 1 else {"anyOf": different}


def _table(path: str, shape: Shape, shapes: Mapping[str, Shape]) -> dict[str, object]:
    properties = {key: _schema_of(below(path, key), shapes) for key in shape.keys}
    schema: dict[str, object] = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [key for key in shape.keys if key in shape.required_without.get(key, ())]
    if required:
        schema["required"] = required
    either = [
        {"anyOf": [{"required": [other]}, {"required": [key]}]}
        for other, keys in shape.required_without.items()
        for key in keys
        if key != other and key not in required
    ]
    if either:
        schema["allOf"] = either
    return schema
