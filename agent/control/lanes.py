"""Whose turn it is: connections with bytes to read, a few in each turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque

from agent.control.connection import Connection


class Lane:
    """First come, first served, `per_turn` at a time; between turns the loop looks at sockets, so cancels overtake."""

    def __init__(self, per_turn: int) -> None:
        self._per_turn = per_turn
        self._waiting: deque[Connection] = deque()
        self._turn: asyncio.Handle | None = None

    def put(self, connection: Connection) -> None:
        """It has its turn after those before it."""
        self._waiting.append(connection)
        self._arrange()

    def close(self) -> None:
        """Nobody has a turn any more."""
        self._waiting.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _arrange(self) -> None:
        if self._turn is None and self._waiting:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        try:
            for _ in range(min(self._per_turn, len(self._waiting))):
                connection = self._waiting.popleft()
                connection.queued = False
                connection.advance()
        finally:
            self._arrange()
