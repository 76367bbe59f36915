"""A client of the control socket, for the command line and other programs: the standard library and nothing else."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from agent.control.errors import AgentUnreachable, NotAllowed
from agent.control.facade import Document, Event
from agent.errors import AgentError

DEFAULT_SOCKET = Path("/run/camera-agent/control.sock")
SOCKET_VARIABLE = "CAMERA_AGENT_SOCKET"


class Refused(AgentError):
    """The agent's own error, as it was told over the socket. Details: trace_id, status, and the error's."""

    def __init__(self, status: int, told: Mapping[str, Any]) -> None:
        details, exit_code = told.get("details"), told.get("exit_code")
        details = details if isinstance(details, dict) else {}
        super().__init__(
            str(told.get("message", f"the agent answered {status}")),
            hint=str(told.get("hint", "")),
            **{key: value for key, value in details.items() if key not in ("message", "hint")},
        )
        self.code = str(told.get("code", "error"))  # type: ignore[misc]
        self.exit_code = exit_code if isinstance(exit_code, int) and 0 < exit_code < 256 else 1  # type: ignore[misc]
        self.details["status"] = status
        self.details["trace_id"] = told.get("trace_id", "")


@dataclass(frozen=True, slots=True)
class Received:
    """A picture as it came; `headers` by their names in small letters (docs/control-api.md)."""

    data: bytes
    headers: Mapping[str, str]


class Client:
    """Asks the agent at a socket, one request at a time. A context manager; `release()` is idempotent.

    Not for several threads at once. What is held (`hold=True`), and a capture that waits, end with it. Methods raise
    Refused with the agent's error, AgentUnreachable, NotAllowed.
    """

    def __init__(self, path: Path | None = None, *, timeout_s: float = 60.0) -> None:
        """`path`: the socket; None: that of CAMERA_AGENT_SOCKET, else of an installed agent. Nothing is opened yet."""
        self.path = path or Path(os.environ.get(SOCKET_VARIABLE) or DEFAULT_SOCKET)
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abort(self) -> None:
        """End what another thread waits for here: it finds the connection closed. Nothing happens where none is."""
        connection = self._connection
        if isinstance(connection, _UnixConnection):
            connection.interrupt()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Document:
        """One request: `ask("GET", "/v1/cameras")`."""
        response = self._send(method, path, body)
        try:
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.release()
            raise self._unreachable(error) from error
        document = _document(data)
        if response.status >= http.client.BAD_REQUEST:
            raise Refused(response.status, document)
        return document

    def events(self, after: int | None = None) -> Iterator[Event]:
        """Events as they happen, until the agent ends or this client is released. Then it has to be used anew."""
        response = self._send("GET", "/v1/events" + ("" if after is None else f"?after={after}"), None)
        if response.status >= http.client.BAD_REQUEST:
            raise Refused(response.status, _document(response.read()))
        try:
            while line := response.readline():
                if line.startswith(b"data: "):
                    yield self._event(_document(line[6:]))
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            response.close()
            self.release()

    def snapshot(self, camera: str, **query: str | int) -> Received:
        """A picture of the next frame: `width=640`, `after="now"`, `format="png"`, `timeout="2s"`, `quality=80`."""
        response = self._send("GET", _picture_path(camera, "snapshot", query), None)
        try:
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.release()
            raise self._unreachable(error) from error
        if response.status >= http.client.BAD_REQUEST:
            raise Refused(response.status, _document(data))
        return Received(data, {name.lower(): value for name, value in response.getheaders()})

    def pictures(self, camera: str, **query: str | int) -> Iterator[Received]:
        """Pictures as they come, the newest each time, until the agent ends them or this client is released.

        `rate=10`, `width=640`, `quality=80`. Then the client has to be used anew.
        """
        response = self._send("GET", _picture_path(camera, "stream", query), None)
        if response.status >= http.client.BAD_REQUEST:
            raise Refused(response.status, _document(response.read()))
        try:
            while line := response.readline():
                if line.startswith(b"--") and (headers := _part_headers(response)):
                    yield Received(response.read(int(headers["content-length"])), headers)
                    response.readline()  # what ends the picture is no line of a head
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            response.close()
            self.release()

    def _event(self, told: Document) -> Event:
        match told.get("id"), told.get("kind"), told.get("at_ns"), told.get("data"):
            case int(number), str(kind), int(at_ns), dict(data):
                return Event(number, kind, at_ns, data)
            case _:
                raise self._no_agent()

    def _listed(self, document: Document, key: str) -> list[Document]:
        found = document.get(key)
        if not isinstance(found, list):
            raise self._no_agent()
        return found

    def _no_agent(self) -> AgentUnreachable:
        return AgentUnreachable(
            f"what answers at {self.path} is no agent",
            hint="--socket and CAMERA_AGENT_SOCKET name another socket",
            socket=str(self.path),
        )

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> http.client.HTTPResponse:
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        kept = self._connection is not None
        connection = self._connection = self._connection or _UnixConnection(self.path, self._timeout_s)
        try:
            connection.request(method, path, data, headers)
            return connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.release()
            if kept and method == "GET":  # an idle connection may be closed at any time
                return self._send(method, path, body)
            raise self._unreachable(error) from error
        except (OSError, http.client.HTTPException) as error:
            self.release()
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> AgentError:
        path = str(self.path)
        if isinstance(error, PermissionError):
            return NotAllowed(
                f"{path}: permission denied",
                hint="ask as a member of the group of the socket: `ls -l` shows it, `sudo adduser NAME GROUP` joins it",
                socket=path,
            )
        if isinstance(error, TimeoutError):
            return AgentUnreachable(
                f"the agent at {path} did not answer within {self._timeout_s:g} s",
                hint="`systemctl status camera-agent` tells how it is",
                socket=path,
            )
        why = getattr(error, "strerror", None) or str(error)
        return AgentUnreachable(
            f"no agent answers at {path}: {why}",
            hint="start it with `systemctl start camera-agent` or `camera-agent serve`; --socket names another socket",
            socket=path,
        )

    # -- verbs -------------------------------------------------------------------------------------------------------

    def health(self) -> Document:
        """Whether all is well."""
        return self.ask("GET", "/v1/health")

    def cameras(self) -> list[Document]:
        """All cameras."""
        return self._listed(self.ask("GET", "/v1/cameras"), "cameras")

    def plans(self) -> list[Document]:
        """All plans."""
        return self._listed(self.ask("GET", "/v1/plans"), "plans")

    def start(self, camera: str, *, hold: bool = False) -> Document:
        """Start a stream; with `hold` it ends with this client."""
        return self.ask("PUT", f"/v1/cameras/{named(camera)}/stream", {"hold": hold})

    def stop(self, camera: str) -> Document:
        """End a camera's plans and stream; returns after STREAMOFF did, with its times."""
        return self.ask("DELETE", f"/v1/cameras/{named(camera)}/stream")

    def capture(self, camera: str, **options: str) -> Document:
        """One picture of a frame exposed after this call; `exposure="8ms"`, `gain="6dB"`, `timeout="3s"`."""
        return self.ask("POST", f"/v1/cameras/{named(camera)}/captures", options)

    def add_plans(self, plans: Mapping[str, Any], *, hold: bool = False) -> list[Document]:
        """Start plans, all or none: name -> keys as in a plan file; with `hold` they end with this client."""
        return self._listed(self.ask("POST", "/v1/plans", {"plans": plans, "hold": hold}), "plans")

    def cancel(self, kind: str, name: str = "") -> Document:
        """End something: `plan`, `camera`, `client` or `all`."""
        return self.ask("POST", "/v1/cancel", {"kind": kind, "name": name})


def named(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")


def _picture_path(camera: str, what: str, query: Mapping[str, str | int]) -> str:
    return f"/v1/cameras/{named(camera)}/{what}" + (f"?{urlencode(query)}" if query else "")


def _part_headers(response: http.client.HTTPResponse) -> dict[str, str]:
    """Of the next part; empty at the end of all."""
    found = {}
    while line := response.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        found[name.lower()] = value.strip()
    return found


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._made: socket.socket | None = None

    def interrupt(self) -> None:
        """End what is read: `sock` is gone once a response took it over."""
        if self._made is not None:
            with contextlib.suppress(OSError):
                self._made.shutdown(socket.SHUT_RDWR)

    def connect(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(self.timeout)
            made.connect(os.fsencode(self._path))
        except OSError:
            made.close()
            raise
        self.sock = self._made = made


def _document(data: bytes) -> Document:
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {}
