"""Token buckets in integer nanoseconds (mission row H2).

A bucket's fill is counted in tokens times `period_ns`: each nanosecond adds `amount`, each token taken costs
`period_ns`, so nothing is ever rounded. In any interval of t ns at most burst + amount * t / period_ns tokens are
granted, whichever processes ask. The instant of a grant is the reading its asker brought, or the latest that any
asker brought before, whichever is later: a reading that goes back gives nothing.

State lives in words that processes share, behind a lock that dies with its holder. Every bucket has two slots; a
change is written to the unused ones and then made true by one store to `committed` (docs/decisions/0010).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction

from agent.errors import InputError

_BEGUN, _COMMITTED = 0, 1
_HEADER_WORDS = 2
_STAMP, _AMOUNT, _PERIOD, _CAP, _FILL, _LAST = range(6)
_SLOT_WORDS = 6
_BUCKET_WORDS = 2 * _SLOT_WORDS
_WORD_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Limit:
    """`amount` tokens every `period_ns`, and at most `burst` of them saved up (at least 1)."""

    amount: int
    period_ns: int
    burst: int = 1


class QuotaError(InputError):
    """A limit that cannot be, or a bucket that is not there. Details: key, asked, allowed."""

    code = "bad_quota"


def check_limit(limit: Limit, name: str = "quota") -> None:
    """Raises QuotaError for a limit that never grants anything or is too large to be counted; `name` is for people."""
    for key, value in (("amount", limit.amount), ("period_ns", limit.period_ns), ("burst", limit.burst)):
        if not 1 <= value <= _WORD_MAX:
            raise QuotaError(
                f"{name}: {key} is {value}, which would never grant anything"
                if value < 1
                else f"{name}: {key} is {value}, which is too large",
                hint="to forbid something, leave its plan out; to allow everything, leave its quota out"
                if value < 1
                else f"at most {_WORD_MAX}",
                key=key,
                asked=value,
                allowed=f"1 to {_WORD_MAX}",
            )
    if limit.burst * limit.period_ns > _WORD_MAX:
        most = _WORD_MAX // limit.period_ns
        raise QuotaError(
            f"{name}: a burst of {limit.burst} every {limit.period_ns} ns is too large to be counted exactly",
            hint=f"a burst of at most {most}, or a shorter period with a smaller amount",
            key="burst",
            asked=limit.burst,
            allowed=f"1 to {most}",
        )


class Buckets:
    """A table of token buckets in shared words; every process has its own `Buckets` on the same words.

    `words`: `Buckets.words_for(n)` words, zeros at first. `held`: gives the lock that all processes share, for one
    `with`; it must let go when its holder dies.
    """

    def __init__(self, words: memoryview, held: Callable[[], AbstractContextManager[object]]) -> None:
        self._words = words
        self._held = held
        self.capacity = (len(words) - _HEADER_WORDS) // _BUCKET_WORDS

    @staticmethod
    def words_for(buckets: int) -> int:
        """How many words a table of so many buckets takes."""
        return _HEADER_WORDS + buckets * _BUCKET_WORDS

    def define(self, index: int, limit: Limit, now_ns: int) -> None:
        """Make bucket `index` anew, full; what was there before is forgotten. Raises QuotaError."""
        check_limit(limit)
        at = self._bucket_at(index)
        with self._held():
            stamp = self._next_stamp()
            cap = limit.burst * limit.period_ns
            self._commit(stamp, [(self._unused(at), limit.amount, limit.period_ns, cap, cap, now_ns)])

    def set_limit(self, index: int, limit: Limit, now_ns: int) -> None:
        """Change a limit for all processes at once. Raises QuotaError.

        The level stays, or falls to the new burst. With a new period it is rounded down, by less than 1/period_ns of
        a token.
        """
        check_limit(limit)
        at = self._bucket_at(index)
        with self._held():
            slot = self._current(at)
            fill, last_ns = self._filled(slot, now_ns)
            cap = limit.burst * limit.period_ns
            fill = min(fill * limit.period_ns // self._words[slot + _PERIOD], cap)
            stamp = self._next_stamp()
            self._commit(stamp, [(self._unused(at), limit.amount, limit.period_ns, cap, fill, last_ns)])

    def take(self, indices: Sequence[int], now_ns: int) -> int | None:
        """Take one token of each bucket, or none at all: None when granted, else the first index that refused.

        Raises QuotaError for an index named twice, or a bucket that was not defined.
        """
        if len(set(indices)) != len(indices):
            raise QuotaError(
                f"a bucket is named twice in {list(indices)}", hint="name each once", key="indices", asked=list(indices)
            )
        words = self._words
        with self._held():
            committed = words[_COMMITTED]
            if words[_BEGUN] != committed:
                self._scrub(committed)
            granted = []
            for index in indices:
                at = _HEADER_WORDS + index * _BUCKET_WORDS
                unused = at + _SLOT_WORDS
                first, second = words[at], words[unused]
                if first < second:
                    at, unused = unused, at
                elif first == second:
                    raise _undefined(index)
                amount, period, cap = words[at + _AMOUNT], words[at + _PERIOD], words[at + _CAP]
                fill, last_ns = words[at + _FILL], words[at + _LAST]
                if now_ns > last_ns:
                    fill += amount * (now_ns - last_ns)
                    if fill > cap:
                        fill = cap
                    last_ns = now_ns
                if fill < period:
                    return index
                granted.append((unused, amount, period, cap, fill - period, last_ns))
            self._commit(committed + 1, granted)
        return None

    def level(self, index: int, now_ns: int) -> Fraction:
        """The tokens bucket `index` holds, exactly. Changes nothing. Raises QuotaError."""
        at = self._bucket_at(index)
        with self._held():
            slot = self._current(at)
            return Fraction(self._filled(slot, now_ns)[0], self._words[slot + _PERIOD])

    def next_token_ns(self, index: int, now_ns: int) -> int:
        """The first instant, not before `now_ns`, at which bucket `index` grants if nobody takes of it before.

        Raises QuotaError.
        """
        at = self._bucket_at(index)
        words = self._words
        with self._held():
            slot = self._current(at)
            missing = words[slot + _PERIOD] - words[slot + _FILL]
            if missing <= 0:
                return now_ns
            return max(now_ns, words[slot + _LAST] - (-missing // words[slot + _AMOUNT]))

    def _bucket_at(self, index: int) -> int:
        if not 0 <= index < self.capacity:
            raise _undefined(index)
        return _HEADER_WORDS + index * _BUCKET_WORDS

    def _current(self, at: int) -> int:
        """The slot in force: the younger of those that were committed."""
        words = self._words
        committed = words[_COMMITTED]
        stamps = [(words[slot], slot) for slot in (at, at + _SLOT_WORDS) if 0 < words[slot] <= committed]
        if not stamps:
            raise _undefined((at - _HEADER_WORDS) // _BUCKET_WORDS)
        return max(stamps)[1]

    def _unused(self, at: int) -> int:
        return at if self._words[at] < self._words[at + _SLOT_WORDS] else at + _SLOT_WORDS

    def _filled(self, slot: int, now_ns: int) -> tuple[int, int]:
        words = self._words
        fill, last_ns = words[slot + _FILL], words[slot + _LAST]
        if now_ns <= last_ns:
            return fill, last_ns
        return min(words[slot + _CAP], fill + words[slot + _AMOUNT] * (now_ns - last_ns)), now_ns

    def _next_stamp(self) -> int:
        committed = self._words[_COMMITTED]
        if self._words[_BEGUN] != committed:
            self._scrub(committed)
        return committed + 1

    def _commit(self, stamp: int, slots: Sequence[tuple[int, int, int, int, int, int]]) -> None:
        """Write these slots (its place, then what follows its stamp) and make all of them true at once."""
        words = self._words
        words[_BEGUN] = stamp
        for slot, amount, period_ns, cap, fill, last_ns in slots:
            words[slot] = stamp
            words[slot + _AMOUNT] = amount
            words[slot + _PERIOD] = period_ns
            words[slot + _CAP] = cap
            words[slot + _FILL] = fill
            words[slot + _LAST] = last_ns
        words[_COMMITTED] = stamp

    def _scrub(self, committed: int) -> None:
        """Somebody died in the midst of a change: void the slots that it wrote and never committed."""
        words = self._words
        end = _HEADER_WORDS + self.capacity * _BUCKET_WORDS
        for number, stamp in enumerate(words[_HEADER_WORDS:end:_SLOT_WORDS].tolist()):
            if stamp > committed:
                words[_HEADER_WORDS + number * _SLOT_WORDS] = 0
        words[_BEGUN] = committed


def _undefined(index: int) -> QuotaError:
    return QuotaError(
        f"there is no token bucket {index}", hint="define it before it is asked", key="index", asked=index
    )
