"""`camera-agent plan add|list|set|cancel`: the plans of the running agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.asked import complete_plans, opened, socket_option
from agent.cli.options import json_option, printable
from agent.errors import InputError

if TYPE_CHECKING:
    from agent.control.client import Client
    from agent.control.facade import Document

_ADD_EPILOG = """\b
Examples:
  camera-agent plan add lapse camera=top every=500ms count=20
  camera-agent plan add hourly camera=top every=1h priority=5
  camera-agent plan add --file plans.yaml             all below plans: in it
  camera-agent plan add --file plans.yaml lapse       one of them

\b
The keys are those of plan files (docs/plan-files.md). Times need their units.
"""
_LIST_EPILOG = """\b
Examples:
  camera-agent plan list
  camera-agent plan list --json | jq -r '.plans[] | select(.state == "running") | .name'
"""
_SET_EPILOG = """\b
Examples:
  camera-agent plan set lapse --every 1s
  camera-agent plan set lapse --priority 5 --quota 10/min
"""
_CANCEL_EPILOG = """\b
Examples:
  camera-agent plan cancel lapse
  camera-agent plan cancel --client lab
"""


@click.command(epilog=_ADD_EPILOG)
@click.argument("words", metavar="[NAME KEY=VALUE...]", nargs=-1)
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE.yaml", help="Take plans from a plan file.")
@click.option("--client", metavar="NAME", help="Whose they are: for quotas, and to cancel them together.")
@socket_option
@json_option
def add(
    *, words: tuple[str, ...], file: Path | None, client: str | None, socket_path: Path | None, as_json: bool
) -> None:
    """Ask the running agent to start plans, all of them or none.

    They go on when this command has ended, and when the agent is started again, until they are over or cancelled.
    """
    from agent.cli.show import print_json

    owner = {} if client is None else {"client": client}
    with opened(socket_path) as asked:
        if file is None:
            found = asked.ask("POST", "/v1/plans", {"plans": _written(words), **owner})
        else:
            found = _add_from_file(asked, file, words, owner)
    if as_json:
        print_json(found)
    else:
        click.echo(printable("started " + ", ".join(one["name"] for one in found["plans"])))


@click.command("list", epilog=_LIST_EPILOG)
@socket_option
@json_option
def list_plans(*, socket_path: Path | None, as_json: bool) -> None:
    """The plans of the running agent, and how their ticks ended."""
    from agent.cli.show import print_all, print_json, table
    from agent.cli.top import account_text, period_text

    with opened(socket_path) as asked:
        found = asked.plans()
    if as_json:
        print_json({"plans": found})
        return
    rows = [
        [
            one["name"],
            one["camera"] or "-",
            one["state"],
            period_text(one["period_ns"]),
            str(one["priority"]),
            one["client"],
            account_text(one["account"]),
        ]
        for one in found
    ]
    columns = ["plan", "camera", "state", "every", "priority", "client", "ticks"]
    print_all(table(columns, rows, whole=["plan", "state"]))


@click.command("set", epilog=_SET_EPILOG)
@click.argument("name", shell_complete=complete_plans)
@click.option("--every", metavar="TIME", help="From tick to tick: 500ms, 1h.")
@click.option("--priority", type=click.IntRange(-1000, 1000), metavar="N", help="More goes first.")
@click.option("--quota", metavar="LIMIT", help="At most so many: 10/s, 100/min burst 20.")
@socket_option
@json_option
def change(
    *,
    name: str,
    every: str | None,
    priority: int | None,
    quota: str | None,
    socket_path: Path | None,
    as_json: bool,
) -> None:
    """Change a plan of the running agent: everything that is given, or nothing."""
    from agent.cli.show import print_json
    from agent.cli.top import period_text
    from agent.control.client import named

    wishes = {"every": every, "priority": priority, "quota": quota}
    wishes = {key: value for key, value in wishes.items() if value is not None}
    if not wishes:
        raise click.UsageError("say what to change: --every, --priority or --quota")
    with opened(socket_path) as asked:
        found = asked.ask("PATCH", f"/v1/plans/{named(name)}", wishes)
    if as_json:
        print_json(found)
    else:
        click.echo(printable(f"{name}: every {period_text(found['period_ns'])}, priority {found['priority']}"))


@click.command(epilog=_CANCEL_EPILOG)
@click.argument("names", metavar="[PLAN...]", nargs=-1, shell_complete=complete_plans)
@click.option("--client", metavar="NAME", help="All plans of this client.")
@socket_option
@json_option
def cancel(*, names: tuple[str, ...], client: str | None, socket_path: Path | None, as_json: bool) -> None:
    """End plans of the running agent; returns when none of their frames can come any more.

    A stream that no other plan needs is stopped, and its times are told.
    """
    from agent.cli.show import print_json
    from agent.cli.stop import show_cancel

    if bool(names) is (client is not None):
        raise click.UsageError("name a plan, or say --client NAME")
    with opened(socket_path) as asked:
        for kind, name in [("plan", name) for name in names] or [("client", client or "")]:
            report = asked.cancel(kind, name)
            print_json(report) if as_json else show_cancel(report, name)


def _written(words: Sequence[str]) -> dict[str, Any]:
    name, *pairs = words or ("",)
    if not name or "=" in name:
        raise click.UsageError("give the plan a name, then KEY=VALUE: lapse camera=top every=500ms; or --file")
    keys: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key or key in keys:
            problem = "is given twice" if key in keys else "is no KEY=VALUE"
            raise InputError(f"{pair!r} {problem}", hint="write keys as in a plan file: camera=top every=500ms")
        keys[key] = _value(value)
    return {name: keys}


def _value(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isascii() and text.lstrip("-").isdecimal() and len(text) < 19 else text


def _add_from_file(asked: Client, file: Path, names: Sequence[str], owner: Mapping[str, str]) -> Document:
    """What is wrong with them is told with the file's lines, whoever finds it."""
    from agent.config.plan_source import PlanSource
    from agent.config.problems import ConfigError
    from agent.control.client import Refused

    source = PlanSource(file)
    try:
        return asked.ask("POST", "/v1/plans", {"plans": source.chosen(names), **owner})
    except Refused as error:
        found = error.details.get("problems")
        if error.code != ConfigError.code or not isinstance(found, list):
            raise
        raise source.located(found) from error
