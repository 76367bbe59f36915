"""`camera-agent devices`: every camera, what it is, what it offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from agent.cli.options import json_option, simulate_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from rich.console import RenderableType

    from agent.cli.bench import Doors
    from agent.cli.inventory import Listed, OfferedFormat, OfferedSize
    from agent.kernel import Kernel
    from agent.v4l2.formats import IntervalOffer

_EPILOG = """\b
Examples:
  camera-agent devices
  camera-agent devices --formats
  camera-agent devices --all --json
  camera-agent devices --suggest >> plans.yaml   what to write under cameras:
  camera-agent devices --watch                   follow what is plugged in and pulled
"""


@click.command(epilog=_EPILOG)
@click.option("--formats", "with_formats", is_flag=True, help="List pixel formats, frame sizes and frame rates.")
@click.option("--all", "with_all", is_flag=True, help="Also nodes that capture no video, with what they are.")
@click.option("--suggest", "wants_suggestions", is_flag=True, help="Print the matches to write under `cameras:`.")
@click.option("--watch", "wants_watch", is_flag=True, help="Print what comes and goes until Ctrl-C, a line each.")
@simulate_option
@json_option
@click.pass_obj
def devices(
    doors: Doors,
    /,
    *,
    with_formats: bool,
    with_all: bool,
    wants_suggestions: bool,
    wants_watch: bool,
    simulate: bool,
    as_json: bool,
) -> None:
    """List the cameras: path, name, driver, bus, kind, and the format they are set to.

    A node that cannot be opened is listed with the reason.

    A path such as /dev/video0 is only today's address. With --suggest, YAML for `cameras:` of a plan file is printed:
    each camera matched by its serial number, or where it has none of its own by the port it is plugged into, and why.

    With --watch, the cameras that are there are told first, then every one that appears, changes or is gone. With
    --json each line is a JSON object, with the time its event was read in nanoseconds of CLOCK_MONOTONIC.
    """
    lists = with_formats or with_all
    if wants_watch and (wants_suggestions or simulate or lists):
        raise click.UsageError("--watch follows this machine's cameras: only --json goes with it")
    if wants_suggestions and lists:
        raise click.UsageError("--suggest has nothing to do with --formats and --all")
    if wants_watch:
        _watch(as_json=as_json)
    with doors.kernels(simulate) as kernel:
        if wants_suggestions:
            _suggest(kernel, as_json=as_json)
        else:
            _list(kernel, with_formats=with_formats, with_all=with_all, as_json=as_json)


def _watch(*, as_json: bool) -> NoReturn:
    from agent.cli.devices_watch import follow
    from agent.cli.inventory import asking
    from agent.discovery.udev import require_udev
    from agent.discovery.watch import Watch
    from agent.kernel import LinuxKernel

    require_udev()
    follow(Watch(ask=asking(LinuxKernel())), as_json=as_json)


def _suggest(kernel: Kernel, *, as_json: bool) -> None:
    from agent.cli.bench import present_cameras
    from agent.cli.devices_suggest import print_suggestions

    present = present_cameras(kernel)
    if present or as_json:
        print_suggestions(present, as_json=as_json)
    else:
        _say_there_is_none()


def _list(kernel: Kernel, *, with_formats: bool, with_all: bool, as_json: bool) -> None:
    from agent.cli.inventory import take_inventory
    from agent.cli.show import print_all, print_json

    found = take_inventory(kernel, offers=with_formats)
    shown = [listed for listed in found if with_all or listed.captures or listed.problem]
    if as_json:
        print_json({"devices": [_as_dict(listed, with_formats) for listed in shown]})
        return
    if not shown:
        _say_there_is_none()
        return
    parts = [_table(shown)]
    if with_formats:
        parts += [part for listed in shown if listed.offers for part in _offers(listed)]
    print_all(*parts)


def _say_there_is_none() -> None:
    click.echo("camera-agent: there is no camera on this machine", err=True)
    click.echo("  plug one in, or add --simulate to see it work without one", err=True)


def _table(shown: Sequence[Listed]) -> RenderableType:
    from agent.cli.show import table

    rows = []
    for listed in shown:
        about = listed.capabilities
        now = "" if listed.format is None else f"{listed.format}{_at(listed.interval_s)}"
        kind = "?" if about is None else about.kind.partition(" (")[0]
        said = listed.problem.message if listed.problem else now
        card, driver, bus = ("", "", "") if about is None else (about.card, about.driver, about.bus_info)
        rows.append((listed.path, card, driver, bus, kind, said))
    return table(("device", "name", "driver", "bus", "kind", "set to"), rows, whole=("device", "bus"))


def _offers(listed: Listed) -> list[RenderableType]:
    from agent.cli.show import heading, line, pairs

    name = listed.capabilities.card if listed.capabilities else ""
    parts = [line(""), heading(f"{listed.path} {name}")]
    for offer in listed.offers:
        how = " (made by the kernel or a library)" if offer.pixel_format.emulated else ""
        parts.append(line(f"  {offer.pixel_format.pixel_format}  {offer.pixel_format.description}{how}"))
        parts.append(pairs([(str(size.size), _rates(size)) for size in offer.sizes], indent=4))
    return parts


def _rates(size: OfferedSize) -> str:
    return ", ".join(_rate(interval) for interval in size.intervals) + (" frames/s" if size.intervals else "")


def _rate(interval: IntervalOffer) -> str:
    if interval.shortest_s == interval.longest_s:
        return _per_second(interval.shortest_s)
    return f"{_per_second(interval.longest_s)} to {_per_second(interval.shortest_s)}"


def _per_second(interval_s: Fraction) -> str:
    return f"{float(1 / interval_s):.5g}" if interval_s else "?"


def _at(interval_s: Fraction | None) -> str:
    return f" {_per_second(interval_s)}/s" if interval_s else ""


def _as_dict(listed: Listed, with_formats: bool) -> dict[str, object]:
    about = listed.capabilities
    facts: dict[str, object] = {"path": listed.path, "error": listed.problem.as_dict() if listed.problem else None}
    if about is not None:
        facts |= {
            "name": about.card,
            "driver": about.driver,
            "driver_version": ".".join(map(str, about.driver_version)),
            "bus": about.bus_info,
            "kind": about.kind,
        }
    if listed.format is not None:
        facts |= {
            "pixel_format": listed.format.pixel_format,
            "width": listed.format.width_px,
            "height": listed.format.height_px,
            "interval_s": None if listed.interval_s is None else str(listed.interval_s),
        }
    if with_formats:
        facts["formats"] = [_offer_as_dict(offer) for offer in listed.offers]
    return facts


def _offer_as_dict(offer: OfferedFormat) -> dict[str, object]:
    return {
        "pixel_format": offer.pixel_format.pixel_format,
        "description": offer.pixel_format.description,
        "compressed": offer.pixel_format.compressed,
        "emulated": offer.pixel_format.emulated,
        "sizes": [
            {
                "minimum": [size.size.min_width_px, size.size.min_height_px],
                "maximum": [size.size.max_width_px, size.size.max_height_px],
                "step": [size.size.step_width_px, size.size.step_height_px],
                "intervals_s": [[str(i.shortest_s), str(i.longest_s)] for i in size.intervals],
            }
            for size in offer.sizes
        ],
    }
