"""`camera-agent stop`: streams off, now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.cli.asked import complete_cameras, opened, socket_option
from agent.cli.options import json_option, printable

_EPILOG = """\b
Examples:
  camera-agent stop top      its plans and its stream
  camera-agent stop --all    everything of every camera

\b
Nothing that waits in the agent comes before this. `camera-agent plan cancel` ends one plan.
"""


@click.command(epilog=_EPILOG)
@click.argument("names", metavar="[CAMERA...]", nargs=-1, shell_complete=complete_cameras)
@click.option("--all", "everything", is_flag=True, help="All cameras.")
@socket_option
@json_option
def stop(*, names: tuple[str, ...], everything: bool, socket_path: Path | None, as_json: bool) -> None:
    """Ask the running agent to end cameras' plans and streams; returns after STREAMOFF did, with its times."""
    from agent.cli.show import print_json

    if bool(names) == everything:
        raise click.UsageError("name a camera, or say --all")
    with opened(socket_path) as client:
        if everything:
            report = client.cancel("all")
            print_json(report) if as_json else show_cancel(report, "everything")
        for name in names:
            report = client.stop(name)
            print_json(report) if as_json else click.echo(printable(camera_text(report)))


def show_cancel(report: dict[str, Any], what: str) -> None:
    """What a cancel did, a line for each camera."""
    count = report["plans"]
    told = "was over already" if report["already"] else f"{count} plan{'' if count == 1 else 's'} cancelled"
    click.echo(printable(f"{what}: {told}"))
    for camera in report["cameras"]:
        click.echo(printable(f"  {camera_text(camera)}"))
    if report["still_on"]:
        click.echo(printable(f"  still on for other plans: {', '.join(report['still_on'])}"))


def camera_text(report: dict[str, Any]) -> str:
    """How one stream ended: `top: stream off, STREAMOFF took 1.2 ms, 3.4 ms after it was asked for`."""
    if not report["was_on"]:
        return f"{report['camera']}: its stream was off"
    took_ms = (report["returned_ns"] - report["entered_ns"]) / 1e6
    after_ms = (report["returned_ns"] - report["asked_ns"]) / 1e6
    steps = report.get("steps") or []
    more = f" (by {', '.join(steps)})" if steps and steps != ["streamoff"] else ""
    error = f"; {report['error']}" if report.get("error") else ""
    took = f"STREAMOFF took {took_ms:.1f} ms, {after_ms:.1f} ms after it was asked for"
    return f"{report['camera']}: stream off{more}, {took}{error}"
