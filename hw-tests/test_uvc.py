"""The UVC camera over USB/IP under uvcvideo: automatic exposure, faults on the bus, other users' changes.

What every camera must do is in the contract suite; what the command makes of it is in test_capture_command.py.
"""

from __future__ import annotations

import errno
import select
import subprocess
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise

import pytest
from nodes import KERNEL
from witness import Witness

from agent.capture.session import Session
from agent.capture.settings import Settings
from agent.clock import monotonic_ns
from agent.errors import ControlRefused
from agent.pipeline.pixels import luma
from agent.simulation.mark import read_mark
from agent.units import NS_PER_MS, NS_PER_S
from agent.v4l2.controls import query
from agent.v4l2.events import ControlEvents
from agent.v4l2.exposure import lock_exposure, read_exposure
from agent.v4l2.ioctl import Node
from agent.v4l2.ledger import Loss
from agent.v4l2.snapshot import snapshot
from agent.v4l2.transaction import set_controls
from agent.v4l2.uapi import ControlID, EventControlChange

SETTINGS = Settings(pixel_format="YUYV", width_px=320, height_px=240, rate=Fraction(30), settle_frames=0)
EXPOSURE_NS = 8 * NS_PER_MS
LIMIT_NS = 10 * NS_PER_S
EVENT_LIMIT_MS = 10_000


@contextmanager
def armed(camera):
    with Session(KERNEL, str(camera.node)) as session:
        session.prepare(SETTINGS)
        session.arm()
        yield session


@pytest.fixture
def node(uvc_camera):
    with Node(KERNEL, str(uvc_camera.node)) as opened:
        yield opened


def take(session, count):
    """Frames and what is drawn in them."""
    taken = []
    for _ in range(count):
        shot = session.take(limit_ns=LIMIT_NS)
        taken.append((shot.frame, read_mark(luma(shot.frame))))
        session.give_back(shot)
    return taken


# ---- automatic exposure


def test_pain_7_an_exposure_while_the_camera_is_automatic_is_refused_and_the_mode_named(uvc_camera, node):
    witness = Witness(uvc_camera)
    assert read_exposure(node).automatic
    with pytest.raises(ControlRefused, match="exposure_time_absolute") as caught:
        set_controls(node, {ControlID.EXPOSURE_ABSOLUTE: 80})
    assert "auto_exposure" in str(caught.value)
    assert "set auto_exposure to 1 (Manual Mode) in the same call" in caught.value.hint
    assert caught.value.details["rolled_back"]
    assert witness.settings == [], "it reached the camera"


def test_locking_the_exposure_switches_the_mode_first_and_both_are_read_back(uvc_camera, node):
    witness = Witness(uvc_camera)
    report = lock_exposure(node, EXPOSURE_NS)
    assert report.granted_ns == EXPOSURE_NS
    assert witness.settings == [("auto_exposure", 1, "done"), ("exposure_time_absolute", 80, "done")]
    controls = witness.entries("control")
    last_set = max(n for n, entry in enumerate(controls) if entry["request"] == "SET_CUR")
    read = {(entry["control"], entry["value"]) for entry in controls[last_set:] if entry["request"] == "GET_CUR"}
    assert read >= {("auto_exposure", 1), ("exposure_time_absolute", 80)}, "proven from a cache"


def test_automatic_exposure_comes_back_when_the_session_asked_for_it(node):
    before = snapshot(node)
    with Session(KERNEL, node.path) as session:
        session.restore_on_release()
        session.prepare(Settings(exposure_ns=EXPOSURE_NS, controls={"brightness": "-20", "gain": "99"}))
        assert not read_exposure(node).automatic
    assert read_exposure(node).automatic
    assert snapshot(node).values == before.values


# ---- controls that fail


def test_a_control_that_the_camera_stalls_is_refused_and_all_is_as_it_was(uvc_camera, node):
    before = snapshot(node).values
    witness = Witness(uvc_camera)
    uvc_camera.fault("stall_control", control="exposure_time_absolute")
    with pytest.raises(ControlRefused) as caught:
        lock_exposure(node, EXPOSURE_NS)
    assert caught.value.hint
    assert caught.value.errno in (errno.EBUSY, errno.EPIPE, errno.EIO)
    assert caught.value.details["rolled_back"], caught.value
    stalled = [entry for entry in witness.entries("control") if entry["outcome"] == "stalled"]
    assert {entry["control"] for entry in stalled} == {"exposure_time_absolute"}
    assert witness.settings[-1] == ("auto_exposure", 8, "done")
    uvc_camera.clear_faults()
    assert snapshot(node).values == before
    assert lock_exposure(node, EXPOSURE_NS).granted_ns == EXPOSURE_NS


