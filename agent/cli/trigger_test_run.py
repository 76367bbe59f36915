"""A self-test of a trigger: one group in its capture process, a frame expected for each pulse, the ledger read."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from agent.capture.board import Head, Of
from agent.capture.group_watch import GroupWatch
from agent.capture.life import Ways
from agent.capture.messages import AddPlans
from agent.capture.order import GroupOrder, PlanOrder
from agent.capture.pulse_log import PulseRecord, unpack
from agent.capture.state_word import Phase, read_word
from agent.capture.trigger_order import CameraTrigger, TriggerKind, TriggerOrder
from agent.cli.interruption import Interrupted, Interruption
from agent.cli.plan_processes import Processes, Tell
from agent.cli.spread import Spread
from agent.cli.trigger_verdict import CameraFacts, GroupFacts
from agent.clock import monotonic_ns
from agent.errors import AgentError, InputError
from agent.schedule.histogram import Histogram
from agent.schedule.instants import CATCH_UP_MAX
from agent.schedule.plan import OnEdge, Plan, WhenBusy
from agent.schedule.ring import RingReader
from agent.shared import FENCE
from agent.trigger.verdicts import Cause, End
from agent.units import NS_PER_MS, format_duration

_PLAN = "self-test"
_LEAD_NS = 100 * NS_PER_MS
_LINGER_NS = 50 * NS_PER_MS
"""After the last pulse's wait: what is late by less than this is still told as late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestWish:
    """`count` pulses, `every_ns` apart where they are ours; `limit_ns`: how long pulses of others are waited for."""

    __test__ = False  # not a test of pytest's

    count: int
    every_ns: int
    limit_ns: int


@dataclass(slots=True)
class _Tally:
    """What the ring of pulses says of one camera."""

    delays: list[int] = field(default_factory=list)
    residuals: list[int] = field(default_factory=list)
    uncertainty_ns: int = 0
    causes: dict[int, Cause] = field(default_factory=dict)

    def add(self, record: PulseRecord) -> None:
        """One record."""
        if record.end is End.MISSED and record.pulse is not None and record.cause is not None:
            self.causes[record.pulse] = record.cause
        if record.end is End.MATCHED and record.start_ns is not None and record.pulse_ns is not None:
            self.delays.append(record.start_ns - record.pulse_ns)
            self.residuals.append(record.residual_ns or 0)
            self.uncertainty_ns = max(self.uncertainty_ns, record.uncertainty_ns or 0)


def order_for_test(order: GroupOrder, wish: TestWish) -> GroupOrder:
    """The group with its triggered cameras only, without storage and quotas. Raises InputError where it cannot be."""
    trigger = order.trigger
    if trigger is None or trigger.kind is None:
        raise InputError(
            f"group {order.name} has no trigger to be tested",
            hint="write trigger: with a kind at the group (docs/plan-files.md)",
            group=order.name,
        )
    cameras = tuple(camera for camera in order.cameras if camera.trigger is not None)
    if not cameras:
        raise InputError(
            f"no camera of group {order.name} is triggered: they run free",
            hint="write trigger: at its cameras, with delay and jitter of the data sheet",
            group=order.name,
        )
    _check_period(trigger, wish)
    return replace(order, cameras=cameras, sink=None, quotas={}, run_id=secrets.randbits(64))


def _check_period(trigger: TriggerOrder, wish: TestWish) -> None:
    if not trigger.fires:
        return
    shortest_ns = max(trigger.cycle_ns or 0, trigger.pulse.width_ns + 1 if trigger.kind is TriggerKind.PULSE else 0)
    if wish.every_ns < shortest_ns:
        raise InputError(
            f"pulses cannot come every {format_duration(wish.every_ns)} on this trigger",
            hint=f"its pulse is {format_duration(trigger.pulse.width_ns)}, its cycle "
            f"{format_duration(trigger.cycle_ns or 0)}: ask for a longer --every",
            every_ns=wish.every_ns,
            shortest_ns=shortest_ns,
        )


