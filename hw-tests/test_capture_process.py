"""The capture process on real drivers: cancelled at every moment, ten thousand times, and under a clock that jumps.

Not one frame after an acknowledgement: the counts in the shared page stand still, and the driver is off. What happens
when the process is killed or hangs is in test_capture_killed.py.
"""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest
from driver import Driver
from forked import forking
from inspect_process import possessions, resident_kib, vivid_streams
from kernels import Door, DoorKernel
from vivid import MULTI, SINGLE, order, settings
from witness import Witness

from agent.capture.board import Of
from agent.capture.messages import AddPlans, Cancel, CancelReport, Done, Expose, Ping, Refused, StartCamera
from agent.capture.order import CameraOrder, PlanOrder
from agent.capture.state_word import Phase, read_word
from agent.capture.tick_log import End
from agent.clock import monotonic_ns
from agent.kernel import LinuxKernel
from agent.schedule.plan import Plan, WhenBusy
from agent.units import NS_PER_MS, NS_PER_S, NS_PER_US
from agent.v4l2 import uapi

UVC = "uvc"
TEN_FRAMES_NS = 10 * NS_PER_S // 30
MANY, FEWER, LOOK_EVERY = 10_000, 2_000, 100
SIXTIETH_NS = NS_PER_S // 60
GROWTH_KIB = 256
"""Over the second half of ten thousand. A process fills its arenas while it runs in: after 7,000 that was over."""
GROWTH_KIB_A_CANCEL = 1
"""Before that: more than what fills up, and less than a buffer, a mapping or a session would be."""


def forked(*cameras: CameraOrder, door: Door | None = None, **more) -> Driver:
    """A driver of a capture process that begins at once."""
    if door is None:
        return Driver(*cameras, spawn=forking(LinuxKernel), **more)
    return Driver(*cameras, spawn=forking(lambda: DoorKernel(door), door.fds), **more)


def assert_stopped(asked_ns: int, answer: Done, camera: str, path: str | None = None):
    """It was on, STREAMOFF lies between asked and acknowledged, and the driver is off as the answer comes."""
    if path is not None:
        assert not vivid_streams(path), "acknowledged, and the driver goes on"
    assert isinstance(answer, Done), answer
    assert isinstance(answer.facts, CancelReport)
    [report] = [report for report in answer.facts.cameras if report.camera == camera]
    assert report.was_on
    assert (report.steps, report.error) == (("streamoff",), "")
    assert asked_ns <= report.asked_ns <= report.entered_ns <= report.returned_ns <= answer.at_ns
    return report


def assert_no_frame_after(driver: Driver, camera: str, answer: Done) -> None:
    """For ten frame intervals nothing in the page moves, and no tick was delivered after the acknowledgement."""
    before = driver.words(camera)
    assert read_word(before[Of.WORD]) == (Phase.PREPARED, False, False)
    driver.watch(TEN_FRAMES_NS)
    assert driver.words(camera) == before
    records = [record for record in driver.records() if record.end is End.DELIVERED]
    assert all(record.ended_ns <= answer.at_ns for record in records)


def assert_sums(account) -> None:
    """Nothing waits and nothing is under way any more: every tick and every shot has its place."""
    assert (account.waiting, account.under_way) == (0, 0), account


# ---- cancelled at every moment


@pytest.mark.parametrize("kind", [SINGLE, MULTI])
def test_a_cancel_while_streaming_stops_it_and_leaves_it_warm(vivids, kind):
    """The program itself, as the command line starts it."""
    path = vivids[kind]
    with Driver(order(vivids, kind)) as driver:
        driver.add(kind, period_ns=40 * NS_PER_MS)
        driver.until(lambda: driver.account().delivered >= 5)
        held = []
        for _ in range(3):
            assert vivid_streams(path)
            asked_ns = monotonic_ns()
            _, answer = driver.cancel(kind)
            assert_stopped(asked_ns, answer, kind, path)
            assert_no_frame_after(driver, kind, answer)
            held.append(possessions(driver.pid))
            frames = driver.frames(kind)
            driver.start(kind)
            driver.until(lambda before=frames: driver.frames(kind) > before)
        assert held[0] == held[1] == held[2], "something was left behind"
        assert held[0].mappings_of_cameras > 0, "its buffers are not kept"
        assert len(driver.said(type(driver.told[0]))) == driver.group.starts == 1
        assert_sums(driver.account())
        assert driver.account().delivered >= 5


