"""`camera-agent trigger lines`: chips and lines, and who uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.cli.options import json_option
from agent.cli.trigger_options import simulate_lines_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.cli.bench import Doors
    from agent.trigger.errors import LineError
    from agent.trigger.lines import ChipInfo, LineInfo, Lines

_EPILOG = """\b
Examples:
  camera-agent trigger lines
  camera-agent trigger lines pinctrl-bcm2711
  camera-agent trigger lines --named
  camera-agent trigger lines gpiochip0 --json | jq '.chips[].lines[] | select(.used)'

\b
Exit codes: 0 done, 3 no such chip, 4 no permission for it.
"""


@click.command(epilog=_EPILOG)
@click.argument("chip", required=False)
@click.option("--named", is_flag=True, help="Only lines that have a name or a user.")
@simulate_lines_option
@json_option
@click.pass_obj
def lines(doors: Doors, /, *, chip: str | None, named: bool, simulate: bool, as_json: bool) -> None:
    """List chips and lines: offset, name, direction, who uses it, bias, polarity.

    CHIP is a name, path or label; left away, all chips. A chip that cannot be read is listed with the reason.
    Nothing is changed, and no line is taken.
    """
    from agent.cli.show import print_json

    with doors.lines(simulate) as machine:
        found = [_look_at(machine, each) for each in _chosen(machine, chip)]
    if chip is not None and found and isinstance(found[0][1], Exception):
        raise found[0][1]
    if as_json:
        print_json({"chips": [_as_dict(info, known, named) for info, known in found]})
    elif found:
        _print(found, named)
    else:
        click.echo("camera-agent: there is no GPIO chip on this machine", err=True)
        click.echo("  plug one in, load its driver, or add --simulate to see it work without one", err=True)


def _chosen(machine: Lines, chip: str | None) -> Sequence[ChipInfo]:
    from agent.trigger.lookup import find_chip

    chips = machine.chips()
    return chips if chip is None else [find_chip(chip, chips)]


def _look_at(machine: Lines, chip: ChipInfo) -> tuple[ChipInfo, Sequence[LineInfo] | LineError]:
    from agent.trigger.errors import LineError

    try:
        return chip, machine.lines(chip.path)
    except LineError as error:
        return chip, error


def _print(found: Sequence[tuple[ChipInfo, Sequence[LineInfo] | LineError]], named: bool) -> None:
    from agent.cli.show import heading, line, print_all, table

    parts = []
    for number, (chip, known) in enumerate(found):
        parts += [line("")] if number else []
        parts.append(heading(f"{chip.name} [{chip.label}] {chip.path}, {chip.lines} lines"))
        if isinstance(known, Exception):
            parts += [line(f"  {known.message}"), line(f"  {known.hint}")]
            continue
        rows = [_row(info) for info in known if _is_wanted(info, named)]
        columns = ("offset", "name", "direction", "used by", "bias", "active")
        parts.append(table(columns, rows, whole=("offset", "name")) if rows else line("  no line has a name or a user"))
    print_all(*parts)


def _is_wanted(info: LineInfo, named: bool) -> bool:
    return not named or bool(info.name or info.used)


def _row(info: LineInfo) -> tuple[str, ...]:
    user = (info.consumer or "somebody without a name") if info.used else ""
    bias = "" if info.bias is None else info.bias.value
    return (str(info.offset), info.name, _direction(info), user, bias, "low" if info.active_low else "high")


def _direction(info: LineInfo) -> str:
    return "output" if info.output else "input"


def _as_dict(chip: ChipInfo, known: Sequence[LineInfo] | LineError, named: bool) -> dict[str, object]:
    facts: dict[str, object] = {"name": chip.name, "path": chip.path, "label": chip.label, "count": chip.lines}
    if isinstance(known, Exception):
        return {**facts, "error": known.as_dict(), "lines": []}
    shown = [_line_as_dict(info) for info in known if _is_wanted(info, named)]
    return {**facts, "error": None, "lines": shown}


def _line_as_dict(info: LineInfo) -> dict[str, object]:
    return {
        "offset": info.offset,
        "name": info.name,
        "direction": _direction(info),
        "used": info.used,
        "consumer": info.consumer,
        "bias": None if info.bias is None else info.bias.value,
        "active_low": info.active_low,
    }
