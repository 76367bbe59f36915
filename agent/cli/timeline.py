"""`camera-agent timeline`: what the index of a recording tells, as a picture. Needs no agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.options import above_zero, json_option, printable, quantity
from agent.units import parse_duration_ns

if TYPE_CHECKING:
    from agent.cli.timeline_drawing import Span
    from agent.cli.timeline_reading import Lane

_EPILOG = """\b
Examples:
  camera-agent timeline recording
  camera-agent timeline recording --from 1s --to 1200ms --output second.svg
  camera-agent timeline photos --ticks ticks.jsonl --ledger ledger.jsonl

\b
A lane for each camera, in milliseconds from the first frame: ticks and trigger pulses, the
exposure, the frame's stamp and when it was here, and its encoding; frames that are missing
are red. The files of --ticks and --ledger are those of `camera-agent plan run`.
"""
_SHOWN = 60
"""Frames of the busiest camera that are drawn when nothing else is asked for."""
_MARGIN = 40
"""A 40th of what is drawn is left free on both sides."""
_TIME = quantity(parse_duration_ns)


@click.command(epilog=_EPILOG)
@click.argument("place", type=click.Path(path_type=Path), metavar="DIR|FILE")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=Path("timeline.png"),
    show_default=True,
    help="The picture: .png or .svg; one that is there is replaced.",
)
@click.option("--from", "from_ns", metavar="TIME", callback=_TIME, help="Begin so long after the first frame: 1s.")
@click.option("--to", "to_ns", metavar="TIME", callback=quantity(above_zero(parse_duration_ns)), help="End there.")
@click.option("--ticks", type=click.Path(path_type=Path), metavar="FILE", help="The ticks of the plans that ran.")
@click.option("--ledger", type=click.Path(path_type=Path), metavar="FILE", help="The pulses of the trigger ledger.")
@json_option
def timeline(
    *,
    place: Path,
    output: Path,
    from_ns: int | None,
    to_ns: int | None,
    ticks: Path | None,
    ledger: Path | None,
    as_json: bool,
) -> None:
    """Draw what happened to each frame of a recording: DIR with its frames.jsonl, or that file."""
    from agent.cli.canvas import PngCanvas, SvgCanvas
    from agent.cli.show import print_json
    from agent.cli.timeline_drawing import PAPER, WIDTH, draw, height
    from agent.cli.timeline_reading import read_lanes
    from agent.errors import InputError

    kinds: dict[str, type[PngCanvas | SvgCanvas]] = {".png": PngCanvas, ".svg": SvgCanvas}
    kind = kinds.get(output.suffix.lower())
    if kind is None:
        raise InputError(f"{output.name} does not say what the picture should be", hint="end it in .png or .svg")
    lanes = read_lanes(place, ticks, ledger)
    span = _span(lanes, from_ns, to_ns)
    told = _told(lanes, span)
    canvas = kind(WIDTH, height(lanes), PAPER)
    draw(canvas, lanes, span, f"{_name(place)}", told)
    _write(output, canvas.content())
    if as_json:
        drawn = {"from_ns": span.from_ns - span.zero_ns, "to_ns": span.to_ns - span.zero_ns}
        print_json({"output": str(output), "cameras": [lane.camera for lane in lanes], **drawn})
    else:
        click.echo(printable(f"{output}: {told}"))


def _name(place: Path) -> str:
    whole = place.absolute()
    return whole.name if place.is_dir() else f"{whole.parent.name}/{whole.name}"


def _span(lanes: list[Lane], from_ns: int | None, to_ns: int | None) -> Span:
    """What is drawn: as asked, else the beginning of it. Raises InputError for nothing."""
    from agent.cli.timeline_drawing import Span
    from agent.errors import InputError
    from agent.units import NS_PER_MS, format_duration

    zero_ns = min(shot.first_ns for lane in lanes for shot in lane.shots)
    end_ns = max(shot.last_ns for lane in lanes for shot in lane.shots)
    begin_ns = zero_ns if from_ns is None else zero_ns + from_ns
    if to_ns is None:
        seen = [[shot for shot in lane.shots if shot.last_ns >= begin_ns] for lane in lanes]
        ends = [max(shot.last_ns for shot in shots[:_SHOWN]) for shots in seen if shots]
        until_ns = min([end_ns, *ends]) if any(len(shots) > _SHOWN for shots in seen) else end_ns
    else:
        until_ns = zero_ns + to_ns
    if begin_ns >= end_ns or until_ns <= begin_ns:
        whole = format_duration(-(-(end_ns - zero_ns) // NS_PER_MS) * NS_PER_MS)
        raise InputError("nothing is between --from and --to", hint=f"the recording takes {whole}: choose from that")
    margin_ns = (until_ns - begin_ns) // _MARGIN + 1
    return Span(zero_ns, begin_ns - margin_ns * (from_ns is None), until_ns + margin_ns * (to_ns is None))


def _told(lanes: list[Lane], span: Span) -> str:
    """One line: how many frames are drawn of how many, and what is missing."""
    shots = [shot for lane in lanes for shot in lane.shots]
    drawn = [shot for shot in shots if span.has(shot.first_ns, shot.last_ns)]
    lost, skipped = sum(shot.lost for shot in drawn), sum(shot.skipped for shot in drawn)
    of = f" of {len(shots):,}" if len(drawn) < len(shots) else ""
    parts = [f"{len(drawn):,}{of} frames of {len(lanes)} camera{'s' * (len(lanes) > 1)}"]
    parts += [f"{lost:,} lost"] * bool(lost) + [f"{skipped:,} skipped"] * bool(skipped)
    if of:
        parts.append("choose with --from and --to")
    return ", ".join(parts)


def _write(output: Path, content: bytes) -> None:
    """The picture, whole; one that is there is replaced. Raises StorageError."""
    from agent.pipeline.files import prepare_folder, storage_error, write_file

    folder = prepare_folder(output.parent)
    part = folder / f".{output.name}.part"
    try:
        part.unlink(missing_ok=True)
        write_file(part, (content,))
        part.replace(folder / output.name)
    except OSError as error:
        raise storage_error(error, output) from error
