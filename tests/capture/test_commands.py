"""Commands on the real loop: cancels overtake, all or none, and everybody is answered once, with the cause."""

import select

import pytest
from capture.loop_stage import NAMES, LoopStage

from agent.capture import messages as m
from agent.capture.order import PlanOrder
from agent.capture.state_word import Phase
from agent.schedule.account import State
from agent.schedule.plan import Plan
from agent.schedule.quota import Limit
from agent.units import NS_PER_MS, NS_PER_S


@pytest.fixture
def stage():
    with LoopStage(capacity=8) as made:
        yield made


def facts(stage, number):
    answer = stage.answer(number)
    assert isinstance(answer, m.Done), answer
    return answer.facts


def refusal(stage, number):
    answer = stage.answer(number)
    assert isinstance(answer, m.Refused), answer
    return answer.code, answer.message


# -- overtaking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), [("plan", "p"), ("camera", "top"), ("client", "lab"), ("all", "")])
def test_a_cancel_overtakes_the_plans_that_were_asked_before_it(stage, kind, name):
    asked = stage.send(m.AddPlans, orders=(stage.plan("q", "side"), stage.plan(client="lab")))
    cancel = stage.cancel(kind, name, by="an operator")
    stage.settle()
    code, message = refusal(stage, asked)
    assert code == "cancelled"
    assert message.endswith("cancelled by an operator")
    report = facts(stage, cancel)
    assert report.cause == message
    assert not report.already or kind == "client"
    assert stage.loop.scheduler.runs() == []


@pytest.mark.parametrize("kind", ["camera", "all"])
def test_a_cancel_overtakes_a_start_and_an_exposure(stage, kind):
    start = stage.send(m.StartCamera, camera="top")
    expose = stage.send(m.Expose, camera="top", exposure_ns=5 * NS_PER_MS)
    stage.cancel(kind, "top")
    stage.settle()
    assert [refusal(stage, number)[0] for number in (start, expose)] == ["cancelled"] * 2
    assert not stage.streams()


def test_what_is_asked_after_a_cancel_is_carried_out(stage):
    stage.cancel("camera", "top")
    stage.send(m.StartCamera, camera="top")
    stage.settle()
    stage.cancel("plan", "p")
    asked = stage.send(m.AddPlans, orders=(stage.plan(),))
    stage.settle()
    assert facts(stage, asked) == {"p": 0}
    assert stage.streams()


def test_a_cancel_stops_nothing_else_that_waits(stage):
    asked = stage.send(m.AddPlans, orders=(stage.plan("q", "side"),))
    stage.cancel("camera", "top")
    stage.settle()
    assert facts(stage, asked) == {"q": 0}


def test_a_command_that_arrives_after_the_cancel_it_was_asked_before_is_refused(stage):
    """The sender's queue lets cancels pass too: the older command comes in a later turn."""
    stage.number = 10
    cancel = stage.cancel("camera", "top", by="an operator")
    stage.settle()
    assert facts(stage, cancel).cause == "camera top cancelled by an operator"
    stage.parent.send(m.StartCamera(id=5, camera="top"))
    stage.settle()
    assert refusal(stage, 5) == ("cancelled", "camera top cancelled by an operator")
    stage.parent.send(m.StartCamera(id=12, camera="top"))
    stage.settle()
    assert facts(stage, 12) is None
    assert stage.loop._commands._overtaking == [], "nothing older can come any more"


def test_a_cancel_holds_for_commands_that_wait_behind_a_congested_channel():
    with LoopStage(queue_messages=8) as stage:
        channel = stage.loop._equipment.channel
        while not channel.congested:
            channel.offer(m.PlansEnded(at_ns=0, ends=(("x" * 100_000, "finished", ""),)))
        start = stage.send(m.StartCamera, camera="top")
        stage.cancel("camera", "top")
        for _ in range(3):
            stage.turn()
            stage.work()
        assert not stage.streams(), "cancelled though the parent does not read"
        for _ in range(10):
            stage.hear()
            stage.settle()
        assert refusal(stage, start)[0] == "cancelled"
        assert not stage.streams()


