"""Answers in pieces: events for whoever listens, pictures for whoever looks. Who is slow loses some of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from agent.control.answer import HEARTBEAT, event_lines
from agent.control.connection import Connection
from agent.control.facade import Agent, EventStream
from agent.control.picture import Picture, PictureStream
from agent.control.routes import BOUNDARY, Call, ask_snapshot, ask_view

_HEARTBEAT_S = 15.0
_PIECE_BYTES = 64 * 1024
_FRESH = ("cache-control", "no-store")
_FIRST = f"--{BOUNDARY}\r\n".encode()
_LAST = f"\r\n\r\n--{BOUNDARY}--\r\n".encode()
"""Behind a boundary: a part without anything, and the end."""


async def tell(connection: Connection, events: EventStream, trace_id: str, *, only_head: bool) -> None:
    """Events as server-sent events until they end or the client has gone. Raises ConnectionResetError."""
    connection.open_stream((("content-type", "text/event-stream"), _FRESH, ("x-trace-id", trace_id)))
    if only_head:
        await events.aclose()
    else:
        await _pump(connection, events)


async def _pump(connection: Connection, events: EventStream) -> None:
    following: asyncio.Task[Any] | None = None
    try:
        await connection.send(HEARTBEAT)
        while True:
            following = following or asyncio.ensure_future(anext(events, None))
            done, _ = await asyncio.wait((following,), timeout=_HEARTBEAT_S)
            event = following.result() if done else None
            if done and event is None:
                return
            await connection.send(HEARTBEAT if event is None else event_lines(event))
            following = None if done else following
    finally:
        if following is not None:
            following.cancel()
        await events.aclose()


async def give(connection: Connection, agent: Agent, call: Call, trace_id: str, *, only_head: bool) -> None:
    """One picture, as large as it is, without a turn of the event loop that copies all of it.

    Raises what `Agent.snapshot` raises, before anything is answered; ConnectionResetError.
    """
    picture = await ask_snapshot(agent, call)
    size = str(len(picture.data))
    known = (("content-type", picture.media), ("content-length", size), _FRESH, ("x-trace-id", trace_id))
    connection.open_stream((*known, *picture.headers()))
    if not only_head:
        for piece in _pieces(memoryview(picture.data)):
            await connection.send(piece)


async def show(connection: Connection, agent: Agent, call: Call, trace_id: str, *, only_head: bool) -> None:
    """Pictures as multipart/x-mixed-replace until they end or the client has gone.

    Raises what `Agent.view` raises, before anything is answered; ConnectionResetError.
    """
    pictures = await ask_view(agent, call)
    try:
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        connection.open_stream((("content-type", kind), _FRESH, ("x-trace-id", trace_id)))
        if not only_head:
            await _show_all(connection, pictures)
    finally:
        await pictures.aclose()


async def _show_all(connection: Connection, pictures: PictureStream) -> None:
    """A picture is chosen when the client has read the one before: so it is the newest, and none waits in a row."""
    await connection.send(_FIRST)
    while True:
        await connection.room()
        picture = await anext(pictures, None)
        if picture is None:
            await connection.send(_LAST)
            return
        for piece in part_of(picture):
            await connection.send(piece)


def part_of(picture: Picture) -> Iterator[bytes]:
    """A picture as one part of the stream (RFC 2046): headers, the picture, and the boundary of the part to come.

    It comes with this part and not with the next: Chromium shows a picture when it has read the boundary behind it.
    In pieces, so that no turn of the event loop is spent on copying megabytes: a cancel would wait for its end.
    """
    headers = [("content-type", picture.media), ("content-length", str(len(picture.data))), *picture.headers()]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    view = memoryview(picture.data)
    first = view[: _PIECE_BYTES // 2]
    yield b"".join((f"{lines}\r\n".encode("latin-1"), first))
    yield from _pieces(view[len(first) :])
    yield b"\r\n" + _FIRST


def _pieces(view: memoryview) -> Iterator[bytes]:
    for start in range(0, len(view), _PIECE_BYTES):
        yield bytes(view[start : start + _PIECE_BYTES])
