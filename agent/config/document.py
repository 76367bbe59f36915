"""YAML text to nodes that know their lines. Scalars stay text: what `on`, `010` or `1:30` mean, the reader says.

The subset: one document of mappings, sequences and scalars, with anchors, aliases and merge keys (`<<`); no tags, no
tabs, no key twice. Built from PyYAML's events, because its composer neither bounds what aliases expand to nor tells a
key that is written twice. libyaml where PyYAML was built with it: 13 times faster on ten thousand plans.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml

from agent.config.problems import Problems, join, quoted, shortened

FILE_BYTES = 4 * 1024 * 1024
"""A larger file is refused."""
NODES = 500_000
"""As many nodes a file may have, each alias counted as what it stands for."""
DEPTH = 16
"""As deep may they be nested."""
_MERGE = "<<"

Loader = type[yaml.SafeLoader] | type[yaml.CSafeLoader]
LOADER: Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """Text as it stands in the file, escapes resolved. `plain`: without quotes."""

    line: int
    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        """Nothing was written, or `null` or `~`."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list."""

    line: int
    items: tuple[Node, ...]


class Entry(NamedTuple):
    """One key of a mapping, and where it stands. `file`: empty for that of the mapping itself."""

    key: str
    line: int
    node: Node
    file: str = ""


@dataclass(frozen=True, slots=True)
class MappingNode:
    """Keys in the order of the file, each once; merged ones last."""

    line: int
    entries: tuple[Entry, ...]


Node = ScalarNode | SequenceNode | MappingNode


def compose(text: str, problems: Problems, *, loader: Loader = LOADER) -> Node | None:
    """The document's one node; None when there is none, or when the text is not understood as a whole.

    What is wrong goes to `problems`, and the node is what can be made of the rest. A text without a document is wrong.
    """
    before = len(problems)
    root = compose_any(text, problems, loader=loader)
    if root is None and len(problems) == before:
        problems.add(None, "", "the file is empty", "docs/plan-files.md has a complete example to start from")
    return root


def compose_any(text: str, problems: Problems, *, loader: Loader = LOADER) -> Node | None:
    """The same for texts that may well be empty."""
    text = text.removeprefix("\ufeff")
    if not _characters_allowed(text, problems):
        return None
    composer = _Composer(problems)
    try:
        for event in _events(text, loader):
            composer.take(event)
    except _TooMuch as stop:
        problems.add(stop.line, "", stop.message, stop.hint)
        return None
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, problems, text.rstrip("\n").count("\n") + 1)
        return None
    return composer.root


def _events(text: str, loader: Loader) -> Iterator[yaml.Event]:
    """The parser's events. What PyYAML lets through of its own scanner's conversions becomes a YAMLError too."""
    try:
        yield from yaml.parse(text, Loader=loader)
    except (ValueError, OverflowError) as error:
        raise yaml.MarkedYAMLError(problem="a number or an escape that does not exist") from error


def _report_syntax(error: yaml.MarkedYAMLError, problems: Problems, last_line: int) -> None:
    """The parsers put the end of the text beyond its last line; nobody could look there."""
    mark = error.problem_mark or error.context_mark
    context = f", {error.context}" if error.context else ""
    message = f"this is no YAML: {error.problem or 'not understood'}{context}"
    hint = "look at this line and the one before: indentation, a missing colon, quote or bracket"
    problems.add(min(mark.line + 1, last_line) if mark else None, "", message, hint)


def _characters_allowed(text: str, problems: Problems) -> bool:
    """Line by line, as editors count: YAML itself would break lines at U+0085, U+2028 and U+2029 too."""
    before = len(problems)
    for number, line in enumerate(text.split("\n"), start=1):
        if line.isprintable():
            continue
        if "\t" in f" {line}".split(" #")[0]:
            problems.add(number, "", "a tab", "use spaces")
        strange = next(
            (letter for letter in line.removesuffix("\r") if letter != "\t" and not letter.isprintable()), None
        )
        if strange is not None:
            problems.add(number, "", f"the character U+{ord(strange):04X}", "take it out: it cannot be seen")
    return len(problems) == before


