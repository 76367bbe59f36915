"""Frames of the agent's cameras for other programs, without a copy. Needs numpy, and loads no more than it.

    from agent.client import connect

    with connect("top") as feed:
        for frame in feed:
            print(frame.sequence, frame.image.mean())

docs/python-client.md is a guide; docs/frame-protocol.md says what other languages have to do.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent.client.errors import (
    AgentUnreachable,
    Ended,
    GivenBack,
    InputError,
    NoFrame,
    NotAllowed,
    ProtocolError,
    Refused,
    Revoked,
)
from agent.client.feed import Feed
from agent.client.frame import Frame
from agent.client.wanted import wanted

if TYPE_CHECKING:
    from agent.client.async_feed import AsyncFeed

__all__ = [
    "AgentUnreachable",
    "Ended",
    "Feed",
    "Frame",
    "GivenBack",
    "InputError",
    "NoFrame",
    "NotAllowed",
    "ProtocolError",
    "Refused",
    "Revoked",
    "connect",
    "connect_async",
]


def connect(
    target: str,
    *,
    kind: str = "camera",
    every: bool = False,
    after_ns: int | None = None,
    most: int = 1,
    depth: int = 8,
    lease_s: float | None = None,
    timeout_s: float | None = None,
    socket: str | os.PathLike[str] | None = None,
    reconnect: bool = True,
) -> Feed:
    """Subscribe to a camera's frames, or those of a group or plan (`kind`).

    The newest frame only, or with `every` all of them, of which `depth` wait (1 to 1024). `after_ns`: none whose
    exposure began before that instant of CLOCK_MONOTONIC. `most`: frames that may be lent at a time (1 to 64).
    `lease_s`: how long one may be kept, at most 10; None: 1. `timeout_s`: how long a frame is waited for; None: for
    ever. `socket`: the agent's; None: beside that of CAMERA_AGENT_SOCKET, else of an installed agent. `reconnect`:
    connect again when the connection ends, as when a camera's process is replaced.

    Raises InputError, AgentUnreachable, NotAllowed. What the agent refuses is raised when the first frame is taken.
    """
    subscription = wanted(target, kind=kind, every=every, after_ns=after_ns, most=most, depth=depth, lease_s=lease_s)
    return Feed(subscription, socket, reconnect=reconnect, timeout_s=timeout_s)


def connect_async(
    target: str,
    *,
    kind: str = "camera",
    every: bool = False,
    after_ns: int | None = None,
    most: int = 1,
    depth: int = 8,
    lease_s: float | None = None,
    timeout_s: float | None = None,
    socket: str | os.PathLike[str] | None = None,
    reconnect: bool = True,
) -> AsyncFeed:
    """What `connect` does, for `async with` and `async for`. Arguments and errors are the same."""
    from agent.client.async_feed import AsyncFeed

    subscription = wanted(target, kind=kind, every=every, after_ns=after_ns, most=most, depth=depth, lease_s=lease_s)
    return AsyncFeed(subscription, socket, reconnect=reconnect, timeout_s=timeout_s)
