"""The cameras a verb works on: this machine's, or simulated ones. The only place that knows the simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from agent.cli.line_names import LineNames, RenamedLines, places_of
from agent.clock import ReadClock
from agent.kernel import Kernel, LinuxKernel
from agent.kernel import Mapping as Memory
from agent.trigger.lines import InputOrder, LineRef, Lines

if TYPE_CHECKING:
    from agent.capture.order import GroupOrder
    from agent.capture.pwm_output import OpenPwm, Pwm
    from agent.discovery.camera import Camera
    from agent.simulation.camera import SimulatedCamera
    from agent.simulation.kernel import SimulatedKernel
    from agent.simulation.line_level import OnLevel
    from agent.simulation.pwm import SimulatedPwm
    from agent.trigger.pwm_order import PwmOrder


class Machine(NamedTuple):
    """What a capture process works on: the kernel's cameras, the lines of its GPIO chips, its PWM channels."""

    kernel: Kernel
    lines: Lines
    open_pwm: OpenPwm


KernelChoice = Callable[[bool], AbstractContextManager[Kernel]]
"""Opens the kernel of this machine, or with True a simulated one. Tests hand in their own."""

LinesChoice = Callable[[bool], AbstractContextManager[Lines]]
"""Opens the lines of this machine, or with True those of a simulated chip, `bench`. Tests hand in their own."""

LIKENESSES = ("uvc", "sensor")
"""What a simulated camera can be like: a USB camera, or a sensor behind a capture interface."""
SIMULATED = ("/dev/video0", "/dev/video2")
"""The nodes of the cameras of `--simulate`: one is like a USB camera, the other like a sensor."""
_VIDEO_MAJOR = 81
"""VIDEO_MAJOR of media/v4l2-dev.h."""


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
        from agent.trigger.pwm import PwmOut

        yield Machine(LinuxKernel(), GpioLines(), PwmOut)
        return
    from agent.simulation.bench import simulated_kernel
    from agent.simulation.wired import firing, wired_lines

    with simulated_kernel() as kernel, wired_lines(kernel) as lines:
        everywhere = firing(kernel, range(len(kernel.cameras)))
        yield Machine(kernel, lines, lambda order: _simulated_pwm(kernel, order, [everywhere]))


def _simulated_pwm(kernel: SimulatedKernel, order: PwmOrder, listeners: Sequence[OnLevel]) -> SimulatedPwm:
    from agent.simulation.pwm import SimulatedPwm

    return SimulatedPwm(order.period_ns, order.width_ns, kernel.clock, kernel.deadlines, listeners)


@contextmanager
def open_lines(simulate: bool) -> Iterator[Lines]:
    """The lines of this machine's GPIO chips; with `simulate` those of a chip that is not there."""
    with open_machine(simulate) as machine:
        yield machine.lines


class Doors(NamedTuple):
    """How the verbs come to what they work on."""

    kernels: KernelChoice = open_kernel
    lines: LinesChoice = open_lines


def present_cameras(kernel: Kernel) -> list[Camera]:
    """The cameras that are there, and what each of them is: of a simulated kernel, or of this machine by udev."""
    from agent.cli.inventory import asking
    from agent.simulation.kernel import SimulatedKernel

    if isinstance(kernel, SimulatedKernel):
        there = kernel.video_nodes()
        return [_likeness(camera) for camera in kernel.cameras if camera.path in there]
    from agent.discovery.udev import list_cameras

    return list_cameras(asking(kernel))


def find_cameras(simulate: bool) -> list[Camera]:
    """The cameras that `open_kernel` would have."""
    with open_kernel(simulate) as kernel:
        return present_cameras(kernel)


def _likeness(camera: SimulatedCamera) -> Camera:
    """As udev would show it. A sensor has no serial number that could be read without a driver of its own."""
    from agent.discovery.camera import Camera
    from agent.discovery.identity import Identity
    from agent.discovery.node import Node

    profile = camera.profile
    bus = profile.bus_info
    identity = Identity(port=bus.replace(":", "-", 1), bus_info=bus, model=profile.card, driver=profile.driver)
    if profile.usb_ids is not None:
        controller, _, socket = bus.removeprefix("usb-").rpartition("-")
        vendor, product = (f"{number:04x}" for number in profile.usb_ids)
        identity = replace(
            identity,
            serial=profile.serial,
            vendor_id=vendor,
            product_id=product,
            port=f"pci-{controller}-usb-0:{socket}:1.0",
            usb_position=f"1-{socket}",
        )
    number = int(camera.path.removeprefix("/dev/video"))
    parent = f"/sys/devices/simulated/{bus}"
    node = Node(
        path=camera.path,
        sys_path=f"{parent}/video4linux/video{number}",
        parent=parent,
        devnum=_VIDEO_MAJOR << 8 | number,
        captures=True,
        identity=identity,
    )
    return Camera(node, (node,))


