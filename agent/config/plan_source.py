"""The plans of a file that an agent is asked for: as plain values, and what the agent finds wrong at its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.config.document import MappingNode, Node, SequenceNode, compose
from agent.config.files import read_text
from agent.config.problems import ConfigError, Problem, Problems, join
from agent.config.written import Written, written

_KEY = "plans"
_HINT = "docs/plan-files.md describes plan files"


class PlanSource:
    """What stands below `plans:` in one file. What plans mean, the agent says that is to run them."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError: not readable, no YAML, no plans in it."""
        self._problems = Problems(str(path))
        root = compose(read_text(path), self._problems)
        entries = root.entries if isinstance(root, MappingNode) else ()
        plans = next((entry for entry in entries if entry.key == _KEY), None)
        if not self._problems and (plans is None or not isinstance(plans.node, MappingNode)):
            self._problems.add(plans and plans.line, _KEY if plans else "", "there are no plans in it", _HINT)
        if self._problems:
            raise self._problems.error()
        self._root = MappingNode(1, (plans,)) if plans else MappingNode(1, ())

    @property
    def plans(self) -> dict[str, Written]:
        """By name, in the order of the file, aliases written out."""
        found = written(self._root.entries[0].node)
        return found if isinstance(found, dict) else {}

    def chosen(self, names: Sequence[str]) -> dict[str, Written]:
        """Those of these names; of no names all. Raises ConfigError for a name that is not there."""
        plans = self.plans
        for name in names:
            if name not in plans:
                self._problems.add(None, join(_KEY, name), "there is no such plan", self._problems.suggest(name, plans))
        if self._problems:
            raise self._problems.error()
        return {name: plan for name, plan in plans.items() if not names or name in names}

    def located(self, told: Iterable[Mapping[str, Any]]) -> ConfigError:
        """What the agent found wrong, one or more problems of a ConfigError, at the lines of this file."""
        lines = dict(_lines(self._root, ""))
        return ConfigError(
            Problem(self._problems.file, _line(lines, str(each["key"])), *(str(each[key]) for key in _SAME))
            for each in told
        )


_SAME = ("key", "message", "hint")


def _lines(node: Node, path: str) -> Iterator[tuple[str, int]]:
    """The line of every key and item, by its path."""
    if isinstance(node, MappingNode):
        for entry in node.entries:
            below = join(path, entry.key)
            yield below, entry.line
            yield from _lines(entry.node, below)
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.items):
            yield f"{path}[{index}]", item.line
            yield from _lines(item, f"{path}[{index}]")


def _line(lines: Mapping[str, int], key: str) -> int | None:
    """Of the key, or of the nearest one above it."""
    while key and key not in lines:
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return lines.get(key)
