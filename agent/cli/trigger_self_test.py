"""`camera-agent trigger self-test`: pulse, expect one frame of each camera (mission row E7)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.options import above_zero, json_option, quantity, simulate_option
from agent.units import parse_duration_ns

if TYPE_CHECKING:
    from agent.capture.order import GroupOrder
    from agent.cli.plan_processes import Tell
    from agent.cli.trigger_test_run import SelfTest

_EPILOG = """\b
Examples:
  camera-agent trigger self-test plans.yaml line-1
  camera-agent trigger self-test plans.yaml line-1 --count 100 --every 50ms
  camera-agent trigger self-test plans.yaml barrier --count 3 --for 1min
  camera-agent trigger self-test plans.yaml line-1 --json | jq '.cameras[].verdict'

\b
A verdict says why and what to do next. Its codes: passed, no_pulse, fault, no_frame (wiring or trigger mode),
shifted, ghosts (noise, or a camera that runs free), late (the budget's wait), missed, ambiguous, out_of_budget,
cut_off; of the group: too_few_pulses, edges_lost, incomplete_sets.

\b
Exit codes: 0 every pulse brought one frame of each camera, in its budget; 9 not so; 2 bad input; 130 Ctrl-C
(streams off, line safe); where no pulse could be fired at all, that of the error which kept it.
"""
_duration = quantity(above_zero(parse_duration_ns))


@click.command("self-test", epilog=_EPILOG)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.yaml")
@click.argument("group")
@click.option("--count", type=click.IntRange(1, 100_000), default=10, show_default=True, help="How many pulses.")
@click.option(
    "--every", "every_ns", metavar="TIME", default="200ms", show_default=True, callback=_duration, help="How far apart."
)
@click.option(
    "--for",
    "limit_ns",
    metavar="DURATION",
    default="30s",
    show_default=True,
    callback=_duration,
    help="How long to wait for pulses that others make.",
)
@simulate_option
@json_option
def self_test(
    *, file: Path, group: str, count: int, every_ns: int, limit_ns: int, simulate: bool, as_json: bool
) -> None:
    """Pulse the cameras of GROUP, expect one frame of each for every pulse, and judge what came.

    Cameras and trigger are those of a plan file; its plans are not run, and nothing is stored. The group's cameras are
    armed in a capture process of their own, as in a real run. Where others make the pulses, they are waited for.
    """
    from agent.cli.plan_processes import usual_ways
    from agent.cli.trigger_test_run import SelfTest, TestWish

    order = _group(file, group, simulate=simulate)
    wish = TestWish(count=count, every_ns=every_ns, limit_ns=limit_ns)
    run_and_report(SelfTest(order, wish, usual_ways(simulate=simulate), _teller(as_json)), as_json=as_json)


def run_and_report(test: SelfTest, *, as_json: bool) -> None:
    """Carry it out, show it, and raise its verdict. Raises Interrupted, SelfTestFailed, AgentError."""
    from agent.cli.show import print_json, progress
    from agent.cli.trigger_report import as_dict, print_report, raise_verdict

    with progress([f"pulses of {test.group.group}"], test.wish.count, quiet=as_json) as (tick,):
        shown = 0

        def turn() -> None:
            nonlocal shown
            while shown < test.pulses:
                shown += 1
                tick()

        test.on_turn = turn
        test.carry_out()
    if as_json:
        print_json(as_dict(test))
    else:
        print_report(test)
    raise_verdict(test)


def _group(file: Path, wanted: str, *, simulate: bool) -> GroupOrder:
    """The group of the file, its cameras where they are now. Raises ConfigError, InputError."""
    import difflib
    import time

    from agent.cli.bench import find_cameras
    from agent.config.plan_file import load_plan_file
    from agent.errors import InputError

    read = load_plan_file(file, now_ns=time.monotonic_ns(), realtime_now_ns=time.time_ns())
    read = read.located(find_cameras(simulate) if read.wanted else ())
    names = [order.name for order in read.groups]
    if wanted not in names:
        near = difflib.get_close_matches(wanted, names, n=3) or names
        hint = f"its groups are {', '.join(near)}"
        raise InputError(f"{file}: there is no group {wanted}", hint=hint, group=wanted, known=names)
    return read.groups[names.index(wanted)]


def _teller(quiet: bool) -> Tell:
    from agent.cli.options import printable

    def tell(words: str, hint: str) -> None:
        if quiet:
            return
        click.echo(printable(words), err=True)
        if hint:
            click.echo(printable(f"  {hint}"), err=True)

    return tell
