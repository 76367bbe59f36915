"""One camera in the loop: every order of cancel, jobs, frames and outcomes, explored one by one."""

import errno
from collections import deque

import pytest
from capture.stage import Stage

from agent.capture.board import Of
from agent.capture.order import StageLimits
from agent.capture.state_word import Phase
from agent.capture.tick_log import End
from agent.units import NS_PER_MS, NS_PER_S
from agent.v4l2.uapi import VIDIOC_STREAMON


@pytest.fixture
def stage():
    with Stage() as made:
        yield made


def test_a_tick_gets_the_first_frame_exposed_after_it(stage):
    stage.up()
    stage.kernel.step(stage.camera, 2)
    request = stage.want()
    stage.unit.on_readable(1)
    assert not stage.ends
    stage.frames(2)
    assert stage.ends == [request]
    assert request.end is None
    assert request.sequence >= 2


def test_plans_due_within_one_frame_share_it(stage):
    stage.up()
    requests = [stage.want(tick=tick) for tick in range(5)]
    stage.frames(2)
    assert stage.ends == requests
    assert len({request.sequence for request in requests}) == 1
    assert (stage.unit.words[Of.TAKEN], stage.unit.words[Of.SHARED]) == (1, 4)


def test_a_burst_is_consecutive_frames(stage):
    stage.up()
    request = stage.want(wanted=3)
    stage.frames(2)
    assert not stage.ends
    stage.frames(2)
    assert stage.ends == [request]
    assert request.frames == 3


def test_cancel_is_streamoff_first_and_buffers_stay_mapped(stage):
    stage.up()
    pool = stage.unit.session.pool
    request = stage.want()
    stage.cancel()
    assert stage.stopper.job is not None
    assert not stage.watched
    assert (request.end, stage.ends) == (End.SHOT_CANCELLED, [request])
    stage.stopper.work()
    stage.stopper.report()
    (report,) = stage.reports
    assert report.was_on
    assert report.steps == ("streamoff",)
    assert report.asked_ns <= report.entered_ns <= report.returned_ns
    assert not stage.streams
    assert stage.unit.session.pool is pool
    stage.up()
    assert stage.unit.session.pool is pool


def test_a_cancel_of_what_is_off_is_answered_at_once(stage):
    stage.cancel()
    assert stage.reports[0].was_on is False


def test_a_cancel_while_preparing_is_answered_before_the_job_is_done(stage):
    stage.unit.start()
    stage.cancel()
    assert stage.reports[0].was_on is False
    stage.slow.work()
    stage.slow.report()
    assert not stage.streams
    assert stage.unit.word.state == (Phase.PREPARED, False, False)


def test_a_cancel_after_streamon_began_waits_for_its_end(stage):
    stage.unit.start()
    stage.slow.work()
    assert stage.streams
    stage.cancel()
    assert stage.reports == [None]
    stage.slow.report()
    stage.stopper.work()
    stage.stopper.report()
    assert stage.reports[0].was_on
    assert not stage.streams


def test_a_broken_stream_comes_back_by_itself(stage):
    stage.up()
    request = stage.want()
    stage.camera.fail_queue()
    stage.unit.on_readable(8)
    stage.stopper.work()
    stage.stopper.report()
    assert stage.ends == [request]
    assert stage.unit.word.phase is Phase.FAULT
    assert stage.unit.cause.code == "stream_fault"
    assert stage.unit.cause.__traceback__ is None, "it would keep views of the buffers that were on the stack"
    stage.clock.move_to(stage.unit.next_ns)
    stage.unit.check(stage.clock.now_ns())
    stage.slow.work()
    stage.slow.report()
    assert stage.unit.armed
    assert stage.unit.cause is None


def test_a_camera_that_cannot_be_started_is_tried_again_less_and_less_often(stage):
    stage.camera.faults.refuse(VIDIOC_STREAMON.name, errno.EIO, every=True)
    stage.up()
    waits = []
    for _ in range(7):
        waits.append(stage.unit.next_ns - stage.clock.now_ns())
        stage.clock.move_to(stage.unit.next_ns)
        stage.unit.check(stage.clock.now_ns())
        stage.slow.work()
        stage.slow.report()
    assert waits == [ms * NS_PER_MS for ms in (500, 1000, 2000, 4000, 8000, 8000, 8000)]
    assert stage.unit.cause.request == "VIDIOC_STREAMON"
    stage.cancel()
    assert stage.unit.next_ns is None


