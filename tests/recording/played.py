"""An agent's frames, played: a door with a lender in a thread that lends at a rate, or as fast as frames come back."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
from client.stage import Door

from agent.frames.values import PoolFormat

BUFFERS = 4


class PlayedAgent:
    """Serves one client at a time in `folder`/frames.sock, and the next one when it has gone. A context manager.

    `frames`: how many it lends to each, None: without an end. It stops by itself when the client closes.
    """

    def __init__(self, folder, frame, *, camera="top", period_ns=10_000_000, frames=None, began_before_ns=None):
        self.control = folder / "control.sock"
        self._door = Door(folder)
        self._frame, self._camera, self._frames = frame, camera, frames
        self._period_ns = period_ns
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="played agent")
        self.lent = 0
        self.subscribed = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._door.__exit__()

    def _run(self):
        while not self._stop.is_set():
            try:
                lender = self._door.accept()
            except BlockingIOError:
                self._stop.wait(0.01)
                continue
            self.subscribed.append(lender.subscribe)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._serve(lender)

    def _serve(self, lender):
        form = self._frame.format
        planes = tuple((plane.bytes_per_line, plane.size_bytes) for plane in form.planes)
        lengths = tuple(plane.nbytes for plane in self._frame.planes)
        played = PoolFormat(form.pixel_format, form.width_px, form.height_px, planes, form.interlaced)
        pool = lender.pool(BUFFERS, lengths, form=played, camera=self._camera)
        for buffer in pool.planes:
            for mine, theirs in zip(buffer, self._frame.planes, strict=True):
                np.frombuffer(mine, np.uint8)[:] = theirs
        lender.state("STREAMING")
        free, leases, skipped, sequence = list(range(BUFFERS)), {}, 0, 0
        due_ns = time.monotonic_ns()
        while not self._stop.is_set() and (self._frames is None or sequence < self._frames):
            due_ns += self._period_ns
            self._stop.wait(max(0, due_ns - time.monotonic_ns()) / 1e9)
            for lease in lender.returned():
                if lease == "end":
                    return
                free.append(leases.pop(lease))
            if not free:
                skipped += 1
            else:
                index = free.pop()
                leases[lender.lend(pool, index, facts=self._facts(sequence), skipped=skipped)] = index
                skipped, self.lent = 0, self.lent + 1
            sequence += 1
        while not self._stop.wait(0.01):
            if "end" in lender.returned():
                return

    def _facts(self, sequence):
        from agent.frames.values import Facts

        now_ns = time.monotonic_ns()
        exposure_ns = 3_000_000
        began_ns = now_ns - exposure_ns - 2_000_000
        return Facts(
            sequence, began_ns, "monotonic", "soe", 1_000, now_ns, 0, time.time_ns() - (now_ns - began_ns),
            exposure_ns, 7, began_ns, sequence,
        )  # fmt: skip