class SelfTest:
    """One test: `carry_out` once, then `group` and `cameras`. One thread, the main one.

    `error`: the first thing that went wrong with processes, cameras or lines. `told`: all that happened, in words.
    """

    def __init__(self, order: GroupOrder, wish: TestWish, ways: Ways, tell: Tell) -> None:
        """Nothing is started. Raises InputError."""
        self.order, self.wish = order_for_test(order, wish), wish
        self.error: AgentError | None = None
        self.told: list[str] = []
        self.cameras: list[CameraFacts] = []
        self.group = GroupFacts(
            group=order.name, kind=self._trigger.kind or TriggerKind.EDGE, line=self._line(), asked=wish.count, pulses=0
        )
        self.pressed = False
        """The emergency stop of the group was pressed: `error` says so."""
        self.lost = 0
        """Records of the ledger that were overwritten before they could be read: the figures lack them."""
        self.on_turn: Callable[[], None] = lambda: None
        """Called several times a second while the test runs: for progress."""
        self._ways, self._screen = ways, tell
        self._tallies = {place: _Tally() for place in range(len(self.order.cameras))}
        self._triggers = [camera.trigger for camera in self.order.cameras if camera.trigger is not None]
        self._faults: dict[str, str] = {}
        self._stopped_by: Interrupted | None = None
        self._killed = False

    @property
    def pulses(self) -> int:
        """How many there were so far."""
        return self.group.pulses

    def carry_out(self) -> None:
        """From the first process to the last; nothing of ours runs any more when it returns, or raises Interrupted."""
        with (
            Interruption() as interruption,
            Processes([self.order], self._ways, interruption, self._tell) as processes,
        ):
            watch = processes.watches[self.order.name]
            ring = RingReader(watch.board.pulses, FENCE)
            processes.look = lambda: self._look(watch, ring)
            try:
                self._work(processes, watch, interruption)
                self._faults = self._in_fault(watch)
                processes.cancel("the end of the self-test")
                processes.quit()
            except Interrupted as again:
                self._stopped_by = self._stopped_by or again
                self._killed = True
                processes.kill()
            self._look(watch, ring)
            self.lost = ring.lost
            self.cameras = [self._facts(watch, place) for place in range(len(self.order.cameras))]
            self.pressed, self.error = bool(processes.pressed), processes.error
        if self._stopped_by is not None:
            ended = "the capture process was killed" if self._killed else "all streams are off, the line is safe"
            self._stopped_by.told = f"after {self.pulses} of {self.wish.count} pulses; {ended}"
            raise self._stopped_by

    @property
    def _trigger(self) -> TriggerOrder:
        if self.order.trigger is None:  # refused by `order_for_test`
            raise InputError(f"group {self.order.name} has no trigger", hint="write one", group=self.order.name)
        return self.order.trigger

    def _line(self) -> str:
        trigger = self._trigger
        match trigger.kind:
            case TriggerKind.PULSE if trigger.output is not None:
                return str(trigger.output.line)
            case TriggerKind.PWM if trigger.pwm is not None:
                return f"{trigger.pwm.chip}:{trigger.pwm.channel}"
            case TriggerKind.SOFTWARE:
                return "the cameras' software triggers"
        return str(trigger.input.line) if trigger.input is not None else ""

    # -- the run --------------------------------------------------------------------------------------------------

    def _work(self, processes: Processes, watch: GroupWatch, interruption: Interruption) -> None:
        """Everything that a signal interrupts."""
        try:
            processes.settle()
            begin_ns = monotonic_ns() + _LEAD_NS + self._trigger.settle_ns
            number = processes.ask(self.order.name, AddPlans(id=processes.number(), orders=(self._plan(begin_ns),)))
            slots = processes.answer(number)
            watch.slots = {slot: (name, self.order.name) for name, slot in slots.items()}
            self._follow(processes, watch, begin_ns)
        except Interrupted as stop:
            self._stopped_by = stop
            if interruption.again:
                raise
        except AgentError as error:
            processes.note(error)

    def _plan(self, begin_ns: int) -> PlanOrder:
        """A tick a pulse, each for a frame of every camera; one that comes before the last has ended waits for that."""
        wish, fires = self.wish, self._trigger.fires
        plan = Plan(
            name=_PLAN,
            camera=self.order.name,
            start_ns=begin_ns,
            period_ns=wish.every_ns if fires else None,
            count=wish.count,
            when_busy=WhenBusy.CATCH_UP,
            catch_up=min(wish.count, CATCH_UP_MAX),
            on_edge=None if fires else OnEdge(),
        )
        return PlanOrder(plan=plan, store=False)

    def _follow(self, processes: Processes, watch: GroupWatch, begin_ns: int) -> None:
        """Until the plan is over, or pulses of others were waited for long enough; then for what may still come."""
        over_ns = None if self._trigger.fires else begin_ns + self.wish.limit_ns
        while watch.running() and not processes.gave_up(self.order.name):
            if over_ns is not None and monotonic_ns() >= over_ns:
                break
            processes.require_not_pressed()
            processes.wait(over_ns)
        processes.require_not_pressed()
        longest_ns = max(trigger.budget.wait_ns for trigger in self._triggers)
        until_ns = monotonic_ns() + longest_ns + _LINGER_NS
        while monotonic_ns() < until_ns and not processes.gave_up(self.order.name):
            processes.wait(until_ns)

    # -- looking --------------------------------------------------------------------------------------------------

    def _tell(self, words: str, hint: str) -> None:
        self.told.append(words)
        self._screen(words, hint)

    def _look(self, watch: GroupWatch, ring: RingReader) -> None:
        for record in ring.read()[0]:
            found = unpack(record)
            self._tallies[found.camera].add(found)
        words = watch.board.words
        self.group = replace(
            self.group,
            pulses=words[Head.PULSES],
            sets=words[Head.SETS],
            incomplete=words[Head.SETS_INCOMPLETE],
            skew_max_ns=words[Head.SKEW_MAX_NS],
            edges_lost=words[Head.EDGES_LOST],
        )
        self.on_turn()

    def _in_fault(self, watch: GroupWatch) -> dict[str, str]:
        pairs = zip(self.order.cameras, watch.board.all_cameras(), strict=True)
        return {
            camera.name: next(
                (told for told in self.told if told.startswith(f"camera {camera.name}:")), "see what was told"
            )
            for camera, words in pairs
            if read_word(words[Of.WORD])[0] is Phase.FAULT
        }

    def _facts(self, watch: GroupWatch, place: int) -> CameraFacts:
        camera, trigger, tally = self.order.cameras[place], self._triggers[place], self._tallies[place]
        words = watch.board.camera(place)
        missed = Counter(tally.causes.values())
        cut_off = missed.pop(Cause.STOPPED, 0)
        return CameraFacts(
            camera=camera.name,
            device=camera.path,
            budget=trigger.budget,
            pulses=words[Of.PULSES],
            frames=words[Of.FRAMES],
            matched=words[Of.MATCHED],
            missed=missed,
            cut_off=cut_off,
            late=words[Of.LATE],
            ambiguous=words[Of.AMBIGUOUS] + words[Of.AMBIGUOUS_FRAMES],
            spurious=words[Of.SPURIOUS],
            relocks=words[Of.RELOCKS],
            out_of_budget=words[Of.OUT_OF_BUDGET],
            delays=Spread.of(tally.delays),
            residuals=Spread.of(tally.residuals),
            strobes=_strobes(trigger, watch.board.delays(place)),
            uncertainty_ns=tally.uncertainty_ns,
            fault=self._faults.get(camera.name, ""),
        )


def _strobes(trigger: CameraTrigger, delays: Histogram) -> Spread | None:
    """By the strobe line: the smallest and the middle one up to a sixteenth too long."""
    if trigger.strobe is None or not delays.count:
        return None
    smallest_ns, median_ns = delays.percentile(0), delays.percentile(Fraction(50))
    return Spread(delays.count, smallest_ns or 0, median_ns or 0, delays.max_ns)
