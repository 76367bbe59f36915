"""A viewer process as the agent holds it: orders out, pictures in, never waited for; killed when it is no good."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from agent.capture.sink_process import SinkProcess, cpus_beside
from agent.clock import ReadClock
from agent.units import NS_PER_S
from agent.viewing.packets import Order, Told, ViewerProtocol, pack_order, read_told

_PROGRAM = (sys.executable, "-m", "agent.viewing.process")
START_NS = 20 * NS_PER_S
"""Until its first word: it loads its libraries, on a machine that may be busy."""
SILENT_NS = 5 * NS_PER_S
"""It speaks twice a second; one picture is encoded in far less."""
_AT_ONCE = 4
"""Pictures that are read in one turn of the event loop."""


class ViewerProcess(Protocol):
    """What is needed of a process; `agent.capture.sink_process.SinkProcess` is one. Its channel is the caller's."""

    channel: socket.socket
    pidfd: int

    def kill(self) -> None:
        """SIGKILL; nothing happens to one that has ended."""
        ...

    def gone(self) -> bool:
        """Whether it has ended; reaps it."""
        ...

    @property
    def ending(self) -> str:
        """How it ended, for people."""
        ...

    def release(self, wait_ns: int = 0) -> None:
        """Kill it if it is there, reap it, let go of it; idempotent."""
        ...


Spawn = Callable[[str], ViewerProcess]
"""Starts the viewer of a camera. Raises OSError."""


def viewers_of(frame_socket: Path) -> Spawn:
    """Starts real ones, which have their frames from this socket."""

    def spawn(camera: str) -> ViewerProcess:
        return SinkProcess([*_PROGRAM, "--camera", camera, "--socket", str(frame_socket)], cpus_beside(()))

    return spawn


class ViewerChild:
    """One viewer process, from its start to its end. In the thread of the running event loop.

    `hear` is called with what it tells, `ended` once, with how it ended, when it has gone, however it did.
    """

    def __init__(
        self, process: ViewerProcess, hear: Callable[[Told], object], ended: Callable[[str], object], now_ns: ReadClock
    ) -> None:
        self._process = process
        self.ended = ended
        self._hear, self._now_ns = hear, now_ns
        self.began_ns = self._heard_ns = now_ns()
        self._spoke = False
        self._cause = ""
        self._loop = asyncio.get_running_loop()
        process.channel.setblocking(False)
        self._loop.add_reader(process.channel.fileno(), self._read)
        self._loop.add_reader(process.pidfd, self._look_whether_gone)

    @property
    def deaf(self) -> bool:
        """Nothing is heard of it, and nothing said to it, any more."""
        return self._process.channel.fileno() < 0

    def say(self, order: Order) -> None:
        """Never waits: a viewer that has not read its orders for so long that they do not fit is killed."""
        if self.deaf:
            return
        try:
            self._process.channel.send(pack_order(order))
        except BlockingIOError:
            self.kill("did not read what it was told")
        except (BrokenPipeError, ConnectionResetError):
            return  # its end is told by its descriptors

    def check(self, now_ns: int) -> None:
        """Kill it when it has said nothing for too long."""
        if now_ns - self._heard_ns > (SILENT_NS if self._spoke else START_NS):
            self.kill("said nothing for too long")

    def finish(self) -> None:
        """Tell it to end: its channel closes. One that does not is killed by `kill`."""
        if not self.deaf:
            self._loop.remove_reader(self._process.channel.fileno())
            self._process.channel.close()
            self._heard_ns = self._now_ns()
            self._spoke = True

    def kill(self, cause: str) -> None:
        """End it; the first cause is kept."""
        self._cause = self._cause or cause
        self.finish()
        self._process.kill()

    def release(self) -> None:
        """Kill it and wait until it has gone, which is at once unless the kernel holds it; idempotent."""
        self.finish()
        if self._process.pidfd >= 0:
            self._loop.remove_reader(self._process.pidfd)
        self._process.release()

    def _read(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                told = read_told(self._process.channel)
                if told is None:
                    self.finish()  # it ends, and if it does not, `check` kills it
                    return
                self._heard_ns, self._spoke = self._now_ns(), True
                self._hear(told)
                if self.deaf:
                    return
        except BlockingIOError:
            return
        except ViewerProtocol as error:
            self.kill(error.message)

    def _look_whether_gone(self) -> None:
        if self._process.gone():
            told = f"{self._process.ending}, as it {self._cause}" if self._cause else self._process.ending
            self.release()
            self.ended(told)
