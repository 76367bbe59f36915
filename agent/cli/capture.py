"""`camera-agent capture`: pictures with a proven exposure, exact timestamps, and every frame accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.asked import complete_cameras, socket_option
from agent.cli.options import above_zero, assignments, json_option, quantity, simulate_option
from agent.units import parse_duration_ns, parse_rate, parse_size_bytes, parse_size_px

if TYPE_CHECKING:
    from agent.capture.settings import Settings
    from agent.cli.bench import Doors
    from agent.cli.shooting import Order, Shooting
    from agent.kernel import Kernel
    from agent.v4l2.gain import GainRequest

FILE_TYPES = ("jpeg", "png", "tiff", "dng", "raw")
MEMORY = ("mmap+expbuf", "dma-heap", "udmabuf", "mmap", "userptr")
"""The values of `PictureKind` and `MemoryKind`, without importing what they drag in."""

_EPILOG = """\b
Examples:
  camera-agent capture --count 10 --exposure 8ms
  camera-agent capture --device /dev/video2 --exposure 250us --gain 6dB --file-type png
  camera-agent capture --format MJPG --size 1920x1080 --rate 30 --count 100 --output run-1
  camera-agent capture --every 1min --count 60 --restore-controls
  camera-agent capture --simulate --count 3 --json
  camera-agent capture top --exposure 8ms          a frame from now on, of the running agent's camera

\b
The folder holds the pictures and frames.jsonl: a line of JSON for each picture with its
sequence number, timestamp and clock, exposure, gain, and the frames lost before it.
"""


def _parse_gain(text: str) -> GainRequest:
    from agent.v4l2.gain import parse_gain

    return parse_gain(text)


@click.command(epilog=_EPILOG)
@click.argument("name", required=False, shell_complete=complete_cameras)
@click.option("--device", metavar="PATH", help="The camera; may be left away if there is only one.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many pictures.")
@click.option(
    "--exposure",
    "exposure_ns",
    metavar="TIME",
    callback=quantity(parse_duration_ns),
    help="Manual exposure with its unit: 8ms, 250us. Without it the camera's setting is left alone.",
)
@click.option(
    "--gain",
    metavar="GAIN",
    callback=quantity(_parse_gain),
    help="16 (the camera's own number) or 6dB (where the law is known).",
)
@click.option("--format", "pixel_format", metavar="FOURCC", help="Pixel format: YUYV, MJPG, NV12 ...")
@click.option("--size", metavar="WxH", callback=quantity(parse_size_px), help="Frame size in pixels: 640x480.")
@click.option("--rate", metavar="FPS", callback=quantity(parse_rate), help="Frames per second: 30, 30000/1001.")
@click.option(
    "--control",
    "controls",
    metavar="NAME=VALUE",
    multiple=True,
    callback=assignments,
    help="Another control to set; may be repeated, all are set as one.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=Path("photos"),
    show_default=True,
    help="Folder for the pictures; made if missing, nothing in it is overwritten.",
)
@click.option("--file-type", type=click.Choice(FILE_TYPES), default="jpeg", show_default=True, help="Kind of file.")
@click.option("--quality", type=click.IntRange(1, 100), default=90, show_default=True, help="Of JPEG files.")
@click.option(
    "--memory",
    type=click.Choice(MEMORY),
    multiple=True,
    help="Kinds of buffer memory allowed, best first; may be repeated.  [default: all]",
)
@click.option(
    "--granularity",
    "granularity_bytes",
    metavar="SIZE",
    callback=quantity(above_zero(parse_size_bytes)),
    help="Round each buffer up to a multiple of this: 4MiB.",
)
@click.option("--buffers", type=click.IntRange(2, 32), default=4, show_default=True, help="How many buffers.")
@click.option(
    "--settle",
    type=click.IntRange(min=0),
    metavar="N",
    help="Frames to leave out after the start.  [default: as many as the sensor needs if something was changed]",
)
@click.option(
    "--every",
    "every_ns",
    metavar="TIME",
    callback=quantity(above_zero(parse_duration_ns)),
    help="From picture to picture, without drift: 500ms, 1min.  [default: every frame]",
)
@click.option(
    "--timeout",
    "limit_ns",
    metavar="TIME",
    default="3s",
    show_default=True,
    callback=quantity(above_zero(parse_duration_ns)),
    help="How long to wait for a frame.",
)
@click.option("--restore-controls", is_flag=True, help="Put all controls back as they were, at the end.")
@simulate_option
@socket_option
@json_option
@click.pass_context
def capture(
    context: click.Context,
    /,
    *,
    name: str | None,
    socket_path: Path | None,
    simulate: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Take pictures and write them into a folder, with a line in frames.jsonl for each.

    With NAME the running agent is asked for pictures of its camera, each of a frame that was exposed after it was
    asked for; it takes --count, --exposure, --gain and --timeout, and stores them where its configuration says.
    Without, the camera is opened here.

    A manual exposure is set together with the gain, read back, and proven before the stream starts. What is not
    offered is refused before anything is written. Ctrl-C stops the stream; every file that is there is whole.
    """
    if name is not None:
        from agent.cli.capture_asked import capture_asked

        capture_asked(context, name, socket_path, as_json=as_json)
        return
    from agent.cli.inventory import choose_device
    from agent.cli.show import print_json

    doors: Doors = context.obj
    with doors.kernels(simulate) as kernel:
        device = choose_device(kernel, options["device"], simulate=simulate)
        shooting = _shoot(kernel, _order(device, options), quiet=as_json)
    if as_json:
        from agent.cli.figures import as_dict

        print_json(as_dict(shooting))
    else:
        _show(shooting)


