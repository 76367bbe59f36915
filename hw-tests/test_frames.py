"""Frames for other programs, from real drivers: whose memory it is, and that nothing a client does keeps a camera.

Clients are let in to a capture process as the agent does it; the same through the service: test_frames_service.py. The
witnesses are the driver, other programs, and the UVC camera's own record.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from driver import Driver
from forked import forking
from frame_clients import (
    LIMIT_S,
    ClientProcess,
    Reception,
    dmabufs,
    hold,
    is_revoked,
    nothing_comes,
    read_whole,
    stand_still,
    told,
)
from inspect_process import possessions, vivid_streams
from vivid import MULTI, SINGLE, settings
from witness import Witness

from agent.capture.board import Of
from agent.capture.messages import Relocate
from agent.capture.order import CameraOrder
from agent.capture.process_messages import ProcessEnded
from agent.capture.sink_process import SinkOrder
from agent.clock import monotonic_ns
from agent.frames.values import Streaming
from agent.kernel import LinuxKernel
from agent.simulation.mark import read_mark
from agent.units import NS_PER_MS, NS_PER_S
from agent.v4l2.buffers import PREFERENCE, MemoryKind

UVC = "uvc"
CAMERAS = {SINGLE: ("YUYV", 180), MULTI: ("NM12", 180), UVC: ("YUYV", 240)}
EXPORTERS = {
    MemoryKind.MMAP_EXPORTED: "videobuf2_vmalloc",
    MemoryKind.DMA_HEAP: "system",
    MemoryKind.UDMABUF: "udmabuf",
}
BUFFERS = 6
EXPOSURE_NS = 8 * NS_PER_MS
TEN_FRAMES_NS = 10 * NS_PER_S // 30
SLACK_NS = 50 * NS_PER_MS
"""The stamp is made by a kernel thread fed from a user process; both wait their turn on an emulated, shared machine."""

pytestmark = pytest.mark.timeout(300)
every_camera = pytest.mark.parametrize("camera", CAMERAS)
in_every_memory = pytest.mark.parametrize(
    ("camera", "memory"),
    [
        pytest.param(camera, memory, id=f"{camera}-{memory.value}")
        for camera, memories in {SINGLE: [*EXPORTERS], MULTI: [*EXPORTERS][:2], UVC: [*EXPORTERS][::2]}.items()
        for memory in memories
    ],
)


@pytest.fixture
def paths(vivids, uvc_camera):
    return {**vivids, UVC: str(uvc_camera.node)}


@pytest.fixture
def start(paths, tmp_path):
    """A capture process of one of them, begun at once, and its reception."""

    def started(camera, memory=None, *, buffers=BUFFERS, wishes=None, **more):
        pixel_format, height_px = CAMERAS[camera]
        wanted = settings(pixel_format=pixel_format, height_px=height_px, buffer_count=buffers)
        wanted = replace(wanted, memory=PREFERENCE if memory is None else (memory,), **(wishes or {}))
        order = CameraOrder(name=camera, path=paths[camera], settings=wanted)
        return Driver(order, spawn=forking(LinuxKernel), **more)

    return started


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def assert_usable(path: str, *sizes: str) -> None:
    """Another program sets a format and streams: nobody keeps its buffers or its format."""
    for size in sizes:
        command = ["v4l2-ctl", "-d", path, f"--set-fmt-video={size}", "--stream-mmap=3", "--stream-count=2"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert (done.returncode, "busy" in (done.stdout + done.stderr).lower()) == (0, False), done


def counted(driver, camera):
    words = driver.words(camera)
    return {of.name.removeprefix("CLIENT_").lower(): words[of] for of in Of if of.name.startswith("CLIENT")}


# ---- frames


@in_every_memory
def test_frames_are_lent_in_the_memory_the_driver_writes(start, folder, camera, memory):
    with start(camera, memory) as driver, Reception(driver, folder) as at:
        with at.connect(camera, every=True) as feed:
            frames = [feed.next() for _ in range(2)]
            assert set(dmabufs().values()) == {EXPORTERS[memory]}
            frames += [assert_readable(feed.next(), camera) for _ in range(8)]
            assert_in_order(frames, driver.words(camera)[Of.LOST])
            counts = counted(driver, camera)
            assert (counts["clients"], counts["copied"], counts["revoked"]) == (1, 0, 0), counts
            assert counts["frames"] >= 10
        assert dmabufs() == {}, "the client left some"
        driver.until(lambda: driver.words(camera)[Of.CLIENTS] == 0)


def assert_readable(frame, camera):
    pixel_format, height_px = CAMERAS[camera]
    assert (frame.pixel_format, frame.width_px, frame.height_px) == (pixel_format, 320, height_px)
    image = frame.image if camera != MULTI else frame.image[0]
    assert image.shape[:2] == (height_px, 320)
    assert not image.flags.writeable
    assert not image.flags.owndata
    assert image.std() > 1, "an empty picture"
    frame.check()
    return frame


def assert_in_order(frames, lost):
    """By the driver's numbers, what is missing between two of them was counted: skipped here, or lost by the driver."""
    gaps = [later.sequence - earlier.sequence - 1 for earlier, later in pairwise(frames)]
    skipped = sum(frame.skipped for frame in frames[1:])
    assert all(gap >= 0 for gap in gaps)
    assert skipped <= sum(gaps) <= skipped + lost
    for earlier, later in pairwise(frames):
        assert later.timestamp_ns > earlier.timestamp_ns
    assert all(frame.began_ns <= frame.facts.dequeued_ns for frame in frames)


