"""What a request is answered with: documents and errors as bytes, events as lines of an event stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.control.errors import status_of
from agent.control.facade import Event
from agent.errors import AgentError

HEARTBEAT = b": still here\n\n"
"""A comment of the event stream: nothing to a client, and finds out whether it is still there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, of JSON. `headers` beside content-type, content-length and x-trace-id."""

    status: int
    body: bytes
    trace_id: str
    headers: Sequence[tuple[str, str]] = field(default=())

    def all_headers(self) -> list[tuple[str, str]]:
        """As they are sent."""
        return [
            ("content-type", "application/json"),
            ("content-length", str(len(self.body))),
            ("cache-control", "no-store"),
            ("x-trace-id", self.trace_id),
            *self.headers,
        ]


def encode(document: Any) -> bytes:
    """A JSON document in one line, ASCII. Raises TypeError, ValueError: it is none."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def error_document(error: AgentError, trace_id: str) -> dict[str, Any]:
    """The one shape of errors."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "trace_id": trace_id,
        "exit_code": error.exit_code,
        "details": error.details,
    }


def error_answer(error: AgentError, trace_id: str) -> Answer:
    """An error; details that JSON does not know are told in words."""
    headers: list[tuple[str, str]] = []
    allow = error.details.get("allow")
    if isinstance(allow, list):
        headers.append(("allow", ", ".join(allow)))
    status = status_of(error)
    if status == 429:
        headers.append(("retry-after", "1"))
    body = json.dumps(error_document(error, trace_id), separators=(",", ":"), default=str).encode() + b"\n"
    return Answer(status, body, trace_id, headers)


def event_lines(event: Event) -> bytes:
    """One server-sent event (the HTML standard's text/event-stream): kind, id, and all of it as one line of data."""
    data = {"id": event.id, "kind": event.kind, "at_ns": event.at_ns, "data": event.data}
    return b"event: %s\nid: %d\ndata: %s\n" % (event.kind.encode(), event.id, encode(data)) + b"\n"
