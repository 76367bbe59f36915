"""`camera-agent plan`: carry out a plan file, or say what it comes to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.bench import LIKENESSES
from agent.cli.options import above_zero, json_option, quantity, simulate_option
from agent.cli.plan_asked import add, cancel, change, list_plans
from agent.units import parse_duration_ns

if TYPE_CHECKING:
    from agent.schedule.requests import Sample

_EPILOG = """\b
A plan file:
  cameras:
    top: {device: /dev/video0, exposure: 8ms}
  plans:
    lapse: {camera: top, every: 500ms, count: 20}

\b
Examples:
  camera-agent plan check plans.yaml           what it comes to, or all that is wrong with it
  camera-agent plan check plans.yaml --trace   the exact calls, without hardware
  camera-agent plan run plans.yaml --simulate  on two simulated cameras
  camera-agent plan run plans.yaml --json      everything at the end as one document
  camera-agent plan add lapse camera=top every=500ms count=20
  camera-agent plan list
  camera-agent plan set lapse --every 1s
  camera-agent plan cancel lapse
"""
_CHECK_EPILOG = """\b
Examples:
  camera-agent plan check plans.yaml
  camera-agent plan check plans.yaml --json | jq .load
  camera-agent plan check plans.yaml --trace | less
  camera-agent plan check plans.yaml --trace --ticks 3 --camera-like sensor

\b
Exit codes: 0 nothing is wrong, 2 something is; with --trace also that of a camera that could not be set.
"""
_RUN_EPILOG = """\b
Examples:
  camera-agent plan run plans.yaml
  camera-agent plan run plans.yaml --simulate --for 10s
  camera-agent plan run plans.yaml --for 1h --json --plot lateness.svg
  camera-agent plan run plans.yaml --ledger pulses.jsonl
  camera-agent plan run plans.yaml --ticks ticks.jsonl --sample every=100,slower=5ms,failures

\b
Ctrl-C (or SIGTERM, SIGHUP) cancels all plans and stops all streams, and says how long that took;
a second one ends the capture processes at once, which stops the streams too.

