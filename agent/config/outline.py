"""What the reader asks for, noted while it is led over a document that is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent.config.document import MappingNode, ScalarNode
from agent.config.problems import Problems
from agent.config.reader import Kind, Table, Value

T = TypeVar("T")
_NOTHING = MappingNode(1, ())
_ANYTHING = ScalarNode(1, "?", plain=True)


@dataclass(frozen=True, slots=True)
class Way:
    """How the reader is led: what stands wherever it looks before it asks, and the path of one key that is missing."""

    maps: bool = False
    missing: str = ""


@dataclass(slots=True)
class Shape:
    """What the reader takes at one path. `kinds`: single values. `keys`: of a table. `names`: of keys of one's choice.

    `required_without`: the keys that have to be there when one is missing, by that one.
    """

    kinds: list[Kind[Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    names: Kind[str] | None = None
    is_list: bool = False
    required_without: dict[str, set[str]] = field(default_factory=dict)


class Outline:
    """All that was asked for on all ways, by path: `plans.*.every`; the whole is at the empty path. One thread."""

    def __init__(self) -> None:
        self.shapes: dict[str, Shape] = {}
        self._way = Way()

    def follow(self, way: Way, read: Callable[[Table], object]) -> None:
        """Lead the reader over the document once more."""
        self._way = way
        _Asked(Problems(""), _NOTHING if way.maps else _ANYTHING, "", 1, self).table(read)

    def paths(self) -> Iterator[str]:
        """The paths of all keys of tables that are known so far."""
        for path, shape in list(self.shapes.items()):
            yield from (below(path, key) for key in shape.keys)

    def shape(self, path: str) -> Shape:
        """What is noted of one path."""
        return self.shapes.setdefault(path, Shape())

    def has(self, path: str) -> bool:
        """Whether something stands there on this way."""
        return path != self._way.missing

    def note_required(self, path: str, name: str) -> None:
        """A key of the table at `path` that has to be there on this way."""
        above, _, missing = self._way.missing.rpartition(".")
        if missing and above == path:
            self.shape(path).required_without.setdefault(missing, set()).add(name)


def below(path: str, key: str) -> str:
    """The path of a key."""
    return f"{path}.{key}" if path else key


@dataclass(frozen=True, slots=True)
class _Asked(Value):
    """A place of the document. Each question is noted; the answer is as after a problem, so that nothing is built."""

    outline: Outline

    @property
    def is_null(self) -> bool:
        return False

    @property
    def is_empty(self) -> bool:
        return False

    def scalar(self, kind: Kind[T]) -> T | None:
        self.outline.shape(self.key).kinds.append(kind)
        self.refuse("", "")
        return None

    def items(self, read: Callable[[Value], T | None]) -> tuple[T, ...]:
        self.outline.shape(self.key).is_list = True
        read(self._at(f"{self.key}[]"))
        return ()

    def item(self, _index: int) -> Value:
        return self

    def child(self, _name: str) -> Value:
        return self

    def table(self, read: Callable[[Table], T]) -> T | None:
        self.outline.shape(self.key)
        return read(_AskedTable(self))

    def mapping(self, key_kind: Kind[str], read: Callable[[str, Value], T | None]) -> dict[str, T]:
        self.outline.shape(self.key).names = key_kind
        read(key_kind.example, self._at(f"{self.key}.*"))
        return {}

    def at_key(self, name: str) -> Value | None:
        """What stands behind a key of the table that this is."""
        keys = self.outline.shape(self.key).keys
        if name not in keys:
            keys.append(name)
        path = below(self.key, name)
        return self._at(path) if self.outline.has(path) else None

    def _at(self, path: str) -> _Asked:
        return _Asked(self.problems, self.node, path, self.line, self.outline)


class _AskedTable(Table):
    """A table that has every key, but for the one that is missing."""

    def __init__(self, value: _Asked) -> None:
        super().__init__(value, _NOTHING)
        self._asked = value

    def take(self, name: str) -> Value | None:
        return self._asked.at_key(name)

    def required(self, name: str, kind: Kind[T]) -> T | None:
        self._asked.outline.note_required(self._asked.key, name)
        return self.scalar(name, kind, None)

    def finish(self) -> None:
        """Nothing stands there that was not asked for."""
