"""A kernel that is not there: video nodes of simulated cameras behind the seam of `agent.kernel`."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Table
from typing import Any

from agent.kernel import Mapping
from agent.simulation import answers, dma_heap
from agent.simulation.camera import SimulatedCamera
from agent.simulation.clock import Clock, MachineClock, ManualClock
from agent.simulation.faults import Faults
from agent.simulation.nodes import NodeTable
from agent.simulation.open_file import OpenFile
from agent.simulation.pacer import Deadlines, Pacer, Stepper
from agent.simulation.profiles import CameraProfile
from agent.simulation.refusal import refusal
from agent.v4l2 import uapi

_NODE = "/dev/video"
_Open = tuple[SimulatedCamera, OpenFile]


class SimulatedKernel:
    """Simulated cameras as an `agent.kernel.Kernel`. A context manager; `release()` is idempotent.

    Shared freely between threads of one process; another process that builds one has other cameras. With a
    `ManualClock` there is no thread and no time passes: frames come from `step` and `advance`.
    """

    def __init__(
        self,
        cameras: Iterable[CameraProfile],
        *,
        clock: Clock | None = None,
        faults: Table[int, Faults] | None = None,
        devices: Iterable[str] = (dma_heap.HEAP_PATH, dma_heap.UDMABUF_PATH),
    ) -> None:
        """`faults`: by the camera's place in `cameras`. `devices`: which memory devices exist beside the cameras."""
        clock = MachineClock() if clock is None else clock
        self._stepper = Stepper(clock) if isinstance(clock, ManualClock) else None
        self.clock = clock
        deadlines: Deadlines = Pacer(clock) if self._stepper is None else self._stepper
        self.deadlines = deadlines
        """Who calls the cameras when their time has come; what stands beside them on the bench shares it."""
        self._nodes: NodeTable[SimulatedCamera] = NodeTable()
        given = faults or {}
        self.cameras: tuple[SimulatedCamera, ...] = tuple(
            SimulatedCamera(profile, clock, deadlines, self._nodes, given.get(place) or Faults())
            for place, profile in enumerate(cameras)
        )
        self._devices = frozenset(devices)
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}
        self._open_devices: dict[int, str] = {}

    def __enter__(self) -> SimulatedKernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Close what is still open and end the pacer's thread."""
        for camera in self.cameras:
            camera.faults.release_gates()
        for fd in [*self._open, *self._open_devices]:
            with contextlib.suppress(OSError):  # closed by another thread meanwhile
                self.close(fd)
        for camera in self.cameras:
            camera.settle()

    def video_nodes(self) -> Sequence[str]:
        """Paths of all video nodes present, in numeric order."""
        return [f"{_NODE}{number}" for number in self._nodes.present()]

    def open(self, path: str, flags: int) -> int:
        """Open a node or a memory device. Raises OSError ENOENT, ENODEV."""
        if path in self._devices:
            fd = dma_heap.open_device()
            self._open_devices[fd] = path
            return fd
        number = path.removeprefix(_NODE)
        node = self._nodes.find(int(number)) if path.startswith(_NODE) and number.isdecimal() else None
        if node is None:
            raise refusal(errno.ENOENT)
        camera, kind = node
        file = camera.open(int(number), kind, nonblocking=bool(flags & os.O_NONBLOCK))
        self._open[file.descriptor.fd] = (camera, file)
        return file.descriptor.fd

    def close(self, fd: int) -> None:
        """Close a descriptor of this kernel, also an exported or allocated one. Raises OSError EBADF."""
        with self._lock:
            found = self._open.pop(fd, None)
            self._open_devices.pop(fd, None)
        if found is None:
            os.close(fd)
        else:
            found[0].close(found[1])

    def ioctl(self, fd: int, request: int, argument: Any) -> int:
        """One request. Raises OSError as a driver would, EBADF for a descriptor that is not open."""
        number = request & 0xFFFF_FFFF
        found = self._open.get(fd)
        if found is not None:
            answers.answer(*found, number, argument)
            return 0
        if fd in self._open_devices:
            return dma_heap.answer(self._open_devices[fd], number, argument)
        os.fstat(fd)  # raises EBADF
        if number != uapi.DMA_BUF_IOCTL_SYNC.number:
            raise refusal(errno.ENOTTY)
        dma_heap.sync(fd, argument)
        return 0

    def mmap(self, fd: int, length: int, offset: int, protection: int) -> Mapping:
        """Map a buffer's plane by its offset, or memory of any other descriptor."""
        found = self._open.get(fd)
        if found is None:
            return Mapping(fd, length, offset, protection)
        return found[0].mmap(found[1], length, offset, protection)

    def step(self, camera: SimulatedCamera, frames: int = 1) -> None:
        """With a ManualClock: move time to the end of the camera's next frame, `frames` times.

        Other cameras get the frames that fall into that time. Raises ValueError without a ManualClock, or when
        the camera does not stream.
        """
        stepper = self._manual()
        for _ in range(frames):
            deadline_ns = stepper.next_of(camera)
            if deadline_ns is None:
                raise ValueError(f"{camera.profile.card} does not stream: no frame will come")
            stepper.advance_to(deadline_ns)

    def advance(self, duration_ns: int) -> None:
        """With a ManualClock: let time pass, with all frames that fall into it. Raises ValueError without one."""
        self._manual().advance_to(self.clock.now_ns() + duration_ns)

    def _manual(self) -> Stepper:
        if self._stepper is None:
            raise ValueError("this kernel runs in real time; give it a ManualClock to step it")
        return self._stepper
