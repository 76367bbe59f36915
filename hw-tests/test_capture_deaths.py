"""Capture processes that die or hang on real drivers: the camera is off, the accounts go on, every answer is true."""

from __future__ import annotations

import itertools
import os
import random
import signal
from fractions import Fraction
from pathlib import Path

import pytest
from driver import PROGRAM, Driver, pictures
from forked import forking
from inspect_process import vivid_streams
from kernels import Calls, MortalKernel
from nodes import find_vivid, set_by_name
from PIL import Image

from agent.capture.messages import AddPlans, Cancel, Done, Progress, Ready, Refused
from agent.capture.order import CameraOrder, PlanOrder, StageLimits
from agent.capture.process_messages import ProcessEnded, ProcessStarted
from agent.capture.settings import Settings
from agent.capture.sink_process import SinkOrder
from agent.clock import monotonic_ns
from agent.kernel import LinuxKernel
from agent.schedule.plan import Plan
from agent.units import NS_PER_MS, NS_PER_S
from agent.v4l2.uapi import VIDIOC_STREAMOFF, VIDIOC_STREAMON, BufType

CAMERA = "camera"
POINTS = 16
"""So many calls, evenly spread, are died at; and each side of STREAMON and of STREAMOFF."""


@pytest.fixture
def path(vivid_path):
    path = find_vivid(BufType.VIDEO_CAPTURE)
    set_by_name(path, "timestamp_source", "Start of Exposure")
    yield path
    set_by_name(path, "timestamp_source", "End of Frame")


def camera_at(path: str, height_px: int = 180, buffers: int = 4) -> CameraOrder:
    settings = Settings(
        pixel_format="YUYV",
        width_px=320,
        height_px=height_px,
        rate=Fraction(30),
        settle_frames=0,
        buffer_count=buffers,
    )
    return CameraOrder(name=CAMERA, path=path, settings=settings)


def first(kernel: LinuxKernel):
    """The first process gets this kernel, its successors the usual one."""
    kernels = itertools.chain([kernel], iter(LinuxKernel, None))
    return forking(lambda: next(kernels))


def plan_now() -> tuple[PlanOrder, ...]:
    plan = Plan(name="plan", camera=CAMERA, start_ns=monotonic_ns(), period_ns=50 * NS_PER_MS)
    return (PlanOrder(plan=plan, store=False),)


def calls_to_five_frames(path: str) -> int:
    calls = Calls()
    with Driver(camera_at(path), spawn=first(MortalKernel(calls))) as driver:
        driver.done(AddPlans, orders=plan_now())
        driver.until(lambda: driver.account().delivered >= 5)
        return calls.made


def await_successor(driver: Driver) -> None:
    driver.until(lambda: driver.said(ProcessEnded))
    driver.until(lambda: len(driver.said(ProcessStarted)) > 1)


def assert_goes_on(driver: Driver, path: str, added: int) -> None:
    """The process dies: the driver is off, a successor takes the plan up, and no tick is lost from its account."""
    driver.until(lambda: driver.said(ProcessEnded))
    assert "SIGKILL" in driver.said(ProcessEnded)[0].cause
    answer = driver.answer(added)
    await_successor(driver)
    if isinstance(answer, Refused):
        assert answer.code in ("process_died", "process_down")
        driver.done(AddPlans, orders=plan_now())
    driver.until(lambda: driver.is_on(CAMERA))
    before = driver.account().delivered
    driver.until(lambda: driver.account().delivered >= before + 2)
    driver.cancel(CAMERA)
    account = driver.account()
    assert (account.waiting, account.under_way) == (0, 0), account
    assert not vivid_streams(path)


