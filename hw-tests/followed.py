"""Cameras followed by a thread, beside the kernel's own events as they arrive, for hw-tests."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

import pyudev

from agent.clock import monotonic_ns
from agent.discovery.events import Event
from agent.discovery.watch import Watch

_LIMIT_S = 40
Found = TypeVar("Found")


@dataclass(frozen=True)
class KernelEvent:
    """What the kernel sent before udev had it. `at_ns`: when it was read, CLOCK_MONOTONIC."""

    action: str
    name: str
    at_ns: int


class Followed:
    """A `Watch` read by a thread of its own as soon as there is something to read."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="followed")
        self.events: list[Event] = []
        self.kernel: list[KernelEvent] = []

    def __enter__(self) -> Followed:
        self._thread.start()
        self.wait_for(lambda: self._listed or None, "the first list")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    _listed = False

    def forget(self) -> None:
        """Begin anew with what comes from now on."""
        with self._changed:
            self.events.clear()
            self.kernel.clear()

    def wait_for(self, find: Callable[[], Found | None], what: str) -> Found:
        """What `find` finds, looked for after everything that was read; bounded."""
        deadline = time.monotonic() + _LIMIT_S
        with self._changed:
            while (found := find()) is None:
                left_s = deadline - time.monotonic()
                assert left_s > 0, f"no {what} within {_LIMIT_S} s: {self.events}"
                self._changed.wait(left_s)
        return found

    def event(self, kind: type[Event], path: str) -> Event:
        """The first event of this kind about the camera at a path."""

        def find() -> Event | None:
            return next((e for e in self.events if isinstance(e, kind) and e.camera.path == path), None)

        return self.wait_for(find, f"{kind.__name__} of {path}")

    def kernel_event(self, action: str, path: str) -> KernelEvent:
        """The first of the kernel's own about a node."""
        name = PurePosixPath(path).name
        return self.wait_for(
            lambda: next((e for e in self.kernel if (e.action, e.name) == (action, name)), None), f"{action} {name}"
        )

    def _follow(self) -> None:
        kernel = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
        kernel.filter_by("video4linux")
        kernel.start()
        with self._watch as watch:
            readable = select.poll()
            for source in (kernel.fileno(), watch.fileno()):
                readable.register(source, select.POLLIN)
            while not self._stop.is_set():
                with self._changed:
                    self._read_kernel(kernel)
                    self.events += watch.read()
                    self._listed = True
                    self._changed.notify_all()
                readable.poll(100)

    def _read_kernel(self, kernel: pyudev.Monitor) -> None:
        while (device := kernel.poll(timeout=0)) is not None:
            self.kernel.append(KernelEvent(device.action, device.sys_name, monotonic_ns()))
