"""`camera-agent preview`: what a camera sees, in this terminal, in a file, or in a window."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.asked import complete_cameras, opened, socket_option
from agent.cli.options import json_option, printable
from agent.cli.picture_file import check_free, default_path, facts_of, kind_of, write_picture
from agent.errors import InputError

if TYPE_CHECKING:
    from agent.control.client import Received

GRAPHICS = ("auto", "kitty", "iterm2", "sixel", "blocks", "blocks-256")
_EPILOG = """\b
Examples:
  camera-agent preview top
  camera-agent preview top --rate 2 --graphics blocks     over a slow line
  camera-agent preview top --output now.png               one picture, in a file
  camera-agent preview top --open                         one picture, in a window

\b
In the terminal: q or Ctrl-C ends it. The terminal is asked what it can show: kitty's
graphics, iTerm2's, sixel; where it can none of them, half blocks in colour stand for two
pixels each. Several who look at once cost one encoding. While the camera is off it
waits, and goes on when it is on again. For a browser: docs/control-api.md, Pictures.
"""


@click.command(epilog=_EPILOG)
@click.argument("camera", shell_complete=complete_cameras)
@click.option(
    "--rate",
    type=click.IntRange(1, 240),
    default=10,
    show_default=True,
    metavar="N",
    help="Pictures a second, at most.",
)
@click.option("--graphics", type=click.Choice(GRAPHICS), default="auto", show_default=True, help="How they are drawn.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write one picture instead; its kind is what the name ends with.",
)
@click.option("--force", is_flag=True, help="With --output: replace the file if it is there.")
@click.option("--open", "in_window", is_flag=True, help="Write one picture, and open it with xdg-open.")
@socket_option
@json_option
def preview(
    *,
    camera: str,
    rate: int,
    graphics: str,
    output: Path | None,
    force: bool,
    in_window: bool,
    socket_path: Path | None,
    as_json: bool,
) -> None:
    """See what the running agent's CAMERA sees, live."""
    if output is not None or in_window:
        path, facts = _written(camera, output, socket_path, force=force)
        if in_window:
            _open(path)
        if as_json:
            from agent.cli.show import print_json

            print_json(facts)
        else:
            click.echo(printable(str(path)))
        return
    if as_json:
        raise click.UsageError("--json tells of one picture: give --output or --open with it")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError(
            "a preview needs a terminal, for input and output",
            hint="--output FILE.png writes one picture, --open shows one in a window",
        )
    from agent.cli.preview_live import Preview

    Preview(camera, rate, graphics, socket_path).run()


def _written(
    camera: str, output: Path | None, socket_path: Path | None, *, force: bool
) -> tuple[Path, dict[str, object]]:
    """One picture in its file, without a name in a new folder for such things; and what is known of it."""
    check_free(output, force=force)
    if output is None:
        _opener()
    with opened(socket_path) as client:
        received: Received = client.snapshot(camera, format=kind_of(output, None))
    path = output or Path(tempfile.mkdtemp(prefix="camera-agent-")) / default_path(camera, received)
    write_picture(path, received.data, force=force)
    return path, {"path": str(path), **facts_of(camera, received)}


def _opener() -> str:
    found = shutil.which("xdg-open")
    if found is None:
        raise InputError(
            "there is no xdg-open, which opens files in windows",
            hint="`apt install xdg-utils`, or --output FILE.png and open that yourself",
        )
    return found


def _open(path: Path) -> None:
    """Raises InputError: there is nothing to open it with."""
    ended = subprocess.run([_opener(), os.fspath(path.absolute())], stdin=subprocess.DEVNULL, check=False)
    if ended.returncode:
        raise InputError(
            f"xdg-open could not open {path}: it ended with {ended.returncode}",
            hint="is there a desktop here? the picture is written: look at it yourself",
            path=str(path),
        )
