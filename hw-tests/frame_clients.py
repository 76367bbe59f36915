"""Clients of frames, let in to a capture process as the agent does it: in the test, and as processes of their own."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from driver import Driver
from forked import close_all_but

from agent.client import Feed, Frame, Revoked, connect
from agent.frames import wire
from agent.frames.values import Streaming

LIMIT_S = 60
"""For a frame, or a word of a client: only what never comes fails."""
LONGEST_S = 10
"""The longest lease there is: a slow machine must not lose one by chance."""
Say = Callable[..., None]
Work = Callable[[Feed, Say], None]


class Reception:
    """The frame socket of one group. A context manager: leaving closes it, and its clients go on."""

    def __init__(self, driver: Driver, folder: Path) -> None:
        self.path = folder / "frames.sock"
        self._driver = driver
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._listener.settimeout(LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def connect(self, target: str, **wanted: Any) -> Feed:
        """A client in the test's own process, let in."""
        feed = connect(target, socket=self.path, timeout_s=LIMIT_S, **{"lease_s": LONGEST_S, **wanted})
        self.let_in()
        return feed

    def let_in(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Pass the connection that waits, or comes next, on to the process as soon as that takes it."""
        meanwhile_comes = select.poll()
        meanwhile_comes.register(self._listener, select.POLLIN)
        self._driver.until(lambda: (meanwhile(), meanwhile_comes.poll(0))[1])
        connection, _ = self._listener.accept()
        with connection:
            packet = connection.recv(wire.ANSWER_BYTES)
            self._driver.until(lambda: self._driver.group.pass_on(packet, connection))


class ClientProcess:
    """A client that is a process of its own, forked. A context manager: leaving kills and reaps it.

    `work` is given its feed, and a way to tell the test something: `say(sequence=5)`, heard by `hear`.
    """

    def __init__(self, reception: Reception, work: Work, target: str, **wanted: Any) -> None:
        ours, theirs = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            _be_a_client(reception.path, work, theirs, target, {"lease_s": LONGEST_S, **wanted})
        os.close(theirs)
        self._told = os.fdopen(ours)
        reception.let_in()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._told.close()

    def hear(self) -> dict[str, Any]:
        """The next that it tells."""
        ready, _, _ = select.select([self._told], [], [], LIMIT_S)
        assert ready, "the client says nothing"
        line = self._told.readline()
        assert line, "the client is gone"
        heard: dict[str, Any] = json.loads(line)
        return heard

    def await_stop(self) -> None:
        """Wait until it has stopped itself with SIGSTOP."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), status

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; idempotent."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def hold(feed: Feed, say: Say) -> None:
    """Take a frame, and keep it for ever."""
    say(sequence=feed.next().sequence)
    signal.pause()


def stand_still(feed: Feed, say: Say) -> None:
    """Stop while holding a frame; woken, tell what became of it, and go on."""
    frame = feed.next()
    os.kill(os.getpid(), signal.SIGSTOP)
    say(sequence=frame.sequence, revoked=frame.revoked)
    for _ in range(3):
        frame = feed.next()
        say(sequence=frame.sequence, skipped=frame.skipped)
    signal.pause()


def told(driver: Driver, feed: Feed, camera: str, state: Streaming) -> None:
    """Wait until a client is told that its camera is in this state; frames that come before are given back."""

    def is_told() -> bool:
        found = feed.step()
        if isinstance(found, Frame):
            found.release()
        return camera in feed.states and feed.states[camera].state is state

    driver.until(is_told)


def nothing_comes(driver: Driver, feed: Feed, for_ns: int) -> bool:
    """Whether no frame comes: none that waits, and none within so long."""
    first = feed.step()
    driver.watch(for_ns)
    return not isinstance(first, Frame) and not isinstance(feed.step(), Frame)


def read_whole(frame: Frame) -> int:
    """Read all of a frame and give it back; the sum of its bytes. Raises Revoked when that was in vain."""
    with frame:
        return sum(int(plane.sum()) for plane in frame.planes)


def is_revoked(frame: Frame) -> bool:
    """Whether its pixels are refused."""
    try:
        frame.image  # noqa: B018 - to be refused
    except Revoked:
        return frame.revoked
    return False


def dmabufs() -> dict[int, str]:
    """The DMABUFs that this process has, and the exporter of each.

    Source: dma_buf_show_fdinfo in drivers/dma-buf/dma-buf.c.
    """
    found = {}
    for info in Path("/proc/self/fdinfo").iterdir():
        with suppress(OSError):
            fields = dict(line.split(":\t", 1) for line in info.read_text().splitlines() if ":\t" in line)
            if "exp_name" in fields:
                found[int(info.name)] = fields["exp_name"].strip()
    return found


def _be_a_client(path: Path, work: Work, pipe: int, target: str, wanted: dict[str, Any]) -> None:
    """In the child: nothing of the test but memory comes along, and nothing of the test is run at the end."""
    status = 1
    try:
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        close_all_but({0, 1, 2, pipe})
        with connect(target, socket=path, timeout_s=LIMIT_S, **wanted) as feed:
            work(feed, lambda **words: os.write(pipe, json.dumps(words).encode() + b"\n"))
        status = 0
    except BaseException:  # noqa: BLE001 - it must end here, whatever it is
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)