def test_memory_that_cannot_be_shared_is_copied_once_for_all(start, folder):
    with start(SINGLE, MemoryKind.MMAP, buffers=8) as driver, Reception(driver, folder) as at:
        with at.connect(SINGLE, every=True) as one, at.connect(SINGLE, every=True) as two:
            frames = [[assert_readable(feed.next(), SINGLE) for feed in (one, two)] for _ in range(8)]
            assert dmabufs() == {}
            counts = counted(driver, SINGLE)
        shared = {frame.sequence for frame, _ in frames} & {frame.sequence for _, frame in frames}
        assert shared
        assert 8 <= counts["copied"] <= counts["frames"] - len(shared) + 2, counts


def test_the_cameras_own_record_agrees_with_what_its_client_sees(start, folder, uvc_camera):
    witness = Witness(uvc_camera)
    with start(UVC, wishes={"exposure_ns": EXPOSURE_NS}) as driver, Reception(driver, folder) as at:
        with at.connect(UVC, every=True) as feed:
            seen = [marked(feed.next()) for _ in range(12)]
        assert_in_order([frame for frame, _ in seen], driver.words(UVC)[Of.LOST])
        driver.until(lambda: seen[-1][1].sequence in witness.frames)
    frames = witness.frames
    numbers = [mark.sequence for _, mark in seen]
    for frame, mark in seen:
        own = frames[mark.sequence]
        assert frame.exposure_ns == mark.exposure_ns == own["exposure_ns"] == EXPOSURE_NS
        assert frame.gain == mark.gain == own["gain"]
        assert own["start_ns"] <= frame.timestamp_ns
        uncertain_ns = frame.facts.uncertainty_ns
        assert -uncertain_ns <= frame.timestamp_ns - own["header_ns"] <= uncertain_ns + SLACK_NS
    # what the driver saw between two frames, the camera had sent
    steps = zip(pairwise(numbers), pairwise(frame.sequence for frame, _ in seen), strict=True)
    assert all(after - before >= later - earlier > 0 for (before, after), (earlier, later) in steps)


def marked(frame):
    """A frame, and what is drawn in it."""
    return frame, read_mark(frame.to("luma"))


@every_camera
def test_pain_1_after_gives_no_frame_that_was_begun_before(start, folder, camera):
    with start(camera) as driver, Reception(driver, folder) as at, at.connect(camera) as before:
        before.next()
        for _ in range(3):
            # some frames from now: whatever comes before would be one too early
            after_ns = monotonic_ns() + TEN_FRAMES_NS
            with at.connect(camera, every=True, after_ns=after_ns) as feed:
                frame = feed.next()
                assert frame.began_ns >= after_ns
                assert frame.timestamp_ns >= after_ns


