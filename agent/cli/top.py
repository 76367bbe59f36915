"""`camera-agent top`: cameras and plans of the running agent, live."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.asked import opened, socket_option
from agent.cli.options import above_zero, json_option, quantity
from agent.units import NS_PER_S, format_duration, parse_duration_ns

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agent.control.client import Client

_EPILOG = """\b
Examples:
  camera-agent top
  camera-agent top --interval 250ms
  camera-agent top --json | jq .stats    one look, for programs

\b
Without a terminal it looks once. Ctrl-C ends it.
"""
_PLANS_SHOWN = 40
_ENDS = ("delivered", "failed", "coalesced", "skipped", "refused", "cancelled", "shots_cancelled")
"""What a tick of an account ends as (agent.schedule.account)."""


@click.command(epilog=_EPILOG)
@click.option(
    "--interval",
    "interval_ns",
    metavar="TIME",
    default="1s",
    show_default=True,
    callback=quantity(above_zero(parse_duration_ns)),
    help="From look to look.",
)
@socket_option
@json_option
def top(*, interval_ns: int, socket_path: Path | None, as_json: bool) -> None:
    """Watch cameras and plans: states, frames, ticks and how they ended."""
    from agent.cli.show import print_all, print_json

    with opened(socket_path) as client:
        moment = _look(client)
        if as_json:
            print_json(moment)
        elif not sys.stdout.isatty():
            print_all(_shown(moment))
        else:
            _watch(client, interval_ns)


def _look(client: Client) -> dict[str, Any]:
    return {"stats": client.ask("GET", "/v1/stats"), "cameras": client.cameras(), "plans": client.plans()}


def _watch(client: Client, interval_ns: int) -> None:
    from rich.live import Live

    from agent.cli.interruption import Interruption

    never = threading.Event()
    with Interruption() as interruption, Live(auto_refresh=False, screen=True) as live:
        while True:
            live.update(_shown(_look(client)), refresh=True)
            with interruption.waiting():
                never.wait(interval_ns / NS_PER_S)


def _shown(moment: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group

    from agent.cli.show import line

    parts = [_camera_table(moment), _plan_table(moment["plans"])]
    hidden = len(moment["plans"]) - _PLANS_SHOWN
    if hidden > 0:
        parts.append(line(f"and {hidden} more plans: camera-agent plan list"))
    return Group(*parts)


def _camera_table(moment: Mapping[str, Any]) -> RenderableType:
    from agent.cli.show import table

    figures = moment["stats"].get("cameras", {})
    rows = [
        [
            one["name"],
            one["state"],
            *(_figure(figures.get(one["name"]), key) for key in ("frames", "lost")),
            clients_text(figures.get(one["name"])),
            one["cause"],
        ]
        for one in moment["cameras"]
    ]
    return table(["camera", "state", "frames", "lost", "clients", ""], rows, whole=["camera", "state"])


def _plan_table(plans: list[dict[str, Any]]) -> RenderableType:
    from agent.cli.show import table

    rows = [[one["name"], one["camera"] or "-", one["state"], account_text(one["account"])] for one in plans]
    return table(["plan", "camera", "state", "ticks"], rows[:_PLANS_SHOWN], whole=["plan", "state"])


def period_text(period_ns: int | None) -> str:
    """From tick to tick; `-` for a plan that has no period."""
    return "-" if period_ns is None else format_duration(period_ns)


def account_text(account: Mapping[str, Any]) -> str:
    """How ticks ended: `22 ticks: 20 delivered, 2 skipped busy`."""
    ends = [f"{count} {key.replace('_', ' ')}" for key, count in account.items() if key.startswith(_ENDS) and count]
    ticks = account.get("ticks", 0)
    return f"{ticks} tick{'' if ticks == 1 else 's'}" + (f": {', '.join(ends)}" if ends else "")


def clients_text(figures: object) -> str:
    """Clients of a camera's frames, and what they did not get: `2, 14 skipped, 1 revoked`."""
    if not isinstance(figures, dict) or not figures.get("clients"):
        return "-"
    ends = (("client_skipped", "skipped"), ("client_revoked", "revoked"), ("client_copied", "copied"))
    return ", ".join([str(figures["clients"]), *(f"{figures[key]} {word}" for key, word in ends if figures.get(key))])


def _figure(figures: object, key: str) -> str:
    return str(figures.get(key, "-")) if isinstance(figures, dict) else "-"
