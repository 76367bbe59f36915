"""`camera-agent demo`: what it does, seen without a camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.options import json_option
from agent.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.cli.bench import Doors
    from agent.cli.demo_trigger import TriggeredDemo
    from agent.cli.inventory import Listed
    from agent.cli.shooting import Order, Shooting
    from agent.kernel import Kernel

_EXPOSURES_NS = (8 * NS_PER_MS, 5 * NS_PER_MS)
"""The second one falls between two lines of the simulated sensor: what is granted differs, and the table says why."""
_LIMIT_NS = 3 * NS_PER_S
_SHEET = "contact-sheet"


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=Path("photos"),
    show_default=True,
    help="Folder for the photos, one below it for each camera; nothing in it is overwritten.",
)
@click.option("--count", type=click.IntRange(1, 1000), default=10, show_default=True, help="Photos of each camera.")
@json_option
@click.pass_obj
def demo(doors: Doors, /, *, output: Path, count: int, as_json: bool) -> None:
    """See it work: two simulated cameras side by side, their photos, a contact sheet, then both on one trigger.

    Each simulated camera draws its frame number, exposure and gain into the picture; at the end they are read back
    from the photos and compared with what was written down. Then a plan fires both of them by one simulated line for
    three seconds, and every pulse is accounted for. The cameras answer the same system calls as real ones.
    """
    from agent.cli.demo_trigger import run_triggered
    from agent.cli.inventory import take_inventory

    with doors.kernels(True) as kernel:
        cameras = [listed for listed in take_inventory(kernel) if listed.captures]
        shootings = _shoot_all(kernel, _orders(cameras, output, count), quiet=as_json)
    sheet = _write_sheet(output, shootings)
    marks = [_count_marks(shooting) for shooting in shootings]
    triggered = run_triggered(sheet.parent, quiet=as_json)
    if as_json:
        _print_facts(shootings, marks, sheet, triggered)
    else:
        _show(shootings, marks, sheet, triggered)


def _orders(cameras: Sequence[Listed], output: Path, count: int) -> list[Order]:
    from agent.capture.settings import Settings
    from agent.cli.shooting import Order
    from agent.pipeline.names import file_name

    return [
        Order(
            device=camera.path,
            settings=Settings(exposure_ns=_EXPOSURES_NS[place % len(_EXPOSURES_NS)]),
            count=count,
            folder=output / file_name(camera.capabilities.card if camera.capabilities else camera.path),
            limit_ns=_LIMIT_NS,
        )
        for place, camera in enumerate(cameras)
    ]


def _shoot_all(kernel: Kernel, orders: Sequence[Order], *, quiet: bool) -> list[Shooting]:
    """A thread for each camera; all have ended when this returns or raises."""
    from concurrent.futures import ThreadPoolExecutor

    from agent.cli.interruption import Interrupted, Interruption
    from agent.cli.shooting import Shooting
    from agent.cli.show import progress

    names = [order.folder.name for order in orders]
    with Interruption() as interruption, progress(names, orders[0].count, quiet=quiet) as ticks:
        shootings = [
            Shooting(kernel, order, waiting=interruption.checked, on_picture=tick)
            for order, tick in zip(orders, ticks, strict=True)
        ]
        try:
            # leaving it joins the threads; after a signal each of them ends before its next frame
            with ThreadPoolExecutor(len(orders), "camera") as threads:
                running = [threads.submit(shooting.run) for shooting in shootings]
            for ended in running:
                ended.result()
        except Interrupted as stop:
            stop.told = "; ".join(shooting.told for shooting in shootings)
            raise
    return shootings


def _write_sheet(output: Path, shootings: Sequence[Shooting]) -> Path:
    """The contact sheet, under the next free number."""
    from dataclasses import replace

    from agent.pipeline.contact_sheet import Sheet, write_contact_sheet
    from agent.pipeline.writer import next_number

    records = [
        replace(record, file=f"{shooting.order.folder.name}/{record.file}")
        for shooting in shootings
        for record in shooting.records
    ]
    folder = output.expanduser().absolute()
    path = folder / f"{_SHEET}-{next_number(folder, _SHEET):06d}.jpg"
    write_contact_sheet(path, records, Sheet(columns=_columns(shootings), title="camera-agent demo"))
    return path


def _columns(shootings: Sequence[Shooting]) -> int:
    """So many that each camera begins a row of its own, where that makes a sheet of a good shape."""
    return next((n for n in (5, 6, 4, 3) if len(shootings[0].records) % n == 0), 5)


def _count_marks(shooting: Shooting) -> int:
    """Photos whose pixels say the frame number, exposure and gain that their record says."""
    from agent.cli.bench import read_mark_of

    agree = 0
    for record in shooting.records:
        mark = read_mark_of(shooting.order.folder.expanduser() / record.file)
        if mark is None or record.exposure_ns is None:
            continue
        sequence, exposure_ns, gain = mark
        # both are a number of lines rounded to a nanosecond, one of them down
        agree += (sequence, gain, exposure_ns) == (record.sequence, record.gain, record.exposure_ns)
    return agree


def _print_facts(shootings: Sequence[Shooting], marks: Sequence[int], sheet: Path, triggered: TriggeredDemo) -> None:
    from agent.cli.demo_trigger import triggered_facts
    from agent.cli.figures import as_dict
    from agent.cli.show import print_json

    cameras = [{**as_dict(shooting), "marks_agree": agree} for shooting, agree in zip(shootings, marks, strict=True)]
    print_json({"cameras": cameras, "contact_sheet": str(sheet), "triggered": triggered_facts(triggered)})


def _show(shootings: Sequence[Shooting], marks: Sequence[int], sheet: Path, triggered: TriggeredDemo) -> None:
    from agent.cli.demo_trigger import triggered_parts
    from agent.cli.show import heading, line, pairs, print_all, table

    columns = [_column(shooting, agree) for shooting, agree in zip(shootings, marks, strict=True)]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    headings = ["", *(shooting.about.card if shooting.about else "" for shooting in shootings)]
    following = [
        ("look at them", str(sheet)),
        ("your cameras", "camera-agent devices"),
        ("your photos", "camera-agent capture --count 10 --exposure 8ms"),
        ("this plan again", f"camera-agent plan run {triggered.plan} --simulate"),
    ]
    parts = [table(headings, rows), line(""), *triggered_parts(triggered), line("")]
    print_all(*parts, heading("What next"), pairs(following, indent=2))


def _column(shooting: Shooting, agree: int) -> dict[str, str]:
    from agent.cli import figures

    proven = "yes, read back before the start" if shooting.prepared and shooting.prepared.exposure else "no"
    written = len(shooting.records)
    return {
        "photos": f"{written} in {shooting.order.folder}",
        "format": str(shooting.prepared.format) if shooting.prepared else "",
        "frame interval": figures.interval_text(shooting),
        "timestamps": figures.stamp_text(shooting),
        "exposure": figures.exposure_text(shooting),
        "exposure proven": proven,
        "pixels agree": f"{'yes' if agree == written else 'NO'}, {agree} of {written}",
        "frames lost": figures.lost_text(shooting),
        "STREAMOFF took": figures.stop_text(shooting),
    }
