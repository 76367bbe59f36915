"""The last door before STREAMON: shut by the loop, passed by the thread that starts the stream, never both."""

from __future__ import annotations

import threading

from agent.errors import AgentError


class StartGate:
    """One start. Two threads use it: `enter` in the one that starts, `shut` in the loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered = False
        self._because: AgentError | None = None

    def enter(self) -> None:
        """Go through; STREAMON follows. Raises what the door was shut with."""
        with self._lock:
            if self._because is not None:
                raise self._because
            self._entered = True

    def shut(self, because: AgentError) -> bool:
        """Keep the start from happening; the first reason is kept. False: too late, the stream must be stopped."""
        with self._lock:
            if not self._entered:
                self._because = self._because or because
            return not self._entered
