# SPDX-License-Identifier: GPL-3.0-or-later
"""C1 to C4: cancel down to STREAMOFF on vivid, beside requests that do nothing and a STREAMOFF from C. In the rig."""

import sys
from dataclasses import replace
from pathlib import Path

# started as a file, Python puts this folder first; the package is in the one above
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from agent.units import NS_PER_S  # noqa: E402
from benchmarks import vivid  # noqa: E402
from benchmarks.common import Taken, finish, take_turns  # noqa: E402
from benchmarks.environment import describe  # noqa: E402
from benchmarks.result import Block, Comparison, Condition  # noqa: E402
from benchmarks.sides.cancelling import FRAMES_BEFORE, Bare, Cancels, cancel_often, stop_bare  # noqa: E402
from benchmarks.sides.stage import Stage  # noqa: E402

RATE = 30
CANCELS = 50
BUSY_CANCELS = 20
ROUNDS = 10
BUSY_PLANS = 10_000


def main(folder: Path) -> None:
    """Measure and write C1.json, C1-bare.json, C2.json, C2-bare.json, C3.json and C4.json."""
    idle = Stage(paths=(vivid.find_vivid(),), rate=RATE)
    busy = Stage(paths=(*idle.paths, *vivid.find_others(idle.paths[0])), rate=RATE, others=BUSY_PLANS, encode=True)
    vivid.set_up(idle.paths[0], idle.width_px, idle.height_px, RATE)
    for path in busy.paths[1:]:  # v4l2-ctl sets no rate on multi-planar nodes; a session does
        vivid.set_stamps(path)
    ping_ns: list[int] = []

    def cancel_idle() -> Cancels:
        found = cancel_often(idle, CANCELS)
        ping_ns[:] = found.ping_ns
        return found

    taken: list[Taken[Cancels | Bare]] = take_turns(
        {
            "idle": cancel_idle,
            "bare": lambda: stop_bare(idle.paths[0], idle.interval_ns, CANCELS, list(ping_ns)),
            "busy": lambda: cancel_often(busy, BUSY_CANCELS),
        },
        ROUNDS,
    )
    row = _row(idle)
    entry = replace(row, measure="client send to STREAMOFF entry, P99", gate=2, moonshot=1)
    ping = replace(entry, against="ping", peer="a Ping on the same command socket, while it streams, P99")
    finish(ping, [each.figures(("idle", Cancels.entry), ("idle", Cancels.ping)) for each in taken], folder)
    bare = replace(entry, name="C1-bare", against="bare server", peer=f"{_BARE}, P99")
    finish(bare, [each.figures(("idle", Cancels.entry), ("bare", Bare.noop)) for each in taken], folder)

    answer = replace(row, name="C2", row="C2", measure="client send to answer, P50", gate=1.5, moonshot=1.1)
    in_c = "and STREAMOFF in a C program, P50"
    answer = replace(
        answer, against="ping + C", peer=f"a Ping on the same command socket, while it streams, P50, {in_c}"
    )
    finish(answer, [each.figures(("idle", Cancels.answer), ("bare", Bare.both)) for each in taken], folder)
    bare = replace(answer, name="C2-bare", against="bare server + C", peer=f"{_BARE}, P50, {in_c}")
    finish(bare, [each.figures(("idle", Cancels.answer), ("bare", Bare.both_bare)) for each in taken], folder)

    loaded = replace(row, name="C3", row="C3", measure="client send to answer, P50", gate=2, moonshot=1.2)
    loaded = replace(
        loaded,
        ours=f"the same with {len(busy.paths)} cameras streaming, {BUSY_PLANS:,} plans and every frame a JPEG",
        peer="one camera streaming, one plan, no pictures",
        against="ours, idle",
        notes=(*row.notes, f"{BUSY_PLANS:,} plans every {_period_s(busy)} s: the processor is emulated."),
    )
    finish(loaded, [each.figures(("busy", Cancels.answer), ("idle", Cancels.answer)) for each in taken], folder)

    late = replace(row, name="C4", row="C4", measure="frames after the answer", unit="frames", gate=0, moonshot=0)
    late = replace(late, notes=(*row.notes, f"{ROUNDS * (CANCELS + BUSY_CANCELS):,} cancels in each condition."))
    finish(late, [_all_late_frames(each) for each in taken], folder)


_BARE = "a packet to a server that does nothing and back, SOCK_SEQPACKET, a process of its own"


def _row(stage: Stage) -> Comparison:
    """What all rows have in common."""
    return Comparison(
        name="C1",
        row="C1",
        what=f"A cancel of a camera that streams {stage.width_px}x{stage.height_px} at {stage.rate} frames/s (vivid)",
        measure="",
        unit="ns",
        ours="Cancel through supervisor and command socket; CLOCK_MONOTONIC stamps at the client and around STREAMOFF",
        gate=0,
        moonshot=0,
        where="rig",
        repeat="make rig BENCH=1",
        notes=(
            f"A plan wants every frame; after {FRAMES_BEFORE} frames it is cancelled at a random moment.",
            f"{CANCELS} cancels a block, {BUSY_CANCELS} where everything runs; each block is a process of its own.",
        ),
        environment=describe(),
    )


def _period_s(stage: Stage) -> int:
    return stage.others_period_ns // NS_PER_S


def _all_late_frames(taken: Taken[Cancels | Bare]) -> Condition:
    """Of idle and of busy blocks."""
    found = [found.late_frames() for _, found in taken.results if isinstance(found, Cancels)]
    return replace(taken.condition, blocks=tuple(Block.of(each, ours=True) for each in found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
