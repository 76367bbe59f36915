"""Clients against the program itself: real capture processes on simulated cameras, over the real socket."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from examples.compiled import SOURCE, compiled
from service.test_end_to_end import Running

from agent.client import NoFrame, Refused, Revoked, connect, connect_async
from agent.frames.values import Streaming

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with Running(tmp_path_factory.mktemp("running")) as started:
        started.until("/v1/plans", lambda found: {plan["state"] for plan in found["plans"]} == {"running"})
        yield started


@pytest.fixture
def socket(running):
    return running.folder / "frames.sock"


def test_frames_in_python(running, socket):
    asked_ns = time.monotonic_ns()
    with connect("top", socket=socket, timeout_s=30, after_ns=asked_ns) as feed:
        numbers = []
        for frame in itertools.islice(feed, 20):
            with frame:
                assert frame.camera == "top"
                assert frame.image.any()
                assert frame.bgr().shape == (frame.height_px, frame.width_px, 3)
                assert asked_ns <= frame.began_ns <= time.monotonic_ns()
                numbers.append(frame.sequence)
        assert numbers == sorted(set(numbers))
        assert feed.states["top"].state is Streaming.STREAMING
        latest = feed.latest()
        assert latest.sequence > numbers[-1]


def test_every_frame_is_delivered_or_counted(running, socket):
    with connect("top", every=True, depth=64, socket=socket, timeout_s=30) as feed:
        first = feed.next()
        number, last = first.sequence, first.sequence
        for frame in itertools.islice(feed, 40):
            number += 1 + frame.skipped + frame.facts.lost_before
            last = frame.sequence
        assert number == last


def test_frames_of_a_group_and_a_plan(running, socket):
    group = running.get("/v1/groups")["groups"][0]
    with connect(group["name"], kind="group", socket=socket, timeout_s=30) as feed:
        cameras = {frame.camera for frame in itertools.islice(feed, 20)}
        assert cameras == set(group["cameras"])
    with connect("lapse", kind="plan", socket=socket, timeout_s=30) as feed:
        for frame in itertools.islice(feed, 3):
            assert len(frame.trace_ids) == 1


def test_several_frames_are_kept_at_a_time(running, socket):
    """As many as the camera's buffers allow; each is good until it is given back."""
    with connect("top", most=2, every=True, socket=socket, timeout_s=30) as feed:
        for _ in range(10):
            kept = [feed.next().keep()]
            try:
                kept.append(feed.next(timeout_s=0.5).keep())
            except NoFrame:
                pytest.skip("this camera's buffers allow one frame at a time")
            sums = [int(frame.image.sum()) for frame in kept]
            assert [int(frame.image.sum()) for frame in kept] == sums
            for frame in kept:
                frame.check()
                frame.release()


@pytest.mark.parametrize("kind", ["camera", "group", "plan"])
def test_what_is_not_there_is_refused(running, socket, kind):
    with connect("none", kind=kind, socket=socket, timeout_s=30) as feed, pytest.raises(Refused) as caught:
        feed.next()
    assert caught.value.code == "not_found"
    assert caught.value.hint


def test_stopped_and_started_again(running, socket):
    with connect("top", socket=socket, timeout_s=30) as feed:
        frame = feed.next()
        assert running.ask("DELETE", "/v1/cameras/top/stream")[0] == 200
        with pytest.raises(Revoked):
            frame.check()
        with pytest.raises(NoFrame, match="top is stopped"):
            feed.next(timeout_s=0.3)
        assert running.ask("PUT", "/v1/cameras/top/stream", {})[0] in (200, 201)
        assert feed.next().camera == "top"
        assert feed.reconnects == 0


def test_a_lease_that_is_over_is_lost_and_told(running, socket):
    with connect("top", lease_s=0.2, socket=socket, timeout_s=30) as feed:
        with pytest.raises(Revoked), feed.next() as frame:  # noqa: PT012
            _ = frame.image
            deadline = time.monotonic() + 20
            while not frame.revoked:
                assert time.monotonic() < deadline
        assert not feed.next().revoked


def test_a_process_that_is_killed_is_replaced_under_the_client(running, socket):
    with connect("top", socket=socket, timeout_s=60) as feed:
        feed.next()
        for pid in running.pids.values():
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while not feed.reconnects:
            assert time.monotonic() < deadline
            feed.next()
        with feed.next() as frame:
            assert frame.image.any()


def test_two_cameras_in_one_event_loop(running, socket):
    async def some(camera):
        async with connect_async(camera, socket=socket, timeout_s=60) as feed:
            seen = []
            async for frame in feed:
                seen.append(frame.camera)
                if len(seen) == 5:
                    break
            return seen

    async def both():
        return await asyncio.gather(some("top"), some("left"))

    assert asyncio.run(both()) == [["top"] * 5, ["left"] * 5]


def test_frames_in_c(running, socket):
    done = subprocess.run([compiled(), socket, "top", "20"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    numbers = [int(number) for number, _, _ in lines]
    assert len(numbers) == 20
    assert numbers == sorted(set(numbers))
    assert all(int(total) > 0 for _, _, total in lines)
    refused = subprocess.run(
        [compiled(SOURCE), socket, "none"], capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("refused: not_found; ")


def test_frames_of_the_python_example(running):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CAMERA_AGENT_SOCKET": str(running.folder / "control.sock")}
    command = [sys.executable, str(ROOT / "examples" / "frames.py"), "top", "5"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["top"] * 5
