"""The whole loop with a triggered group, whatever is done to it and in whatever order (hypothesis)."""

from dataclasses import replace

from capture.loop_stage import NAMES, LoopStage
from capture.test_triggered import EDGE, FOLLOW, PULSE, STOP, STOP_ORDER, TRIGGER, ledger, seen, triggered
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.capture import messages as m
from agent.capture.board import Head, Of
from agent.capture.order import StageLimits
from agent.capture.trigger_order import TriggerKind, TriggerOrder
from agent.schedule.account import Account
from agent.schedule.plan import OnEdge, WhenBusy
from agent.trigger.budget import Budget
from agent.trigger.modes import TriggerMode
from agent.trigger.verdicts import End
from agent.units import NS_PER_MS, NS_PER_S, NS_PER_US

FRAME_NS = NS_PER_S
LONGEST_WAIT_NS = FRAME_NS + NS_PER_S
"""Of any tick that can be served: its burst, the pulses before it, a frame's limit, and a loop that is late."""
# wide enough for every delay a camera here may have; cycles are farther apart than two windows
BUDGET = Budget(delay_ns=12_800, jitter_ns=300, window_ns=12 * NS_PER_MS, wait_ns=150 * NS_PER_MS)
SOFTWARE = TriggerOrder(kind=TriggerKind.SOFTWARE, cycle_ns=60 * NS_PER_MS)
REQUESTS = ("VIDIOC_DQBUF", "VIDIOC_QBUF", "VIDIOC_STREAMON", "VIDIOC_STREAMOFF")
ENDS = (Of.MATCHED, Of.MISSED, Of.LATE, Of.AMBIGUOUS)
EXPECTED = {"works", "line_gone", "chip_not_found", "out_of_budget", "back_in_budget", "relocked", "undecided"}
"""What may be told of lines and ledgers."""
CAMERAS, TARGETS = st.sampled_from(NAMES), st.sampled_from((*NAMES, "g"))
PLANS = st.fixed_dictionaries(
    {
        "camera": TARGETS,
        "period_ms": st.none() | st.sampled_from([15, 60, 100, 250]),
        "burst": st.integers(1, 3),
        "store": st.booleans(),
        "when_busy": st.sampled_from([WhenBusy.SKIP, WhenBusy.COALESCE]),
        "client": st.sampled_from(["a", "b"]),
    }
)