\b
Exit codes: 0 all went well; 8 an emergency stop was pressed; 129, 130, 143 after SIGHUP, Ctrl-C, SIGTERM;
else that of the first error (`camera-agent --help` lists them).
"""
_FILE = click.Path(path_type=Path)


@click.group(epilog=_EPILOG)
def plan() -> None:
    """Run plans: frames on time, each tick accounted for, everything cancelled on request.

    A plan file names cameras and what is wanted of them; docs/plan-files.md describes it. `run` and `check` need no
    agent; `add`, `list`, `set` and `cancel` ask the one that runs.
    """


for _asked in (add, list_plans, change, cancel):
    plan.add_command(_asked)


def _parse_sample(context: click.Context, parameter: click.Parameter, text: str | None) -> Sample | None:
    from agent.cli.plan_ticks import parse_sample

    return parse_sample(context, parameter, text)


@plan.command(epilog=_RUN_EPILOG)
@click.argument("file", type=_FILE, metavar="FILE.yaml")
@click.option(
    "--for",
    "limit_ns",
    metavar="DURATION",
    callback=quantity(above_zero(parse_duration_ns)),
    help="End so long after the plans' start, such as 10s or 1h.  [default: when all plans are finished]",
)
@click.option(
    "--output",
    type=_FILE,
    metavar="FOLDER",
    help="Folder for the pictures, instead of that in the file; one below it for each camera where there are several.",
)
@click.option("--plot", type=_FILE, metavar="FILE", help="Draw lateness and outcomes into this .svg or .png file.")
@click.option("--ticks", type=_FILE, metavar="FILE.jsonl", help="Write a JSON line for each request that ended.")
@click.option(
    "--sample",
    metavar="WHICH",
    callback=_parse_sample,
    help="Which requests go into --ticks: every=N, slower=TIME, failures, joined by commas.  [default: all]",
)
@click.option(
    "--ledger", type=_FILE, metavar="FILE.jsonl", help="Write a JSON line for each pulse and frame that ended."
)
@simulate_option
@json_option
def run(
    *,
    file: Path,
    limit_ns: int | None,
    output: Path | None,
    plot: Path | None,
    ticks: Path | None,
    sample: Sample | None,
    ledger: Path | None,
    simulate: bool,
    as_json: bool,
) -> None:
    """Carry a plan file out, in the foreground.

    One capture process for each group of cameras is started. When all cameras stream, the plans begin: their start
    times count from then. A table on the terminal shows cameras and plans while they run; at the end a summary
    accounts for every tick: delivered, skipped and why, refused by which quota, cancelled.

    A line of --ticks has the request's trace id, plan, number, the instants it was due, fired and ended (nanoseconds
    of CLOCK_MONOTONIC), its outcome, frames, the driver's number of the last one, and the time its encoding took.

    A line of --ledger is a pulse of a trigger, a frame of a triggered camera, or a pair of them, and how it ended:
    matched, missed, late, spurious or ambiguous; why, when the pulse was, when the exposure began, and its residual:
    that instant less the expected one.
    """
    from agent.cli.plan_live import Screen
    from agent.cli.plan_plot import check_plot_path
    from agent.cli.plan_run import PlanRun, Wishes
    from agent.cli.plan_summary import print_summary, print_summary_json
    from agent.cli.plan_ticks import ALL

    if sample is not None and ticks is None:
        raise click.UsageError("--sample chooses what goes into --ticks: name that as well")
    if plot is not None:
        check_plot_path(plot)
    wishes = Wishes(
        file=file,
        simulate=simulate,
        limit_ns=limit_ns,
        output=output,
        plot=plot,
        ticks=ticks,
        sample=sample or ALL,
        ledger=ledger,
    )
    with Screen(quiet=as_json) as screen:
        carried = PlanRun(wishes, screen)
        outcome = carried.carry_out()
    if as_json:
        print_summary_json(outcome)
    elif carried.began:
        print_summary(outcome)
    carried.raise_what_happened()


@plan.command(epilog=_CHECK_EPILOG, short_help="Say what a plan file comes to, or all that is wrong with it.")
@click.argument("file", type=_FILE, metavar="FILE.yaml")
@click.option("--trace", "wants_trace", is_flag=True, help="Print every call that would be made, without hardware.")
@click.option(
    "--ticks", type=click.IntRange(1, 100_000), metavar="N", help="With --trace: so many ticks.  [default: 5]"
)
@click.option("--camera-like", type=click.Choice(LIKENESSES), help="With --trace: what answers.  [default: uvc]")
@click.option("--every-frame", is_flag=True, help="With --trace: also the calls for frames that no tick wants.")
@simulate_option
@json_option
def check(
    *,
    file: Path,
    wants_trace: bool,
    ticks: int | None,
    camera_like: str | None,
    every_frame: bool,
    simulate: bool,
    as_json: bool,
) -> None:
    """Look at a plan file: all that is wrong with it, else what it comes to.

    Without an error, each plan is told in words: its next ticks in local time, how many an hour and a day, what limits
    them, and the load to expect. Nothing is opened.

    With --trace the plans are carried out by the real capture loop on simulated cameras, in a time that jumps: the
    exact sequence of ioctls, with their arguments decoded, and when each would be made. One simulated camera answers
    for each device of the file (with --simulate: those that --simulate always has).
    """
    given = ticks is not None or camera_like is not None or every_frame or simulate
    if given and not wants_trace:
        raise click.UsageError("--ticks, --camera-like, --every-frame and --simulate belong to --trace")
    if simulate and camera_like is not None:
        raise click.UsageError("--simulate has its own cameras: leave --camera-like or --simulate away")
    if wants_trace:
        from agent.cli.plan_trace import trace

        trace(file, ticks=ticks or 5, like=camera_like, simulate=simulate, every_frame=every_frame, as_json=as_json)
        return
    _check(file, as_json=as_json)


def _check(file: Path, *, as_json: bool) -> None:
    import time

    from agent.cli.plan_check import print_check, print_check_json
    from agent.cli.plan_reading import Now
    from agent.config.plan_file import load_plan_file

    now = Now(time.monotonic_ns(), time.time_ns())
    read = load_plan_file(file, now_ns=now.monotonic_ns, realtime_now_ns=now.realtime_ns)
    (print_check_json if as_json else print_check)(read, now)
