"""Where Prometheus asks: GET /metrics over TCP, and nothing else. Small and bounded: it must hold up nobody."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import cast

from agent.config.access import Address
from agent.errors import InputError
from agent.service.metrics import CONTENT_TYPE

_MOST = 16
"""Connections at once."""
_HEAD_BYTES = 8192
_LIMIT_S = 5.0
"""From a connection's begin to its end."""


class MetricsBusy(InputError):
    """The address of `metrics:` cannot be listened at. Details: address."""

    code = "metrics_busy"


def listen(address: Address) -> socket.socket:
    """Listen there, without answering yet. Raises MetricsBusy."""
    try:
        if not address.host and socket.has_dualstack_ipv6():
            return socket.create_server(("", address.port), family=socket.AF_INET6, dualstack_ipv6=True)
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise MetricsBusy(
            f"metrics cannot be given out at {address}: {reason}",
            hint="another port; in the service's sandbox also the drop-in for metrics of docs/install.md",
            address=str(address),
        ) from error


class MetricsDoor:
    """Answers at one listening socket, or at none. In the thread of its event loop."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._address: Address | None = None
        self._prepared: tuple[Address, socket.socket] | None = None
        self._server: asyncio.Task[asyncio.Server] | None = None
        self._there: set[_Visit] = set()

    def prepare(self, address: Address | None) -> None:
        """Listen at an address that `move_to` may name next. Raises MetricsBusy."""
        self._forget()
        if address is not None and address != self._address:
            self._prepared = address, listen(address)

    def move_to(self, address: Address | None) -> None:
        """From now on answer there, which was prepared; None: nowhere."""
        if address == self._address:
            return
        server, self._server, self._address = self._server, None, address
        if server is not None:
            server.add_done_callback(lambda made: made.result().close())
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            loop = asyncio.get_running_loop()
            made = loop.create_server(lambda: _Visit(self._text, self._there), sock=prepared[1])
            self._server = loop.create_task(made)

    async def close(self) -> None:
        """Answer nobody any more."""
        server = self._server
        self.move_to(None)
        self._forget()
        if server is not None:
            await server
        for visit in tuple(self._there):
            visit.end()

    def _forget(self) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared[1].close()


class _Visit(asyncio.Protocol):
    """One connection: one request, one answer."""

    def __init__(self, text: Callable[[], str], there: set[_Visit]) -> None:
        self._text, self._there = text, there
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """One too many is sent away."""
        self._transport = cast("asyncio.Transport", transport)
        self._limit = asyncio.get_running_loop().call_later(_LIMIT_S, self.end)
        self._there.add(self)
        if len(self._there) > _MOST:
            self.end()

    def data_received(self, data: bytes) -> None:
        """The head as a whole, then the answer."""
        self._head += data
        if b"\r\n\r\n" in self._head or b"\n\n" in self._head:
            self._answer(self._head.split(b"\n", 1)[0].split())
        elif len(self._head) > _HEAD_BYTES:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        """It has gone."""
        self._limit.cancel()
        self._there.discard(self)

    def end(self) -> None:
        """Whatever it still wants."""
        self._transport.abort()

    def _answer(self, words: list[bytes]) -> None:
        if self._transport.is_closing():
            return
        status, body = "404 Not Found", "GET /metrics\n"
        if words[:1] in ([b"GET"], [b"HEAD"]) and len(words) == 3 and words[1].split(b"?")[0] == b"/metrics":
            status, body = "200 OK", self._text()
        data = body.encode()
        about = f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        head = f"HTTP/1.1 {status}\r\n{about}".encode()
        self._transport.write(head if words[:1] == [b"HEAD"] else head + data)
        self._transport.close()