def test_no_frame_within_the_limit_is_a_fault_and_the_tick_fails(stage):
    stage.up()
    request = stage.want()
    stage.clock.move_to(stage.unit.next_ns)
    stage.unit.check(stage.clock.now_ns())
    assert (request.end, stage.ends) == (End.NO_FRAME, [request])
    stage.stopper.work()
    stage.stopper.report()
    assert "gave no frame within 3s" in stage.unit.cause.message


def test_no_tick_is_no_fault(stage):
    stage.up()
    assert stage.unit.next_ns is None


def test_a_hung_streamoff_is_told_step_by_step():
    limits = StageLimits(stop_ns=2 * NS_PER_S, step_ns=NS_PER_S)
    with Stage(limits=limits) as stage:
        stage.up()
        asked_ns = stage.clock.now_ns()
        stage.cancel()
        assert stage.unit.words[Of.DUE_NS] == asked_ns + 3 * NS_PER_S
        stage.clock.move_to(stage.unit.next_ns)
        stage.unit.check(stage.clock.now_ns())
        assert (stage.progress, stage.reports) == (["close"], [None])
        stage.closer.work()
        stage.closer.report()
        stage.clock.move_to(stage.unit.next_ns)
        stage.unit.check(stage.clock.now_ns())
        assert (stage.progress, stage.reports) == (["close", "kill"], [None])
        # the driver lets go after all
        stage.stopper.work()
        stage.stopper.report()
        stage.closer.work()
        stage.closer.report()
        assert stage.reports[0].steps == ("streamoff", "close")
        assert stage.unit.word.phase is Phase.IDLE
        assert not stage.streams


def test_a_refused_streamoff_ends_in_a_closed_node(stage):
    stage.up()
    stage.camera.faults.refuse("VIDIOC_STREAMOFF", errno.EIO)
    stage.cancel()
    stage.stopper.work()
    stage.stopper.report()
    stage.closer.work()
    stage.closer.report()
    assert stage.reports[0].steps == ("streamoff", "close")
    assert "STREAMOFF" in stage.reports[0].error
    assert not stage.streams


# -- every order ----------------------------------------------------------------------------------------------------


EVENTS = {
    "start": lambda stage: not stage.unit.wanted,
    "work slow": lambda stage: stage.slow.job is not None,
    "report slow": lambda stage: stage.slow.outcome is not None,
    "work stopper": lambda stage: stage.stopper.job is not None,
    "report stopper": lambda stage: stage.stopper.outcome is not None,
    "want": lambda stage: stage.unit.armed and len(stage.unit.requests.waiting) < 2,
    "frame": lambda stage: stage.streams,
    "readable": lambda stage: stage.watched,
    "expose": lambda stage: stage.unit.armed and stage.slow.job is None and stage.slow.outcome is None,
    "cancel": lambda stage: len(stage.reports) < 2,
    "break": lambda stage: stage.streams and stage.camera.faults.wrong_index is None,
    "retry": lambda stage: stage.unit.word.phase is Phase.FAULT and stage.unit.next_ns is not None,
}


def carry_out(stage, event):  # noqa: C901 - a table of what happens
    match event.split():
        case ["start"]:
            stage.unit.start()
        case ["work", helper]:
            getattr(stage, helper).work()
        case ["report", helper]:
            getattr(stage, helper).report()
        case ["want"]:
            stage.want()
        case ["frame"]:
            stage.kernel.step(stage.camera)
        case ["readable"]:
            stage.unit.on_readable(1)
        case ["expose"]:
            stage.unit.expose(5 * NS_PER_MS, None, lambda outcome: None)
        case ["cancel"]:
            stage.cancel()
        case ["break"]:
            stage.camera.faults.wrong_index = 77
        case ["retry"]:
            stage.clock.move_to(stage.unit.next_ns)
            stage.unit.check(stage.clock.now_ns())


def check(stage, ended_at_answer):
    """What holds after every event. `ended_at_answer`: requests that had ended when the last cancel was answered."""
    assert len(stage.ends) == len(set(map(id, stage.ends))), "a request ended twice"
    answered = [report for report in stage.reports if report is not None]
    if answered and not stage.unit.wanted and all(stage.reports):
        assert not stage.streams or stage.slow.job is not None, "the stream is on after the acknowledgement"
        assert not [request for request in stage.ends[ended_at_answer:] if request.end is None], "a frame after it"


