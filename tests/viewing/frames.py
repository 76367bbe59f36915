"""Frames that a test lends to a viewer, and a viewer whose turns it takes."""

import socket
from dataclasses import replace

from pipeline.synthetic import camera_jpeg, frame_of, jpeg_frame

from agent.frames.borrowed import Revoked
from agent.viewing.packets import pack_order, read_told
from agent.viewing.viewer import Viewer

MS = 1_000_000


class LentFrame:
    def __init__(self, number, *, code="YUYV", at_ns=None, began=True, revoked=False):
        at_ns = number * 33 * MS if at_ns is None else at_ns
        frame = jpeg_frame(camera_jpeg()) if code == "MJPG" else frame_of(code)
        self.frame = replace(frame, sequence=number, timestamp_ns=at_ns)
        self.timestamp_ns = at_ns
        self.began_ns = at_ns - 8 * MS if began else None
        self.exposure_ns, self.gain, self.realtime_ns, self.trace_ids = 8 * MS, 16, 10**18 + at_ns, ("ab",)
        self.revoked = revoked
        self.entered = 0

    def __enter__(self):
        self.entered += 1

    def __exit__(self, *_):
        if self.revoked:
            raise Revoked("taken back", hint="")


class LentFrames:
    """A source: what is in `coming` comes, an exception is raised, None is a wait in vain."""

    def __init__(self):
        self.coming = []
        self.opened = self.released = 0

    def open(self):
        self.opened += 1
        return self

    def next(self, wait_ns):
        found = self.coming.pop(0) if self.coming else None
        if isinstance(found, Exception):
            raise found
        return found

    def release(self):
        self.released += 1


class Clock:
    def __init__(self):
        self.now_ns = 0

    def __call__(self):
        return self.now_ns


class Bench:
    """A viewer at the other end of `channel`, which is the agent's."""

    def __init__(self):
        self.channel, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.setblocking(False)
        self.frames, self.clock = LentFrames(), Clock()
        self.viewer = Viewer("top", self.theirs, self.frames.open, self.clock, idle_ns=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        self.theirs.close()

    def say(self, *orders):
        for order in orders:
            self.channel.send(pack_order(order))

    def turns(self, *coming):
        """A turn for each of these frames."""
        self.frames.coming += coming
        return [self.viewer.turn() for _ in coming]

    def heard(self):
        found = []
        try:
            while (told := read_told(self.channel)) is not None:
                found.append(told)
        except BlockingIOError:
            pass
        return found
