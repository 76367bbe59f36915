"""A kernel that tells every call made to it: for dry runs on simulated cameras, and to look at what real ones get."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.clock import ReadClock
from agent.kernel import Kernel, Mapping
from agent.v4l2.decode import Facts, Names, answered, asked
from agent.v4l2.uapi import REQUESTS, VIDIOC_EXPBUF


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the kernel. `name`: `VIDIOC_QBUF`, `open`, `mmap`, `close`.

    `device`: the node's path, also for a buffer that it exported; `fd N` for other descriptors. `asked` and `answered`:
    the fields of its argument before and after; nothing where the answer is what was asked. `error`: the errno's name
    where it was refused; then nothing was answered. Instants on CLOCK_MONOTONIC, in nanoseconds.
    """

    at_ns: int
    done_ns: int
    name: str
    device: str
    asked: Facts = ()
    answered: Facts = ()
    error: str = ""

    @property
    def text(self) -> str:
        """One line: `VIDIOC_REQBUFS count=4 memory=MMAP -> count=4`."""
        told = " ".join((self.name, *(f"{name}={value}" for name, value in self.asked)))
        if self.error:
            return f"{told} -> {self.error}"
        answer = " ".join(f"{name}={value}" for name, value in self.answered)
        return f"{told} -> {answer}" if answer else told


Sink = Callable[[Call], None]
"""Takes calls as they return, in the thread that made them."""


class TracingKernel:
    """A `Kernel` in front of another one. Shared between threads as far as that one and the sink may be."""

    def __init__(self, kernel: Kernel, sink: Sink, now_ns: ReadClock) -> None:
        self._kernel = kernel
        self._sink = sink
        self._now_ns = now_ns
        self._paths: dict[int, str] = {}
        self._exported: dict[int, Facts] = {}
        self._names: dict[str, Names] = {}

    def video_nodes(self) -> Sequence[str]:
        """Paths of all video nodes; not a call that is told."""
        return self._kernel.video_nodes()

    def open(self, path: str, flags: int) -> int:
        """Open a node, and remember its path."""
        at_ns = self._now_ns()
        facts = (("path", path),)
        try:
            fd = self._kernel.open(path, flags)
        except OSError as error:
            self._tell(at_ns, "open", path, facts, error=error)
            raise
        self._paths[fd] = path
        self._tell(at_ns, "open", path, facts)
        return fd

    def close(self, fd: int) -> None:
        """Close a descriptor; what it was is forgotten, for the number may come again."""
        at_ns, device = self._now_ns(), self._device(fd)
        self._paths.pop(fd, None)
        facts = self._exported.pop(fd, ())
        try:
            self._kernel.close(fd)
        except OSError as error:
            self._tell(at_ns, "close", device, facts, error=error)
            raise
        self._tell(at_ns, "close", device, facts)

    def ioctl(self, fd: int, request: int, argument: Any) -> int:
        """One request, decoded before and after. A request we never issue is told by its number."""
        at_ns, device = self._now_ns(), self._device(fd)
        number = request & 0xFFFF_FFFF
        known = REQUESTS.get(number)
        name = known.name if known else f"ioctl 0x{number:08x}"
        names = self._names.setdefault(device, Names())
        before = asked(number, argument, names)
        try:
            result = self._kernel.ioctl(fd, request, argument)
        except OSError as error:
            self._tell(at_ns, name, device, before, error=error)
            raise
        after = answered(number, argument, names)
        if number == VIDIOC_EXPBUF.number:
            self._paths[argument.fd], self._exported[argument.fd] = device, before
        self._tell(at_ns, name, device, before, () if after == before else after)
        return result

    def mmap(self, fd: int, length: int, offset: int, protection: int) -> Mapping:
        """Map memory. Unmapping is told by nobody: it happens when the last view is gone."""
        at_ns, device = self._now_ns(), self._device(fd)
        facts = ("length", str(length)), ("offset", str(offset))
        try:
            mapping = self._kernel.mmap(fd, length, offset, protection)
        except OSError as error:
            self._tell(at_ns, "mmap", device, facts, error=error)
            raise
        self._tell(at_ns, "mmap", device, facts)
        return mapping

    def _device(self, fd: int) -> str:
        return self._paths.get(fd, f"fd {fd}")

    def _tell(
        self, at_ns: int, name: str, device: str, before: Facts = (), after: Facts = (), error: OSError | None = None
    ) -> None:
        code = error.errno or 0 if error else 0
        refused = errno.errorcode.get(code, str(code)) if error else ""
        self._sink(Call(at_ns, self._now_ns(), name, device, before, after, refused))
