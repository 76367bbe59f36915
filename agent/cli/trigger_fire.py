"""`camera-agent trigger fire`: pulses on a line, and when each edge was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.cli.options import above_zero, json_option, quantity
from agent.cli.trigger_options import CONSUMER, active_option, line_argument, simulate_lines_option
from agent.units import parse_duration_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.cli.bench import Doors
    from agent.cli.trigger_train import Train
    from agent.trigger.lines import LineRef
    from agent.trigger.pulse import PulseEdge, PulseOrder

_SHOWN_PULSES = 20
_EPILOG = """\b
Examples:
  camera-agent trigger fire gpiochip0:17 --pulse 1ms
  camera-agent trigger fire rig-lines:trigger --pulse 100us --count 1000 --every 10ms
  camera-agent trigger fire gpiochip0:17 --pulse 1ms --active low --safe active
  camera-agent trigger fire bench:trigger --simulate --count 5 --every 100ms --json

\b
The instants asked for are START + k * EVERY, without drift. An edge lies between the clock read before and
after the line was set; lateness and width are of the middle of the two. A pulse shorter than 300us is timed by
spinning; a longer one may be longer than asked by as much as this machine wakes late, never shorter.

\b
Exit codes: 0 all pulses were sent, 1 some were left out, or the line is not idle, 2 bad input, 3 no such chip or
line, or gone, 4 no permission, 5 the line is in use, 130 Ctrl-C (the line is put to its safe level).
"""
_duration = quantity(above_zero(parse_duration_ns))


@click.command(epilog=_EPILOG)
@line_argument
@click.option(
    "--pulse",
    "width_ns",
    metavar="TIME",
    default="1ms",
    show_default=True,
    callback=_duration,
    help="How wide each is.",
)
@click.option("--count", type=click.IntRange(1, 10_000_000), default=1, show_default=True, help="How many pulses.")
@click.option("--every", "period_ns", metavar="TIME", callback=_duration, help="From begin to begin, such as 100ms.")
@active_option
@click.option(
    "--safe",
    type=click.Choice(("inactive", "active")),
    default="inactive",
    show_default=True,
    help="The level at which the line is left.",
)
@click.option(
    "--edges", "all_edges", is_flag=True, help=f"A line for each edge also of more than {_SHOWN_PULSES} pulses."
)
@simulate_lines_option
@json_option
@click.pass_obj
def fire(
    doors: Doors,
    /,
    *,
    line: LineRef,
    width_ns: int,
    count: int,
    period_ns: int | None,
    active: str,
    safe: str,
    all_edges: bool,
    simulate: bool,
    as_json: bool,
) -> None:
    """Send one pulse on CHIP:LINE, or a train of them, and show each edge as it was asked for and observed.

    The line is taken, proven to be idle, pulsed, and left at its safe level, also after Ctrl-C.
    """
    from agent.cli.trigger_train import Train
    from agent.trigger.lines import OutputOrder

    output = OutputOrder(line=line, consumer=CONSUMER, active_low=active == "low", safe_active=safe == "active")
    shows_edges = (all_edges or count <= _SHOWN_PULSES) and not as_json
    train = Train(output, _pulse(width_ns, count, period_ns))
    _run(doors, train, simulate=simulate, shows_edges=shows_edges, quiet=as_json)
    if as_json:
        from agent.cli.show import print_json

        print_json(as_dict(train))
    else:
        _summarize(train)
    train.raise_left_out()


def _pulse(width_ns: int, count: int, period_ns: int | None) -> PulseOrder:
    from agent.trigger.pulse import PulseOrder

    if count > 1 and period_ns is None:
        raise click.UsageError(f"--count {count} needs --every: say how far apart the pulses begin")
    return PulseOrder(width_ns=width_ns, count=count, period_ns=period_ns)


def _run(doors: Doors, train: Train, *, simulate: bool, shows_edges: bool, quiet: bool) -> None:
    from agent.cli.deadline import Deadline
    from agent.cli.interruption import Interrupted, Interruption
    from agent.cli.show import progress

    bar = progress([str(train.output.line)], train.pulse.count, quiet=quiet or shows_edges)
    with Interruption() as interruption, Deadline(interruption) as deadline, bar as (tick,):
        tell = _printer() if shows_edges else _counter(tick)
        try:
            with doors.lines(simulate) as lines:
                train.run(lines, deadline.wait, tell)
        except Interrupted as stop:
            stop.told = train.told
            raise


def _counter(tick: Callable[[], None]) -> Callable[[Sequence[PulseEdge]], None]:
    def count(edges: Sequence[PulseEdge]) -> None:
        for edge in edges:
            if edge.active:
                tick()

    return count


def _printer() -> Callable[[Sequence[PulseEdge]], None]:
    """A line for each edge; instants count from that of the first."""
    from agent.cli.spread import short
    from agent.cli.trigger_train import middle_ns

    first_ns: int | None = None

    def show(edges: Sequence[PulseEdge]) -> None:
        nonlocal first_ns
        for edge in edges:
            first_ns = edge.wanted_ns if first_ns is None else first_ns
            wanted = (
                f"{edge.number:>5}  {'active' if edge.active else 'inactive':8}  asked {_at(edge.wanted_ns, first_ns)}"
            )
            if edge.written is None:
                click.echo(f"{wanted}  left out: the next one was due")
                continue
            before, after = (_at(at_ns, first_ns) for at_ns in edge.written)
            late = short(middle_ns(edge.written) - edge.wanted_ns)
            click.echo(f"{wanted}  seen {before} to {after}  late {late}")

    return show


def _at(instant_ns: int, first_ns: int) -> str:
    return f"{(instant_ns - first_ns) / 1e9:.6f}s"


def _summarize(train: Train) -> None:
    from agent.cli.show import pairs, print_all
    from agent.cli.spread import short
    from agent.units import format_duration

    left_out = f", {train.left_out} left out" if train.left_out else ""
    period = f" every {format_duration(train.pulse.period_ns)}" if train.pulse.period_ns else ""
    rows = [
        ("pulses", f"{train.sent} of {train.pulse.count} on {train.output.line}{period}{left_out}"),
        ("lateness", str(train.lateness or "")),
        ("width", f"{train.widths or ''}; {format_duration(train.pulse.width_ns)} asked"),
        ("instants", f"within ±{short(train.uncertainty_ns)}"),
        ("left at", f"{'active' if train.output.safe_active else 'inactive'}, its safe level"),
    ]
    print_all(pairs(rows))


def as_dict(train: Train) -> dict[str, object]:
    """For `--json`: instants in nanoseconds of CLOCK_MONOTONIC; of a long train only the last edges."""
    lateness, widths = train.lateness, train.widths
    return {
        "line": str(train.output.line),
        "active_low": train.output.active_low,
        "safe_active": train.output.safe_active,
        "asked": train.pulse.count,
        "sent": train.sent,
        "left_out": train.left_out,
        "width_ns": train.pulse.width_ns,
        "period_ns": train.pulse.period_ns,
        "lateness": None if lateness is None else lateness.as_dict(),
        "widths": None if widths is None else widths.as_dict(),
        "uncertainty_ns": train.uncertainty_ns,
        "edges": [
            {
                "pulse": edge.number,
                "active": edge.active,
                "asked_ns": edge.wanted_ns,
                "before_ns": None if edge.written is None else edge.written.before_ns,
                "after_ns": None if edge.written is None else edge.written.after_ns,
            }
            for edge in train.edges
        ],
    }