def test_a_plans_client_sees_what_its_pictures_log_says(start, folder):
    sink = SinkOrder(folder=folder / "photos", cameras={SINGLE: SINGLE})
    with start(SINGLE, sink=sink, buffers=8) as driver, Reception(driver, folder) as at:
        with at.connect("plan", kind="plan", every=True) as feed, at.connect(SINGLE) as all_frames:
            driver.add(SINGLE, period_ns=200 * NS_PER_MS, count=5, store=True)
            frames = [feed.next() for _ in range(5)]
            assert not all_frames.next().revoked
            driver.until(lambda: driver.account().delivered == 5)
        lines = [json.loads(line) for line in (folder / "photos" / "frames.jsonl").read_text().splitlines()]
        assert counted(driver, SINGLE)["copied"] == 0
    for frame, line in zip(frames, lines, strict=True):
        for name in ("sequence", "timestamp_ns", "realtime_ns", "exposure_ns", "gain"):
            assert getattr(frame, name) == line[name], name
        assert list(frame.trace_ids) == line["trace_ids"]


# ---- while frames are lent


@in_every_memory
def test_g5_streamoff_while_lent_takes_it_back_and_the_camera_is_free_for_more(start, folder, paths, camera, memory):
    with start(camera, memory) as driver, Reception(driver, folder) as at, at.connect(camera) as feed:
        feed.next()
        held = possessions(driver.pid)
        for _ in range(2):
            frame = feed.next()
            report, answer = driver.cancel(camera)
            assert is_revoked(frame)
            [stopped] = report.cameras
            assert (stopped.steps, stopped.error) == (("streamoff",), "")
            assert answer.at_ns - stopped.asked_ns < NS_PER_S
            assert camera == UVC or not vivid_streams(paths[camera])
            assert nothing_comes(driver, feed, TEN_FRAMES_NS), "a frame after the acknowledgement"
            assert feed.states[camera].state is Streaming.STOPPED
            driver.start(camera)
            assert read_whole(feed.next()) > 0
        assert possessions(driver.pid) == held, "something was left behind"
        assert counted(driver, camera)["revoked"] >= 2
        frame = feed.next()
        views = frame.planes
        driver.quit()
        assert is_revoked(frame)
        assert_usable(paths[camera], "width=640,height=480", f"width=320,height={CAMERAS[camera][1]}")
        assert all(int(view.sum()) >= 0 for view in views), "what was mapped stays readable"


def test_unplugged_while_lent_the_client_is_told_and_goes_on_when_it_is_back(start, folder, uvc_camera):
    held = []
    with start(UVC) as driver, Reception(driver, folder) as at, at.connect(UVC) as feed:
        for _ in range(3):
            frame = feed.next()
            views = frame.planes
            uvc_camera.unplug()
            told(driver, feed, UVC, Streaming.GONE)
            assert is_revoked(frame)
            assert feed.states[UVC].hint
            assert all(int(view.sum()) >= 0 for view in views), "what was mapped stays readable"
            driver.done(Relocate, camera=UVC, path=str(uvc_camera.plug()))
            driver.until(lambda: driver.is_on(UVC))
            assert read_whole(feed.next()) > 0
            assert (feed.reconnects, driver.group.starts) == (0, 1)
            held.append(named_alike(possessions(driver.pid)))
        # the first time, a thread is started that is kept
        assert held[1] == held[2], "something was left behind"
        assert set(dmabufs().values()) == {EXPORTERS[MemoryKind.MMAP_EXPORTED]}
        assert len(dmabufs()) == BUFFERS, "those of the camera before are still there"


def named_alike(held):
    """What is held of a camera that has another node each time it is back."""
    return held._replace(descriptors=[re.sub(r"^/dev/video\d+", "/dev/video", target) for target in held.descriptors])


