"""The loop turned by hand: what is due is done, in bounded steps, and every tick is accounted for."""

import select
from itertools import pairwise

import pytest
from capture.loop_stage import NAMES, LoopStage, RungPublisher
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.capture import messages as m
from agent.capture.board import Head, Of
from agent.capture.loop import BEAT_NS
from agent.capture.order import StageLimits
from agent.capture.process_messages import Adopted
from agent.capture.state_word import Phase
from agent.capture.tick_log import End
from agent.errors import DeviceError
from agent.schedule.account import State
from agent.schedule.plan import WhenBusy
from agent.schedule.quota import Limit
from agent.units import NS_PER_MS, NS_PER_S

FRAME_NS = NS_PER_S // 30


@pytest.fixture
def stage():
    with LoopStage() as made:
        yield made


def ends(stage):
    return [record.end for record in stage.records]


def test_all_cameras_up_is_told_once(stage):
    (ready,) = stage.of(m.Ready)
    assert set(ready.cameras) == set(NAMES)
    stage.advance(NS_PER_S)
    assert len(stage.of(m.Ready)) == 1


def test_ready_waits_for_whoever_stores_the_frames():
    publisher = RungPublisher()
    publisher.is_ready = False
    with LoopStage(publisher=publisher) as stage:
        assert stage.of(m.Ready) == []
        publisher.get_ready()
        stage.settle()
        assert len(stage.of(m.Ready)) == 1


def test_ready_is_told_when_every_camera_is_left_off():
    with LoopStage(left_off=NAMES) as stage:
        assert stage.of(m.Ready)[0].cameras == dict.fromkeys(NAMES)


def test_ticks_become_frames_and_records(stage):
    slots = stage.add(count=5)
    stage.advance(NS_PER_S)
    assert ends(stage) == [End.DELIVERED] * 5
    assert [record.number for record in stage.records] == list(range(5))
    assert {record.slot for record in stage.records} == set(slots.values())
    assert all(record.due_ns == record.fired_ns < record.ended_ns for record in stage.records)
    assert stage.account().state is State.FINISHED
    assert stage.ends_told() == [("p", "finished", "")]
    assert stage.board.lateness.count == 5


