"""Processes that die, wedge or hang: noticed, replaced, and every command answered truthfully."""

import os
import signal
import sys
from pathlib import Path

import pytest
from capture.acting import LIMITS, ORDER, Theatre
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.capture.board import Of
from agent.capture.child import spawner
from agent.capture.life import Ways
from agent.capture.messages import (
    AddPlans,
    Cancel,
    CancelReport,
    Done,
    Ping,
    PlansEnded,
    Progress,
    Quit,
    Ready,
    Refused,
    Relocate,
    SetPeriod,
    SetQuota,
)
from agent.capture.order import CameraOrder, GroupOrder, PlanOrder
from agent.capture.process_messages import (
    Adopted,
    Assignment,
    Failed,
    ProcessEnded,
    ProcessHangs,
    ProcessStarted,
)
from agent.capture.quota_page import Room
from agent.capture.state_word import Phase
from agent.capture.supervisor import GroupUnknown, NameTaken, Supervisor
from agent.clock import monotonic_ns
from agent.errors import StateError
from agent.schedule.plan import Plan
from agent.schedule.quota import Limit, QuotaError
from agent.units import NS_PER_MS, NS_PER_S

STOP_NS = LIMITS.stop_ns + LIMITS.step_ns
USB = GroupOrder(
    name="g",
    cameras=(
        CameraOrder(name="top", path="/dev/video0", usb_reset=True),
        CameraOrder(name="side", path="/dev/video2", usb_reset=True),
        CameraOrder(name="rear", path="/dev/video4"),
    ),
    limits=LIMITS,
    plan_capacity=8,
)


@pytest.fixture
def stage():
    with Theatre() as theatre:
        yield theatre


# -- life and death ---------------------------------------------------------------------------------------------


def test_the_first_thing_a_process_hears_is_its_assignment(stage):
    assert stage.heard() == [Assignment(order=ORDER, quota_base=0)]
    assert [started.starts for started in stage.of(ProcessStarted)] == [1]


def test_commands_go_to_the_process_and_answers_come_back(stage):
    number = stage.ask(Ping)
    assert stage.heard()[1:] == [Ping(id=number)]
    stage.say(Done(re=number, at_ns=5))
    assert stage.answer(number) == Done(re=number, at_ns=5)


def test_events_are_passed_on(stage):
    ended = PlansEnded(at_ns=0, ends=(("a", "finished", ""),))
    stage.say(ended)
    assert ended in stage.told


def test_a_process_that_dies_is_told_of_with_signal_and_camera_state(stage):
    stage.beat(NS_PER_S)
    stage.phase(Phase.ARMED)
    stage.actor.die(-signal.SIGKILL)
    stage.go()
    (ended,) = stage.of(ProcessEnded)
    assert ended.cause == "capture process of group g was killed by SIGKILL while camera top was armed"
    assert ended.next_start_ns == stage.now_ns + NS_PER_S
    assert len(stage.actors) == 1
    stage.go(NS_PER_S)
    assert len(stage.actors) == 2


def test_a_process_that_dies_before_it_turns_says_nothing_of_what_the_page_kept(stage):
    stage.beat(NS_PER_S)
    stage.phase(Phase.ARMED)
    stage.actor.die(1)
    stage.go(NS_PER_S)
    number = stage.cancel()
    stage.actor.die(1)
    stage.go()
    assert stage.of(ProcessEnded)[1].cause == "capture process of group g ended with status 1 while it was starting"
    assert not stage.answer(number).facts.cameras[0].was_on


def test_back_off_doubles_and_a_quiet_minute_forgets(stage):
    waits = []
    for _ in range(7):
        stage.actor.die(1)
        stage.go()
        waits.append(stage.of(ProcessEnded)[-1].next_start_ns - stage.now_ns)
        stage.go(waits[-1])
    assert waits == [s * NS_PER_S for s in (1, 2, 4, 8, 16, 30, 30)]
    stage.beat(60 * NS_PER_S)
    stage.actor.die(1)
    stage.go()
    assert stage.of(ProcessEnded)[-1].next_start_ns - stage.now_ns == NS_PER_S


