"""`camera-agent start`: a camera's stream."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.asked import complete_cameras, opened, socket_option
from agent.cli.options import json_option

_EPILOG = """\b
Examples:
  camera-agent start top
  camera-agent start top side
"""


@click.command(epilog=_EPILOG)
@click.argument("names", metavar="CAMERA...", nargs=-1, required=True, shell_complete=complete_cameras)
@socket_option
@json_option
def start(*, names: tuple[str, ...], socket_path: Path | None, as_json: bool) -> None:
    """Ask the running agent to start cameras, also after a fault; returns when they are set, proven and streaming."""
    from agent.cli.show import print_json

    with opened(socket_path) as client:
        for name in names:
            report = client.start(name)
            if as_json:
                print_json(report)
            else:
                click.echo(f"{name}: " + ("was armed already" if report["was_on"] else "armed"))
