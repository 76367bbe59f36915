"""Nodes to typed values. What is wrong is collected and reading goes on, so that all of it is told at once.

A value that could not be read is None (or its default) from then on: before checks that join several values, look
whether `len(problems)` grew. Keys that nobody asked for are problems too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from agent.config.document import Entry, MappingNode, Node, ScalarNode, SequenceNode
from agent.config.problems import Problems, join, quoted
from agent.errors import InputError

T = TypeVar("T")
D = TypeVar("D")
_NAMES = {ScalarNode: "a single value", SequenceNode: "a list", MappingNode: "a mapping"}


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How one scalar is read. `what` it is and an `example`, for people; `parse` raises InputError.

    `quotes`: False where text in quotes is something else (numbers, true and false). `longest`: characters. `schema`:
    the same as JSON schema: all that it accepts, `parse` takes.
    """

    what: str
    example: str
    parse: Callable[[str], T]
    quotes: bool = True
    longest: int = 64
    schema: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Value:
    """One node, its path of keys, and the line its key stands on."""

    problems: Problems
    node: Node
    key: str
    line: int

    def refuse(self, message: str, hint: str) -> None:
        """A problem with this value."""
        self.problems.add(self.line, self.key, message, hint)

    def misfit(self, message: str, hint: str) -> None:
        """A problem with this value: it may not stand there, whatever else stands in the file."""
        self.problems.add_misshapen(self.line, self.key, message, hint)

    def seen_from(self, other: Value) -> str:
        """Where it stands, told at another value: `line 5`, with its file where that is another."""
        of = "" if self.problems.file == other.problems.file else f" of {self.problems.file}"
        return f"line {self.line}{of}"

    @property
    def text(self) -> str | None:
        """A scalar as it stands; None for a list or a mapping."""
        return self.node.text if isinstance(self.node, ScalarNode) else None

    @property
    def is_null(self) -> bool:
        """Nothing stands there, or `null`."""
        return isinstance(self.node, ScalarNode) and self.node.is_null

    @property
    def is_empty(self) -> bool:
        """A list or a mapping with nothing in it."""
        if isinstance(self.node, ScalarNode):
            return False
        return not (self.node.items if isinstance(self.node, SequenceNode) else self.node.entries)

    @property
    def keys(self) -> frozenset[str] | None:
        """The keys of a mapping as they stand, readable or not; None when it is none."""
        return frozenset(entry.key for entry in self.node.entries) if isinstance(self.node, MappingNode) else None

    def scalar(self, kind: Kind[T]) -> T | None:
        """What stands there, or None after a problem."""
        node = self.node
        if not isinstance(node, ScalarNode):
            self.misfit(
                f"{_NAMES[type(node)]}, where {kind.what} belongs", f"write {kind.what}, such as {kind.example}"
            )
        elif node.is_null:
            self.misfit("nothing stands here", f"write {kind.what}, such as {kind.example}, or take the line out")
        elif len(node.text) > kind.longest:
            message = f"{quoted(node.text)} is longer than {kind.longest} characters"
            self.misfit(message, f"write {kind.what}, such as {kind.example}")
        elif not node.plain and not kind.quotes:
            self.misfit(f"{quoted(node.text)} in quotes is text", f"write {kind.what} without quotes: {kind.example}")
        else:
            try:
                return kind.parse(node.text)
            except InputError as error:
                self.misfit(error.message, error.hint)
        return None

    def items(self, read: Callable[[Value], T | None]) -> tuple[T, ...]:
        """A list, each item read by `read`; those that could not be read are left out, after a problem."""
        if not isinstance(self.node, SequenceNode):
            self._wrong("a list")
            return ()
        values = (_item(self, self.node, index) for index in range(len(self.node.items)))
        return tuple(item for item in map(read, values) if item is not None)

    def item(self, index: int) -> Value:
        """One item of a list, for a problem found later; the value itself where it is no list."""
        return _item(self, self.node, index) if isinstance(self.node, SequenceNode) else self

    def child(self, name: str) -> Value:
        """What stands behind a key of a mapping, for a problem found later; the value itself where there is none."""
        entries = self.node.entries if isinstance(self.node, MappingNode) else ()
        return next((_below(self, entry) for entry in entries if entry.key == name), self)

    def table(self, read: Callable[[Table], T]) -> T | None:
        """A mapping with known keys, read by `read`; None when it is none. Keys that are not asked for are problems."""
        if not isinstance(self.node, MappingNode):
            self._wrong("a mapping")
            return None
        table = Table(self, self.node)
        result = read(table)
        table.finish()
        return result

    def mapping(self, key_kind: Kind[str], read: Callable[[str, Value], T | None]) -> dict[str, T]:
        """A mapping whose keys are names of somebody's choice; entries that could not be read are left out."""
        if not isinstance(self.node, MappingNode):
            self._wrong("a mapping")
            return {}
        found: dict[str, T] = {}
        for entry in self.node.entries:
            value = _below(self, entry)
            key = Value(value.problems, ScalarNode(entry.line, entry.key, plain=False), value.key, entry.line)
            name = key.scalar(key_kind)
            result = read(entry.key, value)
            if name is not None and result is not None:
                found[name] = result
        return found

    def _wrong(self, wanted: str) -> None:
        found = "nothing stands here" if self.is_null else f"this is {_NAMES[type(self.node)]}"
        self.misfit(f"{found}, where {wanted} belongs", "docs/plan-files.md shows how it is written")


