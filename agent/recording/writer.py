"""The writing process of a recording: `python -m agent.recording.writer --channel N`.

A recorder starts it (agent/recording/writer_process.py), and kills it when a frame takes longer than its limit: what
lies in the folder by then is whole. It ends when its channel does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from agent.clock import ReadClock, monotonic_ns
from agent.errors import AgentError
from agent.pipeline.calls import LINUX, Files
from agent.recording.messages import WriterFault, receive, send, shortened
from agent.recording.order import RecordOrder
from agent.recording.slots import SlotReader
from agent.recording.writing import Writing

_TIDY_MS = 10_000
"""From look to look at what has become too old while no frame comes."""


class Writer:
    """One end of the channel, and what is done with what comes by it."""

    def __init__(
        self, channel: socket.socket, *, files: Files = LINUX, read_monotonic_ns: ReadClock = monotonic_ns
    ) -> None:
        self._channel = channel
        self._files = files
        self._now_ns = read_monotonic_ns
        self._memory: SlotReader | None = None
        self._keeping_depth = 0

    def serve(self) -> None:
        """Until the channel ends, or `end` is told; then everything is finished."""
        message, fds = receive(self._channel)
        _close(fds)
        if message is None or message["kind"] != "order":
            return
        order = RecordOrder.from_bytes(message["order"].encode())
        try:
            with self._keeping():
                writing = Writing(order, files=self._files, surround=self._keeping, read_monotonic_ns=self._now_ns)
        except AgentError as error:
            send(self._channel, "failed", **_told(error))
            return
        try:
            with writing:
                send(self._channel, "ready")
                self._serve(writing)
                ended = writing.finish()
        finally:
            if self._memory is not None:
                self._memory.release()
        send(self._channel, "ended", **asdict(ended))

    def _serve(self, writing: Writing) -> None:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        while True:
            if not poll.poll(_TIDY_MS):
                with contextlib.suppress(AgentError):  # the next frame says so
                    writing.tidy()
                continue
            message, fds = receive(self._channel)
            if message is None or message["kind"] == "end":
                _close(fds)
                return
            self._take(writing, message, fds)

    def _take(self, writing: Writing, message: dict[str, Any], fds: list[int]) -> None:
        kind = message["kind"]
        if kind == "memory" and len(fds) == 1:
            if self._memory is not None:
                self._memory.release()
            self._memory = SlotReader(fds[0], message["count"], message["slot_bytes"])
        elif kind == "frame" and self._memory is not None:
            slot, length = message["slot"], message["told"]
            told = json.loads(self._memory.told(slot, length))
            done = writing.take(told, self._memory.planes(slot, length, told["sizes"]))
            send(self._channel, "done", **asdict(done))
        elif kind == "event":
            with self._keeping():
                done = writing.event(message["at_ns"])
            send(self._channel, "wrote", **asdict(done))
        else:
            _close(fds)
            raise WriterFault(f"a message {kind!r} out of turn", hint="this is a bug: please report it")

    @contextlib.contextmanager
    def _keeping(self) -> Iterator[None]:
        """Tell that what follows is not the frame's own time; once where it is entered again inside."""
        self._keeping_depth += 1
        try:
            if self._keeping_depth == 1:
                send(self._channel, "keeping")
            yield
        finally:
            self._keeping_depth -= 1
            if not self._keeping_depth:
                send(self._channel, "kept")


def _told(error: AgentError) -> dict[str, Any]:
    return {
        "code": error.code,
        "told": shortened(error.message),
        "hint": shortened(error.hint),
        "exit_code": error.exit_code,
    }


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def main(arguments: Sequence[str] | None = None) -> int:
    """Be a writing process; returns its exit status."""
    parser = argparse.ArgumentParser(prog="agent.recording.writer", description="Writes frames. Started by a recorder.")
    parser.add_argument("--channel", type=int, required=True, help="the descriptor frames are told by")
    given = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):  # ours is the channel's end
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=given.channel) as channel:
        Writer(channel).serve()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
