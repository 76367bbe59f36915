"""A capture process from its first message to its exit: played here with other loops, and for real."""

import gc
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest

from agent.capture.board import Board
from agent.capture.channel import open_pair
from agent.capture.child import Inherited, spawner
from agent.capture.door import open_door
from agent.capture.life import Ways
from agent.capture.messages import AddPlans, Cancel, Done, Ping, PlansEnded, Ready, Refused
from agent.capture.order import CameraOrder, GroupOrder, PlanOrder, Realtime
from agent.capture.process import EX_SOFTWARE, leave, serve
from agent.capture.process_messages import Assignment, Failed, ProcessEnded, ProcessStarted
from agent.capture.quota_page import QuotaPage
from agent.capture.supervisor import Supervisor
from agent.clock import monotonic_ns
from agent.errors import InputError, StreamFault
from agent.schedule.plan import Plan
from agent.schedule.quota import Limit
from agent.shared import Page
from agent.units import NS_PER_MS, NS_PER_S

ORDER = GroupOrder(
    name="g",
    cameras=(CameraOrder(name="top", path="/dev/video0"),),
    quotas={"agent": Limit(1000, NS_PER_S, 1000)},
    plan_capacity=8,
)


class Served:
    """One `serve` in this process, with a loop of the test's."""

    def __init__(self, run, order=ORDER):
        self.run_, self.order = run, order
        self.equipment, self.released = None, 0
        self.said, self.reader = [], None

    def __call__(self, equipment):
        self.equipment = equipment
        return self

    def run(self):
        self.run_(self.equipment)

    def release(self):
        self.released += 1

    def read_to_the_end(self):
        poll = select.poll()
        poll.register(self.parent, select.POLLIN)
        while not self.parent.closed:
            assert poll.poll(30_000)
            self.said += [received.message for received in self.parent.drain(100)]

    def serve(self):
        """The exit status; what was said is in `said`."""
        with ExitStack() as resources:
            parent, theirs = open_pair()
            self.parent = resources.enter_context(parent)
            page = resources.enter_context(Page.create("g", Board.words_for(1, 8)))
            board = Board.create(page.words, 1, 8)
            resources.callback(board.release)
            quotas = QuotaPage([self.order], 0)
            resources.callback(quotas.release)
            resources.callback(gc.unfreeze)
            parent.send(Assignment(order=self.order, quota_base=quotas.bases["g"]))
            self.door, door = open_door()
            resources.callback(self.door.release)
            inherited = Inherited(theirs.detach(), os.dup(page.fd), os.dup(quotas.page.fd), door.detach())
            for fd in inherited:
                os.set_inheritable(fd, True)
            try:
                return serve(None, inherited, self, None)
            finally:
                self.equipment = None
                if self.reader is None:
                    self.read_to_the_end()
                else:
                    self.reader.join()


def test_a_loop_gets_its_equipment_and_its_last_answers_arrive():
    def run(equipment):
        assert equipment.assignment.order == ORDER
        assert equipment.board.capacity == 8
        assert equipment.quotas.toll(PLAN, ("top",), 0, 0).buckets == (0,)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert gc.get_freeze_count() > 0
        assert not any(os.get_inheritable(fd) for fd in equipment.inbox.fds())
        equipment.channel.send(Done(re=1, at_ns=0))

    served = Served(run)
    assert served.serve() == 0
    assert served.said == [Done(re=1, at_ns=0)]
    assert served.released == 1


def test_answers_that_wait_for_a_slow_parent_are_sent_before_the_end():
    def run(equipment):
        while not equipment.channel.wants_write:
            equipment.channel.send(Done(re=1, at_ns=0))
        equipment.channel.send(Done(re=2, at_ns=0))
        served.reader = threading.Thread(target=served.read_to_the_end)
        served.reader.start()

    served = Served(run)
    assert served.serve() == 0
    assert served.said[-1] == Done(re=2, at_ns=0)


def test_an_error_is_said_before_anything_is_stopped_and_is_the_exit_status():
    def run(equipment):
        equipment.channel.send(Done(re=1, at_ns=0))
        raise StreamFault("the stream broke", hint="start it again", device="/dev/video0")

    served = Served(run)
    assert served.serve() == 6
    assert served.said[0] == Done(re=1, at_ns=0)
    failed = served.said[1]
    assert (failed.code, failed.message, failed.hint, failed.again) == (
        "stream_fault",
        "the stream broke",
        "start it again",
        True,
    )
    assert failed.details == {"device": "/dev/video0"}
    assert served.released == 1


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_an_unexpected_exception_stops_everything_and_is_reported(kind, capfd):
    def run(_):
        raise kind("this was not foreseen")

    served = Served(run)
    with pytest.raises(SystemExit) as caught:
        served.serve()
    assert caught.value.code == EX_SOFTWARE
    (failed,) = served.said
    assert isinstance(failed, Failed)
    assert failed.message == f"an unexpected {kind.__name__}: this was not foreseen"
    assert "test_process.py" in failed.details["traceback"]
    assert served.released == 1
    assert "this was not foreseen" in capfd.readouterr().err


