"""`camera-agent release-stop`: after an emergency stop."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.asked import complete_groups, opened, socket_option
from agent.cli.options import json_option, printable

_EPILOG = """\b
Examples:
  camera-agent release-stop line-1

\b
Nothing starts by itself: `camera-agent start` and `camera-agent plan add` do.
"""


@click.command("release-stop", epilog=_EPILOG)
@click.argument("group", shell_complete=complete_groups)
@socket_option
@json_option
def release_stop(*, group: str, socket_path: Path | None, as_json: bool) -> None:
    """Release a group's emergency stop, so that its cameras and plans may be started again.

    Refused while the button is still pressed.
    """
    from agent.cli.show import print_json
    from agent.control.client import named

    with opened(socket_path) as client:
        report = client.ask("DELETE", f"/v1/groups/{named(group)}/stop")
    if as_json:
        print_json(report)
    else:
        click.echo(printable(f"{group}: " + ("released" if report["released"] else "it was not stopped")))
