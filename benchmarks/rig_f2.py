# SPDX-License-Identifier: GPL-3.0-or-later
"""F2: what one 4K frame costs us to take and give back, beside linuxpy's default reader. In the rig, on vivid."""

import sys
from pathlib import Path

# started as a file, Python puts this folder first; the package is in the one above
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from linuxpy.video.device import Device, VideoCapture  # noqa: E402

from benchmarks import vivid  # noqa: E402
from benchmarks.common import compare, own_cpu_ns, spent  # noqa: E402
from benchmarks.environment import describe  # noqa: E402
from benchmarks.result import Comparison, Measured  # noqa: E402

WIDTH_PX, HEIGHT_PX, RATE = 3840, 2160, 10
FRAMES = 20


def main(folder: Path) -> None:
    """Measure and write F2.json."""
    path = vivid.find_vivid()
    vivid.set_up(path, WIDTH_PX, HEIGHT_PX, RATE)

    def ours() -> Measured:
        with vivid.shots(path, WIDTH_PX, HEIGHT_PX, RATE) as frames:
            before_ns = own_cpu_ns()
            for _ in range(FRAMES):
                next(frames)
            return spent(own_cpu_ns() - before_ns, FRAMES)

    def peer() -> Measured:
        with Device(path) as device, VideoCapture(device) as capture:
            frames = iter(capture)
            for _ in range(vivid.WARM_UP_FRAMES):
                next(frames)
            before_ns = own_cpu_ns()
            for _ in range(FRAMES):
                next(frames)
            spent_ns = own_cpu_ns() - before_ns
            frames.close()
            return spent(spent_ns, FRAMES)

    comparison = Comparison(
        name="F2",
        row="F2",
        what=f"CPU per {WIDTH_PX}x{HEIGHT_PX} YUYV frame, taken and given back",
        measure="CPU per frame",
        unit="ns",
        ours="Session.take and give_back, MMAP, 4 buffers, pixels not touched",
        peer="linuxpy's `for frame in VideoCapture(Device(path))` as it comes: MMAP, 2 buffers, frames copied",
        against="linuxpy",
        gate=1 / 5,
        moonshot=1 / 50,
        where="rig",
        repeat="make rig BENCH=1",
        notes=(
            f"vivid at {RATE} frames/s. Both in one process, CPU time around the loop, start-up left out.",
            "Nobody looks at the pixels: ours hands out views on the driver's memory, linuxpy bytes of its own.",
        ),
        environment=describe(),
    )
    compare(comparison, ours, peer, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
