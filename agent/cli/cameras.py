"""`camera-agent cameras`: the cameras of the running agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.cli.asked import complete_cameras, opened, socket_option
from agent.cli.options import json_option

_EPILOG = """\b
Examples:
  camera-agent cameras
  camera-agent cameras top
  camera-agent cameras --json | jq '.cameras[] | select(.state == "fault")'

\b
`camera-agent devices` lists what is plugged in, configured or not, and needs no agent.
"""


@click.command(epilog=_EPILOG)
@click.argument("name", required=False, shell_complete=complete_cameras)
@socket_option
@json_option
def cameras(*, name: str | None, socket_path: Path | None, as_json: bool) -> None:
    """The cameras that the running agent is configured for, present or not; with NAME all that is known of one."""
    from agent.cli.show import print_all, print_json
    from agent.control.client import named

    with opened(socket_path) as client:
        found = client.ask("GET", "/v1/cameras" if name is None else f"/v1/cameras/{named(name)}")
    if as_json:
        print_json(found)
    elif name is None:
        print_all(camera_table(found["cameras"]), *_troubles(found["cameras"]))
    else:
        from agent.cli.show import pairs

        print_all(pairs([(key, _text(value)) for key, value in found.items() if value not in ("", None)]))


def camera_table(found: list[dict[str, Any]]) -> Any:
    """Name, state, group, device, and what each is looked for by."""
    from agent.cli.show import table

    rows = [[one["name"], one["state"], one["group"], one["device"] or "-", one["match"]] for one in found]
    return table(["camera", "state", "group", "device", "match"], rows, whole=["camera", "state"])


def _troubles(found: list[dict[str, Any]]) -> list[Any]:
    from agent.cli.show import line

    return [
        line(f"{one['name']}: {one['cause']}" + (f" ({one['hint']})" if one["hint"] else ""))
        for one in found
        if one["cause"]
    ]


def _text(value: object) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value)
