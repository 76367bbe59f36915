"""`camera-agent controls`: what can be set on a camera, and several controls set as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.cli.options import assignments, json_option, simulate_option

if TYPE_CHECKING:
    from agent.cli.assignment import Assigned
    from agent.cli.bench import Doors
    from agent.v4l2.ioctl import Node
    from agent.v4l2.transaction import SetReport

_EPILOG = """\b
Examples:
  camera-agent controls /dev/video0
  camera-agent controls /dev/video0 brightness=10 power_line_frequency="50 Hz"
  camera-agent controls /dev/video0 --manual exposure=8ms gain=16
  camera-agent controls /dev/video0 auto_exposure="Manual Mode" exposure=8ms
"""


@click.command(epilog=_EPILOG)
@click.argument("device")
@click.argument("wanted", metavar="[NAME=VALUE]...", nargs=-1, callback=assignments)
@click.option("--manual", is_flag=True, help="Switch off the automatic modes that hold what is set, in the same call.")
@simulate_option
@json_option
@click.pass_obj
def controls(
    doors: Doors, /, *, device: str, wanted: dict[str, str], manual: bool, simulate: bool, as_json: bool
) -> None:
    """List the controls of DEVICE, or set NAME=VALUE, all of them or none.

    NAME is a control's name, of this or an older kernel, or its id. VALUE is a number, on or off, or a menu's text.
    exposure=8ms and gain=6dB are understood in physical units, whatever the camera counts in. Nothing is clamped:
    a value that is not allowed is refused before anything is changed.
    """
    from agent.v4l2.device import query_capabilities
    from agent.v4l2.ioctl import Node

    with doors.kernels(simulate) as kernel, Node(kernel, device) as node:
        query_capabilities(node)
        if wanted:
            _set(node, wanted, manual, as_json)
        else:
            _list(node, as_json)


def _list(node: Node, as_json: bool) -> None:
    from agent.cli.control_list import as_tables, read_controls
    from agent.cli.show import line, print_all, print_json

    found = read_controls(node)
    if as_json:
        print_json({"device": node.path, "controls": [shown.as_dict() for shown in found]})
    else:
        print_all(*(as_tables(found) if found else [line(f"{node.path} has no controls")]))


def _set(node: Node, wanted: dict[str, str], manual: bool, as_json: bool) -> None:
    import errno

    from agent.cli.assignment import assign
    from agent.errors import ControlRefused
    from agent.v4l2.transaction import set_controls, set_manual

    assigned = assign(node, wanted)
    try:
        report = (set_manual if manual else set_controls)(node, assigned.values)
    except ControlRefused as error:
        # refused because an automatic mode holds it: there is an option for that
        if not manual and error.errno == errno.EACCES and error.hint.endswith("in the same call"):
            error.hint += ", or add --manual"
        raise
    _show_changes(report, assigned, as_json)


def _show_changes(report: SetReport, assigned: Assigned, as_json: bool) -> None:
    from agent.cli.show import line, print_all, print_json, table
    from agent.v4l2.values import format_value

    if as_json:
        changes = [
            {"name": change.control.slug, "before": change.before, "asked": change.asked, "after": change.after}
            for change in report.changes
        ]
        print_json({"device": report.device, "changes": changes, "notes": assigned.notes})
        return
    rows = []
    for change in report.changes:
        values = (change.before, change.asked, change.after)
        told = ("" if value is None else format_value(change.control, value) for value in values)
        rows.append((change.control.slug, *told))
    print_all(table(("control", "before", "asked", "after"), rows), *(line(note) for note in assigned.notes))
