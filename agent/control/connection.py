"""One connection: bytes into requests, answers into bytes, within its bounds. HTTP is h11's (docs/decisions/0020)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import h11

from agent.clock import ReadClock
from agent.control.answer import Answer
from agent.control.bounds import Bounds
from agent.control.desk import URGENT, Desk, Phase
from agent.control.peer import Peer, hung_up
from agent.control.refusals import head_too_large, not_http, too_large, too_many, too_slow
from agent.control.request import parse_request
from agent.errors import AgentError

_UNREAD_BYTES = 64 * 1024
"""So much may lie here while a request is carried out; then the socket is not read."""

_SMALL_BYTES = 8 * 1024
"""A body up to this is taken whatever the others are."""
_STEPS = 64
"""Pieces of a body that are read in one turn; what has more of them waits for the next."""


class Connection(asyncio.Protocol):
    """A client's connection, one request at a time. In the thread of the event loop.

    `only_cancels`: it came when there were too many, and may only end something. `busy`, `phase`, `since_ns` and
    `body_bytes` are for whoever looks after its limits: `expire`.
    """

    def __init__(
        self, number: int, peer: Peer, desk: Desk, bounds: Bounds, now: ReadClock, *, only_cancels: bool = False
    ) -> None:
        self.number = number
        self.peer = peer
        self.only_cancels = only_cancels
        self.phase = Phase.IDLE
        self.since_ns = now()
        self.queued = False
        """It waits for its turn at the desk."""
        self._desk = desk
        self._bounds = bounds
        self._now = now
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=bounds.head_bytes)
        self._transport: asyncio.Transport | None = None
        self._head: h11.Request | None = None
        self._is_head = False
        """The method is HEAD, whose answer has no body."""
        self._body: list[bytes] = []
        self.body_bytes = 0
        self._unread = 0
        self._urgent = False
        self._eof = False
        self._full_since_ns: int | None = None
        self._room = asyncio.Event()
        self._room.set()

    @property
    def busy(self) -> bool:
        """A request of it is carried out."""
        return self.phase is Phase.BUSY

    # -- what asyncio tells ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._transport = transport  # type: ignore[assignment]
        self._transport.set_write_buffer_limits(high=_UNREAD_BYTES)  # type: ignore[union-attr]
        if self.phase is Phase.ENDING:  # it was put out before it was in
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Look only at how it begins; the rest is read when it is this connection's turn."""
        if self.phase is Phase.ENDING:
            return
        fresh = self.phase is Phase.IDLE and not self._http.trailing_data[0]
        self._http.receive_data(data)
        self._unread += len(data)
        if self._unread > _UNREAD_BYTES:
            self._pause()
        if self.busy:
            return
        if fresh:
            self._urgent = data.startswith(URGENT)
            self._enter(Phase.HEAD)
        self._take_up()

    def eof_received(self) -> bool:
        """The client sends no more; whether it still listens is told by the hang-up, not by this."""
        self._eof = True
        self._http.receive_data(b"")
        if self.hung_up():
            return False
        if not self.busy and self.phase is not Phase.ENDING:
            self._take_up()
        return True

    def pause_writing(self) -> None:
        """The client does not read."""
        self._room.clear()
        self._full_since_ns = self._now()

    def resume_writing(self) -> None:
        """It does again."""
        self._room.set()
        self._full_since_ns = None
        if self.phase is Phase.IDLE:
            self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        """Closed, by whichever side."""
        self.phase = Phase.ENDING
        self._transport = None
        self._room.set()
        self._desk.gone(self)

    # -- reading -----------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Read on until a request is whole or bytes are missing."""
        try:
            for _ in range(_STEPS):
                if self.phase not in (Phase.IDLE, Phase.HEAD, Phase.BODY):
                    return
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    self._wait_for_more()
                    return
                self._take(event)
            self._urgent = False
            self._take_up()
        except h11.RemoteProtocolError as error:
            self._refuse(not_http(error, self._bounds))
        except AgentError as error:
            self._refuse(error)

    def _take(self, event: Any) -> None:
        if isinstance(event, h11.Request):
            self._take_head(event)
        elif isinstance(event, h11.Data):
            self._body.append(bytes(event.data))
            self.body_bytes += len(event.data)
            if self.body_bytes > self._bounds.body_bytes:
                raise too_large(self._bounds)
            if self.body_bytes > _SMALL_BYTES and not self._desk.has_room():
                raise too_many(self._bounds)
        elif isinstance(event, h11.EndOfMessage):
            self._whole()
        else:
            self.close()

    def _take_head(self, head: h11.Request) -> None:
        size = len(head.target) + sum(len(name) + len(value) + 4 for name, value in head.headers)
        if size > self._bounds.head_bytes:
            raise head_too_large(self._bounds)
        length = next((int(value) for name, value in head.headers if name == b"content-length"), 0)
        if length > self._bounds.body_bytes:
            raise too_large(self._bounds)
        self._head = head
        self._is_head = head.method == b"HEAD"
        self._body.clear()
        self.body_bytes = 0
        self._enter(Phase.BODY)

    def _whole(self) -> None:
        head, self._head = self._head, None
        if head is None:
            return
        request = parse_request(head.method, head.target, list(head.headers), b"".join(self._body))
        self._body.clear()
        self.body_bytes = 0
        self._urgent = False
        self._enter(Phase.BUSY)
        self._unread = len(self._http.trailing_data[0])
        self._resume()
        self._desk.begin(self, request)

    def _wait_for_more(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            self._write(h11.InformationalResponse(status_code=100, headers=[]))
        self._unread = 0
        self._resume()

    def _take_up(self) -> None:
        if self._urgent:
            self.advance()
        elif not self.queued:
            self.queued = True
            self._desk.ready(self)

    def _next(self) -> None:
        """Begin with what came while the last request was carried out."""
        waiting = self._http.trailing_data[0]
        if (waiting or self._eof) and self._room.is_set():
            self._urgent = waiting.startswith(URGENT)
            self._enter(Phase.HEAD)
            self._take_up()

    # -- writing -----------------------------------------------------------------------------------------------------

    def answer(self, answer: Answer) -> None:
        """Answer the request; then the next one may be read, or nothing more."""
        if self._transport is None:
            return
        self._write_whole(answer, ())
        self._after_answer()

    def open_stream(self, headers: Sequence[tuple[str, str]]) -> None:
        """Begin an answer without an end: `send` what comes, then `end_stream`."""
        self._write(h11.Response(status_code=200, headers=list(headers)))

    @property
    def streams(self) -> bool:
        """An answer without an end was begun, and not ended."""
        return self._http.our_state is h11.SEND_BODY

    async def room(self) -> None:
        """Wait until the client has read what it was sent. Raises ConnectionResetError: it is gone."""
        await self._room.wait()
        if self._transport is None:
            raise ConnectionResetError

    async def send(self, data: bytes) -> None:
        """A piece of the stream, when the client has room for it. Raises ConnectionResetError: it is gone."""
        await self.room()
        self._write(h11.Data(data=data))

    def end_stream(self) -> None:
        """The end of the stream."""
        if self._transport is not None:
            self._write(h11.EndOfMessage())
            self._after_answer()

    def _after_answer(self) -> None:
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE or self.only_cancels:
            self.close()
            return
        self._http.start_next_cycle()
        self._enter(Phase.IDLE)
        self._next()

    def _refuse(self, error: AgentError) -> None:
        """Answer what is no request, and close: where the next one would begin is not known."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = self._desk.refuse(self, error)
            self._write_whole(answer, (("connection", "close"),))
        self.close()

    def _write_whole(self, answer: Answer, more: Sequence[tuple[str, str]]) -> None:
        headers = [*answer.all_headers(), *more]
        response = h11.Response(status_code=answer.status, headers=headers, reason=HTTPStatus(answer.status).phrase)
        body = () if self._is_head else (h11.Data(data=answer.body),)
        self._write(response, *body, h11.EndOfMessage())

    def _write(self, *events: h11.Event) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(filter(None, (self._http.send(event) for event in events))))

    # -- ending ------------------------------------------------------------------------------------------------------

    def hung_up(self) -> bool:
        """The client closed its socket altogether."""
        return self._transport is None or hung_up(self._transport.get_extra_info("socket"))

    def close(self) -> None:
        """Read no more, and close once what is written has left."""
        if self._transport is not None:
            self._enter(Phase.ENDING)
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._enter(Phase.ENDING)
        if self._transport is not None:
            self._transport.abort()

    def expire(self, now_ns: int) -> None:
        """End what has taken too long; to be called a few times a second."""
        waited_ns = now_ns - self.since_ns
        full_ns = 0 if self._full_since_ns is None else now_ns - self._full_since_ns
        unread_ns = max(full_ns, waited_ns if self.phase is Phase.ENDING else 0)
        if unread_ns > self._bounds.drain_ns or (self.busy and self.hung_up()):
            self.abort()
        elif self.phase is Phase.IDLE and waited_ns > self._bounds.idle_ns:
            self.close()
        elif self.phase is Phase.HEAD and waited_ns > self._bounds.head_ns:
            self._refuse(too_slow("head", self._bounds.head_ns))
        elif self.phase is Phase.BODY and waited_ns > self._bounds.body_ns:
            self._refuse(too_slow("body", self._bounds.body_ns))

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since_ns = self._now()

    def _pause(self) -> None:
        if self._transport is not None and not self._eof:
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._eof:
            self._transport.resume_reading()
