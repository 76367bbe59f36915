"""`camera-agent`: the verbs, and every error as one message with an exit code."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

import agent
from agent.cli.bench import Doors, KernelChoice, LinesChoice, open_kernel, open_lines
from agent.cli.interruption import Interrupted
from agent.cli.options import printable
from agent.errors import AgentError

_INTERRUPTED_EXIT = 130
_VERBS = {
    "devices": "The cameras of this machine, and what they offer.",
    "controls": "Show a camera's controls, or set several as one.",
    "capture": "Take pictures with a proven exposure and exact timestamps.",
    "record": "Record frames of the running agent: pictures or video, with an index.",
    "timeline": "Draw what a recording's index tells: exposures, frames, encodes, losses.",
    "plan": "Carry out plans: frames on time, every tick accounted for.",
    "trigger": "Lines: list, fire, watch, and test that each pulse brings one frame.",
    "config": "Check, show and compare the configuration of the service.",
    "serve": "Be the agent: cameras, plans and the control socket, until it is stopped.",
    "status": "Whether the running agent is well, and what it does.",
    "cameras": "The running agent's cameras, present or not.",
    "snapshot": "A picture of what a camera of the running agent sees now.",
    "preview": "What a camera of the running agent sees, live, in this terminal.",
    "start": "Start cameras of the running agent.",
    "stop": "Streams off, now, with the times of each STREAMOFF.",
    "events": "What happens in the running agent, as it happens.",
    "top": "Cameras and plans of the running agent, live.",
    "quota": "Quotas of the running agent: show, change.",
    "release-stop": "Release an emergency stop.",
    "demo": "See it work without a camera: two simulated ones, photos, figures.",
}
_EPILOG = """\b
Examples:
  camera-agent demo
  camera-agent devices --formats
  camera-agent controls /dev/video0
  camera-agent controls /dev/video0 --manual exposure=8ms gain=16
  camera-agent capture --count 10 --exposure 8ms --output photos
  camera-agent capture --simulate --count 3 --json | jq .pictures
  camera-agent record top --format mkv --duration 1min
  camera-agent timeline recording --output timeline.png
  camera-agent plan run plans.yaml
  camera-agent trigger fire gpiochip0:17 --pulse 1ms
  camera-agent serve --config here.yaml --socket /tmp/control.sock --simulate
  camera-agent config check
  camera-agent status
  camera-agent cameras
  camera-agent capture top --exposure 8ms
  camera-agent start top
  camera-agent snapshot top --output door.jpg
  camera-agent preview top
  camera-agent stop --all
  camera-agent events --kind camera
  camera-agent top
  camera-agent quota camera/top 30/s
  camera-agent release-stop line-1

\b
Exit codes:
  0  done                          6  the camera or its driver failed
  1  another error                 7  pictures could not be stored
  2  wrong usage or bad input      8  the emergency stop was pressed
  3  no such device or agent       9  a trigger failed its self-test
  4  no permission               130  stopped by Ctrl-C
  5  the camera is busy          143  stopped by SIGTERM

\b
Completion for bash (zsh and fish alike):
  eval "$(_CAMERA_AGENT_COMPLETE=bash_source camera-agent)"
"""


class _Verbs(click.Group):
    """The verbs; each one's module is imported when it is called, so that help stays fast."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"agent.cli.{name}"), name)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(_VERBS.items()))


@click.group(
    cls=_Verbs,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="VERB ...",
)
@click.version_option(agent.__version__, prog_name="camera-agent")
def camera_agent() -> None:
    """Own a Linux machine's V4L2 cameras: proven manual exposure, honest timestamps, every frame accounted for.

    `camera-agent VERB --help` tells more of each verb.
    """


def run(arguments: Sequence[str], kernels: KernelChoice = open_kernel, lines: LinesChoice = open_lines) -> int:
    """Carry out one command line and return its exit code; errors are printed. Tests hand in their own machine.

    When whoever reads our output has gone, click raises SystemExit(1) in silence.
    """
    as_json = "--json" in arguments
    try:
        code = camera_agent.main(
            list(arguments) or ["--help"], prog_name="camera-agent", standalone_mode=False, obj=Doors(kernels, lines)
        )
        return code if isinstance(code, int) else 0  # of Context.exit; a verb itself returns None
    except AgentError as error:
        _report(error.as_dict(), error, as_json)
        return error.exit_code
    except click.ClickException as error:
        _report(_explain(error), error, as_json)
        return error.exit_code
    except Interrupted as stop:
        _report({"code": "interrupted", "message": stop.message, "hint": ""}, stop, as_json)
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt) as stop:
        _report({"code": "interrupted", "message": "stopped by Ctrl-C", "hint": ""}, stop, as_json)
        return _INTERRUPTED_EXIT


def main() -> NoReturn:
    """The program `camera-agent`."""
    raise SystemExit(run(sys.argv[1:]))


def _explain(error: click.ClickException) -> dict[str, object]:
    """A click error in the words of this house."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "camera-agent"
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    hint = f"`{path} --help` tells what it takes"
    if context and context.command is camera_agent:
        hint = f"the verbs are {', '.join(_VERBS)}; {hint}"
    return {"code": "usage", "message": message, "hint": hint}


def _report(facts: dict[str, object], error: BaseException, as_json: bool) -> None:
    """What happened, then what to do, then what else there is to know; on stderr."""
    notes = getattr(error, "__notes__", [])
    if as_json:
        click.echo(json.dumps({**facts, "notes": notes} if notes else facts, default=str), err=True)
        return
    first, *more = str(facts["message"]).split("\n")
    click.echo(printable(f"camera-agent: {first}"), err=True)
    for line in more:
        click.echo(printable(line), err=True)
    for line in filter(None, (facts["hint"], *notes)):
        click.echo(printable(f"  {line}"), err=True)