class SteppedCameras(Protocol):
    """Simulated cameras in a time that stands still until it is moved."""

    @property
    def kernel(self) -> Kernel:
        """Where they are."""
        ...

    @property
    def lines(self) -> Lines:
        """The lines they are wired to, under the names that the file has."""
        ...

    def open_pwm(self, group: GroupOrder, order: PwmOrder) -> Pwm:
        """A PWM channel that fires the triggered cameras of a group, and is seen on its input where it has one."""
        ...

    @property
    def now_ns(self) -> ReadClock:
        """Their time, in place of CLOCK_MONOTONIC."""
        ...

    def next_frame_ns(self) -> int | None:
        """When the next frame of any of them is finished, or a PWM has an edge; None while nothing is to come."""
        ...

    def advance_to(self, instant_ns: int) -> None:
        """Let time pass, with all frames that fall into it."""
        ...


@contextmanager
def open_stepped(paths: Sequence[str], like: str | None, groups: Sequence[GroupOrder] = ()) -> Iterator[SteppedCameras]:
    """A camera at each of `paths`, all of one of `LIKENESSES`; with None the cameras of `--simulate` as they are.

    `groups`: whose lines there are, under the names of the file; with None as `like`, the lines of `--simulate`.
    """
    from agent.simulation.bench import sensor_profile, simulated_kernel, uvc_profile
    from agent.simulation.clock import ManualClock
    from agent.simulation.kernel import SimulatedKernel
    from agent.simulation.wired import CHIP, lines_as, wired_lines

    clock = ManualClock()
    if like is None:
        with simulated_kernel(clock=clock) as kernel, wired_lines(kernel) as lines:
            yield _Stepped(kernel, kernel, lines, SIMULATED, None)
        return
    make = {"uvc": uvc_profile, "sensor": sensor_profile}[like]
    profiles = [make(chr(ord("A") + place % 26), place + 1) for place in range(len(paths))]
    names = LineNames(groups, paths)
    with (
        SimulatedKernel(profiles, clock=clock) as kernel,
        lines_as(kernel, outputs=names.outputs, strobes=names.strobes, inputs=names.inputs) as lines,
    ):
        nodes = {path: camera.path for path, camera in zip(paths, kernel.cameras, strict=True)}

        def pull(order: InputOrder, active: bool) -> None:
            lines.pull(LineRef(CHIP, names.simulated(order.line)), active != order.active_low)

        yield _Stepped(kernel, _Renamed(kernel, nodes), RenamedLines(lines, names, CHIP), paths, pull)


class _Stepped:
    """`SteppedCameras` of a simulated kernel with a `ManualClock`."""

    def __init__(
        self,
        simulated: SimulatedKernel,
        kernel: Kernel,
        lines: Lines,
        paths: Sequence[str],
        pull: Callable[[InputOrder, bool], None] | None,
    ) -> None:
        """`pull` gives an input of the file a level; None: inputs are not ours to pull."""
        self._simulated, self._paths, self._pull = simulated, paths, pull
        self._pwms: list[SimulatedPwm] = []
        self.kernel, self.lines = kernel, lines
        self.now_ns: ReadClock = simulated.clock.now_ns

    def open_pwm(self, group: GroupOrder, order: PwmOrder) -> Pwm:
        from agent.simulation.wired import firing

        listeners = [firing(self._simulated, places_of(group, self._paths))]
        seen, pull = group.trigger.input if group.trigger is not None else None, self._pull
        if seen is not None and pull is not None:
            listeners.append(lambda active, _at_ns: pull(seen, active))
        pwm = _simulated_pwm(self._simulated, order, listeners)
        self._pwms.append(pwm)
        return pwm

    def next_frame_ns(self) -> int | None:
        streams = (camera.stream for camera in self._simulated.cameras)
        instants = [stream.next_frame_ns for stream in streams if stream is not None]
        instants += [pwm.next_ns for pwm in self._pwms]
        return min((at_ns for at_ns in instants if at_ns is not None), default=None)

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
