"""Cancel scopes: a tree in which whatever ends a scope ends all below it, with one cause (mission row G1).

Time is an argument. A scope looks up its chain when asked, so cancelling one with ten thousand children costs the same
as cancelling a leaf.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from agent.errors import AgentError


class Cause(enum.Enum):
    """Why a scope ended."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline exceeded"


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a scope: `scope` is the one in the chain that ended first, `by` who or what ended it."""

    cause: Cause
    scope: str
    by: str
    at_ns: int

    def __str__(self) -> str:
        """For people: `camera top cancelled by SIGTERM`."""
        return f"{self.scope} {self.cause.value}" + (f" by {self.by}" if self.by else "")


class ScopeEnded(AgentError):
    """Work was given up because its scope ended. Details: cause, scope, by, at_ns."""

    code = "cancelled"

    def __init__(self, ended: Ended) -> None:
        super().__init__(
            str(ended),
            hint="ask again, with a later deadline if it was one",
            cause=ended.cause.value,
            scope=ended.scope,
            by=ended.by,
            at_ns=ended.at_ns,
        )
        self.ended = ended


class Scope:
    """One node of the tree. Not shared between threads; the first end wins and stays.

    `deadline_ns`: CLOCK_MONOTONIC, None for none of its own; a child never outlives its parent whatever it says.
    """

    __slots__ = ("_deadline_ns", "_ended", "name", "parent")

    def __init__(self, name: str, parent: Scope | None = None, deadline_ns: int | None = None) -> None:
        self.name = name
        self.parent = parent
        self._deadline_ns = deadline_ns
        self._ended: Ended | None = None

    @property
    def deadline_ns(self) -> int | None:
        """The earliest deadline of the chain; None when nobody set one."""
        earliest = self._deadline_ns
        scope = self.parent
        while scope is not None:
            if scope._deadline_ns is not None and (earliest is None or scope._deadline_ns < earliest):
                earliest = scope._deadline_ns
            scope = scope.parent
        return earliest

    def cancel(self, by: str, now_ns: int) -> bool:
        """End this scope and all below it; False when it had ended before, which is then left as it was."""
        if self.ended(now_ns) is not None:
            return False
        self._ended = Ended(Cause.CANCELLED, self.name, by, now_ns)
        return True

    def ended(self, now_ns: int) -> Ended | None:
        """How the first of the chain to end did so; None while all go on. A deadline counts from its very instant.

        Of several that ended at the same instant, the nearest to this scope is told.
        """
        first: Ended | None = None
        scope: Scope | None = self
        while scope is not None:
            own = scope._own_end(now_ns)
            if own is not None and (first is None or own.at_ns < first.at_ns):
                first = own
            scope = scope.parent
        return first

    def check(self, now_ns: int) -> None:
        """Raises ScopeEnded when the scope has ended."""
        ended = self.ended(now_ns)
        if ended is not None:
            raise ScopeEnded(ended)

    def _own_end(self, now_ns: int) -> Ended | None:
        if self._ended is None and self._deadline_ns is not None and now_ns >= self._deadline_ns:
            self._ended = Ended(Cause.DEADLINE, self.name, "", self._deadline_ns)
        return self._ended
