# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera's own record: one JSON object a line, each with its `kind` and `time_ns` (CLOCK_MONOTONIC).

- attach: port, speed, serial. detach: cause.
- start: format, width_px, height_px, interval_ns. stop: cause.
- frame: number, exposure_ns, gain, start_ns (start of exposure), header_ns (its header went to the host), bytes,
  trigger (number of the pulse that started it, or null), faults: sent completely. cut: the same, but the stream ended
  or an URB failed while it was under way.
- dropped: number, start_ns, trigger, faults: taken, never sent, because a fault was ordered.
- missed: number (of the first), count: not taken, because the host or this process was too slow.
- trigger: one for every active edge seen in trigger mode: time_ns (of the edge, as the kernel traced it), number (of
  the pulse), outcome (exposed, ignored, dropped), reason (null; busy, no_memory, not_streaming, stopped, unplugged;
  drop_trigger).
- trigger_mode: by (control, order), on, edge, delay_ns, jitter_ns, readout_ns, seed.
- control: request, control, value, outcome (done, ignored, stalled), delay_ms.
- fault: name and what it was ordered with. clear: name, null for all. urb_error: an URB was failed on order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Record(Protocol):
    """Where the camera writes down what it did."""

    def write(self, kind: str, **facts: object) -> None:
        """One entry; `time_ns` is added unless it is among the facts."""


class RecordFile:
    """A record in a file, one write call per entry. Put it on a tmpfs: a slow disk would hold the camera up."""

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, kind: str, **facts: object) -> None:
        """Append one entry."""
        entry = {"kind": kind, "time_ns": self._clock(), **facts}
        os.write(self._descriptor, json.dumps(entry).encode() + b"\n")

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class NoRecord:
    """A record nobody keeps."""

    def write(self, kind: str, **facts: object) -> None:
        """Forget it."""

    def close(self) -> None:
        """Nothing to close."""


def read_entries(path: Path) -> list[dict[str, object]]:
    """Every whole entry in the file; a line still being written is left out."""
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]


def next_number(entries: Sequence[Mapping[str, object]]) -> int:
    """The number of the picture after every one the entries tell of."""
    return _next_of([entry for entry in entries if entry.get("kind") != "trigger"])


def next_pulse(entries: Sequence[Mapping[str, object]]) -> int:
    """The number of the pulse after every one the entries tell of."""
    return _next_of([entry for entry in entries if entry.get("kind") == "trigger"])


def _next_of(entries: Sequence[Mapping[str, object]]) -> int:
    taken = 0
    for entry in entries:
        number, count = entry.get("number"), entry.get("count", 1)
        if isinstance(number, int) and isinstance(count, int):
            taken = max(taken, number + count)
    return taken