@pytest.mark.parametrize("kind", [SINGLE, MULTI])
def test_a_cancel_while_a_tick_waits_for_its_frame_ends_the_tick_without_one(vivids, kind):
    with forked(order(vivids, kind, rate=1)) as driver:
        driver.until(lambda: driver.frames(kind) >= 1)
        driver.add(kind, period_ns=10 * NS_PER_S)
        driver.until(lambda: driver.account().under_way)
        taken = driver.words(kind)[Of.TAKEN]
        assert read_word(driver.words(kind)[Of.WORD]) == (Phase.ARMED, True, False)
        asked_ns = monotonic_ns()
        _, answer = driver.cancel(kind)
        assert_stopped(asked_ns, answer, kind, vivids[kind])
        driver.watch(2 * NS_PER_S)  # two of its slow frames
        assert driver.words(kind)[Of.TAKEN] == taken
        account = driver.account()
        assert (account.ticks, account.fired, account.shots_cancelled, account.delivered) == (1, 1, 1, 0)
        assert_sums(account)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", [SINGLE, MULTI])
def test_a_cancel_during_streamon_waits_for_it_and_stops_it(vivids, kind, after):
    """The thread that starts the stream stands before the ioctl, or has come back from it and told nobody."""
    with Door(uapi.VIDIOC_STREAMON, after=after) as door:
        door.let_on()
        with forked(order(vivids, kind), door=door) as driver:
            assert door.was_reached()
            driver.cancel(kind)
            frames = driver.frames(kind)
            for _ in range(2):
                started = driver.ask(StartCamera, camera=kind)
                driver.until(door.was_reached)
                assert vivid_streams(vivids[kind]) is after
                asked_ns = monotonic_ns()
                cancel = driver.ask(Cancel, kind="camera", name=kind, by="the test")
                driver.done(Ping)
                assert not driver.is_answered(cancel), "acknowledged while the stream may come on"
                door.let_on()
                answer = driver.answer(cancel)
                assert_stopped(asked_ns, answer, kind, vivids[kind])
                assert_no_frame_after(driver, kind, answer)
                assert driver.is_answered(started)
                assert driver.frames(kind) == frames


def test_a_cancel_while_the_camera_is_being_prepared_is_answered_at_once_and_it_never_starts(vivids):
    path = vivids[SINGLE]
    with Door(uapi.VIDIOC_S_FMT) as door, forked(order(vivids, SINGLE), door=door, wait=False) as driver:
        driver.until(door.was_reached)
        answer = driver.answer(driver.ask(Cancel, kind="camera", name=SINGLE, by="the test"))
        assert [(report.was_on, report.steps) for report in answer.facts.cameras] == [(False, ())]
        door.let_on(1000)
        driver.watch(TEN_FRAMES_NS)
        assert not vivid_streams(path)
        assert driver.frames(SINGLE) == 0
        driver.start(SINGLE)
        driver.until(lambda: driver.frames(SINGLE) > 0)
        asked_ns = monotonic_ns()
        assert_stopped(asked_ns, driver.cancel(SINGLE)[1], SINGLE, path)


def test_cancels_right_after_the_start_of_the_process_the_camera_and_a_plan(vivids):
    path = vivids[SINGLE]
    with forked(order(vivids, SINGLE), wait=False) as driver:
        driver.turn(0)
        answer = driver.answer(driver.ask(Cancel, kind="all", name="", by="the test"))
        assert isinstance(answer, Done)
        assert not vivid_streams(path)
        driver.watch(TEN_FRAMES_NS)
        assert (driver.frames(SINGLE), vivid_streams(path)) == (0, False)

        started = driver.ask(StartCamera, camera=SINGLE)
        cancelled = driver.answer(driver.ask(Cancel, kind="camera", name=SINGLE, by="the test"))
        assert isinstance(cancelled, Done)
        assert not vivid_streams(path)
        assert driver.answer(started).code in ("cancelled", "start_abandoned")

        plan = Plan(name="late", camera=SINGLE, start_ns=monotonic_ns(), period_ns=40 * NS_PER_MS)
        added = driver.ask(AddPlans, orders=(PlanOrder(plan=plan, store=False),))
        cancelled = driver.answer(driver.ask(Cancel, kind="plan", name="late", by="the test"))
        assert isinstance(cancelled, Done)
        assert isinstance(driver.answer(added), Refused | Done)
        assert not vivid_streams(path)
        frames = driver.frames(SINGLE)
        driver.watch(TEN_FRAMES_NS)
        assert driver.frames(SINGLE) == frames