class Fired(RuleBasedStateMachine):
    """A group of two cameras whose pulses leave for ticks."""

    trigger, mode = replace(PULSE, cycle_ns=60 * NS_PER_MS), TriggerMode.EXTERNAL_EDGE
    max_plans = 12

    @initialize()
    def begin(self):
        self.stage = LoopStage(
            capacity=64,
            emergency_stop=STOP_ORDER,
            limits=StageLimits(frame_ns=FRAME_NS),
            **triggered(self.trigger, self.mode, BUDGET),
        )
        self.stage.__enter__()
        self.names, self.wrong = [], []
        self.plugged = True
        self.stage.lines.on_level(TRIGGER, self._level)

    def _level(self, high, at_ns):
        """The line of the trigger changed: whether it may."""
        if high and self.stage.board.words[Head.STOPPED_NS]:
            self.wrong.append("a pulse left while the emergency stop was latched")
        if high and not all(unit.armed for unit in self.stage.loop.units.values()):
            self.wrong.append("a pulse left while a camera was not armed")

    def teardown(self):
        if not hasattr(self, "stage"):
            return
        stage = self.stage
        try:
            for camera in stage.cameras.values():
                for request in REQUESTS:
                    camera.faults.allow(request)
            self._all_back()
            stage.cancel()
            stage.settle()
            self._all_back()
            stage.advance(5 * NS_PER_S)
            self._check_the_end()
        finally:
            stage.__exit__()

    def _all_back(self):
        self.stage.publisher.give_back(len(self.stage.publisher.out))
        self.stage.settle()

    def _check_the_end(self):
        stage = self.stage
        assert [account.under_way + account.waiting for account in stage.accounts()] == [0] * 64
        for name in NAMES:
            words = stage.words(name)
            assert words[Of.PULSES] == sum(words[of] for of in ENDS), name
            assert not stage.loop.units[name].pairing._pulses
            assert not stage.streams(name)
        self._check_sets()

    def _check_sets(self):
        words = self.stage.board.words
        assert words[Head.SETS] + words[Head.SETS_INCOMPLETE] == words[Head.PULSES]

    # -- what is done ---------------------------------------------------------------------------------------------

    @rule(plan=PLANS)
    def add(self, plan):
        running = [name for name in self.names if self.stage.loop.scheduler.run(name).state.name == "RUNNING"]
        if len(running) >= self.max_plans:
            return
        name = f"p{len(self.names)}"
        answer = self.stage.ask(m.AddPlans, orders=(self.stage.plan(name, **plan),))
        if isinstance(answer, m.Done):
            self.names.append(name)

    @rule(kind=st.sampled_from(["plan", "camera", "client", "all"]), data=st.data(), settles=st.booleans())
    def cancel(self, kind, data, settles):
        choices = {"plan": self.names, "camera": NAMES, "client": ["a", "b"], "all": [""]}[kind]
        if choices:
            self.stage.cancel(kind, data.draw(st.sampled_from(choices)))
            self._go_on(settles)

    @rule(camera=CAMERAS, settles=st.booleans())
    def start(self, camera, settles):
        self.stage.send(m.StartCamera, camera=camera)
        self._go_on(settles)

    @rule(camera=CAMERAS, settles=st.booleans())
    def expose(self, camera, settles):
        self.stage.send(m.Expose, camera=camera, exposure_ns=5 * NS_PER_MS)
        self._go_on(settles)

    @rule(pressed=st.booleans(), settles=st.booleans())
    def stop_line(self, pressed, settles):
        if self.plugged:
            self.stage.lines.pull(STOP, pressed)
            self._go_on(settles)

    @rule()
    def release_stop(self):
        self.stage.ask(m.ReleaseStop)

    @rule(settles=st.booleans())
    def go_again(self, settles):
        """What people do to have it all back."""
        stage = self.stage
        if not self.plugged:
            self.plug_or_unplug(True)
        stage.lines.pull(STOP, False)
        stage.advance(1_100 * NS_PER_MS)
        assert isinstance(stage.ask(m.ReleaseStop), m.Done)
        for name in NAMES:
            stage.send(m.StartCamera, camera=name)
        self._go_on(settles)

    @rule(settles=st.booleans())
    def plug_or_unplug(self, settles):
        self.plugged = not self.plugged
        (self.stage.lines.plug if self.plugged else self.stage.lines.unplug)("bench")
        self._go_on(settles)

    @rule(
        camera=CAMERAS,
        fault=st.sampled_from(["drop_triggers", "double_triggers", "late_trigger_ns"]),
        count=st.integers(1, 4),
    )
    def misbehave(self, camera, fault, count):
        setattr(self.stage.cameras[camera].faults, fault, count * NS_PER_MS if fault.endswith("ns") else count)

    @rule(camera=CAMERAS, request=st.sampled_from(REQUESTS))
    def refuse(self, camera, request):
        self.stage.cameras[camera].faults.refuse(request)

    @rule(count=st.integers(1, 4), stored=st.booleans())
    def give_back(self, count, stored):
        self.stage.publisher.give_back(count, stored=stored)
        self.stage.settle()

    @rule(duration_ms=st.sampled_from([1, 7, 30, 100, 400, 2_500]))
    def advance(self, duration_ms):
        self.stage.advance(duration_ms * NS_PER_MS)

    @rule(camera=CAMERAS, other=TARGETS, burst=st.integers(2, 4), after_ms=st.sampled_from([0, 1, 20, 65]))
    def stop_a_camera_within_a_burst(self, camera, other, burst, after_ms):
        """Pulses left, and the rest of them will not."""
        self.add({"camera": camera, "period_ms": None, "burst": burst})
        self.stage.advance(after_ms * NS_PER_MS)
        if other == "g":
            self.plug_or_unplug(True)
        else:
            self.stage.cancel("camera", other)
        self.stage.advance(LONGEST_WAIT_NS + NS_PER_S)

    @rule(duration_ms=st.sampled_from([1, 20, 70, 300]))
    def be_late(self, duration_ms):
        """Time passes, and the loop does not turn."""
        self.stage.kernel.advance(duration_ms * NS_PER_MS)
        self.stage.settle()

    @rule(duration_us=st.sampled_from([0, 500, 12_000]))
    def turn(self, duration_us):
        """One turn, the threads still at work."""
        self.stage.kernel.advance(duration_us * NS_PER_US)
        self.stage.turn()

    @rule(helper=st.sampled_from([f"{kind} {name}" for kind in ("slow", "stopper", "closer") for name in NAMES]))
    def work(self, helper):
        if self.stage.helpers[helper].job is not None:
            self.stage.helpers[helper].work()

    def _go_on(self, settles):
        if settles:
            self.stage.settle()
        else:
            self.stage.turn()

    # -- what holds -----------------------------------------------------------------------------------------------

    @invariant()
    def nothing_went_wrong(self):
        if hasattr(self, "stage"):
            assert not self.wrong
            told = {told.code for told in self.stage.of(m.TriggerTold)}
            assert told <= EXPECTED

    @invariant()
    def accounts_match(self):
        if not hasattr(self, "stage"):
            return
        for account in self.stage.accounts():
            assert account.under_way in (0, 1)
            assert 0 <= account.waiting <= (account != Account()) * 2
        for name in NAMES:
            words, pairing = self.stage.words(name), self.stage.loop.units[name].pairing
            assert words[Of.PULSES] - sum(words[of] for of in ENDS) == len(pairing._pulses)
            assert len(pairing._pulses) <= 64

    @invariant()
    def the_line_is_inactive_while_no_camera_streams(self):
        if hasattr(self, "stage") and self.plugged and not any(map(self.stage.streams, NAMES)):
            assert not self.stage.lines.level(TRIGGER)

    @invariant()
    def each_pulse_ends_once_and_is_its_own(self):
        if not hasattr(self, "stage"):
            return
        records = ledger(self.stage)
        for place, name in enumerate(NAMES):
            own = [record for record in records if record.camera == place]
            pulses = [record.pulse for record in own if record.pulse is not None and not record.explained]
            assert len(set(pulses)) == len(pulses)
            assert all(number < self.stage.board.words[Head.PULSES] for number in pulses)
            if self.stage.words(name)[Of.RELOCKS]:
                continue
            account = seen(self.stage, name)
            began = {exposed.start_ns // NS_PER_US: exposed.pulse for exposed in account.exposures}
            at_ns = {pulse.number: pulse.at_ns for pulse in account.pulses}
            for record in own:
                if record.end is End.MATCHED and not record.explained:
                    assert at_ns[began[record.start_ns // NS_PER_US]] == record.pulse_ns

    @invariant()
    def nobody_waits_for_ever(self):
        if not hasattr(self, "stage"):
            return
        now_ns = self.stage.clock.now_ns()
        for unit in self.stage.loop.units.values():
            for request in unit.requests.waiting:
                if not self.may_wait(request):
                    assert now_ns - request.since_ns <= LONGEST_WAIT_NS, request

    def may_wait(self, request):
        return False


class Told(Fired):
    """The pulses are the cameras' own software triggers."""

    trigger, mode = SOFTWARE, TriggerMode.SOFTWARE


class Followed(Fired):
    """The pulses are somebody else's."""

    trigger = FOLLOW

    @rule(gap_ms=st.sampled_from([2, 60, 100]), settles=st.booleans(), data=st.data())
    def pulse(self, gap_ms, settles, data):
        """Somebody's pulse; the loop may hear of it late."""
        stage = self.stage
        if not self.plugged:
            return
        stage.kernel.advance(gap_ms * NS_PER_MS)
        for high in (True, False):
            stage.lines.pull(EDGE, high)
            for camera in stage.cameras.values():
                camera.level(high, stage.clock.now_ns())
            self._go_on(settles)
            stage.kernel.advance(NS_PER_MS)

    @rule(camera=TARGETS, store=st.booleans(), divider=st.integers(1, 2))
    def add_on_edge(self, camera, store, divider):
        plan = {"camera": camera, "store": store, "period_ms": None, "on_edge": OnEdge(divider=divider)}
        self.add({**plan, "when_busy": WhenBusy.COALESCE})

    def may_wait(self, request):
        return request.pulse > self.stage.loop.lines.trigger._number

    def _check_sets(self):
        words = self.stage.board.words
        assert words[Head.SETS] + words[Head.SETS_INCOMPLETE] <= words[Head.PULSES]


for machine in (Fired, Told, Followed):
    machine.TestCase.settings = settings(
        max_examples=15,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )

TestFired, TestTold, TestFollowed = Fired.TestCase, Told.TestCase, Followed.TestCase
