"""Frames out: a client of the frame socket, against the program itself with real capture processes."""

import os
import socket
import subprocess
import sys
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


def read_to_the_end(borrower):
    while borrower.receive() is not None:
        pass


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
            read_to_the_end(stopped)
        with again_connected(running, "top") as again:
            take(again, 2)

        for target, name in ((Target.CAMERA, "none"), (Target.GROUP, "none"), (Target.PLAN, "none")):
            with pytest.raises(RefusedByLender, match="none"):
                subscribe(running, name, target)


def test_clients_that_misbehave_harm_nobody(tmp_path):
    with Running(tmp_path) as running, subscribe(running, "top", every=True, depth=4) as good:
        take(good, 2)
        pids = running.pids

        # one that never answers, one that lies, one that dies
        with subscribe(running, "top", lease_ns=50_000_000) as lazy:
            held = lazy.receive()
            while not held.revoked:
                take(good, 1)
            figures = running.get("/v1/stats")["cameras"]["top"]
            assert figures["client_revoked"] >= 1
        with subscribe(running, "top") as liar:
            liar.receive()
            liar.answer(Answer(4711, False, 0))
            with pytest.raises(RefusedByLender, match="4711"):
                read_to_the_end(liar)
        program = [sys.executable, "-c", _SITS_ON_A_FRAME, str(tmp_path)]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as dead:
            assert dead.stdout.readline() == b"has it\n"
            dead.kill()

        # a thousand connections, most of which say nothing
        for number in range(1000):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.connect(str(tmp_path / "frames.sock"))
                if number % 3 == 0:
                    client.send(wire.pack_subscribe(Subscribe(Target.CAMERA, "top")))
                if number % 100 == 0:
                    take(good, 1)
        take(good, 5)
        running.until("/v1/cameras/top", lambda camera: camera["clients"] == 1)
        assert running.pids == pids, "no process had to be replaced"
        assert running.get("/v1/plans/lapse")["state"] == "running"
        take(good, 2)


_SITS_ON_A_FRAME = """
import socket, sys
from agent.frames import wire
from agent.frames.borrower import Borrower
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
    channel.connect(sys.argv[1] + "/frames.sock")
    channel.send(wire.pack_subscribe(wire.Subscribe(wire.Target.CAMERA, "top", lease_ns=10**10)))
    with Borrower(channel) as borrower:
        borrower.receive()
        print("has it", flush=True)
        sys.stdin.read()
"""
