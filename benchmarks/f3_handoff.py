"""F3 and F4: a frame to a client in another process and back, in 4K beside 640x480, and beside one memcpy of it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.common import finish, take_turns
from benchmarks.environment import describe
from benchmarks.result import Comparison
from benchmarks.sides.handing import Handed, copied, hand_out
from benchmarks.sides.lending import Lending, has_udmabuf

LARGE, SMALL = (3840, 2160), (640, 480)
FRAMES = 1_000
COPIES = 100
ROUNDS = 16


def main(folder: Path) -> None:
    """Measure and write F3.json, F4.json and F4-cpu.json."""
    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch) / "frames.sock")
        taken = take_turns(
            {
                "large": lambda: hand_out(Lending(path, *LARGE, FRAMES)),
                "small": lambda: hand_out(Lending(path, *SMALL, FRAMES)),
                "memcpy": lambda: copied(*LARGE, COPIES),
            },
            ROUNDS,
        )
    row = _row()
    finish(row, [each.figures(("large", Handed.cpu), ("small", Handed.cpu)) for each in taken], folder)
    copy = replace(
        row,
        name="F4",
        row="F4",
        what=f"{_words(LARGE)} to a client in another process and back, beside one memcpy of it",
        measure="from offer to given back, P50",
        peer=f"numpy.copyto of such a frame, from {Lending('', *LARGE, 0).buffers} buffers in turn into one array that"
        " is there already, in one process, P50",
        against="memcpy",
        gate=1 / 10,
        moonshot=1 / 50,
        notes=(*row.notes, "A second process that copies has to be woken as well: this is not charged to the memcpy."),
    )
    finish(copy, [each.figures(("large", Handed.wall), ("memcpy", Handed.wall)) for each in taken], folder)
    cpu = replace(copy, name="F4-cpu", measure="CPU per frame, both processes", peer=copy.peer.removesuffix(", P50"))
    finish(cpu, [each.figures(("large", Handed.cpu), ("memcpy", Handed.cpu)) for each in taken], folder)


def _words(size: tuple[int, int]) -> str:
    return f"A {size[0]}x{size[1]} YUYV frame"


def _row() -> Comparison:
    memory = "/dev/udmabuf" if has_udmabuf() else "memfd_create(2): there is no /dev/udmabuf here"
    return Comparison(
        name="F3",
        row="F3",
        what=f"{_words(LARGE)} to a client in another process and back, beside one of {SMALL[0]}x{SMALL[1]}",
        measure="CPU per frame, both processes",
        unit="ns",
        ours="station and subscribers of a capture process, and the Python client, which takes the image of each frame",
        peer=f"the same with {SMALL[0]}x{SMALL[1]}",
        against=f"{SMALL[0]}x{SMALL[1]}",
        gate=1.2,
        moonshot=1.02,
        where="host",
        repeat="make bench",
        notes=(
            f"Buffers are of {memory}; no camera writes to them, and the client does not read pixels.",
            "The next frame goes out when the last one is back; both processes on one processor, new ones each block.",
            "The agent has passed the connection on by then, and has no part in it.",
        ),
        environment=describe(),
    )
