"""A triggered camera in a capture process: how soon it is armed, when its pulses leave, which frame each has."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic_ns

from agent.capture.messages import AddPlans, Cancel, StartCamera
from agent.capture.order import CameraOrder, GroupOrder, PlanOrder, Realtime, StageLimits
from agent.capture.pulse_log import PulseRecord, unpack
from agent.capture.tick_log import TickRecord
from agent.capture.tick_log import unpack as unpack_tick
from agent.capture.trigger_order import TriggerOrder
from agent.schedule.account import Account
from agent.schedule.plan import Plan
from agent.schedule.ring import RingReader
from agent.trigger.verdicts import End
from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.common import Taken, finish
from benchmarks.result import Comparison, Measured
from benchmarks.sides.supervised import Supervised
from benchmarks.stats import percentile

_PATIENT = StageLimits(session_ns=30 * NS_PER_S, frame_ns=30 * NS_PER_S)
_LOOK_NS = 5 * NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a block runs on. `program`: of the capture process. `starts`: how often it is armed, `pulses`: a plan's."""

    camera: CameraOrder
    trigger: TriggerOrder
    period_ns: int
    starts: int
    pulses: int
    realtime: Realtime = field(default_factory=Realtime)
    program: Sequence[str] = (sys.executable, "-m", "agent.cli.process")


@dataclass(slots=True)
class Pulsed:
    """One block, in nanoseconds.

    `armed`: from a client's StartCamera to the moment from which on pulses may leave. `late`: from when a pulse was
    due to the middle of the call that set the line. `residuals`: of matched ones, start of exposure less the instant
    the budget expects it at. `unpaired`: pulses without a frame of their own.
    """

    armed_ns: list[int] = field(default_factory=list)
    late_ns: list[int] = field(default_factory=list)
    residuals_ns: list[int] = field(default_factory=list)
    pulses: int = 0
    unpaired: int = 0

    def arming(self) -> Measured:
        """The usual start."""
        return Measured(percentile(self.armed_ns, 50), len(self.armed_ns), self.armed_ns)

    def lateness(self) -> Measured:
        """P99."""
        return Measured(percentile(self.late_ns, 99), len(self.late_ns), self.late_ns)

    def residual(self) -> Measured:
        """P99 of the distance, to either side; the samples have their sign."""
        distances_ns = [abs(residual_ns) for residual_ns in self.residuals_ns]
        return Measured(percentile(distances_ns, 99), len(distances_ns), self.residuals_ns)

    def without_frame(self) -> Measured:
        """How many pulses."""
        return Measured(self.unpaired, self.pulses)


def observe(bench: Bench) -> Pulsed:
    """One block: stopped and started again and again, then a plan on it."""
    order = GroupOrder(
        name="bench", cameras=(bench.camera,), limits=_PATIENT, trigger=bench.trigger, realtime=bench.realtime
    )
    found = Pulsed()
    with Supervised(order, bench.program) as process:
        ring, ticks = RingReader(process.board.pulses), RingReader(process.board.ring)
        for number in range(bench.starts):
            _start(process, bench, f"first {number}", found)
        _count(found, ring)
        ticks.read()
        start_ns = monotonic_ns() + bench.period_ns
        plan = Plan(
            name="all", camera=bench.camera.name, start_ns=start_ns, period_ns=bench.period_ns, count=bench.pulses
        )
        _carry_out(process, plan)
        records = _count(found, ring)
        matched = (record.residual_ns for record in records if record.end is End.MATCHED)
        found.residuals_ns = [residual_ns for residual_ns in matched if residual_ns is not None]
        found.late_ns = _lateness([unpack_tick(record, 0) for record in ticks.read()[0]], records)
    return found


def _lateness(ticks: Sequence[TickRecord], pulses: Sequence[PulseRecord]) -> list[int]:
    """From when each tick was due to the first pulse after it was fired."""
    left_ns = sorted(record.pulse_ns for record in pulses if record.pulse_ns is not None)
    pairs = ((tick.due_ns, bisect_left(left_ns, tick.fired_ns)) for tick in ticks if tick.fired_ns)
    return [left_ns[place] - due_ns for due_ns, place in pairs if place < len(left_ns)]


def _start(process: Supervised, bench: Bench, name: str, found: Pulsed) -> None:
    """Armed, and proven so: a pulse leaves at once, and has its frame. Raises ValueError."""
    camera = bench.camera.name
    process.ask(Cancel(id=process.number(), kind="camera", name=camera, by="benchmark"))
    answer = process.ask(StartCamera(id=process.number(), camera=camera))
    found.armed_ns.append(answer.at_ns - answer.sent_ns)
    account = _carry_out(process, Plan(name=name, camera=camera, start_ns=monotonic_ns()))
    if account.skipped:
        raise ValueError("it was told to be armed, and the first pulse did not leave")


def _carry_out(process: Supervised, plan: Plan) -> Account:
    """Run a plan to its end."""
    slots = process.ask(AddPlans(id=process.number(), orders=(PlanOrder(plan=plan, store=False),))).facts
    while True:
        account = Account.read(process.board.plans, slots[plan.name])
        if account.ticks >= (plan.count or 1) and not account.under_way and not account.waiting:
            return account
        process.wait_until(monotonic_ns() + _LOOK_NS)


def _count(found: Pulsed, ring: RingReader) -> list[PulseRecord]:
    """The pulses that ended since the last call."""
    records = [unpack(record) for record in ring.read()[0]]
    pulses = [record for record in records if record.pulse is not None and not record.explained]
    found.pulses += len(pulses)
    unpaired = [record for record in pulses if record.end is not End.MATCHED]
    found.unpaired += len(unpaired)
    for record in unpaired:
        print(f"without a frame of its own: {record}", flush=True)
    return pulses


def write_all(row: Comparison, taken: Sequence[Taken[Pulsed]], folder: Path) -> None:
    """Four figures of the same blocks; `row` has what they have in common, its name their suffix."""

    def write(figure: Callable[[Pulsed], Measured], **words: object) -> None:
        comparison = replace(row, **{**words, "name": f"{words['name']}{row.name}"})  # type: ignore[arg-type]
        finish(comparison, [each.figures(("ours", figure)) for each in taken], folder)

    write(Pulsed.arming, name="T-arm", row="E2", measure="StartCamera sent to pulses may leave, P50")
    write(Pulsed.lateness, name="T-lateness", row="E1", measure="pulse due to line set, P99")
    write(Pulsed.residual, name="T-residual", row="E5", measure="distance of a frame's start from the expected, P99")
    unpaired = {"measure": "pulses without a frame of their own", "unit": "pulses", "gate": 0, "moonshot": 0}
    write(Pulsed.without_frame, name="T-unpaired", row="E3", **unpaired)
