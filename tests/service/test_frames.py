"""Frames out: a client of the frame socket, against the program itself with real capture processes."""

import os
import socket
import time

import numpy as np
import pytest
from service.test_end_to_end import Running

from agent.frames import wire
from agent.frames.borrower import Borrower, NotGreeted, RefusedByLender
from agent.frames.wire import Answer, Streaming, Subscribe, Target

pytestmark = pytest.mark.timeout(180)


def connect(running, wish):
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.settimeout(60)
    channel.connect(str(running.folder / "frames.sock"))
    channel.send(wire.pack_subscribe(wish))
    return channel


def subscribe(running, name, target=Target.CAMERA, **wish):
    channel = connect(running, Subscribe(target, name, **wish))
    try:
        return Borrower(channel)
    except BaseException:
        channel.close()
        raise


def again_connected(running, name):
    """As a client's library does it: the process that ends may take one connection more with it."""
    while True:
        try:
            return subscribe(running, name)
        except NotGreeted:
            continue


def take(borrower, count):
    frames = []
    while len(frames) < count:
        frame = borrower.receive()
        assert frame is not None
        with frame:
            copy = [plane.copy() for plane in frame.planes]
            frames.append((frame.facts, copy, frame.revoked, frame.trace_ids))
        borrower.answer(Answer(frame.lease, False, 0))
    return frames


def test_clients_of_the_frame_socket(tmp_path):
    with Running(tmp_path) as running:
        with subscribe(running, "top") as one, subscribe(running, "top", every=True, depth=4) as other:
            for frames in (take(one, 10), take(other, 10)):
                numbers = [facts.sequence for facts, _, _, _ in frames]
                assert numbers == sorted(set(numbers))
                assert not any(revoked for _, _, revoked, _ in frames)
                assert all(np.any(planes[0]) for _, planes, _, _ in frames)
            figures = running.get("/v1/stats")["cameras"]["top"]
            assert figures["client_frames"] >= 20
            assert running.get("/v1/cameras/top")["clients"] == 2

        # pain 1: nothing exposed before it was asked for
        asked_ns = time.monotonic_ns()
        with subscribe(running, "top", after_ns=asked_ns) as fresh:
            ((facts, _, _, _),) = take(fresh, 1)
            assert facts.began_ns >= asked_ns

        # the frames of a plan, with their trace ids
        with subscribe(running, "lapse", Target.PLAN) as plan:
            assert all(len(traces) == 1 for _, _, _, traces in take(plan, 3))

        # stopped: not one frame is good after the answer
        with subscribe(running, "top") as stopped:
            take(stopped, 1)
            held = stopped.receive()
            status, _ = running.ask("DELETE", "/v1/cameras/top/stream")
            assert status == 200
            assert held.revoked
            stopped.answer(Answer(held.lease, False, 0))
            while not isinstance(heard := stopped.hear(), wire.State) or heard.state is not Streaming.STOPPED:
                if hasattr(heard, "revoked"):
                    assert heard.revoked
                    stopped.answer(Answer(heard.lease, False, 0))
            status, _ = running.ask("PUT", "/v1/cameras/top/stream", {})
            assert status in (200, 201)
            take(stopped, 2)

            # a process that dies ends the connection, and the next one gives frames again
            os.kill(running.pids["top"] if "top" in running.pids else next(iter(running.pids.values())), 9)
            while stopped.receive() is not None:
                pass
        with again_connected(running, "top") as again:
            take(again, 2)

        for target, name in ((Target.CAMERA, "none"), (Target.GROUP, "none"), (Target.PLAN, "none")):
            with pytest.raises(RefusedByLender, match="none"):
                subscribe(running, name, target)
