"""The cameras a verb works on: this machine's, or simulated ones. The only place that knows the simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from agent.clock import ReadClock
from agent.kernel import Kernel, LinuxKernel
from agent.kernel import Mapping as Memory
from agent.trigger.lines import Lines

if TYPE_CHECKING:
    from agent.simulation.kernel import SimulatedKernel


class Machine(NamedTuple):
    """What a capture process works on: the kernel's cameras, and the lines of its GPIO chips."""

    kernel: Kernel
    lines: Lines


KernelChoice = Callable[[bool], AbstractContextManager[Kernel]]
"""Opens the kernel of this machine, or with True a simulated one. Tests hand in their own."""

LIKENESSES = ("uvc", "sensor")
"""What a simulated camera can be like: a USB camera, or a sensor behind a capture interface."""
SIMULATED = ("/dev/video0", "/dev/video2")
"""The nodes of the cameras of `--simulate`: one is like a USB camera, the other like a sensor."""


@contextmanager
def open_kernel(simulate: bool) -> Iterator[Kernel]:
    """The kernel of this machine; with `simulate` one with two cameras that are not there, released at the end."""
    if not simulate:
        yield LinuxKernel()
        return
    from agent.simulation.bench import simulated_kernel

    with simulated_kernel() as kernel:
        yield kernel


@contextmanager
def open_machine(simulate: bool) -> Iterator[Machine]:
    """This machine's cameras and lines; with `simulate` two cameras that are not there, and a chip wired to them."""
    if not simulate:
        from agent.trigger.gpio import GpioLines

        yield Machine(LinuxKernel(), GpioLines())
        return
    from agent.simulation.bench import simulated_kernel
    from agent.simulation.wired import wired_lines

    with simulated_kernel() as kernel, wired_lines(kernel) as lines:
        yield Machine(kernel, lines)


class SteppedCameras(Protocol):
    """Simulated cameras in a time that stands still until it is moved."""

    @property
    def kernel(self) -> Kernel:
        """Where they are."""
        ...

    @property
    def lines(self) -> Lines:
        """The lines they are wired to."""
        ...

    @property
    def now_ns(self) -> ReadClock:
        """Their time, in place of CLOCK_MONOTONIC."""
        ...

    def next_frame_ns(self) -> int | None:
        """When the next frame of any of them is finished; None while none streams."""
        ...

    def advance_to(self, instant_ns: int) -> None:
        """Let time pass, with all frames that fall into it."""
        ...


@contextmanager
def open_stepped(paths: Sequence[str], like: str | None) -> Iterator[SteppedCameras]:
    """A camera at each of `paths`, all of one of `LIKENESSES`; with None the cameras of `--simulate` as they are."""
    from agent.simulation.bench import sensor_profile, simulated_kernel, uvc_profile
    from agent.simulation.clock import ManualClock
    from agent.simulation.kernel import SimulatedKernel
    from agent.simulation.wired import wired_lines

    clock = ManualClock()
    if like is None:
        with simulated_kernel(clock=clock) as kernel, wired_lines(kernel) as lines:
            yield _Stepped(kernel, kernel, lines)
        return
    make = {"uvc": uvc_profile, "sensor": sensor_profile}[like]
    profiles = [make(chr(ord("A") + place % 26), place + 1) for place in range(len(paths))]
    with SimulatedKernel(profiles, clock=clock) as kernel, wired_lines(kernel) as lines:
        nodes = {path: camera.path for path, camera in zip(paths, kernel.cameras, strict=True)}
        yield _Stepped(kernel, _Renamed(kernel, nodes), lines)


class _Stepped:
    """`SteppedCameras` of a simulated kernel with a `ManualClock`."""

    def __init__(self, simulated: SimulatedKernel, kernel: Kernel, lines: Lines) -> None:
        self._simulated = simulated
        self.kernel, self.lines = kernel, lines
        self.now_ns: ReadClock = simulated.clock.now_ns

    def next_frame_ns(self) -> int | None:
        streams = (camera.stream for camera in self._simulated.cameras)
        frames = (stream.next_frame_ns for stream in streams if stream is not None)
        return min((at_ns for at_ns in frames if at_ns is not None), default=None)

    def advance_to(self, instant_ns: int) -> None:
        self._simulated.advance(max(instant_ns - self.now_ns(), 0))


class _Renamed:
    """A kernel whose nodes have other paths: those of the file, whatever machine it is written for."""

    def __init__(self, kernel: Kernel, nodes: Mapping[str, str]) -> None:
        self._kernel = kernel
        self._nodes = nodes

    def video_nodes(self) -> Sequence[str]:
        return list(self._nodes)

    def open(self, path: str, flags: int) -> int:
        return self._kernel.open(self._nodes.get(path, path), flags)

    def close(self, fd: int) -> None:
        self._kernel.close(fd)

    def ioctl(self, fd: int, request: int, argument: Any) -> int:
        return self._kernel.ioctl(fd, request, argument)

    def mmap(self, fd: int, length: int, offset: int, protection: int) -> Memory:
        return self._kernel.mmap(fd, length, offset, protection)


def read_mark_of(picture: Path) -> tuple[int, int, int] | None:
    """Sequence number, exposure in nanoseconds and gain, as a simulated camera drew them into the picture.

    None where there is no mark, or a damaged one.
    """
    import numpy as np
    from PIL import Image

    from agent.simulation.mark import read_mark

    with Image.open(picture) as image:
        mark = read_mark(np.asarray(image.convert("L")))
    return None if mark is None else (mark.sequence, mark.exposure_ns, mark.gain)