def _shoot(kernel: Kernel, order: Order, *, quiet: bool) -> Shooting:
    from agent.cli.interruption import Interrupted, Interruption
    from agent.cli.shooting import Shooting
    from agent.cli.show import progress

    with Interruption() as interruption, progress([order.device], order.count, quiet=quiet) as (tick,):
        shooting = Shooting(kernel, order, waiting=interruption.waiting, on_picture=tick)
        try:
            shooting.run()
        except Interrupted as stop:
            stop.told = shooting.told
            raise
    return shooting


def _order(device: str, options: dict[str, Any]) -> Order:
    from agent.cli.shooting import Order
    from agent.pipeline.encode import PictureKind

    return Order(
        device=device,
        settings=_settings(options),
        count=options["count"],
        folder=options["output"],
        kind=PictureKind(options["file_type"]),
        quality=options["quality"],
        limit_ns=options["limit_ns"],
        every_ns=options["every_ns"],
        restore_controls=options["restore_controls"],
    )


def _settings(options: dict[str, Any]) -> Settings:
    from agent.capture.settings import Settings
    from agent.v4l2.buffers import PREFERENCE, MemoryKind

    width_px, height_px = options["size"] or (None, None)
    return Settings(
        pixel_format=options["pixel_format"],
        width_px=width_px,
        height_px=height_px,
        rate=options["rate"],
        exposure_ns=options["exposure_ns"],
        gain=options["gain"],
        controls=options["controls"],
        buffer_count=options["buffers"],
        memory=tuple(MemoryKind(name) for name in options["memory"]) or PREFERENCE,
        granularity_bytes=options["granularity_bytes"],
        settle_frames=options["settle"],
    )


def _show(shooting: Shooting) -> None:
    from agent.cli import figures
    from agent.cli.show import pairs, print_all

    prepared, about = shooting.prepared, shooting.about
    if prepared is None or about is None:
        return
    first, last = shooting.records[0].file, shooting.records[-1].file
    rows = [
        ("pictures", f"{len(shooting.records)}: {first}" + (f" to {last}" if last != first else "")),
        ("folder", str(shooting.folder)),
        ("camera", f"{about.card} ({shooting.order.device})"),
        ("format", str(prepared.format)),
        ("interval", figures.interval_text(shooting)),
        ("lost", figures.lost_text(shooting)),
        ("damaged", f"{shooting.damaged} left out" if shooting.damaged else ""),
        ("exposure", figures.exposure_text(shooting)),
        ("gain", figures.gain_text(shooting)),
        ("rate", next((text for text in prepared.differences if "frames/s" in text), "")),
        ("timestamps", figures.stamp_text(shooting)),
        ("memory", figures.memory_text(shooting)),
        ("STREAMOFF", figures.stop_text(shooting)),
    ]
    print_all(pairs([row for row in rows if row[1]]))
