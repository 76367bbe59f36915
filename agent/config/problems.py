"""What is wrong with configuration files, collected until all of it is known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from agent.errors import InputError

_SHOWN = 100
_SUGGESTIONS = 100
_LONGEST_SUGGESTED = 64
_LONGEST_PATH = 4096
"""PATH_MAX of linux/limits.h."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong. `line` counts from 1, None: the file as a whole. `key` as in `plans.lapse.every`, or empty."""

    file: str
    line: int | None
    key: str
    message: str
    hint: str

    @property
    def told(self) -> str:
        """Where and what, without the hint: `plans.yaml:12: plans.lapse.every: ...`."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(filter(None, (where, self.key, self.message)))


class ConfigError(InputError):
    """A configuration file that cannot be used; nothing was changed. `problems`: all that is wrong, by line.

    The message lists the first hundred of them, one a line.
    """

    code = "bad_config"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.line or 0)))
        message, hint = _single(self.problems[0]) if len(self.problems) == 1 else _several(self.problems)
        super().__init__(message, hint=hint, problems=[asdict(problem) for problem in self.problems])


@dataclass(slots=True)
class _Collected:
    """What the collectors of several files share."""

    problems: list[Problem] = field(default_factory=list)
    misshapen: list[Problem] = field(default_factory=list)
    suggestions_left: int = _SUGGESTIONS


class Problems:
    """Collects what is wrong with one file, or with several that are read as one. One owner, one thread."""

    def __init__(self, file: str) -> None:
        self.file = shortened(file, _LONGEST_PATH)
        self._collected = _Collected()

    def __len__(self) -> int:
        return len(self._collected.problems)

    @property
    def misshapen(self) -> tuple[Problem, ...]:
        """Those that are about what may stand where, whatever else stands in the file."""
        return tuple(self._collected.misshapen)

    def of(self, file: str) -> Problems:
        """A collector for another file that is read together with this one: all they find is found by both."""
        other = Problems(file)
        other._collected = self._collected
        return other

    def add(self, line: int | None, key: str, message: str, hint: str) -> None:
        """Keep one problem and go on."""
        self._collected.problems.append(Problem(self.file, line, key, message, hint))

    def add_misshapen(self, line: int | None, key: str, message: str, hint: str) -> None:
        """The same for something that may not stand there, whatever else stands in the file."""
        self.add(line, key, message, hint)
        self._collected.misshapen.append(self._collected.problems[-1])

    def error(self) -> ConfigError:
        """All of them as one error; there has to be one."""
        return ConfigError(self._collected.problems)

    def suggest(self, wrong: str, known: Iterable[str]) -> str:
        """A hint for a misspelt name: the nearest known one, and what there is; bounded in files full of mistakes."""
        names = list(known)
        if not names:
            return "there is none to choose from"
        near: list[str] = []
        if self._collected.suggestions_left and len(wrong) <= _LONGEST_SUGGESTED:
            self._collected.suggestions_left -= 1
            near = difflib.get_close_matches(wrong, names[:1000], n=1) or difflib.get_close_matches(
                wrong.casefold(), names[:1000], n=1
            )
        allowed = ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
        return f"did you mean {near[0]}? There is {allowed}" if near else f"there is {allowed}"


def shortened(text: str, length: int = 60) -> str:
    """Text from a file, fit for one line of a terminal: escaped and cut."""
    cut = text if len(text) <= length else f"{text[: length - 3]}..."
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in cut)


def quoted(text: str) -> str:
    """The same, in quotes."""
    return f"'{shortened(text)}'"


def join(path: str, key: str) -> str:
    """The path of a key below another: `plans` and `lapse` make `plans.lapse`."""
    name = shortened(key)
    return f"{path}.{name}" if path else name


def _single(problem: Problem) -> tuple[str, str]:
    return problem.told, problem.hint


def _several(problems: tuple[Problem, ...]) -> tuple[str, str]:
    lines = [f"  {problem.told}; {problem.hint}" for problem in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"  and {len(problems) - _SHOWN:,} more")
    files = list(dict.fromkeys(problem.file for problem in problems))
    where = files[0] if len(files) == 1 else f"{len(files)} files"
    message = "\n".join((f"{where}: {len(problems):,} problems", *lines))
    return message, "nothing was changed; correct them and try again"