def test_the_first_cause_is_kept_until_a_successor_was_quiet(stage):
    stage.actor.die(3)
    stage.go(NS_PER_S)
    stage.actor.die(4)
    stage.go(2 * NS_PER_S)
    first, second = stage.of(ProcessEnded)
    assert "status 3" in first.cause
    assert "status 4" in second.cause
    assert second.first_cause == first.cause == stage.group.first_cause
    stage.beat(59 * NS_PER_S)
    assert stage.group.first_cause == first.cause
    stage.beat(NS_PER_S)
    assert stage.group.first_cause == ""


def test_a_process_that_cannot_be_started_is_tried_again():
    def spawn(_inherited):
        raise FileNotFoundError(2, "No such file or directory", "nothing")

    with Theatre(spawn=spawn) as stage:
        number = stage.ask(Ping)
        assert "could not be started" in stage.of(ProcessEnded)[0].cause
        stage.go()
        assert "could not be started" in stage.answer(number).message
        stage.go(NS_PER_S)
        assert len(stage.of(ProcessEnded)) == 2


def test_a_process_that_says_why_it_fails_is_quoted(stage):
    stage.actor.channel.send(
        Failed(
            at_ns=0, code="internal", exit_code=70, message="an unexpected KeyError: 'x'", hint="report it", again=True
        )
    )
    stage.actor.die(70)
    stage.go()
    (ended,) = stage.of(ProcessEnded)
    assert ended.cause == "capture process of group g gave up: an unexpected KeyError: 'x'"
    assert ended.hint == "report it"


def test_a_process_that_could_only_fail_again_is_not_replaced_and_answers_in_its_words(stage):
    number = stage.ask(Ping)
    words = {"code": "realtime_refused", "exit_code": 4, "message": "no SCHED_FIFO", "hint": "LimitRTPRIO="}
    stage.actor.channel.send(Failed(at_ns=0, again=False, **words))
    stage.actor.die(4)
    stage.go(100 * NS_PER_S)
    assert len(stage.actors) == 1
    later = stage.ask(Ping)
    stage.go()
    for answer in (stage.answer(number), stage.answer(later)):
        assert {name: getattr(answer, name) for name in words} == words
    assert stage.of(ProcessEnded)[0].next_start_ns is None
    assert stage.supervisor.finished


def test_a_process_that_speaks_nonsense_is_killed_and_replaced(stage):
    stage.actor.channel._socket.send(b".nonsense")
    stage.go()
    assert stage.actors[0].killed
    assert "that cannot be read" in stage.of(ProcessEnded)[0].cause


# -- heartbeats -------------------------------------------------------------------------------------------------


def test_a_loop_that_stands_still_is_killed_within_its_limit_and_a_quarter(stage):
    stage.beat(10 * NS_PER_S)
    last_beat_ns = stage.now_ns
    stage.go(1900 * NS_PER_MS)
    assert not stage.actors[0].killed
    stage.go(NS_PER_S)
    assert stage.actors[0].killed
    (ended,) = stage.of(ProcessEnded)
    assert 2 * NS_PER_S <= ended.at_ns - last_beat_ns <= 2500 * NS_PER_MS
    assert "its loop had stood still for 2s" in ended.cause


def test_a_loop_that_turns_is_left_alone(stage):
    stage.beat(1000 * NS_PER_S, every_ns=1900 * NS_PER_MS)
    assert len(stage.actors) == 1


def test_a_process_has_longer_until_its_first_turn(stage):
    stage.go(29_900 * NS_PER_MS)
    assert not stage.actors[0].killed
    stage.go(600 * NS_PER_MS)
    assert stage.actors[0].killed


def test_beats_of_the_last_process_do_not_count_for_the_next(stage):
    stage.beat(5 * NS_PER_S)
    stage.actor.die(1)
    stage.go(5 * NS_PER_S)
    assert len(stage.actors) == 2
    assert not stage.actor.killed


