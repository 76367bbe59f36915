"""`camera-agent snapshot`: a picture of what a camera sees now."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from agent.cli.asked import complete_cameras, opened, socket_option
from agent.cli.options import above_zero, json_option, printable, quantity
from agent.cli.picture_file import KINDS, STDOUT, check_free, default_path, facts_of, kind_of, write_picture
from agent.errors import InputError
from agent.units import NS_PER_S, format_duration, parse_duration_ns

_EPILOG = """\b
Examples:
  camera-agent snapshot top
  camera-agent snapshot top --output door.png
  camera-agent snapshot top --width 640 --quality 80 --output small.jpg --force
  camera-agent snapshot top --output - | feh -
  camera-agent snapshot top --after 123456789000 --timeout 2s --json

\b
The picture is of a frame whose exposure began after you asked: what you moved a moment
ago is where it is now. The camera has to be on (camera-agent start); nothing is started,
nothing is set, no plan is disturbed. `camera-agent capture` starts it, sets an exposure,
and writes into the agent's own folder.
"""
_SPARE_S = 15.0
"""A viewer may have to be started first."""


@click.command(epilog=_EPILOG)
@click.argument("camera", shell_complete=complete_cameras)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Where to; `-` is standard output.  [default: CAMERA-TIME.jpg]",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there; else that is an error.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(KINDS)),
    help="What picture.  [default: what the file's name ends with, else jpg]",
)
@click.option("--width", type=click.IntRange(min=1), metavar="PIXELS", help="Scaled to this; at most the camera's.")
@click.option("--height", type=click.IntRange(min=1), metavar="PIXELS", help="Scaled to this; at most the camera's.")
@click.option("--quality", type=click.IntRange(1, 100), metavar="1-100", help="Of a JPEG.")
@click.option(
    "--after",
    default="now",
    show_default=True,
    metavar="now|NS",
    help="The exposure begins at or after this time of CLOCK_MONOTONIC, in nanoseconds.",
)
@click.option(
    "--timeout",
    "timeout_ns",
    metavar="TIME",
    default="5s",
    show_default=True,
    callback=quantity(above_zero(parse_duration_ns)),
    help="How long to wait for the frame.",
)
@socket_option
@json_option
def snapshot(
    *,
    camera: str,
    output: Path | None,
    force: bool,
    format_: str | None,
    width: int | None,
    height: int | None,
    quality: int | None,
    after: str,
    timeout_ns: int,
    socket_path: Path | None,
    as_json: bool,
) -> None:
    """Write a picture of a frame from now on, of the running agent's CAMERA."""
    from agent.cli.show import print_json

    if output == STDOUT and as_json:
        raise click.UsageError("--json and --output - would both write to standard output")
    if output == STDOUT and sys.stdout.isatty():
        raise InputError("a picture is nothing for a terminal", hint="`camera-agent preview` shows it there")
    check_free(output, force=force)
    query: dict[str, str | int] = {"format": kind_of(output, format_), "after": after}
    query |= {key: one for key, one in (("width", width), ("height", height), ("quality", quality)) if one is not None}
    query["timeout"] = format_duration(timeout_ns)
    with opened(socket_path, timeout_s=timeout_ns / NS_PER_S + _SPARE_S) as client:
        received = client.snapshot(camera, **query)
    path = output or default_path(camera, received)
    write_picture(path, received.data, force=force)
    facts = {"path": None if path == STDOUT else str(path), **facts_of(camera, received)}
    if as_json:
        print_json(facts)
    elif path != STDOUT:
        click.echo(printable(_line(facts)))


def _line(facts: dict[str, object]) -> str:
    exposure_ns = facts["exposure_ns"]
    told = f", exposed {format_duration(exposure_ns)}" if isinstance(exposure_ns, int) else ""
    return f"{facts['path']}  {facts['width_px']}x{facts['height_px']}, frame {facts['sequence']}{told}"
