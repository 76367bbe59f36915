"""The scheduler against the naive one, step by step, whatever is done to both (hypothesis)."""

from dataclasses import asdict, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from schedule.naive import NaivePlan, next_instant, turn

from agent.schedule.account import PLAN_WORDS, Account, Refusal
from agent.schedule.instants import PlanError
from agent.schedule.plan import Plan, WhenBusy, Window
from agent.schedule.register import PlanOver
from agent.schedule.scheduler import Scheduler

CAPACITY = 5
AGEING_NS = 10
DERIVED = {"state", "fired", "frames", "bytes", "late_max_ns", "late_sum_ns", "took_max_ns", "took_sum_ns"}

window_pieces = st.tuples(st.integers(0, 40), st.integers(1, 30), st.none() | st.integers(0, 30))
windows = st.builds(
    lambda pieces: tuple(Window(o, o + n, None if e is None else n + e) for o, n, e in pieces),
    st.lists(window_pieces, max_size=2),
)
plans = st.builds(
    Plan,
    name=st.just(""),
    camera=st.sampled_from(["left", "right"]),
    client=st.sampled_from(["a", "b"]),
    start_ns=st.integers(0, 60),
    period_ns=st.none() | st.integers(1, 25),
    count=st.none() | st.integers(1, 6),
    burst=st.integers(1, 3),
    windows=windows,
    when_busy=st.sampled_from(WhenBusy),
    catch_up=st.integers(1, 3),
    priority=st.integers(-2, 2),
)


def named(plan, name, now_ns):
    """Its start relative to now, some of it in the past."""
    return replace(
        plan,
        name=name,
        start_ns=now_ns + plan.start_ns - 30,
        count=1 if plan.period_ns is None and plan.count else plan.count,
        catch_up=0 if plan.when_busy is WhenBusy.COALESCE else plan.catch_up,
    )