def test_a_supervisor_that_was_held_up_itself_kills_nobody(stage):
    stage.beat(5 * NS_PER_S)
    stage.group.board.words[5] += 1
    stage.now_ns += 3600 * NS_PER_S  # its user did not call; the process beat in between
    stage.go()
    assert not stage.actors[0].killed


# -- what is owed to those who asked ----------------------------------------------------------------------------


def test_what_a_dead_process_owed_is_answered_truthfully(stage):
    stage.beat(NS_PER_S)
    stage.run_plan("a", 3)
    stage.phase(Phase.ARMED)
    asked_ns = stage.now_ns
    ping, cancel = stage.ask(Ping), stage.cancel()
    quota = stage.ask(SetQuota, bucket="agent", limit=Limit(1, 1))
    stage.actor.die(-11)
    stage.go(NS_PER_S // 2)
    for number in (ping, quota):
        refused = stage.answer(number)
        assert (refused.code, refused.exit_code) == ("process_died", 6)
        assert "SIGSEGV while camera top was armed" in refused.message
    done = stage.answer(cancel)
    assert isinstance(done, Done)
    assert done.facts.plans == 1
    (camera,) = done.facts.cameras
    assert (camera.camera, camera.was_on, camera.asked_ns) == ("top", True, asked_ns)
    assert camera.returned_ns == done.at_ns
    assert "SIGSEGV" in camera.error


def test_an_answer_that_was_sent_before_the_death_counts(stage):
    ping = stage.ask(Ping)
    stage.actor.channel.send(Done(re=ping, at_ns=5))
    stage.actor.die(-9)  # with its assignment and the command unread
    stage.go()
    assert stage.answer(ping) == Done(re=ping, at_ns=5)


def test_last_words_said_in_the_very_moment_of_death_are_heard(stage):
    ping, actor = stage.ask(Ping), stage.actor

    def status():
        # between the supervisor's listening and its look at the process
        if not actor.killed:
            actor.channel.send(Done(re=ping, at_ns=5))
            actor.killed = True
            actor.die(1)
        return 1

    actor.status = status
    stage.go(NS_PER_S // 2)
    stage.ask(Ping)
    stage.go(NS_PER_S // 4)
    assert stage.answer(ping) == Done(re=ping, at_ns=5)


def test_without_a_process_commands_are_refused_and_cancels_done(stage):
    stage.run_plan("a", 3)
    stage.actor.die(1)
    stage.go()
    ping, cancel, again = stage.ask(Ping), stage.cancel("plan", "a"), stage.cancel("plan", "a")
    nothing, nowhere = stage.cancel("plan", "nothing"), stage.cancel("camera", "nowhere")
    assert not stage.answers(ping)  # only `handle` hands out
    stage.go()
    assert (stage.answer(ping).code, "in 1.0 s" in stage.answer(ping).hint) == ("process_down", True)
    assert (stage.answer(cancel).facts.plans, stage.answer(cancel).facts.already) == (1, False)
    assert (stage.answer(again).facts.plans, stage.answer(again).facts.already) == (0, True)
    assert (stage.answer(nothing).code, stage.answer(nowhere).code) == ("plan_unknown", "camera_unknown")
    assert stage.answer(nothing).exit_code == 2


def test_plans_go_to_the_successor_with_their_places_and_changes(stage):
    kept, cancelled = stage.run_plan("kept", 3), stage.run_plan("cancelled", 4)
    stage.run_plan("ended", 5)
    stage.say(PlansEnded(at_ns=0, ends=(("ended", "finished", ""),)))
    period = stage.ask(SetPeriod, plan="kept", period_ns=5)
    stage.say(Done(re=period, at_ns=0))
    refused = stage.ask(SetPeriod, plan="kept", period_ns=7)
    stage.say(Refused(re=refused, at_ns=0, code="x", exit_code=1, message="", hint=""))
    stage.ask(AddPlans, orders=(PlanOrder(plan=Plan(name="lost", camera="top", start_ns=0)),))
    stage.actor.die(1)
    stage.go()
    stage.cancel("plan", "cancelled")
    stage.go(NS_PER_S)
    (assignment,) = stage.heard()
    first, second = assignment.adopted
    assert (first.slot, first.order.plan.name, first.order.plan.period_ns, first.cancelled_by) == (3, "kept", 5, "")
    assert second == Adopted(order=cancelled, slot=4, cancelled_by="a test")
    assert kept.plan.period_ns == NS_PER_S
    # once the successor's loop turns, what was cancelled is over
    stage.beat(NS_PER_S)
    stage.actor.die(1)
    stage.go(2 * NS_PER_S)
    assert [adopted.order.plan.name for adopted in stage.heard()[0].adopted] == ["kept"]


def test_a_cancelled_camera_is_left_off_by_the_successor(stage):
    number = stage.cancel()
    stage.say(Done(re=number, at_ns=0, facts=CancelReport(plans=0, already=False)))
    stage.actor.die(1)
    stage.go(NS_PER_S)
    assert stage.heard()[0].left_off == ("top",)


# -- a stop that hangs ------------------------------------------------------------------------------------------


def steps(stage, number):
    return [message.step for message in stage.of(Progress) if message.re == number]


def test_a_start_that_hangs_after_a_cancel_is_killed_like_a_hung_stop(stage):
    stage.beat(NS_PER_S)
    stage.phase(Phase.PREPARED)
    words = stage.group.board.camera(0)
    words[Of.ASKED_NS], words[Of.DUE_NS] = stage.now_ns, stage.now_ns + STOP_NS
    cancel = stage.cancel()
    stage.beat(STOP_NS - 1)
    assert not stage.actors[0].killed
    stage.beat(NS_PER_S)
    assert stage.actors[0].killed
    assert stage.answer(cancel).facts.cameras[0].steps == ("kill",)
    assert "had not come to rest for" in stage.of(ProcessEnded)[0].cause


def test_a_hung_stop_is_killed_after_its_limits_though_the_loop_turns(stage):
    stage.beat(NS_PER_S)
    stage.phase(Phase.STOPPING)
    since_ns = stage.now_ns
    cancel = stage.cancel()
    stage.beat(STOP_NS - 1)
    assert not stage.actors[0].killed
    stage.beat(NS_PER_S)
    assert stage.actors[0].killed
    done = stage.answer(cancel)
    assert STOP_NS <= done.at_ns - since_ns <= STOP_NS + 500 * NS_PER_MS
    assert done.facts.cameras[0].steps == ("streamoff", "kill")
    assert "hung in STREAMOFF" in stage.of(ProcessEnded)[0].cause


def test_a_stop_that_takes_the_loop_with_it_has_the_limit_of_a_stop(stage):
    stage.beat(NS_PER_S)
    stage.phase(Phase.STOPPING)
    stage.go(STOP_NS - 1)
    assert not stage.actors[0].killed
    stage.go(NS_PER_S)
    assert stage.actors[0].killed


def test_a_stop_in_which_the_last_process_died_is_not_the_next_ones(stage):
    stage.beat(NS_PER_S)
    stage.phase(Phase.STOPPING)
    stage.actor.die(-9)
    stage.go(NS_PER_S + STOP_NS + 2 * NS_PER_S)
    assert len(stage.actors) == 2
    assert not stage.actor.killed


def test_a_process_that_asks_to_be_killed_is_and_its_steps_are_told(stage):
    stage.beat(NS_PER_S)
    stage.phase(Phase.STOPPING)
    cancel = stage.cancel()
    for step in ("streamoff", "close", "kill"):
        stage.say(Progress(re=cancel, at_ns=stage.now_ns, step=step, told="..."))
    assert stage.actors[0].killed
    assert steps(stage, cancel) == ["streamoff", "close", "kill"]
    assert stage.answer(cancel).facts.cameras[0].steps == ("streamoff", "close", "kill")


@pytest.fixture
def hung():
    """A process in uninterruptible sleep: `top` hangs in STREAMOFF, SIGKILL was sent and does nothing."""
    with Theatre(USB, obeys=False) as stage:
        stage.beat(NS_PER_S)
        stage.phase(Phase.STOPPING)
        stage.number = stage.cancel()
        stage.say(Progress(re=stage.number, at_ns=stage.now_ns, step="kill", told="..."))
        yield stage
        stage.obeys = stage.actor.obeys = True


def test_nothing_is_claimed_while_the_kernel_holds_the_process(hung):
    hung.go(LIMITS.step_ns - 1)
    assert hung.actor.killed
    assert not hung.answers(hung.number)
    assert not hung.resets
    hung.go(1)
    told = hung.of(Progress)[1]
    assert "has not let it go: state D in uvc_stop_streaming" in told.told
    # the one that hangs, not the others; the one without permission never
    assert [reset.device.node for reset in hung.resets] == ["/dev/video0"]


def test_a_reset_that_helps_ends_in_done(hung):
    hung.go(LIMITS.step_ns)
    hung.resets[0].end("USB device 1-2 was reset")
    hung.go()
    assert "USB device 1-2 was reset" in hung.of(Progress)[-1].told
    assert not hung.answers(hung.number)
    hung.actor.die(-9)
    hung.go()
    assert hung.answer(hung.number).facts.cameras[0].steps == ("streamoff", "kill", "usb reset")


@pytest.mark.parametrize("hangs_as_well", [True, False])
def test_when_nothing_helps_it_is_said_what_was_tried_and_what_to_do(hung, hangs_as_well):
    ping = hung.ask(Ping)
    hung.go(LIMITS.step_ns)
    if not hangs_as_well:
        hung.resets[0].end("USB device 1-2 could not be reset: Operation not permitted")
    hung.go(LIMITS.step_ns)
    if hangs_as_well:
        assert not hung.answers(hung.number)
        assert "hangs as well" in hung.of(Progress)[-1].told
        hung.go(LIMITS.step_ns)
    refused = hung.answer(hung.number)
    assert refused.code == "stop_hangs"
    assert "tried: streamoff, kill, usb reset" in refused.message
    assert "state D in uvc_stop_streaming" in refused.message
    assert "unplug" in refused.hint
    assert hung.answer(ping).code == "stop_hangs"
    assert hung.of(ProcessHangs)[0].pid == hung.actor.pid
    # from now on at once
    later = hung.cancel()
    hung.go()
    assert hung.answer(later).code == "stop_hangs"


def test_a_process_that_goes_after_all_is_replaced_and_what_was_cancelled_stays_so(hung):
    hung.go(10 * LIMITS.step_ns)
    assert hung.answer(hung.number).code == "stop_hangs"
    assert hung.supervisor.next_ns() is None
    hung.go(3600 * NS_PER_S)
    hung.actor.die(-9)
    hung.go(NS_PER_S)
    assert len(hung.answers(hung.number)) == 1
    assert hung.heard()[0].left_off == ("top",)


def test_without_permission_no_reset_is_tried():
    with Theatre(obeys=False) as stage:
        stage.beat(NS_PER_S)
        stage.phase(Phase.STOPPING)
        cancel = stage.cancel()
        stage.beat(STOP_NS + LIMITS.step_ns + NS_PER_S)
        assert not stage.resets
        assert "tried: streamoff, kill;" in stage.answer(cancel).message
        stage.actor.obeys = True


# -- the end ----------------------------------------------------------------------------------------------------


def test_a_quit_ends_it_for_good(stage):
    (number,) = stage.supervisor.quit("a test", stage.now_ns).values()
    assert stage.heard()[0] == Quit(id=number, by="a test")
    stage.say(Done(re=number, at_ns=0, facts=CancelReport(plans=0, already=True)))
    assert not stage.supervisor.finished
    stage.actor.die(0)
    stage.go(100 * NS_PER_S)
    assert stage.supervisor.finished
    assert stage.of(ProcessEnded)[0].cause == "capture process of group g ended as it was told"
    assert stage.group.first_cause == ""
    assert len(stage.actors) == 1


def test_a_process_that_does_not_end_when_told_is_killed(stage):
    stage.beat(NS_PER_S)
    (number,) = stage.supervisor.quit("a test", stage.now_ns).values()
    stage.beat(STOP_NS + LIMITS.step_ns)
    assert not stage.actors[0].killed
    stage.beat(2 * NS_PER_S)
    assert stage.actors[0].killed
    assert isinstance(stage.answer(number), Done)
    assert stage.supervisor.finished


def test_a_quit_without_a_process_is_done_at_once(stage):
    stage.actor.die(1)
    stage.go()
    (number,) = stage.supervisor.quit("a test", stage.now_ns).values()
    stage.go(100 * NS_PER_S)
    assert isinstance(stage.answer(number), Done)
    assert stage.supervisor.finished
    assert len(stage.actors) == 1


def test_a_process_ended_by_sigterm_takes_its_plans_along_and_is_replaced(stage):
    stage.run_plan("a", 3)
    stage.actor.channel.send(Done(re=0, at_ns=0, facts=CancelReport(plans=1, already=False)))
    stage.actor.die(0)
    stage.go(NS_PER_S)
    assert stage.heard()[0].adopted == ()


# -- bad input --------------------------------------------------------------------------------------------------


def test_names_must_be_known_and_taken_once(stage):
    with pytest.raises(GroupUnknown, match="no group h"):
        stage.supervisor.ask("h", Ping(id=1), 0)
    assert stage.supervisor.group_of("top") == "g"
    with pytest.raises(GroupUnknown, match="no camera side"):
        stage.supervisor.group_of("side")
    other = GroupOrder(name="h", cameras=ORDER.cameras)
    for orders in ([ORDER, ORDER], [ORDER, other]):
        with pytest.raises(NameTaken):
            Supervisor(orders, stage.ways, 0)


def test_limits_are_shared_so_they_must_be_alike(stage):
    cameras = (CameraOrder(name="side", path="/dev/video2"),)
    other = GroupOrder(name="h", cameras=cameras, quotas={"agent": Limit(1, 1)})
    with pytest.raises(QuotaError, match="group h has other limits than group g"):
        Supervisor([ORDER, other], stage.ways, 0)
    with pytest.raises(QuotaError, match="agent"):
        Supervisor([GroupOrder(name="h", cameras=cameras, quotas={"agent": Limit(0, 1)})], stage.ways, 0)


# -- whatever happens -------------------------------------------------------------------------------------------


class SupervisorMachine(RuleBasedStateMachine):
    """Commands, deaths, hangs and time in any order: one final answer each, one process at a time, none left."""

    @initialize()
    def open(self):
        self.stage = Theatre(USB).__enter__()
        self.asked, self.unanswered = [], []

    @rule(kind=st.sampled_from(["ping", "camera", "all", "plan"]))
    def ask(self, kind):
        number = self.stage.ask(Ping) if kind == "ping" else self.stage.cancel(kind, {"camera": "top"}.get(kind, "a"))
        self.asked.append(number)

    @precondition(lambda self: self.stage.actor.status() is None and not self.stage.actor.killed)
    @rule(count=st.integers(1, 3))
    def answer(self, count):
        for message in self.stage.heard():
            if isinstance(message, Ping | Cancel):
                self.unanswered.append((self.stage.actor, message.id))
        mine = [number for actor, number in self.unanswered if actor is self.stage.actor][:count]
        self.unanswered = [pair for pair in self.unanswered if pair[1] not in mine]
        self.stage.say(*(Done(re=number, at_ns=self.stage.now_ns) for number in mine))

    @rule(status=st.sampled_from([0, 1, -9]))
    def die(self, status):
        self.stage.actor.die(status)

    @precondition(lambda self: self.stage.actor.status() is None)
    @rule(phase=st.sampled_from([Phase.ARMED, Phase.STOPPING, Phase.PREPARED]))
    def stand(self, phase):
        self.stage.phase(phase)

    @rule(obeys=st.booleans())
    def hang(self, obeys):
        self.stage.obeys = self.stage.actor.obeys = obeys

    @rule(tenths=st.integers(0, 70), beating=st.booleans())
    def go(self, tenths, beating):
        duration_ns = tenths * 100 * NS_PER_MS
        (self.stage.beat if beating else self.stage.go)(duration_ns)

    @rule()
    def reset_ends(self):
        for reset in self.stage.resets:
            if reset.said is None and not reset.released:
                reset.end("it was reset")

    @invariant()
    def nobody_is_answered_twice_and_one_process_lives(self):
        if hasattr(self, "stage"):
            assert all(len(self.stage.answers(number)) <= 1 for number in self.asked)
            assert sum(actor.status() is None for actor in self.stage.actors) <= 1

    def teardown(self):
        if hasattr(self, "stage"):
            self.stage.supervisor.quit("the end", self.stage.now_ns)
            self.stage.go(60 * NS_PER_S)
            assert all(len(self.stage.answers(number)) == 1 for number in self.asked)
            if self.stage.actor.status() is None:
                self.stage.actor.die(-9)
                self.stage.go()
            assert self.stage.supervisor.finished
            self.stage.supervisor.release()
            assert all(reset.released for reset in self.stage.resets)


TestSupervisorMachine = SupervisorMachine.TestCase


# -- with real processes ----------------------------------------------------------------------------------------

PLAYER = str(Path(__file__).parent / "player.py")


def play(part, until, *, limit_ns=30 * NS_PER_S, kill_when=None, **ways):
    """Run the player's `part` for real until `until(messages)`; all messages."""
    seen = []
    end_ns = monotonic_ns() + limit_ns
    with Supervisor([ORDER], Ways(spawn=spawner([sys.executable, PLAYER, part]), **ways), monotonic_ns()) as supervisor:
        while not until(seen, supervisor):
            assert monotonic_ns() < end_ns, seen
            seen += [told.message for told in supervisor.wait(end_ns)]
    return seen


def test_a_real_process_that_dies_at_once_is_replaced():
    def twice(seen, _):
        return sum(isinstance(m, ProcessEnded) for m in seen) == 2

    seen = play("dies", twice, first_back_off_ns=NS_PER_MS)
    ends = [m.cause for m in seen if isinstance(m, ProcessEnded)]
    assert ends == ["capture process of group g ended with status 3 while it was starting"] * 2


def test_a_real_process_that_wedges_is_killed_though_it_ignores_sigterm():
    asked = []

    def until(seen, supervisor):
        if not asked and any(isinstance(m, Ready) for m in seen):
            asked.append(supervisor.number())
            supervisor.ask("g", Cancel(id=asked[0], kind="all", name="", by="a test"), monotonic_ns())
        return any(isinstance(m, ProcessEnded) for m in seen)

    seen = play("wedges", until, wedged_ns=300 * NS_PER_MS)
    (done,) = [m for m in seen if isinstance(m, Done)]
    assert done.re == asked[0]
    assert "stood still" in next(m.cause for m in seen if isinstance(m, ProcessEnded))


def test_a_real_process_is_in_a_session_of_its_own_and_has_no_descriptor_it_should_not():
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        seen = play("tells", lambda seen, _: any(isinstance(m, Ready) for m in seen))
    finally:
        os.close(read)
        os.close(write)
    facts = next(m.cameras for m in seen if isinstance(m, Ready))
    assert facts["session"] == facts["pid"]
    assert facts["fds"] <= 6  # 0, 1, 2, the socket and two pages


# -- groups that come and go, while others go on ------------------------------------------------------------------

OTHER = GroupOrder(name="h", cameras=(CameraOrder(name="left", path="/dev/video6"),), limits=LIMITS, plan_capacity=8)


@pytest.fixture
def roomy():
    with Theatre(room=Room(plans=16)) as stage:
        stage.beat(NS_PER_S)
        yield stage


def told_to_end(stage, name, actor):
    number = stage.supervisor.number()
    stage.supervisor.ask(name, Quit(id=number, by="a test"), stage.now_ns)
    actor.channel.send(Done(re=number, at_ns=stage.now_ns, facts=CancelReport(plans=0, already=True)))
    actor.die(0)
    stage.go()


def test_a_group_that_is_added_gets_a_process_and_the_others_keep_theirs(roomy):
    before = roomy.actor
    roomy.supervisor.add(OTHER, roomy.now_ns)
    roomy.go()
    assert [started.group for started in roomy.of(ProcessStarted)] == ["g", "h"]
    assert roomy.heard() == [Assignment(order=OTHER, quota_base=8)]
    assert (roomy.supervisor.groups["g"].pid, before.killed) == (before.pid, False)
    assert roomy.supervisor.group_of("left") == "h"


def test_a_group_is_removed_when_its_process_has_gone_and_its_room_is_for_others(roomy):
    first = roomy.actor
    roomy.supervisor.add(OTHER, roomy.now_ns)
    roomy.go()
    with pytest.raises(StateError, match="group h"):
        roomy.supervisor.remove("h")
    told_to_end(roomy, "h", roomy.actor)
    roomy.supervisor.remove("h")
    with pytest.raises(GroupUnknown, match="group h"):
        roomy.supervisor.remove("h")
    assert (list(roomy.supervisor.groups), first.killed) == (["g"], False)
    roomy.supervisor.add(GroupOrder(name="i", cameras=OTHER.cameras, limits=LIMITS, plan_capacity=16), roomy.now_ns)
    roomy.go()
    assert roomy.heard()[0].quota_base == 8
    assert not roomy.supervisor.finished


def test_a_name_that_is_taken_adds_nothing(roomy):
    for name, camera in (("g", "left"), ("h", "top")):
        with pytest.raises(NameTaken):
            roomy.supervisor.add(GroupOrder(name=name, cameras=(CameraOrder(name=camera, path=""),)), roomy.now_ns)
    with pytest.raises(QuotaError, match="no room"):
        roomy.supervisor.add(GroupOrder(name="h", cameras=OTHER.cameras, plan_capacity=17), roomy.now_ns)
    roomy.go()
    assert len(roomy.actors) == 1
    roomy.supervisor.add(OTHER, roomy.now_ns)


def test_a_process_that_hangs_keeps_its_group(roomy):
    roomy.obeys = False
    roomy.supervisor.add(OTHER, roomy.now_ns)
    roomy.go()
    roomy.supervisor.ask("h", Quit(id=roomy.supervisor.number(), by="a test"), roomy.now_ns)
    for _ in range(20):
        roomy.beat(NS_PER_S)
    with pytest.raises(StateError):
        roomy.supervisor.remove("h")
    roomy.actors[-1].die(-9)
    roomy.go()
    roomy.supervisor.remove("h")


def test_where_a_camera_is_is_told_and_handed_on(roomy):
    number = roomy.ask(Relocate, camera="top", path="/dev/video8")
    assert roomy.heard()[1:] == [Relocate(id=number, camera="top", path="/dev/video8")]
    roomy.actor.die(1)
    roomy.go(NS_PER_S)
    assert roomy.heard()[0].order.cameras[0].path == "/dev/video8"


def test_where_a_camera_is_is_not_forgotten_though_no_process_is_there(roomy):
    roomy.actor.die(1)
    roomy.go()
    roomy.ask(Relocate, camera="top", path="")
    roomy.go(NS_PER_S)
    assert roomy.heard()[0].order.cameras[0].path == ""
