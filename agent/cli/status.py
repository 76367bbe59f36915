"""`camera-agent status`: whether the agent is well, and what it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from agent.cli.asked import opened, socket_option
from agent.cli.options import json_option

_EPILOG = """\b
Examples:
  camera-agent status
  camera-agent status --json | jq .health.problems

\b
Exit codes: 0 all is well, 1 something is not, 3 no agent answers, 4 no permission.
"""
_UNWELL_EXIT = 1


@click.command(epilog=_EPILOG)
@socket_option
@json_option
@click.pass_context
def status(context: click.Context, /, *, socket_path: Path | None, as_json: bool) -> None:
    """Ask the running agent whether all is well, and what its cameras and plans do."""
    from agent.cli.show import print_json

    with opened(socket_path) as client:
        found: dict[str, Any] = {"health": client.health(), "cameras": client.cameras(), "plans": client.plans()}
        where = str(client.path)
    if as_json:
        print_json(found)
    else:
        _show(found, where)
    if not found["health"]["healthy"]:
        context.exit(_UNWELL_EXIT)


def _show(found: dict[str, Any], where: str) -> None:
    from agent.cli.show import line, pairs, print_all
    from agent.units import NS_PER_S

    health = found["health"]
    up_s = (health["now_ns"] - health["since_ns"]) // NS_PER_S
    rows = [
        ("agent", "well" if health["healthy"] else "not well"),
        ("version", health["version"]),
        ("process", f"{health['pid']}, up {up_text(up_s)}"),
        ("socket", where),
        ("cameras", _by_state(found["cameras"])),
        ("plans", _by_state(found["plans"])),
    ]
    print_all(pairs(rows), *(line(f"! {problem}") for problem in health["problems"]))


def up_text(seconds: int) -> str:
    """A time that runs: `3 d 04:05:06`."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours:02}:{minutes:02}:{seconds:02}"


def _by_state(things: Sequence[dict[str, Any]]) -> str:
    counts = Counter(str(one["state"]) for one in things)
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    return f"{len(things)}" + (f": {states}" if states else "")
