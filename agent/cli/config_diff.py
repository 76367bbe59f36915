"""What `config diff` compares, and how it is told."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.capture.relayed import relayed
from agent.cli.show import line, print_all
from agent.config.changes import diff
from agent.config.changes_told import tell
from agent.config.service_file import load_service_file
from agent.errors import AgentError

_HEADINGS = {"stops": "stops", "starts": "starts", "changes": "changes in place", "same": "goes on as it is"}
_TARGET = "/v1/config/diff"
_ERROR_KEYS = ("code", "message", "hint")
_WAIT_S = 5.0
_ANSWER_BYTES = 16 * 1024 * 1024


class AgentNotThere(AgentError):
    """No agent answers at the socket."""

    code = "agent_not_there"
    exit_code = 3


class _Connection(http.client.HTTPConnection):
    """HTTP/1.1 to a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_WAIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_WAIT_S)
        self.sock.connect(os.fspath(self._path))


def files_diff(new: Path, old: Path) -> Mapping[str, Sequence[str]]:
    """`starts`, `stops`, `changes`, `same` between two files. Raises ConfigError."""
    return tell(diff(load_service_file(old), load_service_file(new))).as_dict()


def asked_diff(path: Path) -> Mapping[str, Sequence[str]]:
    """The same of the running agent, between its files and what is in force. Raises AgentNotThere, and its errors."""
    connection = _Connection(path)
    try:
        connection.request("GET", _TARGET)
        answer = connection.getresponse()
        document = _document(answer)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        hint = "start it with `systemctl start camera-agent`, or compare two files with --against"
        raise AgentNotThere(f"no agent answers at {path}: {reason}", hint=hint, socket=str(path)) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise relayed(*(str(document[key]) for key in _ERROR_KEYS))
    return {key: [str(each) for each in document[key]] for key in _HEADINGS}


def _document(answer: http.client.HTTPResponse) -> dict[str, Any]:
    """Raises ValueError for anything that an agent would not answer."""
    document = json.loads(answer.read(_ANSWER_BYTES))
    keys = _HEADINGS if answer.status == http.client.OK else _ERROR_KEYS
    if not isinstance(document, dict) or not all(key in document for key in keys):
        raise ValueError("what answers is no agent")
    return document


def print_diff(told: Mapping[str, Sequence[str]]) -> None:
    """For people."""
    if not (told["starts"] or told["stops"] or told["changes"]):
        print_all(line("nothing would change"))
        return
    parts = []
    for key, heading in _HEADINGS.items():
        parts += [line(f"{heading}:"), *(line(f"  {each}") for each in told[key])] if told[key] else []
    print_all(*parts)