def fingerprint(stage):
    """Two stages with the same one behave alike from here on."""
    session = stage.unit.session
    return (
        stage.unit.word.state,
        stage.unit.wanted,
        len(stage.unit.requests.waiting),
        stage.streams,
        stage.watched,
        session and session.state,
        stage.camera.faults.wrong_index,
        tuple((h.job is not None, h.outcome and h.outcome[1].error is None) for h in (stage.slow, stage.stopper)),
        tuple(report is not None and report.was_on for report in stage.reports),
        tuple(report is None for report in stage.reports),
    )


def play(path):
    """A new stage after these events; what may follow, and its fingerprint."""
    with Stage() as stage:
        ended_at_answer = 0
        for event in path:
            open_before = stage.reports.count(None)
            carry_out(stage, event)
            if stage.reports.count(None) < open_before or event == "cancel":
                ended_at_answer = len(stage.ends)
            check(stage, ended_at_answer)
        following = [event for event, possible in EVENTS.items() if possible(stage)]
        found = fingerprint(stage)
        finish(stage)
        return following, found


def finish(stage):
    """Let all jobs end, cancel, let all jobs end: the stream is off, everybody was answered."""
    for _ in range(2):
        for _ in range(12):
            for helper in (stage.slow, stage.stopper, stage.closer):
                if helper.job is not None:
                    helper.work()
                if helper.outcome is not None:
                    helper.report()
        stage.cancel()
    assert None not in stage.reports
    assert not stage.streams
    assert not stage.unit.requests.waiting
    assert not stage.unit.word.cancel_pending


@pytest.mark.timeout(300)
def test_every_order_of_events_ends_with_the_stream_off_and_everybody_answered():
    seen = set()
    paths = deque([()])
    played = 0
    while paths:
        path = paths.popleft()
        following, found = play(path)
        played += 1
        if found in seen or len(path) >= 12:
            continue
        seen.add(found)
        paths.extend((*path, event) for event in following)
    assert len(seen) > 100, f"{len(seen)} states are too few to prove anything"


# -- a camera that is somewhere else, or nowhere --------------------------------------------------------------------


def gone(stage):
    """It is pulled out while it streams, and its stream breaks."""
    stage.up()
    stage.camera.unplug()
    stage.unit.relocate("")
    stage.unit.on_readable(1)
    stage.finish()


def test_a_camera_that_is_nowhere_lets_go_of_its_node_and_waits(stage):
    gone(stage)
    stage.unit.check(stage.clock.now_ns())
    stage.finish()
    assert stage.unit.word.phase is Phase.FAULT
    assert stage.unit.session is None
    assert stage.unit.cause.code == "device_gone"
    assert stage.unit.next_ns is None


def test_a_stream_that_breaks_while_its_camera_is_nowhere_lets_go_of_the_node_too(stage):
    stage.up()
    stage.unit.relocate("")
    stage.want()
    stage.clock.move_to(stage.clock.now_ns() + StageLimits().frame_ns + 1)
    stage.unit.check(stage.clock.now_ns())
    stage.finish()
    assert stage.unit.session is not None
    stage.wait()
    stage.finish()
    assert (stage.unit.session, stage.unit.word.phase) == (None, Phase.FAULT)
    assert stage.unit.next_ns is None


def test_a_camera_that_is_somewhere_is_started_there_at_once(stage):
    gone(stage)
    stage.unit.check(stage.clock.now_ns())
    stage.finish()
    stage.camera.plug()
    stage.unit.relocate(stage.camera.path)
    stage.finish()
    assert stage.unit.armed
    assert stage.unit.cause is None


def test_a_camera_that_was_never_there_says_so(stage):
    stage.unit.relocate("")
    stage.up()
    assert (stage.unit.word.phase, stage.unit.cause.code) == (Phase.FAULT, "camera_absent")
    stage.unit.relocate(stage.camera.path)
    stage.finish()
    assert stage.unit.armed


def test_a_camera_that_is_not_wanted_is_not_started_where_it_appears(stage):
    stage.unit.relocate("")
    stage.up()
    stage.cancel()
    stage.unit.relocate(stage.camera.path)
    stage.finish()
    assert not stage.streams
