"""`camera-agent quota`: how many frames the agent, a camera, a plan or a client may have."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.asked import complete_buckets, opened, socket_option
from agent.cli.options import json_option

_EPILOG = """\b
Examples:
  camera-agent quota
  camera-agent quota camera/top 30/s
  camera-agent quota client/lab "100/min burst 20"

\b
A bucket is agent, camera/NAME, plan/NAME or client/NAME.
"""


@click.command(epilog=_EPILOG)
@click.argument("bucket", required=False, shell_complete=complete_buckets)
@click.argument("limit", required=False)
@socket_option
@json_option
def quota(*, bucket: str | None, limit: str | None, socket_path: Path | None, as_json: bool) -> None:
    """Show the running agent's quotas; with BUCKET and LIMIT change one, without a jump.

    Changing one needs the right to administer.
    """
    from agent.cli.show import print_all, print_json, table
    from agent.control.client import named

    if (bucket is None) is not (limit is None):
        raise click.UsageError("a quota is changed by its bucket and its limit: camera/top 30/s")
    with opened(socket_path) as client:
        if bucket is not None:
            found = client.ask("PUT", f"/v1/quotas/{named(bucket)}", {"limit": limit})
            rows = [found]
        else:
            found = client.ask("GET", "/v1/quotas")
            rows = found["quotas"]
    if as_json:
        print_json(found)
    else:
        left = ["-" if one.get("available") is None else str(one["available"]) for one in rows]
        print_all(
            table(
                ["bucket", "limit", "left"],
                [[one["bucket"], one["limit"] or "none", text] for one, text in zip(rows, left, strict=True)],
            )
        )
