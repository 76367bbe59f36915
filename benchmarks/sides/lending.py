"""A capture process's side of frames for clients, without a camera: nobody writes into its buffers, all else is ours.

Station, subscribers and door are the capture loop's. A process of its own: it tells on its standard output that it
listens (`ready`), each client that came (`joined`), and what it found (JSON).
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Any, cast

import numpy as np

from agent.capture.board import Board
from agent.capture.door import Door, open_door
from agent.capture.session import Session
from agent.capture.shot import Shot
from agent.capture.station import Station
from agent.capture.subscribers import Subscribers
from agent.frames import wire
from agent.frames.wire import State, Streaming
from agent.kernel import PROT_READ, PROT_WRITE, LinuxKernel, Mapping
from agent.units import NS_PER_S
from agent.v4l2.buffers import Buffer, BufferPool, MemoryKind, Plane
from agent.v4l2.dmabuf import UDMABUF, allocate_from_udmabuf
from agent.v4l2.format import Format, PlaneLayout
from agent.v4l2.frame import Frame
from agent.v4l2.uapi import BufType
from benchmarks.common import own_cpu_ns

CAMERA = "top"
_PATIENT_NS = 60 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Lending:
    """What is lent in a block. `warm_up` frames, which do not count, come before `frames`.

    `interval_ns`: from frame to frame; 0: the next one as soon as all clients gave the last one back.
    """

    socket: str
    width_px: int
    height_px: int
    frames: int
    warm_up: int = 50
    clients: int = 1
    interval_ns: int = 0
    buffers: int = 6

    def words(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


class _Stamps:
    """All that a station asks a session."""

    interval_ns = 0


class Camera:
    """Buffers, and a station that lends them."""

    def __init__(self, pool: BufferPool, door: Door) -> None:
        self._session = cast("Session", _Stamps())
        self._pool = pool
        self._free = deque(range(len(pool)))
        self._sequence = 0
        self.stations: dict[str, Station] = {}
        self.subscribers = Subscribers(
            self.stations, door, cameras_of=lambda _plan: (), let_go=self._take_back, now_ns=monotonic_ns
        )
        size = Board.words_for(1, 1)
        self._board = Board.create(memoryview(bytearray(8 * size)).cast("q"), 1, 1)
        self.station = Station(CAMERA, self._board.camera(0), self.subscribers, monotonic_ns)
        self.stations[CAMERA] = self.station
        self.station.armed(pool.format, pool)
        self.station.changed(State(Streaming.STREAMING, CAMERA))

    @property
    def all_back(self) -> bool:
        """No client has a frame."""
        return len(self._free) == len(self._pool)

    def publish(self) -> int:
        """Offer the next frame to all; when."""
        index, form = self._free.popleft(), self._pool.format
        planes = tuple(plane.view for plane in self._pool.buffers[index].planes)
        now_ns = monotonic_ns()
        frame = Frame(index, form, planes, self._sequence, now_ns, "monotonic", "eof", 500, now_ns, 0)
        self._sequence += 1
        if not self.station.offer(self._session, Shot(frame, None, None, now_ns), None, (), _none, is_out=False):
            self._free.append(index)
        return now_ns

    def turn(self, until_ns: int | None = None) -> None:
        """Wait for clients, at most until then, and do what they want."""
        due_ns = min(filter(None, (until_ns, self.subscribers.next_ns)), default=monotonic_ns() + _PATIENT_NS)
        if select.select([self.subscribers], [], [], max(due_ns - monotonic_ns(), 0) / NS_PER_S)[0]:
            self.subscribers.turn()
        if self.subscribers.next_ns is not None and monotonic_ns() >= self.subscribers.next_ns:
            self.subscribers.check(monotonic_ns())

    def release(self) -> None:
        """End all clients."""
        self.subscribers.release()
        self.station.forget()

    def _take_back(self, camera: str) -> None:
        freed = self.stations[camera].freed
        self._free.extend(shot.frame.index for _, shot in freed)
        freed.clear()


def _none() -> int:
    """Frames that plans have."""
    return 0


def lend(order: Lending) -> dict[str, Any]:
    """One block: CPU time, and of each frame how long it took until all had given it back (if they wait for that)."""
    with ExitStack() as resources:
        listener = resources.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(order.socket)
        listener.listen(64)
        pool = resources.enter_context(buffers(order.width_px, order.height_px, order.buffers))
        agents, theirs = open_door()
        resources.callback(agents.release)
        camera = Camera(pool, Door(theirs))
        resources.callback(camera.release)
        _tell("ready")
        for _ in range(order.clients):
            _let_in(listener, agents, camera)
        for _ in range(order.warm_up):
            _cycle(camera, order)
        before_ns = own_cpu_ns()
        took_ns = [_cycle(camera, order) for _ in range(order.frames)]
        found = {"cpu_ns": own_cpu_ns() - before_ns, "took_ns": took_ns}
        _cycle(camera, order)  # by which clients know that the last one that counts was given back
    return found


def _cycle(camera: Camera, order: Lending) -> int:
    """A frame goes out and comes back, or the time to the next one passes."""
    began_ns = camera.publish()
    if order.interval_ns:
        while monotonic_ns() < began_ns + order.interval_ns:
            camera.turn(began_ns + order.interval_ns)
    else:
        while not camera.all_back:
            camera.turn()
    return monotonic_ns() - began_ns


def _let_in(listener: socket.socket, door: Door, camera: Camera) -> None:
    """What the agent does: who comes is passed on with what he said. Raises ValueError when it is refused."""
    connection, _ = listener.accept()
    before = len(camera.subscribers)
    with connection:
        if not door.pass_on(connection.recv(wire.ANSWER_BYTES), connection):
            raise ValueError("a connection could not be passed on")
    camera.turn()
    if len(camera.subscribers) != before + 1:
        raise ValueError("a client was refused")
    _tell("joined")


@contextmanager
def buffers(width_px: int, height_px: int, count: int) -> Iterator[BufferPool]:
    """YUYV buffers as a camera has them: DMABUFs of /dev/udmabuf where it is to be had, memfds elsewhere."""
    form = Format("YUYV", width_px, height_px, (PlaneLayout(2 * width_px, 2 * width_px * height_px),))
    size = -(-form.planes[0].size_bytes // 4096) * 4096
    with BufferPool(BufType.VIDEO_CAPTURE, form, MemoryKind.UDMABUF) as pool:
        for index in range(count):
            fd = _memory(size)
            pool.on_release(os.close, fd)
            mapping = Mapping(fd, size, 0, PROT_READ | PROT_WRITE)
            pool.on_release(mapping.release)
            view = np.frombuffer(mapping.view, np.uint8)
            view[:] = index  # every page is there
            plane = Plane(mapping, view[: form.planes[0].size_bytes], fd, shared_as_dmabuf=has_udmabuf())
            pool.buffers.append(Buffer(index, (plane,)))
        yield pool


def has_udmabuf() -> bool:
    """Whether the buffers are DMABUFs, whose reading is bracketed by two calls more."""
    return os.access(UDMABUF, os.R_OK | os.W_OK)


def _memory(size: int) -> int:
    if has_udmabuf():
        return allocate_from_udmabuf(LinuxKernel(), size)
    fd = os.memfd_create("camera-agent-benchmark", os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return fd


def _tell(word: str) -> None:
    print(word, flush=True)


if __name__ == "__main__":
    wanted = Lending(**json.loads(sys.argv[1]))
    Path(wanted.socket).unlink(missing_ok=True)
    _tell(json.dumps(lend(wanted)))