def test_a_control_that_takes_two_seconds_is_waited_for(uvc_camera, node):
    uvc_camera.fault("slow_control", control="exposure_time_absolute", delay_ms=2000, count=1)
    began_ns = monotonic_ns()
    assert lock_exposure(node, EXPOSURE_NS).granted_ns == EXPOSURE_NS
    assert monotonic_ns() - began_ns >= 2 * NS_PER_S


# ---- frames that fail


@pytest.mark.parametrize("fault", ["short_frame", "error_bit"])
def test_frames_that_uvcvideo_drops_in_silence_are_gaps_of_the_driver(uvc_camera, fault):
    witness = Witness(uvc_camera)
    with armed(uvc_camera) as session:
        taken = take(session, 3)
        uvc_camera.fault(fault, count=2)
        taken += take(session, 8)
        assert session.ledger.losses[Loss.DRIVER_GAP] >= 2
        assert session.ledger.losses[Loss.ERROR_FLAG] == 0
        assert session.ledger.balance == 0
    damaged = {number for number, frame in witness.frames.items() if frame["faults"] == [fault]}
    assert len(damaged) == 2
    numbers = [mark.sequence for _, mark in taken]
    assert not damaged & set(numbers)
    after = next(frame for frame, mark in taken if mark.sequence > max(damaged))
    first = next(frame for frame, mark in taken if mark.sequence > min(damaged))
    assert first.lost_before + after.lost_before >= 2


def test_an_urb_that_fails_returns_the_queue_unfilled_and_no_number_is_invented(uvc_camera):
    """uvcvideo gives all its buffers back as errors, those it had not begun with neither number nor stamp."""
    witness = Witness(uvc_camera)
    with armed(uvc_camera) as session:
        frames = take(session, 5)
        uvc_camera.fault("urb_error", count=1)
        frames += take(session, 8)
        ledger = session.ledger
        assert session.judge.distrusted == 0, session.judge.first_reason
    assert witness.kinds("urb_error") == ["urb_error"]
    assert ledger.unfilled > 0
    assert ledger.restarts == ledger.balance == 0
    assert ledger.lost == frames[-1][0].sequence + 1 - len(frames)
    for (earlier, _), (later, _) in pairwise(frames):
        assert later.sequence == earlier.sequence + 1 + later.lost_before


# ---- somebody else


def test_a_change_by_another_program_is_seen_as_an_event(node):
    brightness = query(node, ControlID.BRIGHTNESS)
    with ControlEvents(node) as events:
        assert events.subscribe_all([brightness]) == ()
        assert events.drain() == ()
        subprocess.run(["v4l2-ctl", "-d", node.path, "-c", "brightness=-33"], check=True, timeout=30)
        poller = select.poll()
        poller.register(node.fd, select.POLLPRI)
        assert poller.poll(EVENT_LIMIT_MS), "no event"
        [event] = events.drain()
    assert (event.id, event.value) == (ControlID.BRIGHTNESS, -33)
    assert event.changes & EventControlChange.VALUE
    assert event.missed_before == 0
    assert 0 <= monotonic_ns() - event.timestamp_ns < LIMIT_NS


def test_another_program_that_moves_the_mode_is_seen_with_its_partner(node):
    exposure = query(node, ControlID.EXPOSURE_ABSOLUTE)
    assert exposure.inactive
    with ControlEvents(node) as events:
        events.subscribe_all([exposure, query(node, ControlID.EXPOSURE_AUTO)])
        subprocess.run(["v4l2-ctl", "-d", node.path, "-c", "auto_exposure=1"], check=True, timeout=30)
        found = {event.id: event for event in events.drain()}
    assert found[ControlID.EXPOSURE_AUTO].value == 1
    partner = found[ControlID.EXPOSURE_ABSOLUTE]
    assert partner.changes & EventControlChange.FLAGS
    assert not query(node, ControlID.EXPOSURE_ABSOLUTE).inactive
