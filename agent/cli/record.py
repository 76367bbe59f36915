"""`camera-agent record`: a running agent's frames into files, as pictures or video, with an index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.asked import complete_cameras, complete_groups, complete_plans, socket_option
from agent.cli.options import above_zero, quantity
from agent.config.folder import USUAL_FILE
from agent.config.recording_words import CODECS, FORMATS, ON_FULL
from agent.errors import QuantityError
from agent.templates import USUAL
from agent.units import parse_duration_ns, parse_rate, parse_size_bytes

if TYPE_CHECKING:
    from agent.recording.order import RecordOrder

_EPILOG = """\b
Examples:
  camera-agent record top                                 until Ctrl-C, a JPEG for each frame
  camera-agent record top --format mkv --segment 10min    MJPG is copied, all else becomes H.264
  camera-agent record top --format mkv --codec ffv1       lossless
  camera-agent record --group line-1 --rate 5 --template '{date}/{camera}-{number:06d}'
  camera-agent record top --keep 7d --limit 20GiB --on-full drop-oldest
  camera-agent record top --on plan:lapse --before 5s --after 2s
  camera-agent record --name night                        as `recordings:` of the configuration says

\b
Names: {camera} {number} {sequence} {realtime_ns} {date} {time} {plan} {trace}; numbers take a
width, such as {number:06d}; a / makes folders.
The folder holds the files and frames.jsonl: a line of JSON for each frame with its stamps,
exposure, gain, and what was lost before it. `camera-agent timeline DIR` draws it.

\b
The agent's cameras never wait for a recording: what it is too slow for is skipped, and
counted. Ctrl-C, SIGTERM and SIGHUP finish every file. docs/recording.md tells more.
"""


def _event(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, str] | None:
    from agent.config.recordings import EVENT

    return None if text is None else EVENT.parse(text)


def _segment(text: str) -> tuple[int | None, int | None]:
    """A time or a size."""
    try:
        return above_zero(parse_duration_ns)(text), None
    except QuantityError:
        return None, above_zero(parse_size_bytes)(text)


_TIME = quantity(above_zero(parse_duration_ns))
_SIZE = quantity(above_zero(parse_size_bytes))


@click.command(epilog=_EPILOG)
@click.argument("camera", required=False, shell_complete=complete_cameras)
@click.option("--group", metavar="NAME", shell_complete=complete_groups, help="Record all cameras of a group.")
@click.option("--plan", metavar="NAME", shell_complete=complete_plans, help="Record the frames that a plan takes.")
@click.option(
    "--name", metavar="NAME", help="Record as `recordings:` of the configuration says; nothing else is given."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=USUAL_FILE,
    show_default=True,
    help="The configuration of --name.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=Path("recording"),
    show_default=True,
    help="Folder for the files; made if missing, nothing in it is overwritten.",
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="jpg", show_default=True, help="Kind of file.")
@click.option("--codec", type=click.Choice(CODECS), help="Of video.  [default: copy for MJPG in mkv, else h264]")
@click.option("--quality", type=click.IntRange(1, 100), default=90, show_default=True, help="Of JPEG files and H.264.")
@click.option(
    "--template", metavar="TEMPLATE", default=USUAL, show_default=True, help="How files are named, see below."
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End with so many frames stored.")
@click.option("--duration", "duration_ns", metavar="TIME", callback=_TIME, help="End after this: 10s, 2h.")
@click.option(
    "--rate", metavar="FPS", callback=quantity(parse_rate), help="At most so many frames a second of each camera."
)
@click.option(
    "--segment", metavar="TIME|SIZE", callback=quantity(_segment), help="Begin another video after this: 10min, 1GiB."
)
@click.option("--keep", "keep_ns", metavar="TIME", callback=_TIME, help="Take files away that are older: 7d.")
@click.option(
    "--limit", "limit_bytes", metavar="SIZE", callback=_SIZE, help="Of all files together; the oldest go first: 20GiB."
)
@click.option(
    "--on-full",
    type=click.Choice(ON_FULL),
    default="stop",
    show_default=True,
    help="When the disk is full: end, take the oldest files away, or go on without storing and say so.",
)
@click.option(
    "--on",
    callback=_event,
    metavar="EVENT",
    help="Store only around this: edge[:GROUP], plan[:NAME] (its end), signal (SIGUSR1).",
)
@click.option("--before", "before_ns", metavar="TIME", callback=_TIME, help="As much before the event, from memory.")
@click.option("--after", "after_ns", metavar="TIME", callback=_TIME, help="As much after it.")
@click.option(
    "--memory",
    "ring_bytes",
    metavar="SIZE",
    callback=_SIZE,
    default="256MiB",
    show_default=True,
    help="At most this for what is before an event.",
)
@click.option(
    "--encode-limit",
    "encode_limit_ns",
    metavar="TIME",
    callback=_TIME,
    default="800ms",
    show_default=True,
    help="A frame that takes longer is given up.",
)
@click.option("--synced", is_flag=True, help="Wait for the disk at each frame: files survive a power cut.")
@click.option(
    "--index",
    type=click.Choice(("jsonl", "parquet")),
    default="jsonl",
    show_default=True,
    help="parquet: frames.parquet as well, at the end.",
)
@socket_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document at the end; errors as a JSON object on stderr."
)
@click.pass_context
def record(
    context: click.Context,
    /,
    *,
    camera: str | None,
    group: str | None,
    plan: str | None,
    name: str | None,
    config: Path,
    socket_path: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Record frames of the running agent's CAMERA, of a group, or those that a plan takes.

    A recording is a process of its own and a client of the agent: its cameras go on as they are, whatever becomes of
    the disk. Pictures are there whole or not at all; a video can be read at any moment, also when this is killed.
    """
    from agent.cli.recording import record_order

    targets = {"camera": camera, "group": group, "plan": plan, "name": name}
    given = [(kind, value) for kind, value in targets.items() if value is not None]
    if len(given) != 1:
        raise click.UsageError("give one of CAMERA, --group, --plan and --name")
    order = _from_configuration(context, given[0][1], config) if name is not None else _order(*given[0], options)
    record_order(order, socket_path, as_json=as_json)


