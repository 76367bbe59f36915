"""Frames from a camera to one client in another process: by our capture process, by ustreamer, by GStreamer."""

from __future__ import annotations

import re
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from time import monotonic_ns
from typing import IO

from agent.capture.messages import StartCamera
from agent.capture.order import CameraOrder, GroupOrder, StageLimits
from agent.capture.settings import Settings
from agent.frames import wire
from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.common import MissingTool, cpu_ns_of, spent
from benchmarks.result import Measured
from benchmarks.sides import borrowing
from benchmarks.sides.borrowing import BEGUN
from benchmarks.sides.handing import end, result_of, started
from benchmarks.sides.lending import CAMERA
from benchmarks.sides.supervised import PROGRAM, Supervised
from benchmarks.stats import percentile

_PATIENT = StageLimits(session_ns=30 * NS_PER_S, frame_ns=30 * NS_PER_S)
_GROUP = "bench"
_LOOK_NS = 100 * NS_PER_MS
_LIMIT_S = 120
_RAW_SINK = "camera-agent-frames"
_AGE = re.compile(rb"Frame: .*latency=([\d.]+)")
_SHARED_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera as all of them open it, and how many frames a block has after the first `warm_up`."""

    path: str
    width_px: int
    height_px: int
    rate: int
    frames: int
    warm_up: int = 30

    @property
    def caps(self) -> str:
        """As GStreamer has it."""
        return f"video/x-raw,format=YUY2,width={self.width_px},height={self.height_px},framerate={self.rate}/1"


@dataclass(slots=True)
class Relayed:
    """One block. `server_ns`, `client_ns`: CPU time. `ways_ns`: from the driver's stamp to the client's having it."""

    frames: int
    server_ns: int
    client_ns: int
    ways_ns: list[int] = field(default_factory=list)

    def cpu(self) -> Measured:
        """CPU time for a frame, both processes."""
        return spent(self.server_ns + self.client_ns, self.frames)

    def way(self) -> Measured:
        """The usual one."""
        return Measured(percentile(self.ways_ns, 50), len(self.ways_ns), self.ways_ns)


# -- ours -----------------------------------------------------------------------------------------------------------


def by_us(camera: Camera, folder: Path, program: Sequence[str] = PROGRAM) -> Relayed:
    """A capture process under its supervisor, and the Python client, let in as the agent does it."""
    settings = Settings(
        pixel_format="YUYV", width_px=camera.width_px, height_px=camera.height_px, rate=Fraction(camera.rate)
    )
    cameras = (CameraOrder(name=CAMERA, path=camera.path, settings=settings),)
    order = GroupOrder(name=_GROUP, cameras=cameras, limits=_PATIENT)
    with Supervised(order, program) as process, ExitStack() as resources:
        listener = resources.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(path := str(folder / f"{monotonic_ns()}.sock"))
        listener.listen()
        process.ask(StartCamera(id=process.number(), camera=CAMERA))
        window = (str(camera.warm_up), str(camera.frames))
        client = resources.enter_context(started(borrowing.__name__, path, CAMERA, *window))
        resources.callback(end, client)
        _until_readable(process, listener)
        connection, _ = listener.accept()
        with connection:
            if not process.supervisor.groups[_GROUP].pass_on(connection.recv(wire.ANSWER_BYTES), connection):
                raise ValueError("the connection could not be passed on")
        server_ns = _cpu_of_window(process, client)
        found = result_of(client)
    return Relayed(len(found["ways_ns"]), server_ns, found["cpu_ns"], found["ways_ns"])


def _cpu_of_window(process: Supervised, client: subprocess.Popen[str]) -> int:
    """CPU time of the capture process while the client takes the frames that count."""
    output = client.stdout
    pid = process.supervisor.groups[_GROUP].pid
    if output is None or pid is None:
        raise ValueError("there is no process")
    _until_readable(process, output)
    if (heard := output.readline().strip()) != BEGUN:
        raise ValueError(f"{heard!r} instead of {BEGUN!r}")
    before_ns = cpu_ns_of(pid)
    _until_readable(process, output)
    return cpu_ns_of(pid) - before_ns


def _until_readable(process: Supervised, stream: IO[str] | socket.socket) -> None:
    """The supervisor does its work meanwhile."""
    deadline_ns = monotonic_ns() + _LIMIT_S * NS_PER_S
    while not select.select([stream], [], [], 0)[0]:
        if monotonic_ns() > deadline_ns:
            raise TimeoutError("the client is not heard of")
        process.wait_until(monotonic_ns() + _LOOK_NS)


# -- ustreamer ------------------------------------------------------------------------------------------------------


def by_ustreamer(camera: Camera, folder: Path) -> Relayed:
    """Its memory sink for raw frames, and ustreamer-dump, which copies each one and tells how old it was then."""
    command = ["ustreamer", "--device", camera.path, "--format=YUYV", f"--desired-fps={camera.rate}"]
    command += [f"--resolution={camera.width_px}x{camera.height_px}", "--encoder=NOOP", "--workers=1"]
    command += [f"--raw-sink={_RAW_SINK}", "--raw-sink-rm", f"--unix={folder / 'http'}", "--unix-rm"]
    dump = ["ustreamer-dump", f"--sink={_RAW_SINK}", "--sink-timeout=30", "--verbose", "--no-log-colors"]
    with _running(command, folder / "ustreamer.log") as (server, _):
        time.sleep(1)  # its sink is there before a reader may ask for it
        with _running(dump, folder / "dump.log") as (client, log):
            first = _await_lines(log, camera.warm_up, camera.rate)
            before = cpu_ns_of(server), cpu_ns_of(client)
            last = _await_lines(log, first + camera.frames, camera.rate)
            after = cpu_ns_of(server), cpu_ns_of(client)
            ways_ns = read_ages(log.read_bytes())[first:last]
    return Relayed(last - first, after[0] - before[0], after[1] - before[1], ways_ns)


def read_ages(log: bytes) -> list[int]:
    """How old each frame was when ustreamer-dump had it, in nanoseconds; it tells milliseconds."""
    return [round(float(each) * NS_PER_S) for each in _AGE.findall(log)]


def _await_lines(log: Path, frames: int, rate: int) -> int:
    """Look rarely: whoever waits takes its time from the same processor. Raises TimeoutError."""
    deadline = time.monotonic() + _LIMIT_S
    while (found := len(read_ages(log.read_bytes()))) < frames:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found} of {frames} frames within {_LIMIT_S} s: {log.read_text()[-500:]}")
        time.sleep(max((frames - found) / rate, 0.05))
    return found


# -- GStreamer ------------------------------------------------------------------------------------------------------

Links = Callable[[str], tuple[Sequence[str], Sequence[str]]]
"""The elements that send frames to a socket, and those that receive them."""


def by_gstreamer(camera: Camera, folder: Path, links: Links, source: Sequence[str] = ()) -> Relayed:
    """gst-launch-1.0 at both ends. Its frames are not counted but taken to be those of the time that passes.

    `source`: elements instead of v4l2src.
    """
    sending, receiving = links(str(folder / f"{monotonic_ns()}.gst"))
    source = source or ("v4l2src", f"device={camera.path}", "io-mode=auto")
    server_command = ["gst-launch-1.0", *source, "!", camera.caps, "!", *sending]
    client_command = ["gst-launch-1.0", *receiving, "!", "fakesink", "sync=false"]
    with _running(server_command, folder / "gst-server.log") as (server, server_log):
        _await_playing(server_log)
        with _running(client_command, folder / "gst-client.log") as (client, client_log):
            _await_playing(client_log)
            time.sleep(camera.warm_up / camera.rate)
            began_ns, before = monotonic_ns(), (cpu_ns_of(server), cpu_ns_of(client))
            time.sleep(camera.frames / camera.rate)
            after, took_ns = (cpu_ns_of(server), cpu_ns_of(client)), monotonic_ns() - began_ns
    return Relayed(took_ns * camera.rate // NS_PER_S, after[0] - before[0], after[1] - before[1])


def shm(path: str) -> tuple[Sequence[str], Sequence[str]]:
    """Copies of frames in shared memory: gst-plugins-bad, sys/shm."""
    sending = ("shmsink", f"socket-path={path}", f"shm-size={_SHARED_BYTES}", "wait-for-connection=false", "sync=false")
    return sending, ("shmsrc", f"socket-path={path}", "is-live=true")


def unixfd(path: str) -> tuple[Sequence[str], Sequence[str]]:
    """Descriptors of frames: gst-plugins-bad, gst/unixfd, since 1.24."""
    return ("unixfdsink", f"socket-path={path}", "sync=false"), ("unixfdsrc", f"socket-path={path}")


def require_gstreamer(element: str) -> None:
    """Raises MissingTool where it has no such element."""
    inspect = shutil.which("gst-inspect-1.0")
    if inspect is None or subprocess.run([inspect, "--exists", element], check=False).returncode:
        raise MissingTool(f"GStreamer has no {element} here: gstreamer1.0-tools, gstreamer1.0-plugins-bad")


def _await_playing(log: Path) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + _LIMIT_S
    while b"New clock" not in log.read_bytes():
        if time.monotonic() > deadline:
            raise TimeoutError(f"GStreamer does not play: {log.read_text()[-500:]}")
        time.sleep(0.2)


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[tuple[int, Path]]:
    """A program until the end of the block, which may not come before; its process id, and what it says."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            yield process.pid, log
            if process.poll() is not None:
                raise ChildProcessError(f"{command[0]} ended: {log.read_text()[-500:]}")
        finally:
            process.terminate()
