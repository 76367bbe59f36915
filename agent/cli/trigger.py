"""`camera-agent trigger`: the lines of this machine, pulses on them, edges from them, and a test of the whole."""

from __future__ import annotations

import importlib

import click

_VERBS = {
    "lines": "The chips and lines of this machine, and who uses them.",
    "fire": "Send pulses on a line, on time, and show when each edge was.",
    "watch": "Show each edge of a line as the kernel stamped it.",
    "safe": "Drive the outputs of a file to their safe levels.",
    "self-test": "Pulse, and expect one frame of each camera.",
}
_EPILOG = """\b
Examples:
  camera-agent trigger lines
  camera-agent trigger fire gpiochip0:17 --pulse 1ms --count 10 --every 100ms
  camera-agent trigger watch gpiochip0:27 --bias pull-up --for 10s
  camera-agent trigger self-test plans.yaml line-1 --count 20
  camera-agent trigger safe plans.yaml
  camera-agent trigger lines --simulate --json

\b
A line is CHIP:LINE. CHIP is a name (gpiochip0), a path or a label (pinctrl-bcm2711);
LINE is a name or an offset. The name of a line alone does where it is the only one.
"""


class _TriggerVerbs(click.Group):
    """Each verb's module is imported when it is called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"agent.cli.trigger_{name}"), name)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(_VERBS.items()))


@click.group(cls=_TriggerVerbs, epilog=_EPILOG, subcommand_metavar="VERB ...")
def trigger() -> None:
    """Trigger lines: see them, pulse them, watch them, and test that each pulse brings one frame.

    A line is held for as long as a verb runs, and left at its safe level however that ends.
    `camera-agent trigger VERB --help` tells more of each verb.
    """
