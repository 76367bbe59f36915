"""The sink process: `python -m agent.pipeline.sink --channel N` stores the frames that come by descriptor on N.

A capture process starts it (agent/capture/sink_process.py) and tells it in the first message what to do. It ends when
its channel does: what was handed over whole by then is still stored.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack

from agent.capture.descriptors import raise_limit
from agent.capture.sink_process import SinkOrder
from agent.clock import ReadClock, monotonic_ns
from agent.errors import AgentError, StateError, StorageError
from agent.frames.borrowed import Borrowed, Revoked
from agent.frames.borrower import Borrower
from agent.frames.wire import Answer
from agent.pipeline.calls import LINUX, Files
from agent.pipeline.encode import PictureKind
from agent.pipeline.files import Durability
from agent.pipeline.lent import frame_of
from agent.pipeline.names import file_name
from agent.pipeline.record import Circumstances
from agent.pipeline.writer import PictureWriter


class Store:
    """Where frames become files: one picture writer a camera, opened when it is first needed. A context manager."""

    def __init__(self, order: SinkOrder, *, files: Files = LINUX) -> None:
        self._order = order
        self._several = len(order.cameras) > 1
        self._kind = PictureKind(order.kind)
        self._durability = Durability(order.durability)
        self._files = files
        self._writers: dict[str, PictureWriter] = {}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def prepare(self) -> None:
        """Open all cameras' folders. Raises StorageError; it is tried again when a frame comes."""
        for camera in self._order.cameras:
            self._writer(camera)

    def write(self, borrowed: Borrowed, borrower: Borrower) -> str:
        """Encode a frame and write it; the file's path below the order's folder.

        Raises what PictureWriter.write raises, and Revoked: there is no file then.
        """
        camera = borrowed.camera
        circumstances = Circumstances(
            realtime_ns=borrowed.facts.realtime_ns,
            exposure_ns=borrowed.facts.exposure_ns,
            gain=borrowed.facts.gain,
            trace_ids=borrowed.trace_ids,
        )
        writer = self._writer(camera)
        try:
            with borrowed:
                record = writer.write(frame_of(borrowed), circumstances, committing=lambda: borrower.commit(borrowed))
        except StateError:
            # its log was given up because not even cutting it back worked: opening it again mends it
            self._writers.pop(camera).release()
            raise
        return f"{writer.folder.name}/{record.file}" if self._several else record.file

    def release(self) -> None:
        """Close everything; idempotent."""
        with ExitStack() as steps:
            while self._writers:
                steps.callback(self._writers.popitem()[1].release)

    def _writer(self, camera: str) -> PictureWriter:
        writer = self._writers.get(camera)
        if writer is None:
            order = self._order
            writer = self._writers[camera] = PictureWriter(
                order.folder / file_name(camera) if self._several else order.folder,
                camera,
                self._kind,
                quality=order.quality,
                durability=self._durability,
                model=order.cameras.get(camera, ""),
                files=self._files,
            )
        return writer


def serve(borrower: Borrower, store: Store, *, read_monotonic_ns: ReadClock = monotonic_ns) -> None:
    """Store frames until the lender closes. Whatever goes wrong with one is its answer, and the next one follows."""
    while (borrowed := borrower.receive()) is not None:
        begun_ns = read_monotonic_ns()
        try:
            borrowed.check()
            file = store.write(borrowed, borrower)
        except AgentError as error:
            # what is wrong with a frame that was taken back meanwhile says nothing: its memory is another's
            code = Revoked.code if borrowed.revoked else error.code
            answer = Answer(borrowed.lease, False, read_monotonic_ns() - begun_ns, code, "", error.message)
        else:
            answer = Answer(borrowed.lease, True, read_monotonic_ns() - begun_ns, "", file)
        borrower.answer(answer)


def main(arguments: Sequence[str] | None = None) -> int:
    """Be a sink process; returns its exit status."""
    parser = argparse.ArgumentParser(prog="agent.pipeline.sink", description="Stores frames. Started by camera-agent.")
    parser.add_argument("--channel", type=int, required=True, help="the descriptor frames come by")
    given = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches us too: the channel's end is ours
        signal.signal(number, signal.SIG_IGN)
    raise_limit()
    with (
        socket.socket(fileno=given.channel) as channel,
        Borrower(channel) as borrower,
        Store(SinkOrder.from_bytes(borrower.order)) as store,
    ):
        with contextlib.suppress(StorageError):  # each frame will say so
            store.prepare()
        borrower.say_ready()
        serve(borrower, store)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