def test_more_commands_than_may_wait_do_not_make_the_loop_spin_while_nobody_reads_its_answers():
    with LoopStage(queue_messages=256) as stage:
        channel = stage.loop._equipment.channel
        while not channel.congested:
            channel.offer(m.PlansEnded(at_ns=0, ends=(("x" * 100_000, "finished", ""),)))
        pings = 0
        while not channel.full or not readable(channel.fileno()):
            pings += 1
            stage.send(m.Ping)
            if stage.parent.wants_write:
                stage.turn()
                stage.parent.flush()
        stage.settle()  # raises when it spins
        for _ in range(pings):
            stage.parent.flush()
            stage.hear()
            stage.settle()
            if len(stage.of(m.Done)) == pings:
                break
        assert len(stage.of(m.Done)) == pings
        assert stage.ask(m.Ping) is not None, "it reads again"


def readable(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def test_a_cancel_of_a_plan_that_waits_far_behind_it_is_no_error(stage):
    """More commands than one turn takes lie between: nobody can say yet that the plan is unknown."""
    for _ in range(100):
        stage.send(m.Ping)
    asked = stage.send(m.AddPlans, orders=(stage.plan(),))
    cancel = stage.cancel("plan", "p")
    stage.turn()
    assert not stage.is_answered(cancel)
    stage.settle()
    assert refusal(stage, asked)[0] == "cancelled"
    assert facts(stage, cancel).cause == "plan p cancelled by a test"


# -- known and unknown ----------------------------------------------------------------------------------------------


def test_a_cancel_of_what_never_was_is_an_error_that_changes_nothing(stage):
    stage.add()
    plan, camera = stage.cancel("plan", "nonsense"), stage.cancel("camera", "bottom")
    stage.settle()
    assert refusal(stage, plan)[0] == "plan_unknown"
    assert refusal(stage, camera)[0] == "camera_unknown"
    assert stage.account().state is State.RUNNING
    assert stage.streams()


def test_a_cancel_of_what_is_finished_is_no_error(stage):
    stage.add(count=1)
    stage.advance(NS_PER_S // 5)
    number = stage.cancel("plan", "p")
    stage.settle()
    report = facts(stage, number)
    assert (report.plans, report.already, report.cause) == (0, True, "")
    assert stage.streams()


def test_the_second_cancel_of_a_plan_waits_for_the_stop_and_hears_the_first_cause(stage):
    stage.add()
    first = stage.cancel("plan", "p", by="an operator")
    stage.turn()
    second = stage.cancel("plan", "p", by="somebody else")
    stage.turn()
    assert stage.helpers["stopper top"].job is not None
    assert not stage.is_answered(first)
    assert not stage.is_answered(second)
    stage.settle()
    one, two = facts(stage, first), facts(stage, second)
    assert (one.plans, one.already, two.plans, two.already) == (1, False, 0, True)
    assert one.cause == two.cause == "plan p cancelled by an operator"
    assert one.cameras[0].returned_ns == two.cameras[0].returned_ns


# -- what a cancel stops --------------------------------------------------------------------------------------------


def test_the_last_plan_of_a_camera_takes_its_stream_along(stage):
    stage.add("a", "b")
    first = stage.cancel("plan", "a")
    stage.settle()
    assert facts(stage, first).still_on == ("top",)
    assert facts(stage, first).cameras == ()
    assert stage.streams()
    last = stage.cancel("plan", "b")
    stage.settle()
    report = facts(stage, last)
    assert report.still_on == ()
    assert (report.cameras[0].camera, report.cameras[0].was_on) == ("top", True)
    assert not stage.streams()
    assert stage.streams("side")


def test_a_client_takes_only_the_cameras_that_nobody_else_wants(stage):
    stage.add("a", client="lab")
    stage.add("b", client="other")
    stage.add("c", camera="side", client="lab")
    number = stage.cancel("client", "lab", by="the lab")
    stage.settle()
    report = facts(stage, number)
    assert (report.plans, report.still_on, [each.camera for each in report.cameras]) == (2, ("top",), ["side"])
    assert (stage.streams(), stage.streams("side")) == (True, False)
    assert [run.plan.name for run in stage.loop.scheduler.runs()] == ["b"]
    assert {(plan, state) for plan, state, _ in stage.ends_told()} == {("a", "cancelled"), ("c", "cancelled")}
    assert all("client lab cancelled by the lab" in cause for _, _, cause in stage.ends_told())


def test_many_ends_are_few_events_and_none_is_told_twice():
    with LoopStage(capacity=600) as stage:
        names = [f"{number}" for number in range(600)]
        stage.add(*names, start_ns=NS_PER_S * 1000)
        stage.cancel(by="a test")
        stage.settle()
        while stage.loop.timer.armed_ns < stage.clock.now_ns() + NS_PER_S // 10:
            stage.kernel.advance(stage.loop.timer.armed_ns - stage.clock.now_ns())
            stage.turn()
        assert [plan for plan, _, _ in stage.ends_told()] == names
        assert len(stage.of(m.PlansEnded)) == 3
        assert all(len(event.ends) <= 256 for event in stage.of(m.PlansEnded))


def test_the_end_of_a_plan_is_not_told_as_that_of_its_successor(stage):
    """Cancelled and added anew in one turn: its end is told after the answer to the AddPlans."""
    stage.add("p", "q")
    stage.cancel("plan", "p")
    number = stage.send(m.AddPlans, orders=(stage.plan("p"),))
    stage.settle()
    assert isinstance(stage.answer(number), m.Done)
    assert stage.ends_told() == []
    (event,) = stage.of(m.PlansEnded)
    assert [(plan, state) for plan, state, _ in event.renewed] == [("p", "cancelled")]
    stage.cancel("plan", "p")
    stage.settle()
    assert [(plan, state) for plan, state, _ in stage.ends_told()] == [("p", "cancelled")]


@pytest.mark.parametrize(("kind", "name"), [("camera", "top"), ("all", "")])
def test_a_plan_knows_what_ended_it(stage, kind, name):
    stage.add()
    stage.cancel(kind, name, by="SIGTERM")
    stage.settle()
    what = "camera top" if kind == "camera" else "group g"
    assert stage.ends_told() == [("p", "cancelled", f"{what} cancelled by SIGTERM")]
    # what is started afterwards has a scope of its own
    stage.add("q")
    stage.advance(NS_PER_S // 5)
    assert stage.account("q").delivered > 0


def test_a_cancelled_plan_whose_camera_goes_on_is_answered_when_its_frames_are_back(stage):
    stage.add("a", "b", store=True)
    stage.kernel.step(stage.cameras["top"], 2)
    stage.settle()
    assert stage.publisher.out
    number = stage.cancel("plan", "a")
    stage.settle()
    assert not stage.is_answered(number)
    stage.publisher.give_back(10)
    stage.settle()
    assert facts(stage, number).still_out == 0
    assert stage.account("a").under_way == 0


def test_frames_that_do_not_come_back_are_told(stage):
    stage.add("a", "b", store=True)
    stage.kernel.step(stage.cameras["top"], 2)
    stage.settle()
    number = stage.cancel("plan", "a")
    stage.settle()
    stage.kernel.advance(NS_PER_S)
    stage.settle()
    assert facts(stage, number).still_out > 0


def test_a_quit_tells_of_frames_that_do_not_come_back_and_waits_for_them_still(stage):
    stage.add(store=True)
    stage.kernel.step(stage.cameras["top"], 2)
    stage.settle()
    stage.publisher.revoke = lambda camera: None  # the sink gives a picture its name, and takes its time
    number = stage.send(m.Quit, by="a test")
    stage.settle()
    stage.kernel.advance(NS_PER_S)
    stage.settle()
    (error,) = [report.error for report in facts(stage, number).cameras if report.camera == "top"]
    assert "still with the process that stores them" in error
    assert not stage.loop._over()
    stage.publisher.give_back(10)
    stage.settle()
    assert stage.loop._over()


def test_not_one_frame_after_the_answer(stage):
    stage.add(period_ms=34, store=True)
    for _ in range(5):
        stage.advance(NS_PER_S // 10)
        number = stage.cancel("camera", "top")
        stage.settle()
        assert facts(stage, number).cameras[0].was_on
        before = stage.words().tolist()
        stage.advance(NS_PER_S // 2)
        assert stage.words().tolist() == before
        stage.ask(m.StartCamera, camera="top")


# -- all or none ----------------------------------------------------------------------------------------------------


BAD = [
    ("camera_unknown", lambda stage: (stage.plan("a"), stage.plan("b", "bottom"))),
    ("bad_plan", lambda stage: (stage.plan("a"), stage.plan("a"))),
    ("bad_plan", lambda stage: (stage.plan("a"), stage.plan("runs"))),
    ("bad_plan", lambda stage: tuple(stage.plan(f"{number}") for number in range(9))),
    ("bad_plan", lambda stage: (stage.plan("a"), stage.plan("b", period_ms=0))),
    ("bad_quota", lambda stage: (stage.plan("a"), stage.plan("b", quota=Limit(0, NS_PER_S)))),
]


@pytest.mark.parametrize(("code", "orders"), BAD, ids=range(len(BAD)))
def test_one_bad_plan_and_nothing_is_changed(stage, code, orders):
    stage.add("runs", start_ns=stage.clock.now_ns() + NS_PER_S)
    stage.cancel("camera", "top")
    stage.settle()
    stage.add("runs", camera="side", start_ns=stage.clock.now_ns() + NS_PER_S)
    plans, quotas = stage.board.plans.tolist(), stage.quotas_words.tolist()
    answer = stage.ask(m.AddPlans, orders=orders(stage))
    assert (type(answer), answer.exit_code) == (m.Refused, 2)
    assert answer.code == code or code == "bad_plan"
    assert stage.board.plans.tolist() == plans
    assert stage.quotas_words.tolist() == quotas
    assert [run.plan.name for run in stage.loop.scheduler.runs()] == ["runs"]
    assert not stage.streams()


def test_a_period_that_the_camera_cannot_keep_is_refused_as_soon_as_its_rate_is_known(stage):
    interval_s = stage.loop.units["top"].session.prepared.interval_s
    least_ns = int(interval_s * NS_PER_S)

    def orders(period_ns, burst=1):
        plan = Plan(name="p", camera="top", start_ns=0, period_ns=period_ns, burst=burst)
        return (PlanOrder(plan=plan, store=False),)

    for refused in (orders(least_ns - 1), orders(3 * least_ns - 1, burst=3)):
        answer = stage.ask(m.AddPlans, orders=refused)
        assert (answer.code, answer.details["key"]) == ("plan", "period_ns"), answer
        assert "beyond the camera" in answer.message
    assert isinstance(stage.ask(m.AddPlans, orders=orders(least_ns)), m.Done)
    answer = stage.ask(m.SetPeriod, plan="p", period_ns=least_ns - 1)
    assert answer.code == "plan"
    assert isinstance(stage.ask(m.SetPeriod, plan="p", period_ns=2 * least_ns), m.Done)


def test_the_rate_of_a_camera_that_was_never_prepared_is_not_known():
    with LoopStage(left_off=NAMES) as stage:
        answer = stage.ask(m.AddPlans, orders=(stage.plan(period_ms=1, start_ns=10 * NS_PER_S),))
        assert isinstance(answer, m.Done), answer


# -- races with what is under way -----------------------------------------------------------------------------------


def test_a_start_under_way_is_refused_at_once_when_it_is_cancelled(stage):
    stage.cancel("camera", "top")
    stage.settle()
    start = stage.send(m.StartCamera, camera="top")
    stage.turn()
    assert stage.helpers["slow top"].job is not None
    cancel = stage.cancel("camera", "top", by="an operator")
    stage.turn()
    assert refusal(stage, start) == ("cancelled", "camera top cancelled by an operator")
    assert facts(stage, cancel).cameras[0].was_on is False
    stage.settle()
    assert not stage.streams()
    assert stage.loop.units["top"].word.state == (Phase.PREPARED, False, False)


@pytest.mark.parametrize("works", ["before", "after", "between"])
def test_a_cancel_while_the_exposure_is_being_set(stage, works):
    expose = stage.send(m.Expose, camera="top", exposure_ns=5 * NS_PER_MS)
    stage.turn()
    slow, stopper = stage.helpers["slow top"], stage.helpers["stopper top"]
    if works == "before":
        slow.work()
    cancel = stage.cancel("camera", "top")
    stage.turn()
    if works == "between":
        slow.work()
    if stopper.job is not None:
        stopper.work()
    stage.turn()
    assert facts(stage, cancel).cameras[0].was_on, "STREAMOFF waits for no control"
    stage.settle()
    assert facts(stage, expose).granted_ns == 5 * NS_PER_MS
    assert stage.loop.units["top"].word.state == (Phase.PREPARED, False, False)
    stage.ask(m.StartCamera, camera="top")
    assert stage.streams()


def test_two_exposures_at_once_harm_nobody(stage):
    numbers = [stage.send(m.Expose, camera="top", exposure_ns=ms * NS_PER_MS) for ms in (5, 6)]
    stage.settle()
    assert facts(stage, numbers[0]).granted_ns == 5 * NS_PER_MS
    assert refusal(stage, numbers[1])[0] == "wrong_state" or "cannot be set" in refusal(stage, numbers[1])[1]


def test_a_deadline_that_has_passed_keeps_a_command_from_being_begun(stage):
    number = stage.send(m.StartCamera, camera="top", deadline_ns=stage.clock.now_ns())
    later = stage.send(m.StartCamera, camera="top", deadline_ns=stage.clock.now_ns() + 1)
    stage.settle()
    assert refusal(stage, number) == ("cancelled", f"command {number} deadline exceeded")
    assert facts(stage, later) is None


def test_everybody_is_answered_once(stage):
    """`answer` fails on two; here for a bit of everything at once."""
    numbers = []
    for name in NAMES:
        numbers += [stage.send(m.StartCamera, camera=name), stage.send(m.Ping)]
        numbers += [stage.send(m.AddPlans, orders=(stage.plan(name, name),)), stage.cancel("plan", name)]
    numbers += [stage.cancel(), stage.cancel(), stage.send(m.SetPeriod, plan="top", period_ns=1)]
    stage.settle()
    for number in numbers:
        stage.answer(number)


# -- limits, controls, and where cameras are --------------------------------------------------------------------------


def test_limits_that_come_while_plans_run_hold_for_all_of_them_and_go_again():
    with LoopStage(capacity=8, quotas={"agent": Limit(1000, NS_PER_S)}) as stage:
        stage.add("p", quota=Limit(1000, NS_PER_S))
        stage.advance(200 * NS_PER_MS)
        limited = stage.account("p")
        assert limited.refused == 0
        stage.buckets.set_limit(0, Limit(1, 3600 * NS_PER_S), stage.clock.now_ns())
        stage.ask(m.SetLimits, places={})
        stage.advance(200 * NS_PER_MS)
        assert stage.account("p").refused == 0
        stage.ask(m.SetLimits, places={"agent": 0})
        stage.advance(400 * NS_PER_MS)
        assert stage.account("p").refused_agent >= 8


def test_controls_are_read_and_set_as_one_while_it_streams(stage):
    found = {control["name"]: control for control in facts(stage, asked(stage, m.ReadControls, camera="top"))}
    brightness = found["brightness"]
    assert brightness["minimum"] <= brightness["value"] <= brightness["maximum"]
    other = brightness["minimum"]
    report = facts(stage, asked(stage, m.SetControls, camera="top", values={"brightness": other}))
    assert report == {"brightness": other}
    code, _ = refusal(
        stage,
        asked(stage, m.SetControls, camera="top", values={"brightness": brightness["default"], "brightnes": 1}),
    )
    assert code == "control_unknown"
    again = {control["name"]: control for control in facts(stage, asked(stage, m.ReadControls, camera="top"))}
    assert again["brightness"]["value"] == other
    assert stage.streams()


def test_where_a_camera_is_is_told_whatever_is_cancelled(stage):
    number = stage.send(m.Relocate, camera="top", path="")
    stage.cancel("all")
    stage.settle()
    assert facts(stage, number) is None
    assert refusal(stage, asked(stage, m.StartCamera, camera="top"))[0] == "camera_absent"
    facts(stage, asked(stage, m.Relocate, camera="top", path=stage.cameras["top"].path))
    assert stage.streams()


def asked(stage, kind, /, **what):
    number = stage.send(kind, **what)
    stage.settle()
    return number
