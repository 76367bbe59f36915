# SPDX-License-Identifier: GPL-3.0-or-later
"""F5: what one 1080p frame costs from the driver to a JPEG in a file, beside ustreamer. In the rig, on vivid."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# started as a file, Python puts this folder first; the package is in the one above
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from agent.pipeline.jpeg import Chroma  # noqa: E402
from agent.pipeline.record import Circumstances  # noqa: E402
from agent.pipeline.writer import PictureWriter  # noqa: E402
from benchmarks import vivid  # noqa: E402
from benchmarks.common import compare, cpu_ns_of, own_cpu_ns, run_counted, spent  # noqa: E402
from benchmarks.environment import describe  # noqa: E402
from benchmarks.result import Comparison, Measured  # noqa: E402

WIDTH_PX, HEIGHT_PX, RATE = 1920, 1080, 2
QUALITY = 90
FRAMES = 6
START_UP_FRAMES = 2
_SINK = "camera-agent-f5"


def main(folder: Path) -> None:
    """Measure and write F5-ustreamer.json."""
    path = vivid.find_vivid()
    vivid.set_up(path, WIDTH_PX, HEIGHT_PX, RATE)

    def ours() -> Measured:
        with (
            tempfile.TemporaryDirectory() as pictures,
            PictureWriter(Path(pictures), "f5", quality=QUALITY, chroma=Chroma.QUARTER, make="a", model="b") as writer,
            vivid.shots(path, WIDTH_PX, HEIGHT_PX, RATE, warm_up=2) as frames,
        ):
            before_ns = own_cpu_ns()
            for _ in range(FRAMES):
                shot = next(frames)
                writer.write(shot.frame, Circumstances(realtime_ns=shot.realtime_ns))
            return spent(own_cpu_ns() - before_ns, FRAMES)

    def peer() -> Measured:
        with tempfile.TemporaryDirectory() as pictures, _ustreamer(path, Path(pictures)) as server:
            dump = Path(pictures) / "dump"
            _spent_ns(server, dump, START_UP_FRAMES)  # until it streams
            # what is spent between two readers falls out of the difference
            short_ns = _spent_ns(server, dump, START_UP_FRAMES)
            return spent(_spent_ns(server, dump, START_UP_FRAMES + FRAMES) - short_ns, FRAMES)

    comparison = Comparison(
        name="F5-ustreamer",
        row="F5",
        what=f"CPU per {WIDTH_PX}x{HEIGHT_PX} YUYV frame from the driver to a JPEG in a file, 4:2:0, quality {QUALITY}",
        measure="CPU per frame",
        unit="ns",
        ours="Session and PictureWriter: a file, EXIF and a line of frames.jsonl for each frame",
        peer="ustreamer --encoder=CPU --workers=1 with --sink, and ustreamer-dump, which appends each frame to a file",
        against="ustreamer",
        gate=1,
        moonshot=1 / 3,
        where="rig",
        repeat="make rig BENCH=1",
        notes=(
            f"vivid at {RATE} frames/s, which both sustain under emulation; files in memory (tmpfs).",
            "ustreamer is a server: its CPU time and that of ustreamer-dump with 8 frames less that with 2.",
            "ustreamer writes no EXIF and no file of its own for each frame; ours does.",
            "The processor is emulated, vector instructions included: this ratio says little about real ones.",
        ),
        environment=describe([("ustreamer", "--version")]),
    )
    compare(comparison, ours, peer, folder)


@contextmanager
def _ustreamer(path: str, folder: Path) -> Iterator[int]:
    """A server that encodes every frame into its sink; yields its process id."""
    command = ["ustreamer", "--device", path, "--format=YUYV", f"--resolution={WIDTH_PX}x{HEIGHT_PX}"]
    command += [f"--desired-fps={RATE}", "--encoder=CPU", "--workers=1", f"--quality={QUALITY}"]
    command += [f"--sink={_SINK}", "--sink-rm", f"--unix={folder / 'http'}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            time.sleep(1)  # its sink is there before a reader may ask for it
            yield server.pid
        finally:
            server.terminate()


def _spent_ns(server: int, dump: Path, frames: int) -> int:
    """CPU time of server and reader while `frames` frames reach the file."""
    before_ns = cpu_ns_of(server)
    reader_ns = run_counted(
        ["ustreamer-dump", f"--sink={_SINK}", f"--count={frames}", f"--output={dump}", "--sink-timeout=10"]
    )
    return cpu_ns_of(server) - before_ns + reader_ns


if __name__ == "__main__":
    main(Path(sys.argv[1]))
