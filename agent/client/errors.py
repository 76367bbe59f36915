"""What can go wrong for a client of frames; `code` is stable, `hint` says what to do."""

from __future__ import annotations

from agent.control.errors import AgentUnreachable, NotAllowed
from agent.errors import AgentError, InputError, StateError
from agent.frames.borrowed import Revoked
from agent.frames.borrower import RefusedByLender
from agent.frames.values import ProtocolError

__all__ = [
    "AgentUnreachable",
    "Ended",
    "GivenBack",
    "InputError",
    "NoFrame",
    "NotAllowed",
    "ProtocolError",
    "Refused",
    "Revoked",
]

Refused = RefusedByLender
"""The agent gives no frames, or no more of them: `code`, `message` and `hint` are its own."""


class NoFrame(AgentError):
    """No frame came within the time. Details: target, timeout_s, and states: what each camera was last said to do."""

    code = "no_frame"


class Ended(AgentError):
    """The connection ended, and no other was wanted."""

    code = "connection_ended"


class GivenBack(StateError):
    """A frame is used after it was given back: its memory holds another one by now."""

    code = "given_back"