def test_two_cancels_at_once_are_both_answered_with_the_one_stop(vivids):
    with forked(order(vivids, SINGLE), order(vivids, MULTI)) as driver:
        driver.add(SINGLE, period_ns=40 * NS_PER_MS)
        driver.until(lambda: driver.frames(SINGLE) >= 3 and driver.frames(MULTI) >= 3)
        asked_ns = monotonic_ns()
        one = driver.ask(Cancel, kind="camera", name=SINGLE, by="one")
        everything = driver.ask(Cancel, kind="all", name="", by="another")
        again = driver.ask(Cancel, kind="plan", name="plan", by="a third")
        answers = [driver.answer(number) for number in (one, everything, again)]
        reports = [assert_stopped(asked_ns, answer, SINGLE, vivids[SINGLE]) for answer in answers[:2]]
        assert reports[0] == reports[1]
        assert_stopped(asked_ns, answers[1], MULTI, vivids[MULTI])
        assert answers[2].facts.already
        assert_no_frame_after(driver, SINGLE, answers[0])
        assert_no_frame_after(driver, MULTI, answers[1])
        later = driver.answer(driver.ask(Cancel, kind="camera", name=SINGLE, by="somebody late"))
        assert later.facts.already
        assert [report.was_on for report in later.facts.cameras] == [False]


def test_a_cancel_during_a_control_set_does_not_wait_for_the_camera(vivids, uvc_camera):
    """The camera takes two seconds for its exposure; STREAMOFF goes past that, and so does the other camera's."""
    uvc = CameraOrder(name=UVC, path=str(uvc_camera.node), settings=settings(exposure_ns=8 * NS_PER_MS))
    witness = Witness(uvc_camera)
    with forked(uvc, order(vivids, SINGLE)) as driver:
        driver.until(lambda: driver.frames(UVC) >= 2 and driver.frames(SINGLE) >= 2)
        for exposure_ns in (2 * NS_PER_MS, 4 * NS_PER_MS):
            exposing = begin_to_expose(driver, uvc_camera, exposure_ns)
            asked_ns = monotonic_ns()
            cancels = {name: driver.ask(Cancel, kind="camera", name=name, by="the test") for name in (UVC, SINGLE)}
            answers = {name: driver.answer(number) for name, number in cancels.items()}
            assert not driver.is_answered(exposing), "the cancel waited for the control"
            uvc_camera.clear_faults()
            assert_stopped(asked_ns, answers[UVC], UVC)
            assert_stopped(asked_ns, answers[SINGLE], SINGLE, vivids[SINGLE])
            assert witness.kinds("start", "stop")[-1] == "stop"
            assert_no_frame_after(driver, SINGLE, answers[SINGLE])
            assert isinstance(driver.answer(exposing), Done)
            for name in (UVC, SINGLE):
                driver.start(name)
            driver.until(lambda: driver.states() == {UVC: "armed", SINGLE: "armed"})
        assert driver.group.starts == 1


def test_a_cancel_of_a_stopped_camera_whose_control_is_being_set_is_answered(uvc_camera):
    uvc = CameraOrder(name=UVC, path=str(uvc_camera.node), settings=settings(exposure_ns=8 * NS_PER_MS))
    with forked(uvc) as driver:
        driver.cancel(UVC)
        exposing = begin_to_expose(driver, uvc_camera, 2 * NS_PER_MS)
        answer = driver.answer(driver.ask(Cancel, kind="camera", name=UVC, by="the test"))
        assert [report.was_on for report in answer.facts.cameras] == [False]
        assert not driver.is_answered(exposing), "the cancel waited for the control"
        uvc_camera.clear_faults()
        assert isinstance(driver.answer(exposing), Done)
        driver.start(UVC)
        assert driver.group.starts == 1


def begin_to_expose(driver: Driver, camera, exposure_ns: int) -> int:
    """Ask for an exposure and wait until the camera is being told, which it then thinks about for two seconds."""
    witness = Witness(camera)
    camera.fault("slow_control", control="exposure_time_absolute", delay_ms=2000)
    exposing = driver.ask(Expose, camera=UVC, exposure_ns=exposure_ns)
    driver.until(lambda: any(control == "exposure_time_absolute" for control, _, _ in witness.settings))
    return exposing


# ---- ten thousand times


