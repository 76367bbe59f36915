# SPDX-License-Identifier: GPL-3.0-or-later
"""The process: one thread, one selector over the cable, the control channel and the leash."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable

from .device import Device
from .link import Link

_NS_PER_S = 1_000_000_000
_LEASH_BYTES = 4096


class Loop:
    """Runs a device. Other descriptors are registered on `selector` with a callback as their data."""

    def __init__(self, device: Device, selector: selectors.BaseSelector, clock: Callable[[], int]) -> None:
        self._device = device
        self._selector = selector
        self._clock = clock
        self._watched: tuple[Link, int] | None = None

    def run(self) -> None:
        """Until a callback raises SystemExit. Raises: ProtocolError."""
        while True:
            self.turn(block=True)

    def turn(self, *, block: bool) -> None:
        """Wait for what comes first, unless told not to `block`, and see to it."""
        self._watch()
        readable = False
        for key, events in self._selector.select(self._timeout_s() if block else 0):
            if isinstance(key.data, Link):
                readable = bool(events & selectors.EVENT_READ)
            else:
                key.data()
        self._device.turn(readable)

    def _timeout_s(self) -> float | None:
        due_ns = self._device.due_ns
        return None if due_ns is None else max(0, due_ns - self._clock()) / _NS_PER_S

    def _watch(self) -> None:
        """Follow the device's link: it comes and goes with the cable, and is left alone while frozen."""
        link = self._device.link
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if link is not None and link.waiting else 0)
        wanted = None if link is None else (link, events)
        if wanted == self._watched:
            return
        if self._watched is not None:
            self._selector.unregister(self._watched[0])
        if link is not None:
            self._selector.register(link, events, link)
        self._watched = wanted


def hold_leash(descriptor: int, selector: selectors.BaseSelector) -> None:
    """End the process when `descriptor` (a pipe from the parent) reaches its end: no orphaned cameras."""

    def pulled() -> None:
        if not os.read(descriptor, _LEASH_BYTES):
            raise SystemExit(0)

    selector.register(descriptor, selectors.EVENT_READ, pulled)
