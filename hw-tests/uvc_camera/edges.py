# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges of a line that somebody else drives, as the kernel traces them (tracepoint gpio:gpio_value).

An output cannot be opened a second time to watch it, and gpio-sim's `value` file cannot be waited for. The tracepoint
misses nothing: the times are taken where the kernel sets the line (CLOCK_MONOTONIC, printed in whole microseconds).
What is not traced: a line that falls back to its pull because its owner let go without setting it before.

Follows Documentation/trace/ftrace.rst: an instance of its own, a filter, trace_pipe read as it fills.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from pathlib import Path
from typing import NamedTuple

from .errors import LineError

TRACEFS = Path("/sys/kernel/tracing")
_EVENT = "events/gpio/gpio_value"
_PREFIX = "camera-agent-"
_BUFFER_KB = 64  # per processor: a thousand edges, where a reader that is late by seconds sees tens
_READ_BYTES = 1 << 16
_SET = re.compile(rb"\s(\d+)\.(\d{6}): gpio_value:\s+(\d+) set (\d)")
_LOST = re.compile(rb"\[LOST (\d+) EVENTS\]")
_counter = itertools.count()


class Edge(NamedTuple):
    """The line changed to `high` at `time_ns`."""

    time_ns: int
    high: bool


def parse(text: bytes) -> list[Edge]:
    """Every level set, changed by that or not, from trace_pipe's words. Raises: LineError if some are lost."""
    lost = _LOST.search(text)
    if lost:
        raise LineError(f"the kernel's trace lost {int(lost[1])} events", hint="the reader did not read for too long")
    return [Edge(int(s) * 1_000_000_000 + int(us) * 1000, level != b"0") for s, us, _, level in _SET.findall(text)]


class TracedEdges:
    """The edges of one line from now on. Release with `close`, which is idempotent. For one thread.

    `number`: the line's in the kernel; `high`: its level now. Needs root and tracefs. Raises: LineError.
    """

    def __init__(self, number: int, high: bool = False, tracefs: Path = TRACEFS) -> None:
        self._high = high
        self._rest = b""
        self._pipe = -1
        self._instance = tracefs / "instances" / f"{_PREFIX}{os.getpid()}-{next(_counter)}"
        _sweep(tracefs)
        try:
            self._instance.mkdir()
            self._set_up(number)
            self._pipe = os.open(self._instance / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.close()
            raise LineError(f"{self._instance}: {error}", hint="run as root, with tracefs mounted") from error

    def fileno(self) -> int:
        """For a selector: readable when there is something to `read`."""
        return self._pipe

    def read(self) -> list[Edge]:
        """The edges traced since the last call, oldest first; never waits. Raises: LineError when some are lost."""
        text = self._rest
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._pipe, _READ_BYTES):
                text += part
        whole, newline, self._rest = text.rpartition(b"\n")
        return [edge for edge in parse(whole + newline) if self._changed(edge)]

    def close(self) -> None:
        """Stop tracing."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        _remove(self._instance)

    def _set_up(self, number: int) -> None:
        for name, text in (
            ("buffer_size_kb", f"{_BUFFER_KB}"),
            ("trace_clock", "mono"),
            (f"{_EVENT}/filter", f"gpio == {number} && get == 0"),
            (f"{_EVENT}/enable", "1"),
        ):
            (self._instance / name).write_text(text)

    def _changed(self, edge: Edge) -> bool:
        was, self._high = self._high, edge.high
        return was != edge.high


def _sweep(tracefs: Path) -> None:
    """Remove what processes left behind that were killed."""
    for instance in (tracefs / "instances").glob(f"{_PREFIX}*"):
        pid = instance.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            _remove(instance)


def _remove(instance: Path) -> None:
    with contextlib.suppress(OSError):  # gone already, or never made
        instance.rmdir()