def _item(above: Value, sequence: SequenceNode, index: int) -> Value:
    node = sequence.items[index]
    return Value(above.problems, node, f"{above.key}[{index}]", node.line)


def _below(above: Value, entry: Entry) -> Value:
    key = join(above.key, entry.key)
    problems = above.problems.of(entry.file) if entry.file else above.problems
    return Value(problems, entry.node, key, entry.line)


class Table:
    """A mapping with known keys, while it is read: each key that is asked for counts as known."""

    def __init__(self, value: Value, node: MappingNode) -> None:
        self.value = value
        self._entries = {entry.key: entry for entry in node.entries}
        self._known: dict[str, str] = {}

    @property
    def problems(self) -> Problems:
        """Where problems go."""
        return self.value.problems

    def take(self, name: str) -> Value | None:
        """What stands behind a key, None when the key is not there."""
        self._known[name] = ""
        entry = self._entries.get(name)
        return None if entry is None else _below(self.value, entry)

    def scalar(self, name: str, kind: Kind[T], default: D) -> T | D:
        """A key's value; `default` when the key is not there, or after a problem."""
        value = self.take(name)
        read = None if value is None else value.scalar(kind)
        return default if read is None else read

    def required(self, name: str, kind: Kind[T]) -> T | None:
        """A key that has to be there; None after a problem."""
        value = self.take(name)
        if value is None:
            self.value.misfit(f"has no `{name}`", f"write {name}: {kind.example}")
            return None
        return value.scalar(kind)

    def refuse(self, name: str, message: str, hint: str) -> None:
        """A problem with the value of a key, or where it is not there with the whole."""
        (self.take(name) or self.value).refuse(message, hint)

    def foreign(self, hints: Mapping[str, str]) -> None:
        """Keys that people may look for here and that do not exist, with what to write instead."""
        for name, hint in hints.items():
            if name in self._entries:
                _below(self.value, self._entries[name]).misfit("there is no such key", hint)
        self._known.update(hints)

    def finish(self) -> None:
        """Keys that nobody asked for are problems."""
        allowed = [name for name, foreign in self._known.items() if not foreign]
        for entry in self._entries.values():
            if entry.key not in self._known:
                hint = self.problems.suggest(entry.key, allowed)
                _below(self.value, entry).misfit("there is no such key", hint)