def test_killed_at_any_call_a_successor_goes_on(path):
    many = calls_to_five_frames(path)
    for at in range(1, many, max(many // POINTS, 1)):
        with Driver(camera_at(path), spawn=first(MortalKernel(Calls(), at=at)), wait=False) as driver:
            assert_goes_on(driver, path, driver.ask(AddPlans, orders=plan_now()))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_around_streamon(path, after):
    kernel = MortalKernel(Calls(), on=VIDIOC_STREAMON, after=after)
    # no successor for a while: what the driver does without one can be looked at
    ways = {"first_back_off_ns": 2 * NS_PER_S}
    with Driver(camera_at(path), spawn=first(kernel), wait=False, **ways) as driver:
        added = driver.ask(AddPlans, orders=plan_now())
        driver.until(lambda: driver.said(ProcessEnded))
        assert not vivid_streams(path)
        assert_goes_on(driver, path, added)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_around_streamoff_the_cancel_is_done(path, after):
    with Driver(camera_at(path), spawn=first(MortalKernel(Calls(), on=VIDIOC_STREAMOFF, after=after))) as driver:
        assert vivid_streams(path)
        answer = driver.answer(driver.ask(Cancel, kind="camera", name=CAMERA, by="the test"))
        assert isinstance(answer, Done), answer
        assert not vivid_streams(path)
        await_successor(driver)
        driver.start(CAMERA)
        driver.until(lambda: driver.is_on(CAMERA))


def test_killed_again_and_again_while_it_stores_every_picture_is_whole(path, tmp_path):
    chance = random.Random(7)
    sink = SinkOrder(folder=tmp_path / "photos", cameras={CAMERA: CAMERA})
    ways = {"largest_back_off_ns": NS_PER_S}
    with Driver(camera_at(path, buffers=6), spawn=forking(LinuxKernel), sink=sink, **ways) as driver:
        driver.add(CAMERA, period_ns=100 * NS_PER_MS, store=True)
        for kill in range(1, 6):
            stored = driver.account().delivered
            driver.until(lambda stored=stored: driver.account().delivered > stored)
            driver.watch(chance.randrange(200) * NS_PER_MS)
            os.kill(driver.pid, signal.SIGKILL)
            driver.until(lambda kill=kill: len(driver.said(ProcessEnded)) == kill)
        stored = driver.account().delivered
        # by the last successor, no word of which may have been heard yet
        driver.until(lambda: driver.account().delivered > stored)
        driver.cancel(CAMERA)
        account = driver.account()
    assert (account.waiting, account.under_way) == (0, 0), account
    assert account.skipped_down > 0
    found = pictures(tmp_path / "photos")
    assert len(found) >= account.delivered > 0
    for picture in found:
        with Image.open(picture) as image:
            image.load()


def test_a_process_that_stands_still_is_replaced_and_the_cause_is_told(path):
    with Driver(camera_at(path), spawn=forking(LinuxKernel), wedged_ns=3 * NS_PER_S) as driver:
        driver.add(CAMERA, period_ns=100 * NS_PER_MS)
        driver.until(lambda: driver.account().delivered >= 2)
        os.kill(driver.pid, signal.SIGSTOP)
        driver.until(lambda: driver.said(ProcessEnded))
        assert "had stood still for" in driver.said(ProcessEnded)[0].first_cause
        before = driver.account().delivered
        driver.until(lambda: driver.account().delivered > before)
        assert driver.account().skipped_down > 0


def test_a_streamoff_that_hangs_is_answered_truthfully_until_the_camera_lets_go(uvc_camera):
    """With the camera frozen, uvcvideo waits in STREAMOFF, uninterruptibly, until the camera answers."""
    limits = StageLimits(session_ns=30 * NS_PER_S, frame_ns=30 * NS_PER_S, stop_ns=2 * NS_PER_S, step_ns=2 * NS_PER_S)
    camera = camera_at(str(uvc_camera.node), height_px=240)
    with Driver(camera, spawn=PROGRAM, limits=limits) as driver:
        driver.add(CAMERA, period_ns=100 * NS_PER_MS)
        driver.until(lambda: driver.account().delivered >= 2)
        uvc_camera.fault("freeze")
        try:
            number = driver.ask(Cancel, kind="camera", name=CAMERA, by="the test")
            answer = driver.answer(number)
            frozen_pid = driver.pid
            progress = [said for said in driver.said(Progress) if said.re == number]
            assert isinstance(answer, Refused), (answer, progress)
            assert answer.code == "stop_hangs"
            assert "close" in [said.step for said in progress]
            assert progress[-1].step == "kill"
            assert "state D" in progress[-1].told
            assert Path(f"/proc/{frozen_pid}").exists(), "it was said to hang, and is gone"
            assert not driver.said(ProcessEnded)
        finally:
            uvc_camera.clear_faults()
        await_successor(driver)
        driver.start(CAMERA)
        driver.until(lambda: driver.is_on(CAMERA))
        frames = driver.frames(CAMERA)
        driver.until(lambda: driver.frames(CAMERA) > frames)
    assert driver.said(Ready)