@pytest.mark.timeout(3600)
def test_not_one_frame_after_any_of_many_cancels_and_nothing_grows(vivids, pytestconfig):
    """Plan, start, cancel, and again; each second cancel hits a plan that was served. --long: ten thousand of them."""
    camera = order(vivids, SINGLE, rate=60)
    cancels = MANY if pytestconfig.getoption("--long") else FEWER
    acknowledged_ns = delivered = 0
    held, resident = set(), []
    with forked(camera) as driver:
        driver.cancel(SINGLE)
        driver.records()  # of nobody's plan
        began_ns = monotonic_ns()
        for number in range(1, cancels + 1):
            added_ns = monotonic_ns()
            slot = driver.add(SINGLE, f"plan {number}", period_ns=SIXTIETH_NS)
            # every other one as soon as the stream is on, the others when a tick was served and the next one is near
            wanted = 1 - number % 2
            driver.until(lambda slot=slot, wanted=wanted: is_served(driver, slot, wanted))
            asked_ns = monotonic_ns()
            _, answer = driver.cancel(SINGLE)
            frames, account = driver.frames(SINGLE), driver.account(slot)
            acknowledged_ns = answer.at_ns
            is_looked_at = number % LOOK_EVERY == 0
            assert_stopped(asked_ns, answer, SINGLE, vivids[SINGLE] if is_looked_at else None)
            if is_looked_at:
                driver.watch(TEN_FRAMES_NS // 2)
                held.add(possessions(driver.pid))
                resident.append(resident_kib(driver.pid))
            records = driver.records()
            # a record of the plan before, if there is one, was written after that one's acknowledgement
            assert all(added_ns <= record.fired_ns <= record.ended_ns <= acknowledged_ns for record in fired(records))
            assert sum(record.end is End.DELIVERED for record in records) == account.delivered >= wanted
            assert driver.account(slot) == account, f"a change after acknowledgement {number}"
            assert driver.frames(SINGLE) == frames, f"a frame after acknowledgement {number}"
            assert_sums(account)
            delivered += account.delivered
            driver.told.clear()
        each_us = (monotonic_ns() - began_ns) // cancels // NS_PER_US
        assert driver.group.starts == 1
    print(f"{cancels} cancels, {each_us} us each with the start, {delivered} ticks delivered, {resident} KiB")
    assert len(held) == 1, held
    half = len(resident) // 2
    allowed_kib = GROWTH_KIB if cancels == MANY else GROWTH_KIB_A_CANCEL * LOOK_EVERY * (len(resident) - half)
    assert resident[-1] <= resident[half] + allowed_kib, resident


def is_served(driver: Driver, slot: int, wanted: int) -> bool:
    """The camera streams, and so many ticks of a plan were delivered."""
    return driver.is_on(SINGLE) and driver.account(slot).delivered >= wanted


def fired(records):
    return [record for record in records if record.fired_ns]


# ---- a clock that jumps


@contextmanager
def clock_put_right():
    ahead_ns = time.time_ns() - monotonic_ns()
    try:
        yield
    finally:
        time.clock_settime_ns(time.CLOCK_REALTIME, monotonic_ns() + ahead_ns)


def test_a_step_of_the_wall_clock_moves_no_tick(vivids):
    """An hour ahead, two back, one ahead; ticks go by CLOCK_MONOTONIC, which nothing sets.

    What a slow machine is late for waits; a tick that went by the wall clock would be half an hour off, or not there.
    """
    period_ns, count = 200 * NS_PER_MS, 40
    with forked(order(vivids, SINGLE)) as driver:
        start_ns = monotonic_ns() + NS_PER_S
        plan = Plan(
            name="plan",
            camera=SINGLE,
            start_ns=start_ns,
            period_ns=period_ns,
            count=count,
            when_busy=WhenBusy.CATCH_UP,
            catch_up=count,
        )
        driver.done(AddPlans, orders=(PlanOrder(plan=plan, store=False),))
        with clock_put_right():
            for after, step_s in ((10, 3600), (20, -7200), (30, 3600)):
                driver.until(lambda ticks=after: driver.account().ticks >= ticks)
                time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + step_s * NS_PER_S)
        driver.until(lambda: driver.account().fired == count)
        driver.until(lambda: not driver.account().under_way)
        records = driver.records()
    assert [record.due_ns for record in records] == [start_ns + number * period_ns for number in range(count)]
    assert all(record.due_ns <= record.fired_ns < record.due_ns + 60 * NS_PER_S for record in records)
    assert all(record.end is End.DELIVERED for record in records)
