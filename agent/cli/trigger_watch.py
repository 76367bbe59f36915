"""`camera-agent trigger watch`: each edge of a line as the kernel stamped it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from agent.cli.options import above_zero, quantity
from agent.cli.trigger_options import CONSUMER, active_option, line_argument, simulate_lines_option
from agent.units import parse_duration_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.cli.bench import Doors
    from agent.cli.trigger_edges import EdgeWatch, SeenEdge, TellSeen
    from agent.trigger.lines import InputOrder, LineRef

BIASES = ("pull-up", "pull-down", "disabled")
"""The values of `Bias`, without importing what it stands in."""
_EPILOG = """\b
Examples:
  camera-agent trigger watch rig-lines:edge
  camera-agent trigger watch gpiochip0:27 --bias pull-up --active low --for 10s
  camera-agent trigger watch gpiochip0:27 --debounce 1ms --count 100
  camera-agent trigger watch gpiochip0:27 --for 1min --json | jq -c 'select(.active)'

\b
With --json each edge is a line of JSON: time_ns (CLOCK_MONOTONIC, stamped by the kernel in its interrupt), active,
since_ns, lost, seqno; the last line is the summary: {"summary": {...}}.
The kernel keeps 1024 edges that were not read, and drops the oldest beyond that: they are counted as lost.

\b
Exit codes: 0 done, 1 fewer edges than --count within --for, 2 bad input, 3 no such chip or line, or gone,
4 no permission, 5 the line is in use, 130 Ctrl-C (after the summary).
"""
_duration = quantity(above_zero(parse_duration_ns))


@click.command(epilog=_EPILOG)
@line_argument
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many edges.")
@click.option("--for", "for_ns", metavar="DURATION", callback=_duration, help="End after so long, such as 10s.")
@active_option
@click.option(
    "--bias", type=click.Choice(BIASES), help="What pulls the line when nobody drives it.  [default: as it is]"
)
@click.option(
    "--debounce", "debounce_ns", metavar="TIME", callback=_duration, help="An edge counts when the level stays so long."
)
@simulate_lines_option
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each edge; errors as JSON on stderr.")
@click.pass_obj
def watch(
    doors: Doors,
    /,
    *,
    line: LineRef,
    count: int | None,
    for_ns: int | None,
    active: str,
    bias: str | None,
    debounce_ns: int | None,
    simulate: bool,
    as_json: bool,
) -> None:
    """Show each edge of CHIP:LINE: its time by the kernel, the level, the time since the edge before.

    Until Ctrl-C, or as --count and --for say. The line is taken as an input; nothing is driven.
    """
    from agent.cli.trigger_edges import EdgeWatch

    watched = EdgeWatch(_order(line, active, bias, debounce_ns))
    try:
        _run(doors, watched, _json_printer if as_json else _printer, count, for_ns, simulate=simulate)
    finally:
        _summarize(watched, as_json)
    if for_ns is not None:
        watched.raise_missing(count)


def _order(line: LineRef, active: str, bias: str | None, debounce_ns: int | None) -> InputOrder:
    from agent.trigger.lines import Bias, InputOrder

    return InputOrder(
        line=line,
        consumer=CONSUMER,
        active_low=active == "low",
        bias=None if bias is None else Bias(bias),
        debounce_ns=debounce_ns,
    )


def _run(
    doors: Doors, watched: EdgeWatch, tell: TellSeen, count: int | None, for_ns: int | None, *, simulate: bool
) -> None:
    from agent.cli.deadline import Deadline
    from agent.cli.interruption import Interrupted, Interruption

    with Interruption() as interruption, Deadline(interruption) as deadline:
        try:
            with doors.lines(simulate) as lines:
                watched.run(lines, deadline.wait, tell, count=count, for_ns=for_ns)
        except Interrupted as stop:
            stop.told = watched.told
            raise


def _printer(seen: Sequence[SeenEdge]) -> None:
    click.echo("\n".join(text for one in seen for text in _texts(one)))


def _texts(one: SeenEdge) -> list[str]:
    from agent.cli.spread import short

    edge = one.edge
    since = "" if one.since_ns is None else f"  +{short(one.since_ns)}"
    seconds, below_ns = divmod(edge.time_ns, 1_000_000_000)
    text = f"{seconds}.{below_ns:09}s  {'active' if edge.active else 'inactive':8}{since}"
    return [f"... {one.lost} edges were lost here", text] if one.lost else [text]


def _json_printer(seen: Sequence[SeenEdge]) -> None:
    click.echo("\n".join(json.dumps(_as_dict(one)) for one in seen))


def _as_dict(one: SeenEdge) -> dict[str, object]:
    edge = one.edge
    return {
        "time_ns": edge.time_ns,
        "active": edge.active,
        "since_ns": one.since_ns,
        "lost": one.lost,
        "seqno": edge.line_seqno,
    }


def _summarize(watched: EdgeWatch, as_json: bool) -> None:
    """Nothing, when the line could not be taken."""
    if watched.level is None:
        return
    if as_json:
        click.echo(json.dumps({"summary": summary(watched)}))
        return
    from agent.cli.show import pairs, print_all

    rows = [
        ("edges", f"{watched.edges} of {watched.order.line}, {watched.rising} to active"),
        ("lost", str(watched.lost)),
        ("intervals", str(watched.intervals or "")),
        ("level", f"{'active' if watched.level else 'inactive'} at the beginning"),
    ]
    print_all(pairs([row for row in rows if row[1]]))


def summary(watched: EdgeWatch) -> dict[str, object]:
    """The last line of `--json`."""
    intervals = watched.intervals
    return {
        "line": str(watched.order.line),
        "edges": watched.edges,
        "rising": watched.rising,
        "lost": watched.lost,
        "intervals": None if intervals is None else intervals.as_dict(),
        "active_at_begin": watched.level,
    }
