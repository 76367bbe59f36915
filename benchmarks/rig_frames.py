# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames to a client in another process, beside ustreamer's memory sink and GStreamer's shm and unixfd. In the rig.

All take the same raw YUYV frames of the same vivid to one client that looks at no pixel. Counted is all that both
processes spend, from the driver to the client's having the frame and giving it back:

- ours: a capture process, which also judges stamps and accounts for losses, and the Python client; no copy.
- ustreamer (C): one copy into shared memory, one out of it by ustreamer-dump, with a line of log for each frame, as it
  tells no other way what it got. `--encoder=NOOP`, as it would make JPEGs of all frames though nobody wants them.
- GStreamer (C): gst-launch-1.0 at both ends; shmsink copies, unixfdsink passes descriptors. fakesink takes the frames.

Latency is from the driver's stamp to the client's having the frame. ustreamer-dump tells it in whole milliseconds;
GStreamer's clients do not know the driver's stamp. The time that vivid takes to draw is in it for both.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

# started as a file, Python puts this folder first; the package is in the one above
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import vivid  # noqa: E402
from benchmarks.common import MissingTool, finish, take_turns  # noqa: E402
from benchmarks.environment import describe  # noqa: E402
from benchmarks.result import Comparison  # noqa: E402
from benchmarks.sides.relaying import (  # noqa: E402
    Camera,
    Links,
    Relayed,
    by_gstreamer,
    by_us,
    by_ustreamer,
    require_gstreamer,
    shm,
    unixfd,
)

SMALL, LARGE = (640, 480, 30), (1920, 1080, 10)
"""Width and height in pixels, frames a second."""
FRAMES, LARGE_FRAMES = 90, 40
ROUNDS = 10
_LINKS = {"shmsink": shm, "unixfdsink": unixfd}
_PEERS = {
    "ustreamer": "ustreamer --encoder=NOOP --raw-sink and ustreamer-dump --verbose",
    "shmsink": "gst-launch-1.0 v4l2src ! shmsink, and shmsrc ! fakesink",
    "unixfdsink": "gst-launch-1.0 v4l2src ! unixfdsink, and unixfdsrc ! fakesink",
}
_WHOLE = "vivid stamps before it draws, which is in both. ustreamer-dump tells whole milliseconds."


def main(folder: Path) -> None:
    """Measure and write H-ustreamer.json, H-ustreamer-latency.json, H-ustreamer-1080p.json, and those of GStreamer.

    H-shmsink.json and H-unixfdsink.json are left out where it is not installed.
    """
    path = vivid.find_vivid()
    _measure(Camera(path, *SMALL, FRAMES), {name: link for name, link in _LINKS.items() if _is_there(name)}, folder)
    _measure(Camera(path, *LARGE, LARGE_FRAMES, warm_up=10), {}, folder, "-1080p")


def _measure(camera: Camera, links: Mapping[str, Links], folder: Path, suffix: str = "") -> None:
    """One size, all peers."""
    vivid.set_up(camera.path, camera.width_px, camera.height_px, camera.rate)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        sides: dict[str, Callable[[], Relayed]] = {
            "ours": lambda: by_us(camera, scratch),
            "ustreamer": lambda: by_ustreamer(camera, scratch),
            **{each: partial(by_gstreamer, camera, scratch, link) for each, link in links.items()},
        }
        taken = take_turns(sides, ROUNDS)
    for peer in ("ustreamer", *links):
        row = replace(_row(camera), name=f"H-{peer}{suffix}", peer=_PEERS[peer], against=peer)
        if peer in links:
            row = replace(
                row, notes=(*row.notes, f"Frames of {peer} are not counted: they are {camera.rate} a second.")
            )
        finish(row, [each.figures(("ours", Relayed.cpu), (peer, Relayed.cpu)) for each in taken], folder)
    late = replace(_row(camera), name=f"H-ustreamer-latency{suffix}", peer=_PEERS["ustreamer"], against="ustreamer")
    late = replace(late, measure="driver's stamp to the client's having it, P50", notes=(*late.notes, _WHOLE))
    finish(late, [each.figures(("ours", Relayed.way), ("ustreamer", Relayed.way)) for each in taken], folder)


def _is_there(element: str) -> bool:
    try:
        require_gstreamer(element)
    except MissingTool as missing:
        print(f"rig_frames: {element} is left out: {missing}", file=sys.stderr, flush=True)
        return False
    return True


def _row(camera: Camera) -> Comparison:
    """What all rows have in common."""
    return Comparison(
        name="",
        row="C2",
        what=f"{camera.width_px}x{camera.height_px} YUYV frames at {camera.rate}/s from vivid to a client's process",
        measure="CPU per frame, both processes",
        unit="ns",
        ours="a capture process and the Python client, which takes the image of each frame without a copy",
        gate=None,
        moonshot=None,
        where="rig",
        repeat="make rig BENCH=1",
        notes=(
            f"{camera.frames} frames a block, start-up left out; the client looks at no pixel.",
            "Ours judges stamps and accounts for losses and leases, in Python; the peers are C and copy, or trust.",
            "The processor is emulated: interpreting Python costs more there than copying does.",
        ),
        environment=describe([("ustreamer", "--version"), ("gst-launch-1.0", "--version")]),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
