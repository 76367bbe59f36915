# SPDX-License-Identifier: GPL-3.0-or-later
"""The control channel: one JSON object a line over a unix socket, one line in answer.

    {"do": "plug"}  {"do": "unplug"}  {"do": "state"}  {"do": "quit"}
    {"do": "fault", "name": "short_frame", "count": 3}      {"do": "clear"}  {"do": "clear", "name": "freeze"}
    {"do": "trigger_mode", "on": true, "line": "rig-lines:trigger", "edge": "rising", "delay_ns": 0, "jitter_ns": 0}

The answer is {"ok": true, ...} or {"ok": false, "code": ..., "message": ...}.
"""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable
from pathlib import Path

from .device import Device
from .errors import OrderError, UvcCameraError

_LONGEST_LINE_BYTES = 1 << 16
Answer = dict[str, object]


def carry_out(device: Device, line: bytes) -> Answer:
    """Do what one line asks of `device`. Every failure becomes an answer."""
    try:
        order = json.loads(line)
        if not isinstance(order, dict):
            raise OrderError("an order is a JSON object")
        return {"ok": True, **_act(device, order)}
    except ValueError as error:
        return {"ok": False, "code": OrderError.code, "message": f"not JSON: {error}"}
    except UvcCameraError as error:
        return {"ok": False, "code": error.code, "message": str(error)}


def _act(device: Device, order: dict[str, object]) -> Answer:
    match order:
        case {"do": "plug"}:
            return {"port": device.plug()}
        case {"do": "unplug"}:
            device.unplug()
        case {"do": "state"}:
            return {"port": device.port}
        case {"do": "fault", "name": str(name), **arguments}:
            device.order_fault(name, arguments)
        case {"do": "clear", "name": str(name)}:
            device.clear_fault(name)
        case {"do": "clear"}:
            device.clear_fault(None)
        case {"do": "trigger_mode", "on": bool(on), "line": str() | None as line, **response}:
            device.trigger_mode(on, line, response)
        case {"do": "quit"}:
            raise SystemExit(0)
        case _:
            raise OrderError(f"no such order: {order}", hint="plug, unplug, state, fault, clear, trigger_mode or quit")
    return {}


class OrderServer:
    """Listens for orders. Release with `close`, which is idempotent. Callbacks run on the loop's one thread."""

    def __init__(self, path: Path, selector: selectors.BaseSelector, carry_out: Callable[[bytes], Answer]) -> None:
        self._path = path
        self._selector = selector
        self._carry_out = carry_out
        self._pending: dict[socket.socket, bytearray] = {}
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Hang up on every client and remove the socket."""
        for client in tuple(self._pending):
            self._hang_up(client)
        if self._listener.fileno() >= 0:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setblocking(False)
        self._pending[client] = bytearray()
        self._selector.register(client, selectors.EVENT_READ, lambda: self._read(client))

    def _read(self, client: socket.socket) -> None:
        pending = self._pending[client]
        try:
            data = client.recv(4096)
            pending += data
            while b"\n" in pending:
                line, _, rest = bytes(pending).partition(b"\n")
                pending[:] = rest
                client.sendall(json.dumps(self._carry_out(line)).encode() + b"\n")
        except OSError:  # the client went away, or does not read its answers: its loss
            data = b""
        if not data or len(pending) > _LONGEST_LINE_BYTES:
            self._hang_up(client)

    def _hang_up(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        del self._pending[client]
        client.close()
