"""What stands in a file, as plain values: for showing it."""

from __future__ import annotations

import re

from agent.config.document import MappingNode, Node, ScalarNode

Written = str | int | bool | None | list["Written"] | dict[str, "Written"]

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_WORDS = {"true": True, "false": False}


def written(node: Node) -> Written:
    """Mappings, lists and scalars; only what YAML and JSON read alike is a number, true or false."""
    if isinstance(node, ScalarNode):
        return _scalar(node)
    if isinstance(node, MappingNode):
        return {entry.key: written(entry.node) for entry in node.entries}
    return [written(item) for item in node.items]


def _scalar(node: ScalarNode) -> Written:
    if node.is_null:
        return None
    if node.plain and _INTEGER.fullmatch(node.text):
        return int(node.text)
    return _WORDS.get(node.text, node.text) if node.plain else node.text