def test_another_format_while_lent_is_another_pool_and_leaves_no_ebusy(start, folder, paths):
    """A camera of another size is found where the first one was; each keeps the size it has."""
    for name in (SINGLE, UVC):
        assert_usable(paths[name], f"width=320,height={CAMERAS[name][1]}")
    as_it_is = {"width_px": None, "height_px": None}
    with (
        start(SINGLE, wishes=as_it_is) as driver,
        Reception(driver, folder) as at,
        at.connect(SINGLE) as feed,
    ):
        for name, other in ((UVC, SINGLE), (SINGLE, UVC)):
            frame = feed.next()
            views = frame.planes
            driver.cancel(SINGLE)
            driver.done(Relocate, camera=SINGLE, path=paths[name])
            driver.start(SINGLE)
            new = feed.next()
            assert is_revoked(frame)
            assert new.height_px == CAMERAS[name][1]
            assert read_whole(new) > 0
            assert_usable(paths[other], f"width=320,height={CAMERAS[other][1]}")
            assert all(int(view.sum()) >= 0 for view in views), "what was mapped stays readable"
        assert (feed.reconnects, driver.group.starts) == (0, 1)


# ---- clients and processes that end


@every_camera
def test_a_client_killed_while_it_holds_leaves_nothing(start, folder, camera):
    # of four buffers, one may be a client's at a time
    with start(camera, buffers=4) as driver, Reception(driver, folder) as at:
        driver.until(lambda: driver.frames(camera) > 0)
        held = possessions(driver.pid)
        for _ in range(3):
            with ClientProcess(at, hold, camera) as client:
                client.hear()
                client.kill()
            with at.connect(camera) as feed:
                assert read_whole(feed.next()) > 0
        driver.until(lambda: driver.words(camera)[Of.CLIENTS] == 0)
        driver.until(lambda: possessions(driver.pid) == held)
        assert driver.words(camera)[Of.FAULTS] == 0


@every_camera
def test_a_client_that_stands_still_loses_its_frame_and_the_stream_goes_on(start, folder, camera):
    with start(camera) as driver, Reception(driver, folder) as at:
        with ClientProcess(at, stand_still, camera, lease_s=0.5) as client, at.connect(camera) as other:
            client.await_stop()
            driver.until(lambda: driver.words(camera)[Of.CLIENT_REVOKED] >= 1)
            frames = [other.next() for _ in range(5)]
            client.go_on()
            assert client.hear()["revoked"]
            after = [client.hear() for _ in range(3)]
        assert after[0]["sequence"] > frames[-1].sequence - 2
        assert sum(frame["skipped"] for frame in after) > 0
        counts = counted(driver, camera)
        assert counts["skipped"] > 0
        assert (driver.words(camera)[Of.FAULTS], driver.group.starts) == (0, 1)


@in_every_memory
def test_a_capture_process_killed_while_lent_is_replaced_and_the_client_goes_on(start, folder, camera, memory):
    with start(camera, memory) as driver, Reception(driver, folder) as at, at.connect(camera) as feed:
        views = feed.next().planes
        os.kill(driver.pid, signal.SIGKILL)
        driver.until(lambda: driver.said(ProcessEnded))
        driver.until(lambda: driver.is_on(camera))
        at.let_in(meanwhile=feed.step)
        assert read_whole(feed.next()) > 0
        assert all(int(view.sum()) >= 0 for view in views), "what was mapped stays readable"
        assert (feed.reconnects, driver.group.starts) == (1, 2)
        assert "EBUSY" not in str(driver.told)


# ---- another language


def test_the_client_in_c_sees_the_same_frames(start, folder):
    program = Path("/tree/examples/frames")
    if not program.exists():
        pytest.skip("no C compiler where the tree was laid out")
    with start(SINGLE) as driver, Reception(driver, folder) as at:
        client = subprocess.Popen([program, at.path, SINGLE, "5"], stdout=subprocess.PIPE, text=True)
        at.let_in()
        out, _ = client.communicate(timeout=LIMIT_S)
    assert client.returncode == 0
    lines = [list(map(int, line.split())) for line in out.splitlines()]
    assert len(lines) == 5
    assert [line[0] for line in lines] == sorted({line[0] for line in lines})
