"""F5: what one 1080p frame costs from memory to a JPEG in a file, beside OpenCV's cvtColor and imwrite. Anywhere."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.pipeline.jpeg import Chroma
from agent.pipeline.record import Circumstances
from agent.pipeline.writer import PictureWriter
from agent.units import NS_PER_S
from agent.v4l2.format import Format, PlaneLayout
from agent.v4l2.frame import Frame
from benchmarks.common import Turn, compare, own_cpu_ns, spent
from benchmarks.environment import describe
from benchmarks.result import Comparison, Measured

WIDTH_PX, HEIGHT_PX = 1920, 1080
QUALITY = 90
FRAMES = 20
ROUNDS = 16
_WARM_UP_FRAMES = 3
_ROOT = Path(__file__).resolve().parent.parent
_FIRST_NS = 1_784_000_000_123_456_789
SUBSAMPLING = {
    "4:2:2": (Chroma.AS_SENT, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422),
    "4:2:0": (Chroma.QUARTER, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420),
}

Pixels = NDArray[np.uint8]


def main(folder: Path) -> None:
    """Measure both subsamplings and write F5-opencv-422.json and F5-opencv-420.json."""
    for subsampling in SUBSAMPLING:
        comparison = Comparison(
            name=f"F5-opencv-{subsampling.replace(':', '')}",
            row="F5",
            what=f"CPU per {WIDTH_PX}x{HEIGHT_PX} YUYV frame from memory to a JPEG in a file, {subsampling}, {QUALITY}",
            measure="CPU per frame",
            unit="ns",
            ours="PictureWriter.write: an unnamed file that is linked when whole, EXIF, a line of frames.jsonl",
            peer="cv2.cvtColor and cv2.imwrite with setNumThreads(1): no EXIF, no log, the file there half-written",
            against="OpenCV",
            gate=1,
            moonshot=1 / 3,
            where="host",
            repeat="make bench",
            notes=(
                "A drawn scene with texture and noise.",
                "Each block is a process of its own: where its memory lies makes more of a difference than its turn.",
                *_quality(subsampling),
            ),
            environment=describe(),
        )
        # all pictures stay to the end: ext4 searches long for an inode where many were freed in the last seconds
        with tempfile.TemporaryDirectory() as pictures:
            ours, peer = (_turn(side, subsampling, Path(pictures)) for side in SIDES)
            compare(comparison, ours, peer, folder, rounds=ROUNDS)


def _turn(side: str, subsampling: str, parent: Path) -> Turn:
    """A block in a process of its own."""

    def turn() -> Measured:
        pictures = tempfile.mkdtemp(dir=parent)
        command = [sys.executable, "-m", __spec__.name, side, subsampling, pictures]
        done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return spent(int(done.stdout), FRAMES)

    return turn


def _write_ours(pairs: Pixels, subsampling: str, pictures: Path, frames: int) -> None:
    frame, chroma = frame_of(pairs), SUBSAMPLING[subsampling][0]
    with PictureWriter(pictures, "f5", quality=QUALITY, chroma=chroma, make="uvcvideo", model="Camera") as writer:
        for number in range(frames):
            realtime_ns = _FIRST_NS + number * NS_PER_S // 30
            writer.write(frame, Circumstances(realtime_ns=realtime_ns, exposure_ns=8_100_000, gain=37))


def _write_by_opencv(pairs: Pixels, subsampling: str, pictures: Path, frames: int) -> None:
    factor = SUBSAMPLING[subsampling][1]
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    first = sum(1 for _ in pictures.iterdir())
    for number in range(first, first + frames):
        bgr = cv2.cvtColor(pairs, cv2.COLOR_YUV2BGR_YUYV)
        cv2.imwrite(str(pictures / f"{number:06d}.jpg"), bgr, options)


SIDES = {"ours": _write_ours, "OpenCV's": _write_by_opencv}


def spend(side: str, subsampling: str, pictures: Path) -> int:
    """CPU time in nanoseconds for `FRAMES` pictures, after a few that are not counted."""
    cv2.setNumThreads(1)
    pairs = make_scene()
    SIDES[side](pairs, subsampling, pictures, _WARM_UP_FRAMES)
    before_ns = own_cpu_ns()
    SIDES[side](pairs, subsampling, pictures, FRAMES)
    return own_cpu_ns() - before_ns


def _quality(subsampling: str) -> list[str]:
    """Size and PSNR of both sides' pictures against OpenCV's own conversion of the frame."""
    pairs = make_scene()
    reference = cv2.cvtColor(pairs, cv2.COLOR_YUV2BGR_YUYV)
    notes = []
    for side, write in SIDES.items():
        with tempfile.TemporaryDirectory() as pictures:
            write(pairs, subsampling, Path(pictures), 1)
            picture = next(Path(pictures).glob("*.jpg"))
            decoded = cv2.imread(str(picture))
            if decoded is None:
                raise ValueError(f"{picture} cannot be read")
            notes.append(f"{side}: {picture.stat().st_size} bytes, PSNR {cv2.PSNR(reference, decoded):.2f} dB.")
    return notes


def frame_of(pairs: Pixels) -> Frame:
    """The pixels as a dequeued frame."""
    height_px, width_px = pairs.shape[:2]
    form = Format("YUYV", width_px, height_px, (PlaneLayout(2 * width_px, pairs.size),))
    return Frame(0, form, (pairs.reshape(-1),), 4711, 5_000_000_123, "monotonic", "soe", 2_000_000, 5_010_000_000, 0)


def make_scene() -> Pixels:
    """Limited-range YUYV, height x width x 2: slopes, rings that grow finer, squares, and the noise of a sensor."""
    noise = np.random.default_rng(1).normal(0, 2, (HEIGHT_PX, WIDTH_PX))
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float64)
    luma = 110 + 50 * np.sin(x / 97) * np.cos(y / 71) + 30 * np.sin(x * y / 9000) + 20 * ((x // 60 + y // 60) % 2)
    pairs = np.empty((HEIGHT_PX, WIDTH_PX, 2), np.uint8)
    pairs[..., 0] = np.clip(luma + noise, 16, 235)
    pairs[:, 0::2, 1] = 128 + 40 * np.sin(x[:, ::2] / 211)
    pairs[:, 1::2, 1] = 128 + 40 * np.cos(y[:, ::2] / 173)
    return pairs


if __name__ == "__main__":
    print(spend(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
