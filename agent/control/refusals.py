"""What a connection answers to bytes that are no request."""

from __future__ import annotations

import h11

from agent.control.bounds import Bounds
from agent.control.errors import BadRequest, HeadTooLarge, Overloaded, TooLarge, TooSlow
from agent.errors import AgentError


def head_too_large(bounds: Bounds) -> HeadTooLarge:
    """Its bytes are more than they may be."""
    return HeadTooLarge("the head of the request is too large", hint="send less", limit_bytes=bounds.head_bytes)


def not_http(error: h11.RemoteProtocolError, bounds: Bounds) -> AgentError:
    """What h11 found, which may also be a head without an end."""
    if error.error_status_hint == 431:
        return head_too_large(bounds)
    return BadRequest(f"this is not HTTP/1.1: {error}"[:200], hint="curl --unix-socket SOCKET http://localhost/v1/...")


def too_large(bounds: Bounds) -> TooLarge:
    """The body is more than it may be."""
    limit_bytes = bounds.body_bytes
    return TooLarge(
        f"the body is larger than {limit_bytes} bytes", hint="send it in several requests", limit_bytes=limit_bytes
    )


def too_slow(what: str, limit_ns: int) -> TooSlow:
    """It was begun, and did not come in time."""
    return TooSlow(
        f"the {what} of the request did not come within {limit_ns // 1_000_000} ms",
        hint="send it at once",
        limit_ns=limit_ns,
    )


def too_many(bounds: Bounds) -> Overloaded:
    """Others send so much at this moment that there is no room for it."""
    return Overloaded(
        f"more than {bounds.bodies_bytes} bytes are being received from all clients",
        hint="ask again in a second",
        bound="bodies_bytes",
        limit=bounds.bodies_bytes,
    )
