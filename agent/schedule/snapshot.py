"""Copies of many shared words that belong together: a seqlock, as in the kernel's seqlock.h (mission row H1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class Snapshot:
    """The writer's side. `word`: one shared word, zero at first; odd while the words it stands for are in change.

    `fence`: `agent.shared.FENCE`; None is right where stores are seen in their order (x86).
    """

    __slots__ = ("_fence", "_number", "_word")

    def __init__(self, word: memoryview, fence: Callable[[], None] | None = None) -> None:
        self._word = word
        self._fence = fence
        # a writer that died between begin and end left it odd: so it stays until our own first end
        self._number: int = word[0] & ~1

    def begin(self) -> None:
        """From now on the words may disagree."""
        self._word[0] = self._number + 1
        if self._fence is not None:
            self._fence()

    def end(self) -> None:
        """They agree again. Begin and end cost a store each; readers never delay the writer."""
        if self._fence is not None:
            self._fence()
        self._word[0] = self._number = self._number + 2


@dataclass(frozen=True, slots=True)
class Copy:
    """Words copied at one time. `whole`: no change was under way, so they agree with each other.

    Not whole: they may disagree, as the writer was in the midst of a change at each try, or died there.
    """

    words: memoryview
    whole: bool


class SnapshotReader:
    """A reader's side, for anybody; `word` is the writer's."""

    __slots__ = ("_fence", "_word")

    def __init__(self, word: memoryview, fence: Callable[[], None] | None = None) -> None:
        self._word = word
        self._fence = fence

    def copy(self, words: memoryview, tries: int = 1000, pause: Callable[[], None] | None = None) -> Copy:
        """Copy `words` between two changes, in at most `tries` tries with a `pause` between them."""
        fence = self._fence
        for left in range(tries - 1, -1, -1):
            before = self._word[0]
            if fence is not None:
                fence()
            taken = words.tobytes()
            if fence is not None:
                fence()
            whole = before & 1 == 0 and self._word[0] == before
            if whole or left == 0:
                return Copy(memoryview(taken).cast("q"), whole)
            if pause is not None:
                pause()
        raise ValueError(f"{tries} tries are none")