class _TooMuch(Exception):
    """The document is given up: more would be guessing."""

    def __init__(self, line: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.hint = hint


class _Anchored(NamedTuple):
    """A finished node with a name, how many nodes it stands for, and how deep it goes."""

    node: Node
    weight: int
    height: int


@dataclass(slots=True)
class _Open:
    """A collection under construction; a mapping's children alternate between keys and values."""

    line: int
    anchor: str | None
    is_mapping: bool
    children: list[Node] = field(default_factory=list)
    weight: int = 1
    height: int = 1


class _Composer:
    """Events in, nodes out: without recursion, and bounded while it goes."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._nodes = 0
        self._documents = 0
        self.root: Node | None = None

    def take(self, event: yaml.Event) -> None:
        """Raises _TooMuch."""
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.ScalarEvent):
            self._untagged(event.tag, line)
            plain = bool(event.implicit[0])
            self._place(_Anchored(ScalarNode(line, event.value, plain), 1, 0), event.anchor, line)
        elif isinstance(event, yaml.AliasEvent):
            self._place(self._target(event.anchor or "", line), None, line)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _TooMuch(line, "a second document begins here", "take the line --- out, or make two files")

    def _add(self, line: int, message: str, hint: str, key: str = "") -> None:
        """A problem, with the path to where the composer stands, and to `key` below it."""
        path = ""
        for above in self._open:
            if not above.is_mapping:
                path += f"[{len(above.children)}]"
            elif len(above.children) % 2 and isinstance(above.children[-1], ScalarNode):
                path = join(path, above.children[-1].text)
        self._problems.add(line, join(path, key) if key else path, message, hint)

    def _untagged(self, tag: str | None, line: int) -> None:
        if tag is not None:
            self._add(line, f"the tag {quoted(tag)}", "take it out: what a value is follows from its key")

    def _begin(self, event: yaml.CollectionStartEvent, line: int) -> None:
        self._untagged(event.tag, line)
        if len(self._open) >= DEPTH:
            raise _too_deep(line)
        self._count(1, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(_Open(line, event.anchor, isinstance(event, yaml.MappingStartEvent)))

    def _target(self, anchor: str, line: int) -> _Anchored:
        if anchor not in self._anchors:
            name = shortened(anchor)
            raise _TooMuch(line, f"the alias *{name} has no anchor", f"write &{name} before what it stands for")
        target = self._anchors[anchor]
        if target is None:
            raise _TooMuch(line, f"the alias *{shortened(anchor)} contains itself", "write out what is meant")
        if len(self._open) + target.height > DEPTH:
            raise _too_deep(line)
        return target

    def _count(self, nodes: int, line: int) -> None:
        self._nodes += nodes
        if self._nodes > NODES:
            hint = "make several files; an alias counts as all it stands for"
            raise _TooMuch(line, f"the file has more than {NODES:,} values", hint)

    def _place(self, made: _Anchored, anchor: str | None, line: int) -> None:
        self._count(made.weight, line)
        self._attach(made, anchor)

    def _attach(self, made: _Anchored, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = made
        if not self._open:
            self.root = made.node
            return
        parent = self._open[-1]
        parent.children.append(made.node)
        parent.weight += made.weight
        parent.height = max(parent.height, made.height + 1)

    def _end(self) -> None:
        done = self._open.pop()
        node = self._mapping(done) if done.is_mapping else SequenceNode(done.line, tuple(done.children))
        self._attach(_Anchored(node, done.weight, done.height), done.anchor)

    def _mapping(self, done: _Open) -> MappingNode:
        found: dict[str, Entry] = {}
        merged: list[MappingNode] = []
        for key, value in zip(done.children[::2], done.children[1::2], strict=True):
            if not isinstance(key, ScalarNode):
                self._add(key.line, "a key that is a list or a mapping", "write a name, then a colon")
            elif key.is_null:
                self._add(key.line, "a key without a name", "write a name before the colon")
            elif key.plain and key.text == _MERGE:
                merged += self._merged(value, key.line)
            elif key.text in found:
                message = f"written twice: here and on line {found[key.text].line}"
                self._add(key.line, message, "keep one of them, or give one another name", key.text)
            else:
                found[key.text] = Entry(key.text, key.line, value)
        for mapping in merged:
            for entry in mapping.entries:
                found.setdefault(entry.key, entry)
        return MappingNode(done.line, tuple(found.values()))

    def _merged(self, value: Node, line: int) -> list[MappingNode]:
        candidates = value.items if isinstance(value, SequenceNode) else (value,)
        mappings = [node for node in candidates if isinstance(node, MappingNode)]
        if len(mappings) != len(candidates):
            self._add(line, "<< merges mappings, and this is none", "write <<: *name of one with an anchor", _MERGE)
        return mappings


def _too_deep(line: int) -> _TooMuch:
    return _TooMuch(line, f"nested more than {DEPTH} deep", "docs/plan-files.md shows what belongs where")
