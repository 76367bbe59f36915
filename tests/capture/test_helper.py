"""Jobs in a thread of their own, and their outcomes in the loop."""

import os
import select
import sys
import threading

import pytest

from agent.capture.helper import Doorbell, HelperDied, HelperThread
from agent.errors import AgentError


@pytest.fixture
def bell():
    made = Doorbell()
    yield made
    made.release()


@pytest.fixture
def helper(bell):
    made = HelperThread("slow top", bell)
    yield made
    assert made.release()


@pytest.fixture
def slow_switches():
    """A thread that does not let go of the interpreter by itself keeps it for long."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5)
    yield
    sys.setswitchinterval(usual)


def collect(bell, count=1):
    poll = select.poll()
    poll.register(bell, select.POLLIN)
    while count > 0:
        assert poll.poll(10_000), "nobody rang"
        count -= bell.collect()


def test_a_job_runs_elsewhere_and_its_outcome_is_told_here(bell, helper):
    told = []
    helper.submit(lambda: threading.current_thread().name, told.append)
    collect(bell)
    assert [(outcome.result, outcome.error) for outcome in told] == [("slow top", None)]
    assert bell.collect() == 0


def test_an_error_of_ours_is_an_outcome(bell, helper):
    told = []

    def fails():
        raise AgentError("no", hint="")

    helper.submit(fails, told.append)
    collect(bell)
    assert told[0].error.message == "no"


def test_one_job_at_a_time_until_the_outcome_was_told(bell, helper):
    gate = threading.Event()
    helper.submit(gate.wait, lambda _: None)
    with pytest.raises(RuntimeError, match="has a job already"):
        helper.submit(gate.wait, lambda _: None)
    gate.set()
    collect(bell)
    helper.submit(lambda: None, lambda _: None)
    collect(bell)


def test_an_urgent_job_has_begun_when_the_caller_goes_on(bell, helper, slow_switches):
    for _ in range(20):
        begun = []
        helper.submit(lambda begun=begun: begun.append(True), lambda _: None, urgent=True)
        assert begun, "the caller kept the interpreter for itself"
        collect(bell)


def test_an_urgent_job_that_cannot_begin_holds_nobody_up(bell):
    """The thread hangs in the job before, and another one was never told of its end."""
    gate, told = threading.Event(), []
    helper = HelperThread("slow top", bell)
    helper.submit(gate.wait, told.append)
    helper._busy = False
    helper.submit(lambda: "late", told.append, urgent=True)
    gate.set()
    collect(bell, 2)
    assert [outcome.result for outcome in told] == [True, "late"]
    assert helper.release()


def test_the_next_job_may_be_given_when_an_outcome_is_told(bell, helper):
    told = []
    helper.submit(lambda: 1, lambda _: helper.submit(lambda: 2, told.append))
    collect(bell, 2)
    assert told[0].result == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_is_an_outcome_too_and_the_next_job_has_a_thread(bell, helper):
    told = []
    helper.submit(lambda: 1 // 0, told.append)
    collect(bell)
    assert isinstance(told[0].error, HelperDied)
    helper.submit(lambda: "works", told.append)
    collect(bell)
    assert told[1].result == "works"


def test_a_thread_that_hangs_is_told_and_rings_when_it_is_let_go(bell):
    helper, gate, began = HelperThread("slow top", bell), threading.Event(), threading.Event()
    helper.start()
    (thread,) = [each for each in threading.enumerate() if each.name == "slow top"]
    helper.submit(lambda: began.set() or gate.wait(), lambda _: None)
    began.wait()
    assert not helper.release()
    gate.set()
    thread.join()
    assert bell.collect() == 1


def test_what_is_put_while_others_are_told_rings_again(bell):
    told = []
    bell.put(lambda _: bell.put(told.append, "second"), "first")
    assert (bell.collect(), told) == (1, [])
    assert (bell.collect(), told) == (1, ["second"])


def test_a_closed_bell_is_not_rung(bell):
    fd = bell.fd
    bell.release()
    bell.release()
    other = os.eventfd(0)
    bell.put(lambda _: None, None)
    os.close(other)
    assert fd == bell.fileno()
