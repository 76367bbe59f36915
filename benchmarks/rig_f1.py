# SPDX-License-Identifier: GPL-3.0-or-later
"""F1: what one 1080p frame costs us to take and give back, beside v4l2-ctl --stream-mmap. In the rig, on vivid."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

# started as a file, Python puts this folder first; the package is in the one above
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import vivid  # noqa: E402
from benchmarks.common import compare, cpu_ns_of, own_cpu_ns, spent  # noqa: E402
from benchmarks.environment import describe  # noqa: E402
from benchmarks.result import Comparison, Measured  # noqa: E402

WIDTH_PX, HEIGHT_PX, RATE = 1920, 1080, 30
FRAMES = 150
LIMIT_S = 60


def main(folder: Path) -> None:
    """Measure and write F1.json."""
    path = vivid.find_vivid()
    vivid.set_up(path, WIDTH_PX, HEIGHT_PX, RATE)

    def ours() -> Measured:
        with vivid.shots(path, WIDTH_PX, HEIGHT_PX, RATE) as frames:
            before_ns = own_cpu_ns()
            for _ in range(FRAMES):
                next(frames)
            return spent(own_cpu_ns() - before_ns, FRAMES)

    def peer() -> Measured:
        with tempfile.TemporaryFile() as marks, _v4l2_ctl(path, marks) as pid:
            _await_frames(marks, vivid.WARM_UP_FRAMES)
            before_ns, before = cpu_ns_of(pid), _frames(marks)
            _await_frames(marks, before + FRAMES)
            return spent(cpu_ns_of(pid) - before_ns, _frames(marks) - before)

    comparison = Comparison(
        name="F1",
        row="F1",
        what=f"CPU per {WIDTH_PX}x{HEIGHT_PX} YUYV frame, taken and given back",
        measure="CPU per frame",
        unit="ns",
        ours="Session.take and give_back, MMAP, 4 buffers, pixels not touched; process CPU time around the loop",
        peer="v4l2-ctl --stream-mmap=4, its CPU clock read from outside, start-up left out",
        against="v4l2-ctl",
        gate=3,
        moonshot=1.2,
        where="rig",
        repeat="make rig BENCH=1",
        notes=(
            f"vivid at {RATE} frames/s; it draws in a kernel thread, which neither side is charged for.",
            "v4l2-ctl is C and prints a character for each frame; ours judges the stamp and accounts for losses.",
        ),
        environment=describe([("v4l2-ctl", "--version")]),
    )
    compare(comparison, ours, peer, folder)


@contextmanager
def _v4l2_ctl(path: str, marks: IO[bytes]) -> Iterator[int]:
    """Streams until the end of the block, a mark in `marks` for each frame; yields its process id."""
    command = ["v4l2-ctl", "--device", path, "--stream-mmap=4"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=marks) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def _await_frames(marks: IO[bytes], frames: int) -> None:
    """Look rarely: whoever waits takes its time from the same processor. Raises TimeoutError."""
    deadline = time.monotonic() + LIMIT_S
    while (missing := frames - _frames(marks)) > 0:
        if time.monotonic() > deadline:
            raise TimeoutError(f"v4l2-ctl gave {_frames(marks)} of {frames} frames within {LIMIT_S} s")
        time.sleep(missing / RATE)


def _frames(marks: IO[bytes]) -> int:
    """How many frames v4l2-ctl has told of: a `<` each."""
    return os.pread(marks.fileno(), 1 << 20, 0).count(b"<")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
