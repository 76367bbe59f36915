"""What `config diff` compares, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.cli.show import line, print_all
from agent.config.changes import diff
from agent.config.changes_told import tell
from agent.config.service_file import load_service_file
from agent.control.client import Client
from agent.control.errors import AgentUnreachable

_HEADINGS = {"stops": "stops", "starts": "starts", "changes": "changes in place", "same": "goes on as it is"}
_WAIT_S = 5.0


def files_diff(new: Path, old: Path) -> Mapping[str, Sequence[str]]:
    """`starts`, `stops`, `changes`, `same` between two files. Raises ConfigError."""
    return tell(diff(load_service_file(old), load_service_file(new))).as_dict()


def asked_diff(path: Path | None) -> Mapping[str, Sequence[str]]:
    """The same of the running agent, between its files and what is in force. Raises AgentUnreachable, and its errors.

    `path`: as of a Client.
    """
    with Client(path, timeout_s=_WAIT_S) as client:
        try:
            document = client.ask("GET", "/v1/config/diff")
        except AgentUnreachable as error:
            hint = "start it with `systemctl start camera-agent`, or compare two files with --against"
            raise AgentUnreachable(error.message, hint=hint, **error.details) from error
        if not all(isinstance(document.get(key), list) for key in _HEADINGS):
            hint = "name the agent's socket with --socket, or compare two files with --against"
            raise AgentUnreachable(f"what answers at {client.path} is no agent", hint=hint, socket=str(client.path))
    return {key: [str(each) for each in document[key]] for key in _HEADINGS}


def print_diff(told: Mapping[str, Sequence[str]]) -> None:
    """For people."""
    if not (told["starts"] or told["stops"] or told["changes"]):
        print_all(line("nothing would change"))
        return
    parts = []
    for key, heading in _HEADINGS.items():
        parts += [line(f"{heading}:"), *(line(f"  {each}") for each in told[key])] if told[key] else []
    print_all(*parts)
