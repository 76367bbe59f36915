"""Ten clients of one camera, one of which hangs with a frame in its hands: how soon the other nine have theirs."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from agent.frames.values import LEASE_NS
from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.common import finish, take_turns
from benchmarks.environment import describe
from benchmarks.result import Comparison, Measured
from benchmarks.sides.handing import Handed, hand_out
from benchmarks.sides.lending import Lending

CLIENTS = 10
INTERVAL_NS = 20 * NS_PER_MS
FRAMES = 150
ROUNDS = 12
_WIDTH_PX, _HEIGHT_PX = 640, 480
_WARM_UP = 25
_PEERS = {
    "ten": "ten clients that give each frame back when they take the next one; all of them but the first",
    "nine": "nine such clients, and no tenth",
}


def main(folder: Path) -> None:
    """Measure and write L-ten-p50.json, L-ten-p99.json, L-nine-p50.json and L-nine-p99.json."""
    with tempfile.TemporaryDirectory() as scratch:
        order = Lending(
            str(Path(scratch) / "frames.sock"),
            _WIDTH_PX,
            _HEIGHT_PX,
            FRAMES,
            warm_up=_WARM_UP,
            clients=CLIENTS,
            interval_ns=INTERVAL_NS,
            buffers=8,
        )
        taken = take_turns(
            {
                "stuck": lambda: hand_out(order, first_hangs=True),
                "ten": lambda: hand_out(order),
                "nine": lambda: hand_out(replace(order, clients=CLIENTS - 1)),
            },
            ROUNDS,
        )
    for peer, words in _PEERS.items():
        for measure, per_cent, gate in ((_p50, 50, 1.1), (_p99, 99, 1.2)):
            row = replace(
                _row(),
                name=f"L-{peer}-p{per_cent}",
                measure=f"from offer to view, P{per_cent}",
                peer=words,
                against=f"{peer}, all well",
                gate=gate,
            )
            finish(row, [each.figures(("stuck", measure), (peer, measure)) for each in taken], folder)


def _p50(handed: Handed) -> Measured:
    return handed.way(50, CLIENTS - 1)


def _p99(handed: Handed) -> Measured:
    return handed.way(99, CLIENTS - 1)


def _row() -> Comparison:
    return Comparison(
        name="",
        row="C3",
        what=f"{_WIDTH_PX}x{_HEIGHT_PX} frames to {CLIENTS} clients, one of which hangs",
        measure="",
        unit="ns",
        ours="the first client takes one frame and neither gives it back nor listens any more; the other nine",
        gate=None,
        moonshot=1,
        where="host",
        repeat="make bench",
        notes=(
            f"{NS_PER_S // INTERVAL_NS} frames/s; each client is a process of its own, all on one processor.",
            f"A frame is taken back from the client that hangs after {LEASE_NS // NS_PER_S} s, within each block.",
            "The client that hangs does no work: ten that are well share the processor with one more than nine do.",
            "The bounds are this project's own.",
        ),
        environment=describe(),
    )
