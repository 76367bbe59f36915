"""Frames to the ticks that want them, out to be stored and back, while the camera stops, starts and breaks."""

import errno

import pytest
from capture.stage import HeldPublisher, Stage

from agent.capture.board import Of
from agent.capture.order import StageLimits
from agent.capture.state_word import Phase
from agent.capture.tick_log import End
from agent.units import NS_PER_S


@pytest.fixture
def stage():
    with Stage(HeldPublisher(), StageLimits(step_ns=NS_PER_S)) as made:
        made.up()
        yield made


def lend(stage, count=1, **wish):
    requests = [stage.want(stores=True, tick=tick, **wish) for tick in range(count)]
    stage.frames(2)
    return requests


def queued(stage):
    return sum(buffer.state.name == "QUEUED" for buffer in stage.camera.queue.buffers)


def ends(stage):
    return [request.end for request in stage.ends]


def test_a_request_ends_when_its_frame_is_stored(stage):
    (request,) = lend(stage)
    assert (stage.ends, stage.unit.lent, stage.unit.requests.waiting) == ([], 1, type(stage.unit.requests.waiting)())
    stage.publisher.give_back()
    stage.returns()
    assert stage.ends == [request]
    assert (request.end, request.operator_ns, stage.unit.words[Of.STORED]) == (None, 5, 1)


def test_one_frame_for_several_is_lent_once(stage):
    lend(stage, 3)
    assert stage.unit.lent == 1
    stage.publisher.give_back()
    stage.returns()
    assert ends(stage) == [None] * 3


@pytest.mark.parametrize(
    ("error", "end"), [("storage", End.STORAGE), ("encode_limit", End.ENCODE_LIMIT), ("odd", End.NOT_STORED)]
)
def test_why_it_was_not_stored_is_kept(stage, error, end):
    lend(stage)
    stage.publisher.give_back(stored=False, error=error)
    stage.returns()
    assert ends(stage) == [end]


def test_without_room_the_request_says_so_and_the_buffer_goes_back(stage):
    before = queued(stage)
    stage.publisher.room = 0
    lend(stage)
    assert ends(stage) == [End.NO_ROOM]
    assert queued(stage) == before


def test_a_burst_that_finds_no_room_ends_when_what_is_out_is_back(stage):
    stage.publisher.room = 1
    lend(stage, wanted=3)
    stage.frames(2)
    assert stage.ends == []
    stage.publisher.give_back()
    stage.returns()
    assert ends(stage) == [End.NO_ROOM]


def test_a_frame_that_comes_back_during_streamoff_waits_for_its_end(stage):
    """A QBUF beside a STREAMOFF would wait for it, or leave a buffer queued that the next start queues again."""
    lend(stage)
    stage.cancel()
    calls = len(stage.camera.queue.buffers) - queued(stage)
    stage.stopper.work()
    stage.returns()
    assert stage.unit.session._parts()[1].held == 1, "still with us while the thread has the session"
    assert calls
    stage.stopper.report()
    assert stage.unit.session._parts()[1].held == 0
    stage.up()
    assert queued(stage) == 4


def test_a_frame_that_comes_back_during_a_warm_start_is_not_lost(stage):
    lend(stage)
    shot = stage.publisher.out[0]
    stage.camera.fail_queue()
    stage.unit.on_readable(8)
    stage.stopped()
    assert stage.publisher.out == [shot], "a broken stream takes no good frame back"
    stage.clock.move_to(stage.unit.next_ns)
    stage.unit.check(stage.clock.now_ns())
    stage.publisher.give_back()
    stage.returns()
    assert ends(stage) == [None]
    stage.slow.work()
    assert queued(stage) == 3
    stage.slow.report()
    assert queued(stage) == 4


def test_a_cancel_is_answered_when_no_frame_can_be_stored_any_more(stage):
    lend(stage)
    stage.publisher.revoke = lambda camera: None  # the sink gives a picture its name this very moment
    stage.cancel()
    stage.stopped()
    assert stage.reports == [None]
    stage.publisher.give_back()
    stage.returns()
    assert stage.reports[0].was_on
    assert ends(stage) == [None]


def test_a_frame_that_does_not_come_back_is_told(stage):
    lend(stage)
    stage.publisher.revoke = lambda camera: None
    stage.cancel()
    stage.stopped()
    assert stage.unit.next_ns == stage.clock.now_ns() + NS_PER_S
    stage.wait()
    assert "1 frames are still with the process that stores them" in stage.reports[0].error
    assert stage.unit.next_ns is None


def test_a_cancel_revokes_what_is_out(stage):
    lend(stage)
    stage.cancel()
    stage.stopped()
    stage.returns()
    assert ends(stage) == [End.SHOT_CANCELLED]
    assert stage.reports[0].was_on


def test_a_second_cancel_waits_for_the_frames_as_well(stage):
    lend(stage)
    stage.publisher.revoke = lambda camera: None
    stage.cancel()
    stage.stopped()
    stage.cancel()
    assert stage.reports == [None, None]
    stage.publisher.give_back()
    stage.returns()
    assert [report.was_on for report in stage.reports] == [True, False]


def test_a_buffer_that_the_driver_does_not_take_back_is_a_fault_and_no_streamoff_in_the_loop(stage):
    request = stage.want()
    stage.camera.faults.refuse("VIDIOC_QBUF", errno.EIO)
    stage.frames(2)
    assert stage.streams, "STREAMOFF is the stopper's"
    assert not stage.watched, "a stream that is broken polls as such again and again"
    assert stage.ends == [request]
    stage.stopped()
    assert not stage.streams
    assert stage.unit.word.phase is Phase.FAULT
    assert stage.unit.cause.request == "VIDIOC_QBUF"


def test_unplugged_between_a_frame_and_its_way_back(stage):
    lend(stage)
    waiting = stage.want()
    stage.camera.unplug()
    stage.publisher.give_back()
    stage.returns()
    assert ends(stage) == [None, End.BROKE]
    assert waiting is stage.ends[1]
    stage.stopped()
    assert stage.unit.cause.code == "device_gone"


def test_a_frame_of_a_session_that_was_replaced_is_nobodys(stage):
    lend(stage)
    shot = stage.publisher.out[0][1]
    stage.camera.unplug()
    stage.unit.on_readable(8)
    stage.finish()
    stage.camera.plug()
    stage.wait()
    assert ends(stage) == []
    stage.slow.work()
    stage.slow.report()
    stage.returns()
    assert ends(stage) == [End.BROKE]
    assert stage.unit.armed
    assert shot.frame.index in range(4)
    assert queued(stage) == 4


def test_a_tick_whose_frame_never_comes_fails_though_others_come(stage):
    """Stamps that lie: every frame seems older than the tick."""
    request = stage.want()
    request.due_ns += 3600 * NS_PER_S
    while not stage.ends:
        stage.frames(10)
        stage.unit.check(stage.clock.now_ns())
    assert ends(stage) == [End.NO_FRAME]
    assert 3 * NS_PER_S <= stage.clock.now_ns() - request.fired_ns < 4 * NS_PER_S
    assert stage.unit.armed, "a camera that gives frames is not silent"


def test_a_long_burst_is_not_late_while_frames_come(stage):
    request = stage.want(wanted=150)
    for _ in range(145):
        stage.frames()
        stage.unit.check(stage.clock.now_ns())
    assert request.end is None
    assert request.frames > 140


def test_lost_frames_are_counted(stage):
    stage.camera.faults.lost_frames = {2, 3}
    for _ in range(6):
        stage.frames()
    assert stage.unit.words[Of.LOST] == 2
