"""Errors that came from another process, raised here in their own words and with their own exit code."""

from __future__ import annotations

from collections.abc import Mapping

from agent.errors import AgentError

_USUAL_EXIT = 6
"""For a code that no class of ours has: the camera or its driver failed."""


def relayed(
    code: str, message: str, hint: str, *, exit_code: int | None = None, details: Mapping[str, object] | None = None
) -> AgentError:
    """The error to raise; without `exit_code` that of the class which has this code."""
    status = exit_code_of(code) if exit_code is None else exit_code
    kind = type("RelayedError", (AgentError,), {"code": code, "exit_code": status})
    error: AgentError = kind(message, hint=hint)
    # under names of the constructor's own a detail could not be passed to it
    error.details = dict(details or {})
    return error


def exit_code_of(code: str) -> int:
    """What the command line ends with for an error of this code."""
    waiting: list[type[AgentError]] = [AgentError]
    while waiting:
        kind = waiting.pop()
        if kind.code == code:
            return kind.exit_code
        waiting += kind.__subclasses__()
    return _USUAL_EXIT
