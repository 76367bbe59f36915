"""`camera-agent config`: look at the service's configuration, and at what a reload would do."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.asked import socket_option
from agent.cli.options import json_option

_EPILOG = """\b
Examples:
  camera-agent config check                            all that is wrong, or nothing
  camera-agent config show --json | jq .document       all files as one
  camera-agent config diff                             what `systemctl reload camera-agent` would do
  camera-agent config diff new.yaml --against old.yaml the same between two files
  camera-agent config reload                           have the running agent read it anew
  camera-agent config schema > camera-agent.json       for editors that complete and check

\b
The configuration is /etc/camera-agent/config.yaml and every *.yaml in /etc/camera-agent/config.d;
with another FILE.yaml, the folder FILE.d beside it. docs/configuration.md describes it.

\b
Exit codes: 0 nothing is wrong, 2 something is; of diff and reload also 3, no agent answers at the socket, and 4,
you may not. Of reload 1: it is in force, but a process would not do all of it.
"""
_FILE = click.Path(path_type=Path)
_USUAL_FILE = Path("/etc/camera-agent/config.yaml")


@click.group(epilog=_EPILOG)
def config() -> None:
    """Check, show, compare and reload the configuration of the service."""


@config.command()
@click.argument("file", type=_FILE, metavar="[FILE.yaml]", default=_USUAL_FILE)
@json_option
def check(*, file: Path, as_json: bool) -> None:
    """Say all that is wrong with the configuration; with nothing wrong, what it comes to. Nothing is changed."""
    from agent.cli.config_check import print_check, print_check_json
    from agent.config.service_file import load_service_file

    (print_check_json if as_json else print_check)(load_service_file(file))


@config.command()
@click.argument("file", type=_FILE, metavar="[FILE.yaml]", default=_USUAL_FILE)
@json_option
def show(*, file: Path, as_json: bool) -> None:
    """Print all files as one, checked; aliases written out. Without --json it is YAML that can be used as a file."""
    from agent.cli.config_check import print_document
    from agent.cli.show import print_json
    from agent.config.service_file import load_service_file

    read = load_service_file(file)
    if as_json:
        print_json({"files": list(read.files), "document": dict(read.document)})
        return
    print_document(read)


@config.command()
@click.argument("file", type=_FILE, metavar="[FILE.yaml]", default=None, required=False)
@click.option("--against", type=_FILE, metavar="OLD.yaml", help="Compare with this file instead of the running agent.")
@socket_option
@json_option
def diff(*, file: Path | None, against: Path | None, socket_path: Path | None, as_json: bool) -> None:
    """Say what a reload would start, stop and change, and what would stream on.

    Without --against, the running agent compares its own files with what is in force. With it, two files are compared
    without an agent: what a reload would do if OLD.yaml were in force and FILE.yaml took its place.
    """
    from agent.cli.config_diff import asked_diff, files_diff, print_diff
    from agent.cli.show import print_json

    if file is not None and against is None:
        raise click.UsageError("the agent compares its own files: name the other one with --against")
    told = asked_diff(socket_path) if against is None else files_diff(file or _USUAL_FILE, against)
    if as_json:
        print_json(told)
        return
    print_diff(told)


@config.command("reload")
@socket_option
@json_option
def reload_(*, socket_path: Path | None, as_json: bool) -> None:
    """Have the running agent read its files anew, and say what was changed. A bad file changes nothing.

    The same as `systemctl reload camera-agent`.
    """
    from agent.cli.asked import opened
    from agent.cli.config_diff import print_diff
    from agent.cli.show import print_json
    from agent.errors import StateError

    with opened(socket_path) as asked:
        told = asked.ask("POST", "/v1/config/reload")
    print_json(told) if as_json else print_diff(told)
    if told.get("problems"):
        hint = "the rest is in force; `camera-agent status` tells how it is"
        raise StateError("; ".join(told["problems"]), hint=hint, state="running", verb="reload")


@config.command()
def schema() -> None:
    """Print the JSON schema of the files, for editors.

    It knows which keys there are and what may stand behind them. What has to fit together (names, lines, periods and
    frame rates) only `config check` knows.
    """
    from agent.cli.show import print_json
    from agent.config.schema import service_schema

    print_json(service_schema())
