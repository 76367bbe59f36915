# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is not there: it speaks vhci-hcd's side of USB/IP, and its clock stands still unless moved."""

import contextlib
import os
import selectors
import socket
import struct
from pathlib import Path

import pytest
from uvc_camera.camera import Build
from uvc_camera.descriptors import Identity, Speed
from uvc_camera.device import Device
from uvc_camera.formats import FORMATS, SIZES
from uvc_camera.loop import Loop

HEADER = struct.Struct(">5I")
SUBMIT = struct.Struct(">5IIiiii8s")
SETUP = struct.Struct("<BBHHH")


def cmd_submit(seqnum, endpoint, inwards, length, setup=bytes(8), data=b""):
    return SUBMIT.pack(1, seqnum, 7, int(inwards), endpoint, 0, length, 0, -1, 0, setup) + data


def cmd_unlink(seqnum, victim):
    return HEADER.pack(2, seqnum, 7, 0, 0) + struct.pack(">I24x", victim)


class Clock:
    def __init__(self):
        self.now_ns = 1_000_000_000

    def __call__(self):
        return self.now_ns


class Notes(list):
    def write(self, kind, **facts):
        self.append({"kind": kind, **facts})

    def of(self, kind):
        return [entry for entry in self if entry["kind"] == kind]


class Kernel:
    """The outlet the camera is plugged into, and the URBs on their way."""

    def __init__(self):
        self.end = None
        self.pending = b""
        self.seqnum = 0
        self.inwards = {}
        self.replies = []
        self.detached = []

    def attach(self, kernel_end):
        self.hang_up()
        self.end = socket.socket(fileno=os.dup(kernel_end.fileno()))
        self.end.setblocking(False)
        return 3

    def detach(self, port):
        self.detached.append(port)

    def hang_up(self):
        if self.end is not None:
            self.end.close()
            self.end = None

    def submit(self, endpoint, inwards, length, setup=bytes(8), data=b""):
        self.seqnum += 1
        self.inwards[self.seqnum] = inwards
        self.end.sendall(cmd_submit(self.seqnum, endpoint, inwards, length, setup, data))
        return self.seqnum

    def unlink(self, victim):
        self.seqnum += 1
        self.end.sendall(cmd_unlink(self.seqnum, victim))
        return self.seqnum

    def receive(self):
        """Everything answered since: (command, seqnum, status, data), in order."""
        try:
            while part := self.end.recv(1 << 20):
                self.pending += part
        except BlockingIOError:
            pass
        answers = []
        while len(self.pending) >= 48:
            command, seqnum, *_ = HEADER.unpack_from(self.pending)
            status, length = struct.unpack_from(">ii", self.pending, 20)
            size = 48 + (length if command == 3 and self.inwards[seqnum] else 0)
            if len(self.pending) < size:
                break
            answers.append((command, seqnum, status, self.pending[48:size]))
            self.pending = self.pending[size:]
        return answers


class Bench:
    """A camera, its host, and time."""

    def __init__(self, build, terminals=None):
        self.clock, self.notes, self.kernel = Clock(), Notes(), Kernel()
        self.selector = selectors.SelectSelector()
        self.device = Device(build, self.kernel, self.notes, self.clock, terminals=terminals)
        self.loop = Loop(self.device, self.selector, self.clock)
        self.device.plug()

    def close(self):
        self.device.unplug("end")
        self.selector.close()
        self.kernel.hang_up()

    def turn(self, turns=2):
        for _ in range(turns):
            self.loop.turn(block=False)
        return self.kernel.receive()

    def control(self, request_type, request, value, index, length, data=b""):
        """One control transfer that is answered at once: (status, data)."""
        setup = SETUP.pack(request_type, request, value, index, length)
        seqnum = self.kernel.submit(0, bool(request_type & 0x80), length, setup, data)
        (answer,) = self.turn()
        assert answer[:2] == (3, seqnum)
        return answer[2:]

    def get(self, control, request=0x81):
        status, data = self.control(0xA1, request, control.selector << 8, control.entity << 8, control.size_bytes)
        return int.from_bytes(data, "little", signed=control.minimum < 0) if status == 0 else status

    def set(self, control, value):
        data = value.to_bytes(control.size_bytes, "little", signed=value < 0)
        return self.control(0x21, 1, control.selector << 8, control.entity << 8, len(data), data)[0]

    def commit(self, format_index=1, frame_index=1, interval=333_333):
        block = struct.pack("<HBBI26x", 1, format_index, frame_index, interval)
        for selector in (1, 2):
            assert self.control(0x21, 1, selector << 8, 1, 34, block)[0] == 0

    def run(self, pictures, urbs=5):
        """Keep `urbs` queued until so many pictures have come; [(flags of the payloads, data)] of them.

        Time moves only when neither side has anything left to say.
        """
        done, flags, data, outstanding = [], [], b"", 0
        for _ in range(100_000):
            while outstanding < urbs:
                outstanding += bool(self.urb())
            answers = self.turn(2)
            if not answers:
                self.clock.now_ns = max(self.clock.now_ns, self.device.due_ns or 0)
            for command, _, status, payload in answers:
                assert (command, status, payload[0]) == (3, 0, 2)
                outstanding -= 1
                flags.append(payload[1])
                data += payload[2:]
                if payload[1] & 2:
                    done.append((flags, data))
                    flags, data = [], b""
            if len(done) == pictures:
                return done
        raise AssertionError(f"only {len(done)} pictures came")

    def urb(self, length=16384):
        return self.kernel.submit(1, True, length)


@pytest.fixture
def make_bench():
    benches = []

    def make(serial="S1", speed=Speed.HIGH, latency_frames=2, build=None, terminals=None):
        made = build or Build(Identity(serial), speed, tuple(FORMATS.values()), SIZES, latency_frames)
        benches.append(Bench(made, terminals))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(make_bench):
    return make_bench()


@pytest.fixture
def wire():
    return cmd_submit, cmd_unlink


def open_files():
    """What this process has open: descriptor -> what it is."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[entry.name] = str(entry.readlink())
    return found


@pytest.fixture(autouse=True)
def nothing_left_open():
    before = open_files()
    yield
    left = open_files().items() - before.items()
    assert not [target for _, target in left if target.startswith(("socket:", "pipe:"))]
