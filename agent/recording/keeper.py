"""Which files of a recording have to go: by age and by what all of them take, oldest first. Pure bookkeeping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_SLACK = 64
"""A folder at its limit is brought a 64th below it: the index is not rewritten for each file."""


@dataclass(slots=True)
class KeptFile:
    """A file. `at_ns`: of its last frame, CLOCK_MONOTONIC. `is_earlier`: of another run, so that is only worked out."""

    name: str
    size_bytes: int
    at_ns: int
    is_earlier: bool = False


class Keeper:
    """The files of a folder in the order in which they go. `limit_bytes`, `keep_ns` None: no such limit.

    The file being written never goes: `begin` and `finish` say which that are.
    """

    def __init__(self, limit_bytes: int | None, keep_ns: int | None) -> None:
        self.limit_bytes, self.keep_ns = limit_bytes, keep_ns
        self.total_bytes = 0
        self._files: dict[str, KeptFile] = {}
        self._writing: set[str] = set()

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[KeptFile]:
        return iter(self._files.values())

    def add(self, name: str, size_bytes: int, at_ns: int, *, is_earlier: bool = False) -> None:
        """A file, or more of one that is there; files are added in the order of their age."""
        file = self._files.setdefault(name, KeptFile(name, 0, at_ns, is_earlier))
        file.size_bytes += size_bytes
        file.at_ns = max(file.at_ns, at_ns)
        self.total_bytes += size_bytes

    def shift_earlier(self, by_ns: int) -> None:
        """The clock that files of earlier runs were stamped by was set: they are so much younger than it had seemed."""
        for file in self._files.values():
            if file.is_earlier:
                file.at_ns += by_ns

    def begin(self, name: str) -> None:
        """It is being written."""
        self._writing.add(name)

    def finish(self, name: str) -> None:
        """It is not any more."""
        self._writing.discard(name)

    def remove(self, name: str) -> None:
        """It is gone."""
        file = self._files.pop(name, None)
        if file is not None:
            self.total_bytes -= file.size_bytes

    def fits(self, coming_bytes: int) -> bool:
        """Whether so much more is within the limit."""
        return self.limit_bytes is None or self.total_bytes + coming_bytes <= self.limit_bytes

    def victims(self, now_ns: int, coming_bytes: int) -> list[str]:
        """What has to go before `coming_bytes` are written, oldest first; all there is where that is not enough."""
        old = [] if self.keep_ns is None else self._older_than(now_ns - self.keep_ns)
        gone = {file.name for file in old}
        left = self.total_bytes - sum(file.size_bytes for file in old)
        names = [file.name for file in old]
        if self.limit_bytes is None or left + coming_bytes <= self.limit_bytes:
            return names
        wanted = max(self.limit_bytes - self.limit_bytes // _SLACK - coming_bytes, 0)
        for file in self._removable():
            if left <= wanted:
                break
            if file.name not in gone:
                names.append(file.name)
                left -= file.size_bytes
        return names

    def oldest(self, size_bytes: int) -> list[str]:
        """So many files, oldest first, that they take at least `size_bytes`; all there are where that is less."""
        names, found = [], 0
        for file in self._removable():
            if found >= size_bytes:
                break
            names.append(file.name)
            found += file.size_bytes
        return names

    def _older_than(self, at_ns: int) -> list[KeptFile]:
        found = []
        for file in self._removable():
            if file.at_ns >= at_ns:
                break
            found.append(file)
        return found

    def _removable(self) -> Iterator[KeptFile]:
        return (file for file in self._files.values() if file.name not in self._writing)
