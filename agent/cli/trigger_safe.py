"""`camera-agent trigger safe`: every output of a file at its safe level (mission row G3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.options import json_option
from agent.cli.trigger_options import simulate_lines_option

if TYPE_CHECKING:
    from agent.capture.order import GroupOrder
    from agent.cli.bench import Doors
    from agent.errors import AgentError

_EPILOG = """\b
Examples:
  camera-agent trigger safe plans.yaml
  camera-agent trigger safe /etc/camera-agent/config.yaml --json

\b
An output that somebody else holds is left to them and told; all others are made safe whatever becomes of it.

\b
Exit codes: 0 every output is safe, or there is none; 2 bad input; otherwise that of the first line which is not.
"""


@click.command(epilog=_EPILOG)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.yaml")
@simulate_lines_option
@json_option
@click.pass_obj
def safe(doors: Doors, /, *, file: Path, simulate: bool, as_json: bool) -> None:
    """Drive the trigger outputs of a file to their safe levels, and let go of them.

    For after a process was killed: the kernel lets go of its lines, and most chips leave them at the level they had.
    Cameras are not touched. May be done any number of times.
    """
    from agent.capture.safe_lines import make_safe
    from agent.cli.show import print_json

    orders = [order for order in _orders(file) if order.trigger is not None]
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


def _orders(file: Path) -> tuple[GroupOrder, ...]:
    """The groups of the file and of its folder, their cameras wherever they are. Raises ConfigError."""
    from agent.config.service_file import load_service_file

    return tuple(load_service_file(file).groups.values())


def _as_dict(name: str, errors: list[AgentError]) -> dict[str, object]:
    return {"group": name, "safe": not errors, "errors": [error.as_dict() for error in errors]}
