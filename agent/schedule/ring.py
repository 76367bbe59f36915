"""A ring of records in shared words: a writer that never waits, readers that know what they missed (mission row H1)."""

from __future__ import annotations

import struct
from collections.abc import Callable

_CLAIMED, _PUBLISHED = 0, 1
_HEADER_WORDS = 2
_RECORD_WORDS = 8
_RECORD = struct.Struct("8q")
_WORD_BYTES = 8

Record = tuple[int, int, int, int, int, int, int, int]
"""The running number, from 1, and the seven values."""


def words_for(records: int) -> int:
    """How many words a ring of so many records takes."""
    return _HEADER_WORDS + records * _RECORD_WORDS


def _capacity(words: memoryview) -> int:
    capacity = (len(words) - _HEADER_WORDS) // _RECORD_WORDS
    if capacity < 1:
        raise ValueError(f"{len(words)} words are too few for a ring")
    return capacity


class Ring:
    """The writer. `words`: zeros at first; a second `Ring` on them, after the first one's end, goes on.

    `fence`: `agent.shared.FENCE`; None is right where stores are seen in their order (x86).
    """

    words_for = staticmethod(words_for)

    __slots__ = ("_end", "_fence", "_number", "_offset", "_words")

    def __init__(self, words: memoryview, fence: Callable[[], None] | None = None) -> None:
        self._words = words
        self._fence = fence
        capacity = _capacity(words)
        self._end = (_HEADER_WORDS + capacity * _RECORD_WORDS) * _WORD_BYTES
        # what a dead writer claimed and never published is written anew under the same number
        self._number: int = words[_PUBLISHED]
        self._offset = (_HEADER_WORDS + self._number % capacity * _RECORD_WORDS) * _WORD_BYTES

    def put(self, a: int, b: int, c: int, d: int, e: int, f: int, g: int) -> None:
        """Write one record over the oldest. Raises struct.error for what no 64-bit integer is, publishing nothing."""
        words, fence = self._words, self._fence
        number = self._number + 1
        words[_CLAIMED] = number
        if fence is not None:
            fence()
        _RECORD.pack_into(words, self._offset, number, a, b, c, d, e, f, g)
        if fence is not None:
            fence()
        words[_PUBLISHED] = self._number = number
        offset = self._offset + _RECORD.size
        self._offset = offset if offset < self._end else _HEADER_WORDS * _WORD_BYTES


class RingReader:
    """A reader; any number of them. It begins with the oldest record that is there."""

    __slots__ = ("_capacity", "_fence", "_next", "_words", "lost")

    def __init__(self, words: memoryview, fence: Callable[[], None] | None = None) -> None:
        self._words = words
        self._fence = fence
        self._capacity = _capacity(words)
        self._next = self._oldest(words[_PUBLISHED])
        self.lost = 0
        """Records this reader missed so far."""

    def read(self) -> tuple[list[Record], int]:
        """The records since the last call, in order, and how many were overwritten before they could be read.

        Published numbers have no gaps: records and losses add up to what was published in between.
        """
        words, fence = self._words, self._fence
        published = words[_PUBLISHED]
        first = max(self._next, self._oldest(published))
        if fence is not None:
            fence()
        raw = self._copy(first, published)
        if fence is not None:
            fence()
        intact = max(first, words[_CLAIMED] - self._capacity + 1)
        records: list[Record] = list(_RECORD.iter_unpack(raw[(intact - first) * _RECORD.size :]))
        lost = min(intact, published + 1) - self._next
        self._next = published + 1
        self.lost += lost
        return records, lost

    def _oldest(self, published: int) -> int:
        return max(1, published - self._capacity + 1)

    def _copy(self, first: int, last: int) -> bytes:
        """The bytes of these records, which may wrap around the end."""
        if last < first:
            return b""
        start, end = (first - 1) % self._capacity, last % self._capacity
        if start < end:
            return self._bytes(start, end)
        return self._bytes(start, self._capacity) + self._bytes(0, end)

    def _bytes(self, start: int, end: int) -> bytes:
        return self._words[_HEADER_WORDS + start * _RECORD_WORDS : _HEADER_WORDS + end * _RECORD_WORDS].tobytes()