class Schedules(RuleBasedStateMachine):
    """Both are told the same. Names are p0, p1, ... and never come twice."""

    @initialize()
    def begin(self):
        self.raw = bytearray(CAPACITY * PLAN_WORDS * 8)
        self.words = memoryview(self.raw).cast("q")
        self.scheduler = Scheduler(self.words, capacity=CAPACITY, ageing_ns=AGEING_NS)
        self.now_ns = 1_000
        self.models, self.ticks, self.started, self.told = {}, {}, 0, set()

    def running(self):
        return [model for model in self.models.values() if model.state == "RUNNING"]

    @rule(plan=plans)
    def add(self, plan):
        plan = named(plan, f"p{self.started}", self.now_ns)
        unsettled = [m for m in self.models.values() if m.state == "RUNNING" or m.phase == "shot"]
        every_window_opens = all(
            next_instant(replace(plan, windows=(window,)), plan.start_ns, plan.period_ns, plan.start_ns) is not None
            for window in plan.windows
        )
        opens_again = next_instant(plan, plan.start_ns, plan.period_ns, max(plan.start_ns, self.now_ns)) is not None
        if len(unsettled) == CAPACITY or not every_window_opens or (plan.windows and not opens_again):
            with pytest.raises(PlanError):
                self.scheduler.add(plan, self.now_ns)
            return
        run = self.scheduler.add(plan, self.now_ns)
        self.started += 1
        self.models = {name: model for name, model in self.models.items() if model.slot != run.slot}
        self.models[plan.name] = NaivePlan(plan, run.slot)

    @rule(by_ns=st.integers(0, 12) | st.integers(0, 200))
    def wait(self, by_ns):
        self.now_ns += by_ns

    @rule(bound=st.integers(1, 4) | st.just(100))
    def due(self, bound):
        given = self.scheduler.due(self.now_ns, bound)
        assert [(t.run.plan.name, t.number, t.due_ns) for t in given] == turn(
            self.models.values(), self.now_ns, bound, AGEING_NS
        )
        assert all(tick.wanted == tick.run.plan.burst for tick in given)
        self.ticks.update({tick.run.plan.name: tick for tick in given})

    def in_phase(self, *phases):
        return [name for name, model in self.models.items() if model.phase in phases]

    @precondition(lambda self: self.in_phase("out", "gone"))
    @rule(data=st.data(), way=st.sampled_from(["fired", "fired", "fired", "not_ready", *Refusal]))
    def settle(self, data, way):
        name = data.draw(st.sampled_from(self.in_phase("out", "gone")))
        model, tick = self.models[name], self.ticks[name]
        if way == "fired":
            assert self.scheduler.fired(tick, self.now_ns) == (model.phase == "out")
        elif way == "not_ready":
            self.scheduler.not_ready(tick)
        else:
            self.scheduler.refused(tick, way)
        if model.phase == "gone":
            return
        if way == "fired":
            model.phase = "shot"
            model.count("fired")
        else:
            model.count("skipped_not_ready" if way == "not_ready" else f"refused_{way.name.lower()}")
            model.rest()

    @precondition(lambda self: self.in_phase("shot"))
    @rule(data=st.data(), way=st.sampled_from(["delivered", "failed", "dropped"]))
    def end_shot(self, data, way):
        name = data.draw(st.sampled_from(self.in_phase("shot")))
        if way == "delivered":
            self.scheduler.delivered(self.ticks[name], self.now_ns, 1, 10)
        else:
            getattr(self.scheduler, way)(self.ticks[name], self.now_ns)
        self.models[name].count("shots_cancelled" if way == "dropped" else way)
        self.models[name].rest()

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def cancel(self, data):
        model = self.models[data.draw(st.sampled_from(sorted(self.models)))]
        assert self.scheduler.cancel(model.plan.name, self.now_ns) == (model.state == "RUNNING")
        if model.state == "RUNNING":
            model.cancel(self.now_ns)

    @rule(camera=st.none() | st.sampled_from(["left", "right"]), client=st.none() | st.sampled_from(["a", "b"]))
    def cancel_all(self, camera, client):
        chosen = [m for m in self.running() if camera in (None, m.plan.camera) and client in (None, m.plan.client)]
        assert self.scheduler.cancel_all(self.now_ns, camera=camera, client=client) == len(chosen)
        for model in chosen:
            model.cancel(self.now_ns)

    def look_first(self, model):
        """What has passed is dealt with before a change."""
        if model.next_ns is not None and model.next_ns <= self.now_ns:
            taken = model.look(self.now_ns)
            if taken is not None:
                model.backlog.insert(0, taken)
                model.phase = "queued"

    @precondition(lambda self: self.models)
    @rule(data=st.data(), period_ns=st.integers(1, 40))
    def set_period(self, data, period_ns):
        model = self.models[data.draw(st.sampled_from(sorted(self.models)))]
        if model.state != "RUNNING":
            with pytest.raises(PlanOver):
                self.scheduler.set_period(model.plan.name, period_ns, self.now_ns)
            return
        self.look_first(model)
        if model.next_ns is None:
            with pytest.raises(PlanOver):
                self.scheduler.set_period(model.plan.name, period_ns, self.now_ns)
        elif model.plan.period_ns is None or not model.set_period(period_ns, self.now_ns):
            with pytest.raises(PlanError):
                self.scheduler.set_period(model.plan.name, period_ns, self.now_ns)
        else:
            self.scheduler.set_period(model.plan.name, period_ns, self.now_ns)
            assert self.scheduler.run(model.plan.name).next_ns == model.next_ns

    @precondition(lambda self: self.running())
    @rule(data=st.data(), priority=st.integers(-3, 3))
    def set_priority(self, data, priority):
        model = data.draw(st.sampled_from(self.running()))
        self.look_first(model)
        self.scheduler.set_priority(model.plan.name, priority, self.now_ns)
        model.priority = priority

    @rule(down_ns=st.integers(0, 100))
    def die(self, down_ns):
        """The process is gone: a new scheduler on the same page adopts all that is known."""
        self.now_ns += down_ns
        self.scheduler = Scheduler(self.words, capacity=CAPACITY, ageing_ns=AGEING_NS)
        for model in self.models.values():
            self.scheduler.adopt(model.plan, model.slot, self.now_ns)
            model.down(self.now_ns)
        self.ticks, self.told = {}, set()

    @rule(bound=st.integers(1, 3))
    def ask_for_the_ended(self, bound):
        for run in self.scheduler.ended(bound):
            assert run.plan.name not in self.told
            self.told.add(run.plan.name)
            model = self.models.get(run.plan.name)
            assert model is None or (model.state == run.state.name and model.phase != "shot")

    @invariant()
    def accounts_are_those_of_the_model(self):
        for model in self.models.values():
            account = Account.read(self.words, model.slot)
            assert account.state.name == model.state == self.scheduler.run(model.plan.name).state.name
            counted = {key: value for key, value in asdict(account).items() if value and key not in DERIVED}
            assert counted == {key: n for key, n in model.counts.items() if key != "fired"}
            assert account.fired == model.counts.get("fired", 0)
            assert account.waiting == len(model.backlog) + (model.phase == "out")
            assert account.under_way == (model.phase == "shot")

    @invariant()
    def the_next_is_that_of_the_model(self):
        queued = [m for m in self.running() if m.phase == "queued"]
        if queued:
            first = min(queued, key=lambda m: (m.backlog[0][1] - m.priority * AGEING_NS, m.slot))
            assert self.scheduler.next_ns == first.backlog[0][1] <= self.now_ns
        else:
            assert self.scheduler.next_ns == min((m.next_ns for m in self.running() if m.next_ns), default=None)
        assert {run.plan.name for run in self.scheduler.runs()} == {m.plan.name for m in self.running()}


Schedules.TestCase.settings = settings(max_examples=120, stateful_step_count=40)
TestSchedules = pytest.mark.timeout(120)(Schedules.TestCase)
