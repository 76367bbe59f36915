"""Several files read as one: whose keys go together, and which may stand there once.

The rule: files add to each other. The tables in JOINED are put together from all files; everything else, a camera, a
plan, a single value, stands in one file only, and a second one is a problem that names both places. So no file ever
overrides another, and their order changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.config.document import Entry, MappingNode, Node, ScalarNode, compose_any
from agent.config.problems import Problems, join
from agent.config.reader import Value

JOINED = frozenset(
    {
        "cameras",
        "groups",
        "plans",
        "recordings",
        "trigger_modes",
        "quotas",
        "quotas.cameras",
        "quotas.clients",
        "limits",
        "realtime",
        "access",
    }
)
"""Paths of the tables that may stand in several files. With nothing below them they are as if they were not there."""


@dataclass(frozen=True, slots=True)
class Text:
    """A file that was read. `name` stands in its errors."""

    name: str
    text: str


def join_files(texts: Sequence[Text], problems: Problems) -> MappingNode:
    """One mapping of all files, whose entries know their files. Texts without a document add nothing."""
    roots = []
    for each in texts:
        of = problems.of(each.name)
        root = compose_any(each.text, of)
        if isinstance(root, MappingNode):
            roots.append((each.name, root))
        elif root is not None and not (isinstance(root, ScalarNode) and root.is_null):
            Value(of, root, "", root.line).table(lambda table: table)
    entries = [entry._replace(file=name) for name, root in roots for entry in root.entries]
    return MappingNode(1, _joined(entries, "", problems))


def _joined(entries: Iterable[Entry], path: str, problems: Problems) -> tuple[Entry, ...]:
    """Entries of one table from several files, each key once."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        below = f"{path}.{entry.key}" if path else entry.key
        if below not in JOINED:
            _check_once(found.get(entry.key, []), entry, path, problems)
        elif _is_empty(entry.node):
            continue
        found.setdefault(entry.key, []).append(entry)
    return tuple(_one(same, path, problems) for same in found.values())


def _check_once(earlier: Sequence[Entry], entry: Entry, path: str, problems: Problems) -> None:
    if earlier:
        first = earlier[0]
        message = f"written twice: here and on line {first.line} of {problems.of(first.file).file}"
        hint = "keep one of them, or give one another name: files add to each other and override nothing"
        problems.of(entry.file).add(entry.line, join(path, entry.key), message, hint)


def _one(same: Sequence[Entry], path: str, problems: Problems) -> Entry:
    """The entry of a key; a table is made of what stands below it in each of the files."""
    first = same[0]
    below = f"{path}.{first.key}" if path else first.key
    if below not in JOINED:
        return first
    tables = [(entry.file, entry.node) for entry in same if isinstance(entry.node, MappingNode)]
    if len(tables) < len(same):
        # what is no table is for the reader to refuse
        return next(entry for entry in same if not isinstance(entry.node, MappingNode))
    entries = [inner._replace(file=file) for file, node in tables for inner in node.entries]
    return first._replace(node=MappingNode(first.node.line, _joined(entries, below, problems)))


def _is_empty(node: Node) -> bool:
    if isinstance(node, ScalarNode):
        return node.is_null
    return isinstance(node, MappingNode) and not node.entries
