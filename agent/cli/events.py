"""`camera-agent events`: what happens in the agent, as it happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.asked import opened, socket_option
from agent.cli.options import printable

if TYPE_CHECKING:
    from agent.control.facade import Event

_EPILOG = """\b
Examples:
  camera-agent events
  camera-agent events --kind camera --count 1     wait for the next change of a camera
  camera-agent events --after 1200 --json | jq .data

\b
A line has the event's id, its time (CLOCK_MONOTONIC, seconds), kind and data. Ctrl-C ends it.
"""
_DEAD_S = 40.0
"""Without an event the agent says every 15 s that it is still there."""


@click.command(epilog=_EPILOG)
@click.option("--after", type=click.IntRange(min=0), metavar="ID", help="Begin behind this one, if still remembered.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only these, such as camera or plan.ended.")
@socket_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line; errors as a JSON object on stderr.")
def events(
    *, after: int | None, count: int | None, kinds: tuple[str, ...], socket_path: Path | None, as_json: bool
) -> None:
    """Follow what happens: cameras that come, go, start and fail, plans that end, triggers, reloads."""
    left = count
    with opened(socket_path, timeout_s=_DEAD_S) as client:
        for event in client.events(after):
            if kinds and not any(f"{event.kind}.".startswith(f"{kind}.") for kind in kinds):
                continue
            click.echo(_json(event) if as_json else printable(_line(event)))
            left = None if left is None else left - 1
            if left == 0:
                return


def _json(event: Event) -> str:
    return json.dumps({"id": event.id, "kind": event.kind, "at_ns": event.at_ns, "data": event.data})


def _line(event: Event) -> str:
    data = " ".join(f"{key}={_word(value)}" for key, value in event.data.items() if value not in ("", None))
    return f"{event.id:>6}  {event.at_ns / 1e9:.6f}  {event.kind:<18} {data}"


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value if value.isprintable() and " " not in value else json.dumps(value)
    return json.dumps(value)
