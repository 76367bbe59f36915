"""`camera-agent trigger safe`: every output of a file at its safe level (mission row G3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.asked import opened, socket_option
from agent.cli.options import json_option
from agent.cli.trigger_options import simulate_lines_option

if TYPE_CHECKING:
    from agent.capture.order import GroupOrder
    from agent.cli.bench import Doors
    from agent.config.service_file import ServiceFile
    from agent.errors import AgentError

_EPILOG = """\b
Examples:
  camera-agent trigger safe                  those of the running agent, else of /etc/camera-agent/config.yaml
  camera-agent trigger safe plans.yaml
  camera-agent trigger safe /etc/camera-agent/config.yaml --json

\b
An output that somebody else holds is left to them and told; all others are made safe whatever becomes of it.

\b
Exit codes: 0 every output is safe, or there is none; 2 bad input; otherwise that of the first line which is not.
"""


@click.command(epilog=_EPILOG)
@click.argument("file", type=click.Path(path_type=Path), metavar="[FILE.yaml]", default=None, required=False)
@socket_option
@simulate_lines_option
@json_option
@click.pass_obj
def safe(doors: Doors, /, *, file: Path | None, socket_path: Path | None, simulate: bool, as_json: bool) -> None:
    """Drive the trigger outputs of a file to their safe levels, and let go of them.

    Without a file: of the configuration that is in force in the running agent, and where none answers, of
    /etc/camera-agent/config.yaml. With a file no agent is asked, nor started.

    For after a process was killed: the kernel lets go of its lines, and most chips leave them at the level they had.
    Cameras are not touched. May be done any number of times.
    """
    from agent.capture.safe_lines import make_safe
    from agent.cli.show import print_json

    orders = [order for order in _orders(file, socket_path) if order.trigger is not None]
    with doors.lines(simulate) as lines:
        failures = {order.name: make_safe(lines, order) for order in orders}
    if as_json:
        print_json({"groups": [_as_dict(name, errors) for name, errors in failures.items()]})
    else:
        for name, errors in failures.items():
            click.echo(f"{name}: {'; '.join(str(error) for error in errors) or 'safe'}")
    first = next((error for errors in failures.values() for error in errors), None)
    if first is not None:
        raise first


def _orders(file: Path | None, socket_path: Path | None) -> tuple[GroupOrder, ...]:
    """The groups of the file and of its folder, their cameras wherever they are. Raises ConfigError."""
    from agent.config.folder import USUAL_FILE
    from agent.config.service_file import load_service_file
    from agent.control.errors import AgentUnreachable

    if file is None:
        try:
            return tuple(_in_force(socket_path).groups.values())
        except AgentUnreachable:
            file = USUAL_FILE
    return tuple(load_service_file(file).groups.values())


def _in_force(socket_path: Path | None) -> ServiceFile:
    """What the running agent has read, whatever its files say by now. Raises AgentUnreachable, and its refusals."""
    import json

    from agent.config.joined import Text
    from agent.config.service_file import parse_service_file

    with opened(socket_path) as asked:
        told = asked.ask("GET", "/v1/config")
        return parse_service_file([Text(f"the agent at {asked.path}", json.dumps(told["document"]))])


def _as_dict(name: str, errors: list[AgentError]) -> dict[str, object]:
    return {"group": name, "safe": not errors, "errors": [error.as_dict() for error in errors]}