def test_the_cause_is_said_first_even_if_the_stop_fails_as_well(capfd):
    class Stuck(Served):
        def release(self):
            super().release()
            # a stop that hangs: by now the parent must know the cause
            self.known = self.equipment.channel.wants_write
            raise RuntimeError("the stop failed")

    def run(_):
        raise StreamFault("the stream broke", hint="")

    served = Stuck(run)
    with pytest.raises(SystemExit):
        served.serve()
    assert served.said[0].message == "the stream broke"
    assert served.known is False
    assert "the stop failed" in capfd.readouterr().err


def test_options_that_cannot_be_end_it_for_good():
    order = GroupOrder(name="g", cameras=ORDER.cameras, realtime=Realtime(fifo_priority=1000), plan_capacity=8)
    served = Served(pytest.fail, order)
    assert served.serve() == InputError.exit_code
    (failed,) = served.said
    assert (failed.code, failed.again) == ("bad_realtime", False)
    assert served.released == 0


# -- the real program on simulated cameras ----------------------------------------------------------------------

PROGRAM = (sys.executable, "-m", "agent.cli.process", "--simulate")
PLAN = PlanOrder(plan=Plan(name="a", camera="top", start_ns=0, period_ns=40 * NS_PER_MS))


class Real:
    """The supervisor of one real process, waited for with a limit."""

    def __init__(self, program=PROGRAM):
        ways = Ways(spawn=spawner(program), first_back_off_ns=NS_PER_MS)
        self.supervisor = Supervisor([ORDER], ways, monotonic_ns())
        self.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.supervisor.release()

    def until(self, wanted, count=1):
        end_ns = monotonic_ns() + 30 * NS_PER_S
        while sum(map(wanted, self.seen)) < count:
            assert monotonic_ns() < end_ns, self.seen
            self.seen += [told.message for told in self.supervisor.wait(end_ns)]
        return [message for message in self.seen if wanted(message)][-1]

    def until_kind(self, kind, count=1):
        return self.until(lambda message: isinstance(message, kind), count)

    def answer(self, number):
        return self.until(lambda message: isinstance(message, Done | Refused) and message.re == number)

    def ask(self, kind, /, **what):
        command = kind(id=self.supervisor.number(), **what)
        self.supervisor.ask("g", command, monotonic_ns())
        return command.id

    def cancel(self):
        return self.ask(Cancel, kind="all", name="", by="a test")

    def quit(self):
        self.supervisor.quit("a test", monotonic_ns())
        end_ns = monotonic_ns() + 30 * NS_PER_S
        while not self.supervisor.finished:
            assert monotonic_ns() < end_ns, self.seen
            self.seen += [told.message for told in self.supervisor.wait(end_ns)]


def test_the_program_serves_and_ends():
    with Real() as real:
        real.until_kind(Ready)
        added = real.answer(real.ask(AddPlans, orders=(PLAN,)))
        assert added.facts == {"a": 0}
        report = real.answer(real.cancel()).facts
        assert (report.plans, report.cameras[0].was_on) == (1, True)
        real.quit()
        assert real.until_kind(ProcessEnded).cause.endswith("ended as it was told")


@pytest.mark.parametrize("moment", ["at once", "ready", "with a plan", "in a cancel"])
def test_a_process_killed_at_any_moment_is_replaced_and_nothing_is_owed(moment):
    with Real() as real:
        real.until_kind(ProcessStarted)
        owed = [real.ask(Ping)]
        if moment != "at once":
            real.until_kind(Ready)
            owed.append(real.ask(AddPlans, orders=(PLAN,)))
        if moment in ("with a plan", "in a cancel"):
            real.answer(owed[-1])
        if moment == "in a cancel":
            owed.append(real.cancel())
        os.kill(real.supervisor.groups["g"].pid, signal.SIGKILL)
        for number in owed:
            real.answer(number)
        real.until_kind(ProcessEnded)
        real.until_kind(ProcessStarted, 2)
        owed.append(real.ask(Ping))
        assert isinstance(real.answer(owed[-1]), Done)
        answers = [m.re for m in real.seen if isinstance(m, Done | Refused)]
        assert sorted(answers) == sorted(owed)
        assert isinstance(real.answer(real.cancel()), Done)
        real.quit()


def test_sigterm_cancels_everything_and_a_ctrl_c_does_nothing():
    with Real() as real:
        real.until_kind(Ready)
        real.answer(real.ask(AddPlans, orders=(PLAN,)))
        pid = real.supervisor.groups["g"].pid
        os.kill(pid, signal.SIGINT)
        assert isinstance(real.answer(real.ask(Ping)), Done)
        os.kill(pid, signal.SIGTERM)
        assert "ended with status 0" in real.until_kind(ProcessEnded).cause
        assert [state for _, state, _ in real.until_kind(PlansEnded).ends] == ["cancelled"]
        real.quit()


def test_a_process_without_its_parent_ends_by_itself():
    with Real() as real:
        real.until_kind(Ready)
        life = real.supervisor.groups["g"]._life
        life._channel.release()
        life._channel.closed = True
        assert "ended with status 0" in real.until_kind(ProcessEnded).cause


def test_a_thread_that_hangs_does_not_keep_the_program():
    code = (
        "import threading; from agent.capture.process import leave; "
        "threading.Thread(target=threading.Event().wait).start(); leave(5)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=50).returncode == 5
    assert threading.active_count() == 1
    with pytest.raises(SystemExit) as caught:
        leave(5)
    assert caught.value.code == 5


def test_it_is_not_started_by_hand():
    done = subprocess.run([sys.executable, "-m", "agent.cli.process"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--channel" in done.stderr