def test_a_camera_that_is_down_makes_ticks_not_ready(stage):
    stage.cameras["top"].fail_queue()
    stage.turn()
    stage.add(count=3)
    stage.advance(NS_PER_S // 5)
    assert ends(stage) == [End.NOT_READY] * 3
    assert stage.account().skipped_not_ready == 3


def test_a_broken_camera_does_not_keep_the_loop_awake(stage):
    stage.cameras["top"].fail_queue()
    stage.settle()
    assert stage.loop.units["top"].word.phase is Phase.FAULT
    assert stage.events() == []
    assert stage.loop.wait_s == -1


def test_refusals_are_counted_by_bucket():
    rare = 1000 * NS_PER_S
    quotas = {"agent": Limit(1, rare, 4), "camera/top": Limit(1, rare, 2), "client/lab": Limit(1, rare, 1)}
    with LoopStage(quotas=quotas) as stage:
        later = [stage.clock.now_ns() + ms * NS_PER_MS for ms in (0, 400, 800, 1200)]
        often = {"period_ms": 200, "count": 2}
        stage.add("a", client="lab", start_ns=later[0], **often)
        stage.add("b", start_ns=later[1], **often)
        stage.add("c", camera="side", start_ns=later[2], quota=Limit(1, rare), **often)
        stage.add("d", camera="side", start_ns=later[3], **often)
        stage.advance(2 * NS_PER_S)
        accounts = {name: stage.account(name) for name in "abcd"}
        assert [account.delivered for account in accounts.values()] == [1] * 4
        refused = accounts["a"].refused_client, accounts["b"].refused_camera
        assert (*refused, accounts["c"].refused_plan, accounts["d"].refused_agent) == (1, 1, 1, 1)
        assert [end for end in ends(stage) if end is not End.DELIVERED] == [
            End.REFUSED_CLIENT,
            End.REFUSED_CAMERA,
            End.REFUSED_PLAN,
            End.REFUSED_AGENT,
        ]


def test_a_cancel_among_ten_thousand_due_ticks_is_looked_at_in_the_next_turn():
    with LoopStage(capacity=10_000) as stage:
        for part in range(0, 10_000, 1000):
            stage.add(*(f"{number}" for number in range(part, part + 1000)), start_ns=stage.clock.now_ns() + NS_PER_S)
        stage.kernel.advance(NS_PER_S)
        stage.turn()
        assert sum(account.ticks for account in stage.accounts()) == 128
        number = stage.cancel("camera", "top")
        stage.turn()
        assert stage.helpers["stopper top"].job is not None, "STREAMOFF is under way"
        stage.settle()
        assert stage.answer(number).facts.plans == 10_000
        accounts = stage.accounts()
        assert {(account.waiting, account.under_way) for account in accounts} == {(0, 0)}
        assert sum(account.shots_cancelled for account in accounts) == 128
        assert sum(account.cancelled for account in accounts) == 10_000 - 128


def test_what_a_turn_leaves_is_done_without_sleeping():
    with LoopStage(capacity=300) as stage:
        stage.add(*(f"{number}" for number in range(300)), start_ns=stage.clock.now_ns() + NS_PER_S)
        stage.kernel.advance(NS_PER_S)
        for ticks in (128, 256, 300):
            stage.turn()
            assert sum(account.ticks for account in stage.accounts()) == ticks
            assert (stage.loop.wait_s == 0) == (ticks < 300)


def test_a_new_period_keeps_to_the_phase_rule(stage):
    stage.add(period_ms=100)
    stage.advance(250 * NS_PER_MS)
    stage.ask(m.SetPeriod, plan="p", period_ns=70 * NS_PER_MS)
    start_ns = stage.records[0].due_ns
    stage.advance(300 * NS_PER_MS)
    assert [(record.due_ns - start_ns) // NS_PER_MS for record in stage.records] == [0, 100, 200, 270, 340, 410, 480]


def test_an_error_of_a_setting_changes_nothing(stage):
    stage.add()
    before = stage.account()
    for kind, what in [
        (m.SetPeriod, {"plan": "p", "period_ns": 0}),
        (m.SetPeriod, {"plan": "q", "period_ns": NS_PER_S}),
        (m.SetPriority, {"plan": "p", "priority": 10**9}),
        (m.SetQuota, {"bucket": "plan/p", "limit": Limit(1, NS_PER_S)}),
        (m.Expose, {"camera": "bottom", "exposure_ns": NS_PER_MS}),
        (m.StartCamera, {"camera": "bottom"}),
    ]:
        answer = stage.ask(kind, **what)
        assert (type(answer), answer.exit_code) == (m.Refused, 2), answer
    assert stage.account() == before


def test_a_clock_that_is_set_changes_nothing(stage):
    """Time comes from the injected monotonic clock alone, so a step of the other one cannot be seen at all."""
    stage.add(count=20)
    stage.clock.REALTIME_AHEAD_NS = -(10**18)
    stage.advance(NS_PER_S)
    assert ends(stage) == [End.DELIVERED] * 20
    assert stage.account().skipped == 0


def test_a_late_loop_settles_what_passed_by_the_plans_policy(stage):
    stage.add("skip", period_ms=100)
    stage.add("join", period_ms=100, when_busy=WhenBusy.COALESCE)
    stage.advance(50 * NS_PER_MS)
    stage.kernel.advance(NS_PER_S)
    stage.settle()
    assert (stage.account("skip").ticks, stage.account("skip").skipped_late) == (11, 9)
    assert (stage.account("join").ticks, stage.account("join").coalesced) == (11, 9)


def test_joined_ticks_are_fired_in_one_wake():
    with LoopStage(join_ns=2 * NS_PER_MS) as stage:
        start_ns = stage.clock.now_ns() + NS_PER_S // 10
        stage.add("a", period_ms=None, start_ns=start_ns)
        stage.add("b", period_ms=None, start_ns=start_ns + NS_PER_MS)
        assert stage.loop.timer.armed_ns <= start_ns + NS_PER_MS
        stage.kernel.advance(start_ns + NS_PER_MS - stage.clock.now_ns())
        stage.turn()
        assert [stage.account(name).fired for name in "ab"] == [1, 1]


def test_quit_waits_for_the_frames_that_are_out(stage):
    stage.add(store=True)
    stage.advance(2 * FRAME_NS)
    assert stage.publisher.out
    stage.publisher.revoke = lambda camera: None
    number = stage.send(m.Quit, by="a test")
    stage.settle()
    assert not stage.is_answered(number)
    assert not stage.loop._over()
    stage.publisher.give_back(10)
    stage.settle()
    assert stage.answer(number).facts.cameras[0].was_on
    assert stage.loop._over()
    assert not any(map(stage.streams, NAMES))


def test_after_a_quit_nothing_begins(stage):
    stage.send(m.Quit, by="SIGTERM")
    numbers = [stage.send(m.AddPlans, orders=(stage.plan(),)), stage.send(m.StartCamera, camera="top")]
    stage.settle()
    assert [stage.answer(number).message for number in numbers] == ["group g cancelled by SIGTERM"] * 2
    assert not any(map(stage.streams, NAMES))


def test_adopted_plans_go_on_and_those_cancelled_meanwhile_end():
    with LoopStage(capacity=4) as before:
        quota = Limit(1, 100 * NS_PER_S, 5)
        orders = [before.plan(name, period_ms=50, quota=quota) for name in ("goes", "ends")]
        slots = before.ask(m.AddPlans, orders=tuple(orders)).facts
        before.advance(120 * NS_PER_MS)
        accounts = {name: before.account(name) for name in slots}
        adopted = [
            Adopted(order=order, slot=slots[order.plan.name], cancelled_by="an operator" * (order.plan.name == "ends"))
            for order in orders
        ]
        left = before.buckets.level(0, before.clock.now_ns())
        successor = LoopStage(capacity=4)
        plans = before.loop.plans.__class__(
            *(before.loop._order, before.board, before.loop.units, before.loop._equipment.quotas),
            before.clock.now_ns,
            before.loop.lines.taker,
        )
        plans.adopt(adopted)
        assert before.buckets.level(0, before.clock.now_ns()) == left, "a quota is not filled by a death"
        goes, ends_ = (plans.scheduler.run(name) for name in ("goes", "ends"))
        assert (goes.state, ends_.state) == (State.RUNNING, State.CANCELLED)
        assert plans.cause(ends_) == "plan ends cancelled by an operator"
        assert goes.account().fired == accounts["goes"].fired
        assert successor is not None


def test_frames_that_are_not_stored_are_told_once_and_counted_always(stage):
    stage.add(store=True, count=4, period_ms=200)
    for _ in range(30):
        stage.advance(FRAME_NS)
        stage.publisher.give_back(10, stored=False, error="storage", told="the disk is full")
        stage.settle()
    assert ends(stage) == [End.STORAGE] * 4
    assert [(told.camera, told.code, told.told) for told in stage.of(m.NotStored)] == [
        ("top", "storage", "the disk is full")
    ]
    assert stage.account().failed == 4


def test_the_page_is_whole_between_turns(stage):
    stage.add()
    beats = stage.board.words[Head.BEATS]
    stage.turn()
    assert stage.board.words[Head.BEATS] == beats + 1
    assert stage.board.words[Head.SEQUENCE] % 2 == 0
    assert stage.board.words[Head.BEAT_NS] == stage.clock.now_ns()


def ticks_alone(stage, count):
    """Turn at each of `count` instants the timer was set to, and hear of nothing else; the instants of its beats."""
    beat_ns = []
    for _ in range(count):
        stage.kernel.advance(max(stage.loop.timer.armed_ns - stage.clock.now_ns(), 0))
        stage.loop.turn([(stage.loop.timer.fd, select.EPOLLIN)])
        stage.check_sleep()
        beat_ns.append(stage.board.words[Head.BEAT_NS])
    return sorted(set(beat_ns))


def every_ten_ms(stage, camera, count):
    """Plans of one camera, a tick each ten milliseconds."""
    start_ns = stage.clock.now_ns() + 10 * NS_PER_MS
    for number in range(count):
        stage.add(f"{number}", camera=camera, period_ms=10 * count, start_ns=start_ns + number * 10 * NS_PER_MS)


def test_a_tick_alone_has_its_frame_limit_though_the_loop_looks_at_nothing_else():
    """A limit shorter than the loop's beat: the wake after it must not be that of the next beat, or the next tick."""
    with LoopStage(limits=StageLimits(frame_ns=65 * NS_PER_MS)) as stage:
        every_ten_ms(stage, "side", 10)
        stage.add("p", period_ms=1000, start_ns=stage.clock.now_ns() + 15 * NS_PER_MS)
        ticks_alone(stage, 30)  # it looks each time whether the loop wakes for what is due first


def test_ticks_alone_beat_often_enough(stage):
    """The parent sees the loop turn though nothing but ticks is ever due."""
    every_ten_ms(stage, "side", 10)
    beat_ns = ticks_alone(stage, 200)
    assert len(beat_ns) > 5
    assert all(later - earlier <= BEAT_NS for earlier, later in pairwise(beat_ns))
    assert len(beat_ns) < 100, "the short way was never taken"


def test_sums_match_after_every_turn_whatever_happens(stage):
    """The plans of both cameras under faults, without hypothesis: a long run."""
    stage.add("a", "b", period_ms=34, store=True)
    stage.add("c", camera="side", period_ms=37, when_busy=WhenBusy.CATCH_UP, catch_up=3)
    for part in range(20):
        stage.advance(100 * NS_PER_MS)
        stage.publisher.give_back(2)
        if part == 5:
            stage.cameras["top"].fail_queue()
        if part == 12:
            stage.cancel("camera", "side")
    check_accounts(stage)


def check_accounts(stage):
    written = {}
    for record in stage.records:
        assert record.trace_id not in written, "a tick has two records"
        written[record.trace_id] = record
    counted = {}
    for slot in range(stage.board.capacity):
        account = stage.accounts()[slot]
        assert account.waiting >= 0
        assert account.under_way >= 0
        for end, count in (
            (End.DELIVERED, account.delivered),
            (End.SHOT_CANCELLED, account.shots_cancelled),
            (End.NOT_READY, account.skipped_not_ready),
            (End.REFUSED_AGENT, account.refused_agent),
            (End.REFUSED_CAMERA, account.refused_camera),
            (End.REFUSED_PLAN, account.refused_plan),
            (End.REFUSED_CLIENT, account.refused_client),
        ):
            counted[slot, end] = count
        counted[slot, "failed"] = account.failed
    found = dict.fromkeys(counted, 0)
    for record in stage.records:
        key = record.end if (record.slot, record.end) in counted else "failed"
        found[record.slot, key] += 1
    assert found == counted


def test_a_camera_that_refuses_to_stop_keeps_nothing_else_open():
    with LoopStage() as stage:
        stage.cameras["top"].faults.refuse("VIDIOC_STREAMOFF")
        with pytest.raises(DeviceError, match=r"STREAMOFF|REQBUFS"):
            stage.loop.release()
        assert not any(map(stage.streams, NAMES))
        assert stage.loop.epoll.closed


class AnyRun(RuleBasedStateMachine):
    """Random commands, frames, time and faults on the real loop; sums, records and sleep are looked at after each."""

    @initialize()
    def begin(self):
        quotas = {"agent": Limit(1, 20 * NS_PER_MS, 8), "camera/side": Limit(1, 100 * NS_PER_MS, 2)}
        self.stage = LoopStage(capacity=200, quotas=quotas)
        self.stage.__enter__()
        self.asked, self.plans = [], 0

    def teardown(self):
        if hasattr(self, "stage"):
            stage = self.stage
            try:
                number = stage.cancel()
                stage.settle()
                assert stage.is_answered(number)
                assert not any(map(stage.streams, NAMES))
                stage.publisher.give_back(1000)
                stage.settle()
                assert all(map(stage.is_answered, self.asked))
                assert all(account.under_way == account.waiting == 0 for account in stage.accounts())
                check_accounts(stage)
            finally:
                for camera in stage.cameras.values():
                    camera.faults.allow("VIDIOC_STREAMOFF")
                stage.__exit__()

    @rule(
        camera=st.sampled_from(NAMES),
        client=st.sampled_from("ab"),
        period_ms=st.sampled_from([5, 40, 90]),
        count=st.none() | st.integers(1, 4),
        burst=st.integers(1, 3),
        busy=st.sampled_from(WhenBusy),
        store=st.booleans(),
        quota=st.none() | st.just(Limit(1, 50 * NS_PER_MS, 2)),
    )
    def add(self, camera, client, period_ms, count, burst, busy, store, quota):
        order = self.stage.plan(
            f"p{self.plans}",
            camera,
            period_ms,
            store,
            quota,
            client=client,
            count=count,
            burst=burst,
            when_busy=busy,
            catch_up=2 if busy is WhenBusy.CATCH_UP else 0,
        )
        self.plans += 1
        self.asked.append(self.stage.send(m.AddPlans, orders=(order,)))

    @rule(camera=st.sampled_from(NAMES), data=st.data(), kind=st.sampled_from(["plan", "camera", "client", "all"]))
    def cancel(self, camera, data, kind):
        name = {"plan": lambda: f"p{data.draw(st.integers(0, max(self.plans, 1)))}", "camera": lambda: camera}
        self.asked.append(self.stage.cancel(kind, name.get(kind, lambda: "a")()))

    @rule(camera=st.sampled_from(NAMES))
    def start(self, camera):
        self.asked.append(self.stage.send(m.StartCamera, camera=camera))

    @rule(camera=st.sampled_from(NAMES), exposure_ms=st.integers(1, 20))
    def expose(self, camera, exposure_ms):
        self.asked.append(self.stage.send(m.Expose, camera=camera, exposure_ns=exposure_ms * NS_PER_MS))

    @precondition(lambda self: self.plans)
    @rule(data=st.data(), period_ms=st.integers(3, 50))
    def period(self, data, period_ms):
        name = f"p{data.draw(st.integers(0, self.plans - 1))}"
        self.asked.append(self.stage.send(m.SetPeriod, plan=name, period_ns=period_ms * NS_PER_MS))

    @rule(count=st.integers(1, 5), error=st.sampled_from(["", "storage", "sink_gone"]))
    def give_back(self, count, error):
        self.stage.publisher.give_back(count, stored=not error, error=error)

    @rule(room=st.sampled_from([0, 1, 100]))
    def room(self, room):
        self.stage.publisher.room = room

    @rule(camera=st.sampled_from(NAMES), call=st.sampled_from(["VIDIOC_QBUF", "VIDIOC_STREAMON", "VIDIOC_STREAMOFF"]))
    def refuse(self, camera, call):
        self.stage.cameras[camera].faults.refuse(call)

    @rule(camera=st.sampled_from(NAMES))
    def fail_queue(self, camera):
        self.stage.cameras[camera].fail_queue()

    @rule(camera=st.sampled_from(NAMES), plug=st.booleans())
    def plug(self, camera, plug):
        (self.stage.cameras[camera].plug if plug else self.stage.cameras[camera].unplug)()

    @rule()
    def turn(self):
        self.stage.turn()

    @rule(data=st.data())
    def work(self, data):
        busy = [helper for helper in self.stage.helpers.values() if helper.job is not None]
        if busy:
            data.draw(st.sampled_from(busy)).work()

    @rule()
    def settle(self):
        self.stage.settle()

    @rule(wait_ms=st.sampled_from([1, 40, 200, 4000]))
    def advance(self, wait_ms):
        self.stage.kernel.advance(wait_ms * NS_PER_MS)
        self.stage.turn()

    @rule(wait_ms=st.sampled_from([40, 300]))
    def live(self, wait_ms):
        self.stage.advance(wait_ms * NS_PER_MS)

    @invariant()
    def adds_up(self):
        if hasattr(self, "stage"):
            for account in self.stage.accounts():
                assert account.waiting >= 0
                assert account.under_way >= 0
            for camera in NAMES:
                assert self.stage.words(camera)[Of.LENT] >= self.stage.words(camera)[Of.STORED]


AnyRun.TestCase.settings = settings(max_examples=30, stateful_step_count=30)
TestAnyRun = AnyRun.TestCase
