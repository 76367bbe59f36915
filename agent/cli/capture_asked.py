"""`camera-agent capture NAME`: pictures of a running agent's camera."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from agent.cli.asked import opened
from agent.cli.options import printable
from agent.units import NS_PER_S, format_duration

if TYPE_CHECKING:
    from agent.v4l2.gain import GainRequest

_ASKED = ("name", "socket_path", "as_json", "count", "exposure_ns", "gain", "limit_ns")
_SPARE_S = 10.0
"""How much longer than a frame the answer may take."""


def capture_asked(context: click.Context, name: str, socket_path: Path | None, *, as_json: bool) -> None:
    """Ask for as many pictures as `--count` says, one after another. Raises UsageError for what only --device takes."""
    from agent.cli.show import print_json

    _check_options(context)
    options = context.params
    order = _order(options)
    pictures = []
    with opened(socket_path, timeout_s=options["limit_ns"] / NS_PER_S + _SPARE_S) as client:
        for _ in range(options["count"]):
            pictures.append(client.capture(name, **order))
            if not as_json:
                click.echo(printable(_line(pictures[-1])))
    if as_json:
        print_json({"pictures": pictures})


def _check_options(context: click.Context) -> None:
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
        if given and parameter.name not in _ASKED and context.params[parameter.name or ""]:
            option = parameter.opts[0]
            raise click.UsageError(f"{option} is for a camera that is opened here: give --device instead of NAME")


def _order(options: dict[str, Any]) -> dict[str, str]:
    order = {"timeout": format_duration(options["limit_ns"])}
    if options["exposure_ns"] is not None:
        order["exposure"] = format_duration(options["exposure_ns"])
    if options["gain"] is not None:
        order["gain"] = _gain_text(options["gain"])
    return order


def _gain_text(gain: GainRequest) -> str:
    return str(gain.value) if gain.mdb is None else f"{Decimal(gain.mdb).scaleb(-3).normalize():f}dB"


def _line(picture: dict[str, Any]) -> str:
    after_ms = (picture["exposed_ns"] - picture["asked_ns"]) / 1e6
    return f"{picture['path']}  frame {picture['sequence']}, exposed {after_ms:.1f} ms after it was asked for"
