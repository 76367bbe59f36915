"""Frames as a client has them, without an agent, and what a writer is told of them."""

import json
import time

from pipeline.synthetic import frame_of

from agent.frames.values import Facts, PoolFormat
from agent.recording.messages import told_of


class Lent:
    """One frame. `revoked`: it was taken back before it was copied."""

    def __init__(self, frame=None, number=0, *, camera="top", at_ns=None, skipped=0, lost=0, revoked=None):
        frame = frame_of("YUYV") if frame is None else frame
        form = frame.format
        planes = tuple((plane.bytes_per_line, plane.size_bytes) for plane in form.planes)
        at_ns = time.monotonic_ns() if at_ns is None else at_ns
        self.camera, self.skipped, self.trace_ids, self.planes = camera, skipped, (), frame.planes
        self.form = PoolFormat(form.pixel_format, form.width_px, form.height_px, planes, form.interlaced)
        self.facts = Facts(
            number, at_ns, "monotonic", "soe", 1_000, at_ns + 5_000_000, lost, 1_784_000_000_000_000_000 + at_ns,
            8_000_000, 3, at_ns, number,
        )  # fmt: skip
        self.released = False
        self._revoked = revoked

    def check(self):
        if self._revoked is not None:
            raise self._revoked

    def release(self):
        self.released = True


class Listed:
    """A source of frames that are listed."""

    waits_for = ""

    def __init__(self, frames):
        self._left = list(frames)
        self.ended = False

    def next(self, _timeout_ns):
        if not self._left:
            self.ended = True
            return None
        return self._left.pop(0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def told(frame, plan=""):
    """What `Writing.take` is given."""
    return json.loads(told_of(frame, plan)), tuple(frame.planes)