def _from_configuration(context: click.Context, name: str, config: Path) -> RecordOrder:
    from click.core import ParameterSource

    from agent.config.problems import Problems
    from agent.config.service_file import load_service_file
    from agent.errors import InputError
    from agent.recording.wished import order_of

    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and parameter.name not in ("name", "config", "socket_path", "as_json"):
            raise click.UsageError(f"{parameter.opts[0]} stands in the configuration where --name is given")
    recordings = load_service_file(config).recordings
    if name not in recordings:
        hint = Problems(str(config)).suggest(name, sorted(recordings)) if recordings else "write it below `recordings:`"
        raise InputError(f"{config} has no recording {name!r}", hint=hint, asked=name, allowed=sorted(recordings))
    return order_of(recordings[name])


def _order(kind: str, name: str, options: dict[str, Any]) -> RecordOrder:
    from agent.pipeline.files import Durability
    from agent.pipeline.video import VideoCodec
    from agent.recording.order import OnFull, RecordFormat, RecordOrder, Target, Trigger
    from agent.templates import NameTemplate

    NameTemplate(options["template"])
    on, on_name = options["on"] or (None, "")
    segment_ns, segment_bytes = options["segment"] or (None, None)
    same = (
        "quality",
        "template",
        "count",
        "duration_ns",
        "rate",
        "keep_ns",
        "limit_bytes",
        "ring_bytes",
        "encode_limit_ns",
    )
    return RecordOrder(
        target=Target(kind),
        name=name,
        folder=options["output"],
        format=RecordFormat(options["format_"]),
        codec=None if options["codec"] is None else VideoCodec(options["codec"]),
        on_full=OnFull(options["on_full"]),
        on=None if on is None else Trigger(on),
        on_name=on_name,
        before_ns=options["before_ns"] or 0,
        after_ns=options["after_ns"] or 0,
        segment_ns=segment_ns,
        segment_bytes=segment_bytes,
        durability=Durability.SYNCED if options["synced"] else Durability.CACHED,
        parquet=options["index"] == "parquet",
        **{key: options[key] for key in same},
    )
