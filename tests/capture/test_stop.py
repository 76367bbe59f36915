"""Stopping a camera whose driver hangs, refuses, or comes back at the worst moment."""

import errno

import pytest
from capture.stage import Stage, make_board

from agent.capture.board import Of
from agent.capture.order import StageLimits
from agent.capture.state_word import Phase
from agent.units import NS_PER_S

LIMITS = StageLimits(stop_ns=2 * NS_PER_S, step_ns=NS_PER_S)


@pytest.fixture
def stage():
    with Stage(limits=LIMITS) as made:
        yield made


ORDERS = [
    ["work stopper", "report stopper", "work closer", "report closer"],
    ["work stopper", "work closer", "report stopper", "report closer"],
    ["work stopper", "work closer", "report closer", "report stopper"],
    ["work closer", "work stopper", "report stopper", "report closer"],
    ["work closer", "work stopper", "report closer", "report stopper"],
    ["work closer", "report closer", "work stopper", "report stopper"],
]


@pytest.mark.parametrize("order", ORDERS)
def test_the_late_end_of_streamoff_and_the_close_of_its_node_cross_in_every_order(stage, order):
    stage.up()
    stage.cancel()
    stage.wait()
    assert stage.progress == ["close"]
    for step in order:
        verb, helper = step.split()
        getattr(getattr(stage, helper), verb)()
    stage.finish()
    (report,) = stage.reports
    assert (report.was_on, report.steps, report.error) == (True, ("streamoff", "close"), "")
    assert stage.unit.word.state == (Phase.IDLE, False, False)
    assert not stage.streams
    assert stage.unit.session is None
    stage.up()
    assert stage.unit.armed


def test_a_start_that_hangs_cannot_be_closed_and_that_is_what_is_told(stage):
    stage.unit.start()
    stage.slow.work()
    stage.cancel()
    stage.wait()
    assert stage.progress == ["kill"]
    assert stage.closer.job is None
    assert stage.unit.next_ns is None or stage.unit.next_ns > stage.clock.now_ns()
    stage.slow.report()
    stage.stopped()
    assert stage.reports[0].steps == ("streamoff",)
    assert not stage.streams


def test_a_refused_streamoff_says_that_the_stream_was_on(stage):
    stage.up()
    stage.camera.faults.refuse("VIDIOC_STREAMOFF", errno.EIO)
    stage.cancel()
    stage.finish()
    assert stage.reports[0].was_on


def test_each_stop_has_its_own_times(stage):
    stage.up()
    stage.cancel()
    stage.stopped()
    first = stage.reports[0]
    assert (stage.unit.words[Of.ENTERED_NS], stage.unit.words[Of.DUE_NS]) == (first.entered_ns, 0)
    stage.up()
    stage.clock.move_to(stage.clock.now_ns() + 60 * NS_PER_S)
    stage.cancel()
    # whoever watches would take the last stop's for a STREAMOFF that has hung for a minute
    assert (stage.unit.words[Of.ENTERED_NS], stage.unit.words[Of.RETURNED_NS]) == (0, 0)
    assert stage.unit.words[Of.ASKED_NS] == stage.clock.now_ns()
    stage.stopped()
    assert stage.reports[1].asked_ns == stage.reports[1].entered_ns == stage.clock.now_ns()


def test_two_cancels_are_both_answered_by_one_streamoff(stage):
    stage.up()
    stage.cancel()
    stage.cancel()
    stage.stopped()
    assert stage.reports[0] == stage.reports[1]
    assert stage.reports[0].was_on


def test_a_cancel_of_a_broken_stream_takes_over_its_stop(stage):
    stage.up()
    stage.camera.fail_queue()
    stage.unit.on_readable(8)
    stage.cancel()
    stage.stopped()
    assert stage.unit.word.phase is Phase.PREPARED
    assert stage.unit.cause is None
    assert stage.unit.next_ns is None


def test_the_sink_lets_go_before_the_buffers_are_freed():
    stages = []

    class Watching(Stage):
        def __init__(self):
            super().__init__(limits=LIMITS)
            forget = self.publisher.forget
            self.publisher.forget = lambda camera: (
                stages.append(self.unit.session is not None and bool(self.unit.session.pool.buffers)),
                forget(camera),
            )

    with Watching() as stage:
        stage.up()
        stage.camera.faults.refuse("VIDIOC_STREAMOFF", errno.EIO)
        stages.clear()
        stage.cancel()
        stage.finish()
    assert stages[0] is True


def test_an_unplugged_camera_has_stopped(stage):
    stage.up()
    stage.camera.unplug()
    stage.cancel()
    stage.stopped()
    assert (stage.reports[0].was_on, stage.reports[0].error) == (True, "")


def test_a_stop_that_a_dead_process_left_unfinished_is_not_the_successors():
    board = make_board()
    board.camera(0)[Of.DUE_NS] = 1
    with Stage(board=board) as stage:
        assert stage.unit.words[Of.DUE_NS] == 0
