"""Starting a camera: limits, retries, and what becomes of a start that somebody does not want any more."""

import errno

import pytest
from capture.stage import HeldPublisher, Stage

from agent.capture.board import Of
from agent.capture.order import StageLimits
from agent.capture.state_word import Phase
from agent.errors import InputError, StateError
from agent.scope import ScopeEnded
from agent.units import NS_PER_MS, NS_PER_S
from agent.v4l2.uapi import VIDIOC_STREAMON


@pytest.fixture
def stage():
    with Stage(limits=StageLimits(session_ns=2 * NS_PER_S)) as made:
        yield made


def waits(stage, count, attempt):
    found = []
    for _ in range(count):
        found.append(stage.unit.next_ns - stage.clock.now_ns())
        stage.wait()
        attempt()
    return [wait_ns // NS_PER_MS for wait_ns in found]


def up(stage):
    stage.slow.work()
    stage.slow.report()


def test_a_start_that_hangs_is_told_at_its_limit_and_starts_nothing_later(stage):
    told = []
    stage.unit.start(told.append)
    assert not stage.unit.settled
    assert stage.unit.next_ns == stage.clock.now_ns() + 2 * NS_PER_S
    stage.wait()
    assert told[0].code == "start_abandoned"
    assert "longer than its limit of 2s" in stage.unit.cause.message
    assert stage.unit.settled
    assert stage.unit.next_ns is None
    up(stage)
    assert not stage.streams
    assert stage.unit.word.phase is Phase.FAULT
    stage.wait()
    up(stage)
    assert stage.unit.armed
    assert len(told) == 1


def test_a_streamon_that_hangs_and_comes_back_after_its_limit_is_a_start(stage):
    stage.unit.start()
    stage.slow.work()
    stage.wait()
    assert stage.unit.cause is not None
    stage.slow.report()
    assert stage.unit.armed
    assert stage.unit.cause is None


def test_the_autofocus_has_a_limit_of_its_own():
    with Stage(limits=StageLimits(session_ns=2 * NS_PER_S, focus_ns=NS_PER_S), focus_once=True) as stage:
        stage.unit.start()
        assert stage.unit.next_ns == stage.clock.now_ns() + 3 * NS_PER_S


def test_whoever_waits_for_a_start_hears_of_its_cancel_at_once(stage):
    told = []
    stage.unit.start(told.append)
    stage.cancel()
    assert isinstance(told[0], ScopeEnded)
    assert str(told[0]) == "camera top cancelled by a test"
    up(stage)
    assert len(told) == 1
    assert stage.unit.word.state == (Phase.PREPARED, False, False)


def test_a_start_asked_during_a_stop_comes_after_it(stage):
    stage.up()
    stage.cancel()
    told = []
    stage.unit.start(told.append)
    stage.stopped()
    assert told == []
    up(stage)
    assert (told, stage.unit.armed) == ([None], True)


def test_a_start_asked_while_a_cancelled_one_ends_comes_after_it(stage):
    stage.unit.start()
    stage.cancel()
    stage.unit.start()
    up(stage)
    assert stage.slow.job is not None
    up(stage)
    assert stage.unit.armed


def test_a_start_during_the_stop_of_a_broken_stream_that_was_cancelled_does_not_wait(stage):
    stage.up()
    stage.camera.fail_queue()
    stage.unit.on_readable(8)
    stage.cancel()
    stage.unit.start()
    stage.stopped()
    assert stage.unit.words[Of.FAULTS] == 0
    up(stage)
    assert stage.unit.armed


def test_a_cancel_ends_the_retries(stage):
    stage.camera.faults.refuse(VIDIOC_STREAMON.name, errno.EIO)
    stage.up()
    assert stage.unit.next_ns is not None
    stage.cancel()
    assert stage.unit.next_ns is None
    assert stage.reports[0].was_on is False


def test_a_stream_that_starts_but_gives_no_frame_is_tried_less_and_less_often(stage):
    stage.up()

    def breaks():
        up(stage)
        stage.camera.fail_queue()
        stage.unit.on_readable(8)
        stage.stopped()

    stage.camera.fail_queue()
    stage.unit.on_readable(8)
    stage.stopped()
    assert waits(stage, 4, breaks) == [500, 1000, 2000, 4000]
    stage.wait()
    up(stage)
    stage.frames()
    stage.camera.fail_queue()
    stage.unit.on_readable(8)
    stage.stopped()
    assert waits(stage, 1, lambda: up(stage)) == [500]


def test_what_cannot_be_is_not_tried_again():
    publisher = HeldPublisher()
    publisher.refuses = InputError("no room for leases", hint="")
    with Stage(publisher) as stage:
        told = []
        stage.unit.start(told.append)
        up(stage)
        stage.stopped()
        assert (told, stage.unit.cause) == ([publisher.refuses], publisher.refuses)
        assert stage.unit.next_ns is None
        assert stage.unit.settled
        publisher.refuses = None
        stage.up()
        assert stage.unit.armed


def test_the_buffers_are_kept_over_a_failed_start_and_opened_anew_after_the_second(stage):
    stage.up()
    pool = stage.unit.session.pool
    stage.cancel()
    stage.stopped()
    stage.camera.faults.refuse(VIDIOC_STREAMON.name, errno.EIO, every=True)
    stage.up()
    assert stage.unit.session.pool is pool
    stage.camera.faults.allow(VIDIOC_STREAMON.name)
    stage.wait()
    up(stage)
    assert stage.unit.session.pool is pool
    assert stage.unit.armed


def test_a_camera_that_was_unplugged_is_opened_anew(stage):
    stage.up()
    stage.camera.unplug()
    stage.unit.on_readable(8)
    stage.finish()
    assert stage.unit.cause.code == "device_gone"
    stage.camera.plug()
    stage.wait()
    up(stage)
    assert stage.unit.armed


# -- exposures ------------------------------------------------------------------------------------------------------


def expose(stage, told, exposure_ns=5 * NS_PER_MS):
    stage.unit.expose(exposure_ns, None, told.append)


def test_one_exposure_at_a_time(stage):
    told = []
    stage.up()
    expose(stage, told)
    with pytest.raises(StateError, match="being started, stopped or set"):
        expose(stage, told)
    up(stage)
    expose(stage, told)
    up(stage)
    assert [outcome.error for outcome in told] == [None, None]


def test_a_camera_that_is_not_open_cannot_be_set(stage):
    with pytest.raises(StateError, match="not open"):
        expose(stage, [])
    stage.unit.start()
    with pytest.raises(StateError, match="being started"):
        expose(stage, [])


def test_a_cancel_during_an_exposure_while_streaming(stage):
    told = []
    stage.up()
    expose(stage, told)
    stage.cancel()
    stage.stopped()
    assert stage.reports[0].was_on
    assert not stage.streams
    stage.unit.start()
    assert stage.unit.word.state == (Phase.PREPARED, False, False)
    up(stage)
    assert told[0].error is None
    assert stage.slow.job is not None, "the start that was asked for meanwhile"
    up(stage)
    assert stage.unit.armed


@pytest.mark.parametrize("works_first", [False, True])
def test_a_cancel_during_an_exposure_at_rest_is_answered_at_once_and_blocks_nothing(stage, works_first):
    told = []
    stage.up()
    stage.cancel()
    stage.stopped()
    expose(stage, told)
    if works_first:
        stage.slow.work()
    stage.cancel()
    assert stage.reports[1].was_on is False
    if not works_first:
        stage.slow.work()
    stage.slow.report()
    assert stage.unit.word.state == (Phase.PREPARED, False, False)
    stage.up()
    assert stage.unit.armed


def test_an_exposure_in_fault_blocks_no_retry(stage):
    stage.up()
    stage.camera.fail_queue()
    stage.unit.on_readable(8)
    stage.stopped()
    told = []
    expose(stage, told)
    stage.clock.move_to(stage.clock.now_ns() + NS_PER_S)
    assert stage.unit.next_ns is None, "nothing to do before the thread is free: a loop would spin"
    up(stage)
    assert stage.unit.word.state == (Phase.FAULT, False, False)
    stage.wait()
    up(stage)
    assert stage.unit.armed


def test_an_exposure_outlives_the_session_it_was_set_in(stage):
    stage.up()
    expose(stage, [], 7 * NS_PER_MS)
    up(stage)
    stage.camera.unplug()
    stage.unit.on_readable(8)
    stage.finish()
    stage.camera.plug()
    stage.wait()
    up(stage)
    assert stage.unit.session.prepared.exposure_ns == 7 * NS_PER_MS
