"""Cameras followed by a thread, beside the events themselves as the kernel and udev send them, for hw-tests."""

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
class Witnessed:
    """An event about a node. `source`: `kernel`, or `udev` when it is through. `at_ns`: when it was read, monotonic."""

    source: str
    action: str
    name: str
    at_ns: int


@dataclass(frozen=True)
class Told:
    """An event of the `Watch`. `at_ns`: when `read` had returned with it."""

    event: Event
    at_ns: int


class Followed:
    """A `Watch` read by a thread of its own as soon as there is something to read."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="followed")
        self.told: list[Told] = []
        self.witnessed: list[Witnessed] = []

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
            self.told.clear()
            self.witnessed.clear()

    def wait_for(self, find: Callable[[], Found | None], what: str) -> Found:
        """What `find` finds, looked for after everything that was read; bounded."""
        deadline = time.monotonic() + _LIMIT_S
        with self._changed:
            while (found := find()) is None:
                left_s = deadline - time.monotonic()
                assert left_s > 0, f"no {what} within {_LIMIT_S} s: {self.told}"
                self._changed.wait(left_s)
        return found

    def event(self, kind: type[Event], path: str | None = None) -> Told:
        """The first event of this kind, about the camera at a path or any."""

        def find() -> Told | None:
            ours = (told for told in self.told if isinstance(told.event, kind))
            return next((told for told in ours if path in (None, told.event.camera.path)), None)

        return self.wait_for(find, f"{kind.__name__} of {path or 'any camera'}")

    def witness(self, source: str, action: str, path: str) -> Witnessed:
        """The first event of the kernel or of udev about a node."""
        wanted = (source, action, PurePosixPath(path).name)

        def find() -> Witnessed | None:
            return next((e for e in self.witnessed if (e.source, e.action, e.name) == wanted), None)

        return self.wait_for(find, f"{action} of {path} by {source}")

    def _follow(self) -> None:
        monitors = {source: _monitor(source) for source in ("kernel", "udev")}
        with self._watch as watch:
            readable = select.poll()
            for fd in (watch.fileno(), *(monitor.fileno() for monitor in monitors.values())):
                readable.register(fd, select.POLLIN)
            while not self._stop.is_set():
                with self._changed:
                    for source, monitor in monitors.items():
                        self._read(source, monitor)
                    events = watch.read()
                    now_ns = monotonic_ns()
                    self.told += [Told(event, now_ns) for event in events]
                    self._listed = True
                    self._changed.notify_all()
                readable.poll(100)

    def _read(self, source: str, monitor: pyudev.Monitor) -> None:
        while (device := monitor.poll(timeout=0)) is not None:
            self.witnessed.append(Witnessed(source, device.action, device.sys_name, monotonic_ns()))


def _monitor(source: str) -> pyudev.Monitor:
    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source=source)
    monitor.filter_by("video4linux")
    monitor.start()
    return monitor
