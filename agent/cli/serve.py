"""`camera-agent serve`: the agent itself, in the foreground."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from agent.cli.options import json_option, printable, simulate_option
from agent.config.folder import USUAL_FILE

_EPILOG = """\b
Examples:
  camera-agent serve
  camera-agent serve --config here.yaml --socket /tmp/control.sock
  camera-agent serve --config here.yaml --socket /tmp/control.sock --simulate

\b
SIGHUP reads the configuration anew; SIGTERM and Ctrl-C cancel everything, stop all streams, and end it with 0.
"""
_INFO = 6
"""LOG_INFO of syslog(3); what is less than that is for journals that can be searched."""
_FILE = click.Path(path_type=Path)


@click.command(epilog=_EPILOG, short_help="Be the agent: cameras, plans and the control socket, until it is stopped.")
@click.option("--config", "file", type=_FILE, metavar="FILE", default=USUAL_FILE, show_default=True, help="What to do.")
@click.option("--socket", type=_FILE, metavar="PATH", help="Listen there.  [default: as the configuration says]")
@simulate_option
@json_option
def serve(*, file: Path, socket: Path | None, simulate: bool, as_json: bool) -> None:
    """Own the cameras of a configuration, carry out its plans, and answer on the control socket.

    systemd starts it as camera-agent.service; started by hand it stays in the foreground and tells on stderr what
    happens, with --json on stdout, an object a line. Relative folders of the configuration are below $STATE_DIRECTORY,
    else below the working directory.
    """
    import asyncio
    import os

    from agent.cli.bench import find_cameras
    from agent.cli.plan_processes import usual_ways
    from agent.discovery.udev import require_udev
    from agent.discovery.watch import Watch
    from agent.service.journal import usual_journal
    from agent.service.present import OpenPresence, StillCameras
    from agent.service.serve import Surroundings, state_folder
    from agent.service.serve import serve as run

    presence: OpenPresence = Watch
    if simulate:
        presence = lambda: StillCameras(find_cameras(True))  # noqa: E731 - a door, opened when the service begins
    else:
        require_udev()
    surroundings = Surroundings(
        ways=usual_ways(simulate=simulate),
        presence=presence,
        journal=_Lines() if as_json else usual_journal(os.environ, _to_stderr),
        state=state_folder(os.environ),
        environment=os.environ,
        socket=socket,
    )
    asyncio.run(run(file, surroundings))


class _Lines:
    """Events as JSON, an object a line."""

    def tell(self, kind: str, data: Mapping[str, Any]) -> None:
        """One line."""
        click.echo(json.dumps({"kind": kind, **data}, default=str))


def _to_stderr(message: str, priority: int, _fields: Mapping[str, str]) -> None:
    if priority <= _INFO:
        click.echo(printable(f"camera-agent: {message}"), err=True)
