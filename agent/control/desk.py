"""What a connection is at, and the desk that it takes its requests to."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

from agent.control.answer import Answer
from agent.control.request import Request
from agent.errors import AgentError

if TYPE_CHECKING:
    from agent.control.connection import Connection

URGENT = (b"DELETE ", b"POST /v1/cancel ")
"""How a request begins that may end something: it is read before all that waits."""


class Phase(enum.Enum):
    """What a connection is at; the first word of what is told when it takes too long."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    BUSY = "busy"
    ENDING = "ending"
    """Nothing is read any more; what is written still leaves."""


class Desk(Protocol):
    """Where a connection takes its requests. All its methods return at once."""

    def ready(self, connection: Connection) -> None:
        """Bytes are there; `advance` when its turn comes."""
        ...

    def begin(self, connection: Connection, request: Request) -> None:
        """A whole request: it is answered by `answer`, or by `open_stream`, some time."""
        ...

    def has_room(self) -> bool:
        """All bodies that are being received are together within their bound."""
        ...

    def refuse(self, connection: Connection, error: AgentError) -> Answer:
        """The answer to what is no request."""
        ...

    def gone(self, connection: Connection) -> None:
        """It is closed; its socket is free."""
        ...
