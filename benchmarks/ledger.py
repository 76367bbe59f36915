"""What the trigger ledger costs at 1,000 pulses a second: as the capture loop keeps it, and by itself."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic_ns, thread_time_ns
from typing import NamedTuple

from agent.capture.board import Board, Of
from agent.capture.pairing import Log, Pairing
from agent.capture.shot import Started
from agent.schedule.ring import Ring
from agent.shared import FENCE, Page
from agent.trigger.budget import Budget
from agent.trigger.ledger import Ledger
from agent.trigger.verdicts import End
from agent.units import NS_PER_MS, NS_PER_S, NS_PER_US
from agent.v4l2.format import Format
from agent.v4l2.frame import Frame
from benchmarks.common import as_measured, finish, take_turns
from benchmarks.environment import describe
from benchmarks.result import Comparison, Measured

RATE = 1_000
PERIOD_NS = NS_PER_S // RATE
PULSES = 2_000
BUDGET = Budget(delay_ns=12_800, jitter_ns=300, window_ns=400 * NS_PER_US, wait_ns=10 * NS_PER_MS)
ARRIVES_NS = 5 * NS_PER_MS
"""From a pulse to its frame: so many pulses are open at any time."""
_FORMAT = Format("YUYV", 640, 480, ())
_PULSE_UNCERTAINTY_NS, _FRAME_UNCERTAINTY_NS = 2_000, 500
_LOST_OF_A_HUNDRED, _GHOSTS_OF_A_HUNDRED = 2, 1


Kept = tuple[Callable[[int, int], object], Callable[[int, int, int], object], Callable[[int], object]]
"""A ledger, however it is kept: `pulse(number, at_ns)`, `frame(sequence, start_ns, arrived_ns)`, `expire(now_ns)`."""


class Happening(NamedTuple):
    """A pulse, or a frame that arrives. `number`: its own. `start_ns`: of a frame's exposure; None: it is a pulse."""

    at_ns: int
    number: int
    start_ns: int | None


def main(folder: Path) -> None:
    """Measure and write T-ledger.json and T-ledger-pure.json."""
    taken = take_turns({"pairing": lambda: _turn(_pairing), "pure": lambda: _turn(_pure)})
    row = _row()
    finish(row, [each.figures(("pairing", as_measured)) for each in taken], folder)
    pure = replace(row, name="T-ledger-pure", ours="agent.trigger.ledger.Ledger by itself")
    finish(pure, [each.figures(("pure", as_measured)) for each in taken], folder)


def happenings(seed: int, count: int, start_ns: int) -> list[Happening]:
    """`count` pulses on a grid, and the frames of most of them, in the order of their times."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        pulse_ns = start_ns + number * PERIOD_NS + chance.randrange(50 * NS_PER_US)
        found.append(Happening(pulse_ns, number, None))
        if chance.randrange(100) >= _LOST_OF_A_HUNDRED:
            began_ns = pulse_ns + BUDGET.delay_ns + chance.randrange(-300, 301)
            found.append(Happening(pulse_ns + ARRIVES_NS, number, began_ns))
        if chance.randrange(100) < _GHOSTS_OF_A_HUNDRED:
            found.append(Happening(pulse_ns + ARRIVES_NS + PERIOD_NS // 2, number, pulse_ns + PERIOD_NS // 2))
    return sorted(found, key=lambda each: each.at_ns)


def _turn(make: Callable[[ExitStack], tuple[Kept, Callable[[], int]]]) -> Measured:
    """CPU time of one block, as a share of the time that passes; every wake does what is due, as the loop's do."""
    with ExitStack() as resources:
        (pulse, frame, expire), count_matched = make(resources)
        waiting = deque(happenings(1, PULSES, monotonic_ns() + 100 * NS_PER_MS))
        spent_ns = sequence = 0
        while waiting:
            time.sleep(max(waiting[0].at_ns - monotonic_ns(), 0) / NS_PER_S)
            before_ns, now_ns = thread_time_ns(), monotonic_ns()
            while waiting and waiting[0].at_ns <= now_ns:
                at_ns, number, start_ns = waiting.popleft()
                if start_ns is None:
                    pulse(number, at_ns)
                else:
                    frame(sequence, start_ns, at_ns)
                    sequence += 1
            expire(now_ns)
            spent_ns += thread_time_ns() - before_ns
        if count_matched() < PULSES * 9 // 10:
            raise ValueError(f"{count_matched()} of {PULSES} pulses were matched")
    return Measured(spent_ns / (PULSES * PERIOD_NS), PULSES)


def _pure(_: ExitStack) -> tuple[Kept, Callable[[], int]]:
    """The ledger by itself."""
    ledger = Ledger(BUDGET)

    def pulse(number: int, at_ns: int) -> None:
        ledger.pulse(number, at_ns, _PULSE_UNCERTAINTY_NS)

    def frame(sequence: int, start_ns: int, arrived_ns: int) -> None:
        ledger.frame(sequence, start_ns, _FRAME_UNCERTAINTY_NS, arrived_ns)

    return (pulse, frame, ledger.expire), lambda: ledger.counts.pulse_ends[End.MATCHED]


def _pairing(resources: ExitStack) -> tuple[Kept, Callable[[], int]]:
    """As the capture loop has it: words, ring and histogram in a shared page, notices told."""
    page = resources.enter_context(Page.create("ledger", Board.words_for(1, 1)))
    board = Board.create(page.words, 1, 1)
    resources.callback(board.release)
    words = board.camera(0)
    log = Log(Ring(board.pulses, FENCE), 0, board.delays(0))
    pairing = Pairing(BUDGET, words, log, lambda _code, _told: None, lambda _entry: None, has_strobe=False)
    pairing.start()

    def pulse(number: int, at_ns: int) -> None:
        pairing.pulse(number, at_ns, _PULSE_UNCERTAINTY_NS)

    def frame(sequence: int, start_ns: int, arrived_ns: int) -> None:
        taken = Frame(0, _FORMAT, (), sequence, start_ns, "monotonic", "soe", _FRAME_UNCERTAINTY_NS, arrived_ns, 0)
        pairing.frame(taken, Started(start_ns, _FRAME_UNCERTAINTY_NS))

    return (pulse, frame, pairing.expire), lambda: words[Of.MATCHED]


def _row() -> Comparison:
    return Comparison(
        name="T-ledger",
        row="E3",
        what=f"{RATE:,} pulses and their frames a second, paired in the trigger ledger",
        measure="CPU for the ledger, of one processor",
        unit="share",
        ours="agent.capture.pairing.Pairing with its words, ring and histogram in a shared page",
        gate=0.05,
        moonshot=0.01,
        where="host",
        repeat="make bench",
        notes=(
            f"{PULSES:,} pulses a block, in real time; a frame arrives {ARRIVES_NS // NS_PER_MS} ms after its pulse.",
            f"{_LOST_OF_A_HUNDRED} % of the frames never come, and {_GHOSTS_OF_A_HUNDRED} % more come unasked.",
            "By the CPU clock of the thread, around what is done at each wake: the making of the Frame is in it.",
        ),
        environment=describe(),
    )
