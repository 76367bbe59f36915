"""The last door before STREAMON: shut by the loop, passed by the thread that starts the stream, never both."""

from __future__ import annotations

import threading

from agent.errors import AgentError
from agent.units import format_duration


class StartAbandoned(AgentError):
    """The stream was not started: somebody cancelled, or preparing it took longer than its limit."""

    code = "start_abandoned"


class StartGate:
    """One start. Two threads use it: `enter` in the one that starts, `shut` in the loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered = False
        self._shut = False

    def enter(self) -> None:
        """Go through; STREAMON follows. Raises StartAbandoned when the door was shut."""
        with self._lock:
            if self._shut:
                raise StartAbandoned("cancelled before the stream was started", hint="start it again")
            self._entered = True

    def shut(self) -> bool:
        """Keep the start from happening; False when it is too late, and the stream must be stopped."""
        with self._lock:
            self._shut = not self._entered
            return self._shut

    def check_time(self, now_ns: int, deadline_ns: int, limit_ns: int, path: str) -> None:
        """Raises StartAbandoned when the deadline for opening and preparing `path` has passed."""
        if now_ns > deadline_ns:
            raise StartAbandoned(
                f"opening and preparing {path} took longer than its limit of {format_duration(limit_ns)}",
                hint="raise limits.session, or look into journalctl -k for what the camera does",
            )
