"""F5: 1080p frames to JPEG, PNG and TIFF in memory, as pictures are recorded, beside OpenCV and Pillow. Anywhere."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import monotonic_ns
from typing import Any

import cv2
from PIL import Image

from agent.pipeline.encode import Encoder, PictureKind
from agent.pipeline.jpeg import Chroma
from agent.units import NS_PER_S
from benchmarks.common import Taken, finish, own_cpu_ns, spent, take_turns
from benchmarks.environment import describe
from benchmarks.f5_opencv import HEIGHT_PX, QUALITY, WIDTH_PX, Pixels, frame_of, make_scene
from benchmarks.result import Comparison, Measured

FRAMES = {PictureKind.JPEG: 20, PictureKind.PNG: 4, PictureKind.TIFF: 20}
ROUNDS = 12
_WARM_UP_FRAMES = 2
_ROOT = Path(__file__).resolve().parent.parent
_JPEG = [
    cv2.IMWRITE_JPEG_QUALITY,
    QUALITY,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
]
_TIFF = [cv2.IMWRITE_TIFF_COMPRESSION, 1]
"""COMPRESSION_NONE of tiff.h, as our TIFF has it."""

Encode = Callable[[Pixels], int]
"""A frame to a picture in memory; the picture's bytes."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One block. `size_bytes` of one picture."""

    frames: int
    cpu_ns: int
    wall_ns: int
    size_bytes: int

    def cpu(self) -> Measured:
        """CPU time for a frame."""
        return spent(self.cpu_ns, self.frames)

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames * NS_PER_S / self.wall_ns


def main(folder: Path) -> None:
    """Measure and write F5-jpeg-opencv.json, F5-jpeg-pillow.json and the like for PNG and TIFF."""
    for kind, peers in PEERS.items():
        taken = take_turns({name: _turn(kind, name) for name in ("ours", *peers)}, ROUNDS)
        for name, words in peers.items():
            row = replace(
                _row(kind),
                name=f"F5-{kind}-{name.lower()}",
                peer=words,
                against=name,
                notes=(*_notes(kind), *_told(taken, ("ours", name))),
            )
            finish(row, [each.figures(("ours", Encoded.cpu), (name, Encoded.cpu)) for each in taken], folder)


def _turn(kind: PictureKind, side: str) -> Callable[[], Encoded]:
    """A block in a process of its own."""

    def turn() -> Encoded:
        command = [sys.executable, "-m", __spec__.name, kind.value, side]
        done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return Encoded(FRAMES[kind], *json.loads(done.stdout))

    return turn


def _ours(kind: PictureKind) -> Encode:
    """What a recording does before it opens a file."""
    encoder = Encoder(kind, quality=QUALITY, chroma=Chroma.AS_SENT)
    return lambda pairs: sum(len(piece) for piece in encoder.encode(frame_of(pairs)))


def _opencv(kind: PictureKind) -> Encode:
    options = {PictureKind.JPEG: _JPEG, PictureKind.TIFF: _TIFF}.get(kind, [])

    def encode(pairs: Pixels) -> int:
        return len(cv2.imencode(f".{kind}", cv2.cvtColor(pairs, cv2.COLOR_YUV2BGR_YUYV), options)[1])

    return encode


def _pillow(kind: PictureKind) -> Encode:
    jpeg: dict[str, Any] = {"quality": QUALITY, "subsampling": "4:2:2"}
    options: dict[str, Any] = {PictureKind.JPEG: jpeg, PictureKind.PNG: {"compress_level": 1}}.get(kind, {})

    def encode(pairs: Pixels) -> int:
        out = io.BytesIO()
        Image.fromarray(cv2.cvtColor(pairs, cv2.COLOR_YUV2RGB_YUYV)).save(out, kind.value, **options)
        return len(out.getbuffer())

    return encode


SIDES = {"ours": _ours, "OpenCV": _opencv, "Pillow": _pillow}
_TO_RGB = "of cv2.cvtColor's RGB"
PEERS = {
    PictureKind.JPEG: {
        "OpenCV": "cv2.cvtColor and cv2.imencode, 4:2:2 and the same quality, with setNumThreads(1)",
        "Pillow": f"Image.save {_TO_RGB}, 4:2:2 and the same quality",
    },
    PictureKind.PNG: {
        "OpenCV": "cv2.cvtColor and cv2.imencode as it is by default, with setNumThreads(1)",
        "Pillow": f"Image.save {_TO_RGB}, compress_level=1",
    },
    PictureKind.TIFF: {
        "OpenCV": "cv2.cvtColor and cv2.imencode without compression, with setNumThreads(1)",
        "Pillow": f"Image.save {_TO_RGB}, without compression",
    },
}


def _row(kind: PictureKind) -> Comparison:
    of_quality = f", 4:2:2, quality {QUALITY}" if kind is PictureKind.JPEG else ""
    return Comparison(
        name="",
        row="F5",
        what=f"CPU per {WIDTH_PX}x{HEIGHT_PX} YUYV frame to a {kind.upper()} in memory{of_quality}",
        measure="CPU per frame",
        unit="ns",
        ours="agent.pipeline.encode.Encoder, which recordings and plans write pictures with; no EXIF here",
        gate=1 if kind is PictureKind.JPEG else None,
        moonshot=1 / 3 if kind is PictureKind.JPEG else None,
        where="host",
        repeat="make bench",
        environment=describe(),
    )


def _notes(kind: PictureKind) -> tuple[str, ...]:
    """What is to be known beside the figures."""
    common = "A drawn scene with texture and noise; each block is a process of its own, and one thread works."
    return {
        PictureKind.JPEG: (common, "All three use libjpeg-turbo; ours gives it the camera's planes, the others RGB."),
        PictureKind.PNG: (common, "Ours is OpenCV's encoder with level 1, which looks harder than its default does."),
        PictureKind.TIFF: (common, "Nothing is compressed: this is conversion and copying."),
    }[kind]


def _told(taken: Sequence[Taken[Encoded]], sides: Sequence[str]) -> list[str]:
    """Frames a second and bytes of each side."""
    notes = []
    for each in taken:
        rates = {side: median(found.rate for name, found in each.results if name == side) for side in sides}
        told = ", ".join(f"{side} {rate:,.1f}" for side, rate in rates.items())
        notes.append(f"Frames/s on one processor, {each.condition.name}: {told}.")
    sizes = {name: found.size_bytes for name, found in taken[0].results}
    return [*notes, "Bytes of the picture: " + ", ".join(f"{side} {sizes[side]:,}" for side in sides) + "."]


def spend(kind: PictureKind, side: str) -> tuple[int, int, int]:
    """CPU time and time of `FRAMES` pictures, after a few that are not counted, and the bytes of one."""
    cv2.setNumThreads(1)
    pairs, encode = make_scene(), SIDES[side](kind)
    for _ in range(_WARM_UP_FRAMES):
        size = encode(pairs)
    cpu_ns, wall_ns = own_cpu_ns(), monotonic_ns()
    for _ in range(FRAMES[kind]):
        size = encode(pairs)
    return own_cpu_ns() - cpu_ns, monotonic_ns() - wall_ns, size


if __name__ == "__main__":
    print(json.dumps(spend(PictureKind(sys.argv[1]), sys.argv[2])))
